//! Everything that can happen to a node.

use daymark_protocol::decide::Machine;
use daymark_protocol::id::KeyId;
use daymark_protocol::time::{MonoTime, WallTime};
use serde::{Deserialize, Serialize};

use crate::effect::{Admission, Channel, OpId};

/// The host's clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Monotonic time, suspend included.
    pub mono: MonoTime,
    /// Wall-clock time as the operating system has it.
    pub wall: WallTime,
    /// Whether the operating system says that its clock is synchronised.
    pub synchronised: bool,
}

impl Reading {
    /// The wall clock less the monotonic one, ms: it moves when the wall clock is set.
    pub(crate) fn offset_ms(&self) -> i64 {
        self.wall.as_ms().saturating_sub(i64::try_from(self.mono.0).unwrap_or(i64::MAX))
    }
}

/// A gossip message awaiting a verdict; minted by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GossipId(pub u64);

/// A request from the control socket; minted by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Something that happened. As JSON it is what [`crate::recording`] writes down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A deadline may have passed.
    Wake,
    /// A connection was made; its handlers are those of `admission`.
    Connected {
        /// The peer.
        peer: KeyId,
        /// Its address, as a multiaddr.
        address: String,
        /// What this connection lets through.
        admission: Admission,
    },
    /// The last connection to a peer closed.
    Disconnected {
        /// The peer.
        peer: KeyId,
    },
    /// A message from one peer.
    Received {
        /// The sender.
        peer: KeyId,
        /// What it came over.
        channel: Channel,
        /// At most [`daymark_protocol::limits::MESSAGE_BYTES_MAX`].
        #[serde(with = "crate::recording::base64")]
        bytes: Vec<u8>,
    },
    /// A gossip message; answered by [`crate::effect::Effect::Verdict`] in the same step.
    Gossip {
        /// To answer with.
        id: GossipId,
        /// Who forwarded it.
        from: KeyId,
        /// At most [`daymark_protocol::limits::MESSAGE_BYTES_MAX`].
        #[serde(with = "crate::recording::base64")]
        bytes: Vec<u8>,
    },
    /// The node's own listen addresses changed.
    Listening {
        /// Multiaddrs that peers may dial.
        addresses: Vec<String>,
    },
    /// Roots, entries, reports or blobs handed in: by the control socket, a folder, or a laptop.
    Submit {
        /// Answered by [`crate::effect::Effect::Reply`].
        request: RequestId,
        /// In any order.
        items: Vec<Carried>,
        /// The laptop that hands them in over the network; `None` if they are at hand.
        #[serde(default)]
        visitor: Option<KeyId>,
    },
    /// Takes the fleet, once (RULES R3).
    Join {
        /// Answered by [`crate::effect::Effect::Reply`].
        request: RequestId,
        /// The newest root's version and digest, with the fleet.
        pin: daymark_protocol::trust::Pin,
        /// Roots, and whatever else came with them.
        items: Vec<Carried>,
    },
    /// Said at each start: whether this is the machine that the key is bound to (RULES D6).
    Bound {
        /// Why it is not, for people.
        moved: Option<String>,
    },
    /// A person says that this machine is the one that keeps its key, after another was seen to
    /// use it too, or after the disk came to another board (RULES D6).
    Rebind {
        /// Answered by [`crate::effect::Effect::Reply`].
        request: RequestId,
    },
    /// A local inhibitor was set or lifted.
    Inhibit {
        /// Answered by [`crate::effect::Effect::Reply`].
        request: RequestId,
        /// Why; the same text again replaces it.
        why: String,
        /// Until when; `None` lifts it.
        until: Option<WallTime>,
    },
    /// The platform and local probes looked at the machine again.
    Inspected(Box<Inspection>),
    /// An operation ended. Unknown and stale ids are counted and ignored.
    OpDone {
        /// Its id.
        op: OpId,
        /// How it ended: the text of a failure is for people.
        result: Result<OpOutput, String>,
    },
    /// Progress of staging.
    Progress {
        /// Its id.
        op: OpId,
        /// Where it stands.
        progress: StageProgress,
    },
}

/// A thing carried by a folder or by `daymarkctl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Carried {
    /// A root envelope.
    Root(#[serde(with = "crate::recording::base64")] Vec<u8>),
    /// An entry of a document.
    Entry(#[serde(with = "crate::recording::base64")] Vec<u8>),
    /// A host's report.
    Report(#[serde(with = "crate::recording::base64")] Vec<u8>),
    /// A blob, named by its digest.
    Blob(#[serde(with = "crate::recording::base64")] Vec<u8>),
}

/// What the machine looks like: the parts of [`Machine`] that only the host can see, and who
/// booted what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// The machine; `quarantine`, `activity`, `activation_ms` and `staged` are the core's own and
    /// ignored here.
    pub machine: Machine,
    /// The slot that is booted, as the platform names it.
    pub booted_slot: Option<String>,
    /// The identity of this boot: another one after every restart; `None` if it cannot be told.
    pub boot_id: Option<String>,
    /// Whether the boot switch says that the running boot still awaits confirmation.
    pub boot_unconfirmed: bool,
    /// Facts for the host's report: hardware, OS, agent version; at most 64, short.
    pub facts: Vec<(String, String)>,
}

/// What a finished operation gives back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OpOutput {
    /// It is done.
    Done,
    /// Staging is complete and verified.
    Staged(StageProgress),
    /// All health checks passed.
    Healthy,
    /// Some did not; which and why.
    Unhealthy(String),
}

/// Where staging stands, and where the bytes came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageProgress {
    /// Bytes of the image that are verified in the slot.
    pub verified_bytes: u64,
    /// Bytes of the whole image.
    pub total_bytes: u64,
    /// Bytes copied from this machine's own slots.
    pub own_bytes: u64,
    /// Bytes received from the release service.
    pub origin_bytes: u64,
    /// Bytes received from each peer.
    pub peer_bytes: std::collections::BTreeMap<KeyId, u64>,
    /// Chunks that failed verification, by the peer that sent them.
    pub refused: std::collections::BTreeMap<KeyId, u64>,
    /// Chunks that failed verification and came from the release service.
    #[serde(default)]
    pub refused_from_origin: u64,
    /// The last thing that went wrong with a source, for people; empty if nothing did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
}
