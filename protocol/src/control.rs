//! Requests and answers of a node's control socket, version 1 (`docs/control-api.md`). JSON over
//! HTTP; byte strings travel in base64. Field names are camelCase, unknown fields are ignored.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::decide::Decision;
use crate::document::DocumentId;
use crate::id::{Digest, FleetId, KeyId};
use crate::resource::TokenSpec;
use crate::time::{Now, WallTime};
use crate::trust::Pin;

/// Largest request or answer body: a submission of a whole stick is split by the client.
pub const CONTROL_BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of items in one answer to [`Wanted`], before base64.
pub const FETCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes that travel as base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Self).map_err(de::Error::custom)
    }
}

/// `GET /v1/status`: one screen of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Version of the agent.
    pub agent: String,
    /// The host.
    pub host: KeyId,
    /// Its name, once enrolled.
    #[serde(default)]
    pub name: Option<String>,
    /// Its site, once enrolled.
    #[serde(default)]
    pub site: Option<String>,
    /// The fleet that it took.
    #[serde(default)]
    pub fleet: Option<FleetId>,
    /// Version of the newest root held.
    #[serde(default)]
    pub root_version: Option<u64>,
    /// Whether one machine made the keys of several people.
    #[serde(default)]
    pub evaluation: bool,
    /// What is known of the time.
    pub now: Now,
    /// Whether the operating system says that its clock is synchronised.
    pub clock_synchronised: bool,
    /// When the agent started, by the host's clock.
    pub started: WallTime,
    /// Documents and how many entries or reports each holds.
    pub documents: BTreeMap<String, u64>,
    /// Peers connected now.
    pub peers: Vec<Peer>,
    /// The booted slot.
    #[serde(default)]
    pub booted_slot: Option<String>,
    /// Identity of this boot, as the boot program or the kernel gives it.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// What is installed: `profile@version`, or the version.
    #[serde(default)]
    pub installed: Option<String>,
    /// Why nothing can be staged now, if so.
    #[serde(default)]
    pub slot_busy: Option<String>,
    /// State of the update under way: `idle`, `staging`, `staged`, `activating`, `rebooting`,
    /// `confirming`, `fallingBack`.
    pub update: String,
    /// The attempt under way.
    #[serde(default)]
    pub attempt: Option<AttemptStatus>,
    /// Images that failed here.
    #[serde(default)]
    pub quarantined: Vec<String>,
    /// Local inhibitors: why, and until when.
    #[serde(default)]
    pub inhibitors: Vec<(String, Option<WallTime>)>,
    /// From which fleets a local person had this machine adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adopted: Vec<String>,
    /// Why nothing starts before `daymark-node rebind`, if so (RULES D6).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rebind: Vec<String>,
    /// Problems that a person should see, each with its next step.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Times that the mesh's task was restarted after a panic.
    #[serde(default)]
    pub mesh_restarts: u64,
    /// Addresses that peers may dial.
    #[serde(default)]
    pub listening: Vec<String>,
}

/// The attempt under way, or the last one while its record is not yet stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Its number.
    pub number: u64,
    /// Version that ran before.
    #[serde(default)]
    pub from: Option<String>,
    /// `profile@version` that it installs.
    pub to: String,
    /// When staging began.
    pub started: WallTime,
    /// Bytes of the image that are verified in the slot.
    pub verified_bytes: u64,
    /// Bytes of the whole image.
    pub total_bytes: u64,
    /// Bytes copied from this machine's own slots.
    pub own_bytes: u64,
    /// Bytes received from the release service.
    pub origin_bytes: u64,
    /// Bytes received from each peer.
    #[serde(default)]
    pub peer_bytes: BTreeMap<KeyId, u64>,
    /// Chunks that failed verification, by the peer that sent them.
    #[serde(default)]
    pub refused: BTreeMap<KeyId, u64>,
    /// Chunks that failed verification and came from the release service.
    #[serde(default)]
    pub refused_from_origin: u64,
    /// The last thing that went wrong with a source, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}

/// A token as it is handed to machines: `daymarkctl create token` writes it, `daymark-node join
/// --token` reads it. Whoever has it can let machines in, provisionally (RULES S9).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenFile {
    /// The fleet.
    pub fleet: FleetId,
    /// What its statement says.
    pub token: TokenSpec,
    /// Seed of its key, in hex.
    pub seed: Zeroizing<String>,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({})", self.token.name)
    }
}

/// A peer, connected or known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The peer.
    pub host: KeyId,
    /// Its name, if it is enrolled.
    #[serde(default)]
    pub name: Option<String>,
    /// Its address as last seen.
    #[serde(default)]
    pub address: Option<String>,
    /// `stranger`, `visitor` (a person's laptop), `authority` or `member`.
    pub admission: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// Points for what it did, not forgiven yet: 0 is good, at 64 it is dropped.
    #[serde(default)]
    pub score: u64,
    /// What it is blamed for since the agent started, by kind: `refused`, `malformed`, `flood`,
    /// `wrongChunk`, `wrongProof`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<String, u64>,
    /// Until when it is a stranger that nobody listens to, if it is, by the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_until: Option<WallTime>,
}

/// `GET /v1/decision`: what `explain` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionAnswer {
    /// Decided for this `now`.
    pub now: Now,
    /// The decision, with every gate's answer.
    pub decision: Decision,
}

/// `GET /v1/replica`: what the node holds, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaIndex {
    /// Versions of the roots.
    pub roots: Vec<u64>,
    /// Entries by document, by SHA-256 of their bytes.
    pub entries: BTreeMap<DocumentId, Vec<Digest>>,
    /// Reports by host, as (generation, count).
    pub reports: BTreeMap<KeyId, Vec<(u64, u64)>>,
    /// Blobs by SHA-256.
    pub blobs: Vec<Digest>,
}

/// `POST /v1/replica/fetch`: items by name; what is not held is left out of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    /// Versions of roots.
    pub roots: Vec<u64>,
    /// Entries.
    pub entries: Vec<(DocumentId, Digest)>,
    /// Reports as (host, generation, count).
    pub reports: Vec<(KeyId, u64, u64)>,
    /// Blobs.
    pub blobs: Vec<Digest>,
}

/// The answer to [`Wanted`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetched {
    /// Items, at most [`FETCH_BYTES_MAX`] of bytes in all.
    pub items: Vec<Item>,
    /// Whether items that are held were left out for size; ask again for what is missing.
    pub more: bool,
}

/// One thing that replicas exchange, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Item {
    /// A root's envelope.
    Root {
        /// Its version.
        version: u64,
        /// The envelope.
        bytes: Bytes,
    },
    /// An entry of a document.
    Entry {
        /// The document.
        document: DocumentId,
        /// SHA-256 of the bytes.
        hash: Digest,
        /// The entry.
        bytes: Bytes,
    },
    /// A host's report.
    Report {
        /// The host.
        host: KeyId,
        /// Its generation.
        generation: u64,
        /// Its count.
        count: u64,
        /// The report.
        bytes: Bytes,
    },
    /// A blob.
    Blob {
        /// SHA-256 of the bytes.
        digest: Digest,
        /// The blob.
        bytes: Bytes,
    },
}

impl Item {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Root { bytes, .. }
            | Self::Entry { bytes, .. }
            | Self::Report { bytes, .. }
            | Self::Blob { bytes, .. } => &bytes.0,
        }
    }
}

/// Something handed in; its name follows from its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "bytes")]
pub enum Submitted {
    /// A root's envelope.
    Root(Bytes),
    /// An entry of a document.
    Entry(Bytes),
    /// A host's report.
    Report(Bytes),
    /// A blob.
    Blob(Bytes),
}

impl From<Item> for Submitted {
    fn from(item: Item) -> Self {
        match item {
            Item::Root { bytes, .. } => Self::Root(bytes),
            Item::Entry { bytes, .. } => Self::Entry(bytes),
            Item::Report { bytes, .. } => Self::Report(bytes),
            Item::Blob { bytes, .. } => Self::Blob(bytes),
        }
    }
}

/// `POST /v1/submit`: hands items in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submission {
    /// In any order.
    pub items: Vec<Submitted>,
}

/// What became of a submitted item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "reason")]
pub enum SubmitOutcome {
    /// New here, and kept.
    New,
    /// Already held.
    Known,
    /// Held in memory until a root or a counterpart arrives.
    Held(String),
    /// Well-formed, but there is no room for it.
    NotKept(String),
    /// Refused for good, and why.
    Refused(String),
}

/// The answer to [`Submission`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitAnswer {
    /// One per item, in order.
    pub outcomes: Vec<SubmitOutcome>,
}

/// `POST /v1/join`: takes the fleet, once (RULES R3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// The newest root's version and digest.
    pub pin: Pin,
    /// Roots, and whatever else came with them.
    pub items: Vec<Submitted>,
}

/// `POST /v1/inhibit`: sets or lifts a local inhibitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inhibit {
    /// Why; the same text again replaces it.
    pub why: String,
    /// Until when; absent: lift it.
    #[serde(default)]
    pub until: Option<WallTime>,
}

/// `POST /v1/rebind`: this machine keeps its key (RULES D6). What a person saw before they said so
/// comes along; if it is not what the agent sees, it refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rebind {
    /// The machine-id now, if there is one.
    pub machine_id: Option<String>,
    /// The board's serial number now, if there is one.
    pub serial: Option<String>,
}

/// The answer to a request that changes something and returns nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Stable word for programs: `bad-request`, `not-found`, `refused`, `stopping`.
    pub code: String,
    /// Sentence for people.
    pub message: String,
}

/// The enrolment request that `daymark-node init` writes (`FOLDER/requests/<host>.json`), and
/// `daymarkctl enroll` reads: the payload of an envelope signed by the host's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrolmentRequest {
    /// Name proposed for the host.
    pub name: String,
    /// Its raw Ed25519 public key, lower-case hex.
    pub public_key: String,
    /// Serial number, if the machine has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// System UUID, if the machine has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uuid: String,
    /// Facts for the person who enrols it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_strings_travel_as_base64() {
        let item = Submitted::Entry(Bytes(vec![0, 255, 1]));
        let text = serde_json::to_string(&item).unwrap();
        assert_eq!(text, r#"{"kind":"entry","bytes":"AP8B"}"#);
        assert_eq!(serde_json::from_str::<Submitted>(&text).unwrap(), item);
        serde_json::from_str::<Submitted>(r#"{"kind":"entry","bytes":"A"}"#).unwrap_err();
    }

    #[test]
    fn documents_are_keys_of_the_index() {
        let mut index = ReplicaIndex::default();
        index.entries.insert("site/site-1".parse().unwrap(), vec![Digest([1; 32])]);
        let text = serde_json::to_string(&index).unwrap();
        assert_eq!(serde_json::from_str::<ReplicaIndex>(&text).unwrap(), index);
    }
}
