//! What is kept of a document: a function of the set of entries, never of their order (RULES D3,
//! C4, Q12).
//!
//! A statement that met its threshold is kept while any of its resources is among the four highest
//! of its id. Ids have room per kind and signing key, drafts per signing key, halts and resumes
//! room of their own; so a flooding key crowds out only what it alone signed.
//!
//! An id that several keys signed is kept if it fits the room of *any* of them: were it counted in
//! one room only, the key of that room could crowd out what others signed by signing it too.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;

/// The kinds with a room of their own: those of entry format 1, for good. All later kinds share
/// one room, so that agents of different versions keep the same (RULES S3).
const KINDS_WITH_ROOM: [&str; 15] = [
    "Region",
    "Site",
    "Host",
    "OsProfile",
    "SingleSchedule",
    "RepeatedSchedule",
    "Blackout",
    "OsUpdatePolicy",
    "Promotion",
    "CustomConfig",
    "Hold",
    "Retry",
    "Halt",
    "Resume",
    "Emergency",
];
const OTHER_KINDS: &str = "";

/// One resource of a statement, as far as retention cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedResource {
    /// Kind as written.
    pub kind: String,
    /// Id.
    pub id: ResourceId,
    /// Version.
    pub version: u64,
    /// A tombstone.
    pub gone: bool,
}

/// Which room a statement belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its threshold was never met.
    Draft,
    /// It met its threshold under a held root, by these keys.
    Finished(BTreeSet<KeyId>),
    /// A halt that counts, by these keys; whether a resume names it.
    Halt {
        /// The keys that may halt and signed it.
        by: BTreeSet<KeyId>,
        /// Whether a resume that met its threshold names it.
        lifted: bool,
    },
    /// A resume that met its threshold.
    Resume,
}

/// A statement with its verified signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is about.
    pub resources: Vec<RetainedResource>,
    /// The keys whose signatures of it verified.
    pub signers: BTreeSet<KeyId>,
    /// How it stands.
    pub standing: Standing,
}

impl Candidate {
    /// Its highest version, by which drafts are ranked.
    fn version(&self) -> u64 {
        self.resources.iter().map(|resource| resource.version).max().unwrap_or(0)
    }
}

/// What is kept: statements, each with the keys whose signatures are.
pub type Retained = BTreeMap<Digest, BTreeSet<KeyId>>;

/// What is kept of one document's statements, given by digest.
pub fn retain<'a>(statements: impl IntoIterator<Item = (&'a Digest, &'a Candidate)>) -> Retained {
    let mut kept = Retained::new();
    let mut finished: BTreeMap<IdOf<'_>, Versions<'_>> = BTreeMap::new();
    let mut drafts: BTreeMap<KeyId, BTreeSet<(u64, Digest)>> = BTreeMap::new();
    let mut halts: BTreeMap<(KeyId, bool), BTreeSet<Digest>> = BTreeMap::new();
    let mut all: BTreeMap<&Digest, &Candidate> = BTreeMap::new();
    for (digest, candidate) in statements {
        all.insert(digest, candidate);
        match &candidate.standing {
            Standing::Draft => {
                for key in &candidate.signers {
                    drafts.entry(*key).or_default().insert((candidate.version(), *digest));
                }
            }
            Standing::Finished(by) => {
                for resource in &candidate.resources {
                    finished
                        .entry((&resource.kind, &resource.id))
                        .or_default()
                        .insert((resource.version, *digest), Version { gone: resource.gone, by });
                }
            }
            Standing::Halt { by, lifted } => {
                for key in by {
                    halts.entry((*key, *lifted)).or_default().insert(*digest);
                }
            }
            Standing::Resume => {
                kept.insert(*digest, candidate.signers.clone());
            }
        }
    }
    let top = retained_versions(&finished);
    let halts = halts.into_values().flat_map(|of| of.into_iter().take(limits::HALTS_PER_KEY_MAX));
    for digest in top.into_iter().chain(halts) {
        if let Some(candidate) = all.get(&digest) {
            kept.insert(digest, candidate.signers.clone());
        }
    }
    for (key, room) in drafts {
        for (_, digest) in room.into_iter().rev().take(limits::DRAFTS_PER_KEY_MAX) {
            kept.entry(digest).or_default().insert(key);
        }
    }
    kept
}

type IdOf<'a> = (&'a String, &'a ResourceId);
type Versions<'a> = BTreeMap<(u64, Digest), Version<'a>>;

#[derive(Clone, Copy, Debug)]
struct Version<'a> {
    gone: bool,
    by: &'a BTreeSet<KeyId>,
}

/// A room for finished ids: of one kind and one signing key, tombstones apart.
type Room<'a> = (&'a str, bool, KeyId);

/// The four highest versions of every id that fits a room.
fn retained_versions(finished: &BTreeMap<IdOf<'_>, Versions<'_>>) -> BTreeSet<Digest> {
    let mut rooms: BTreeMap<Room<'_>, Vec<IdOf<'_>>> = BTreeMap::new();
    for (id, versions) in finished {
        let gone = versions.last_key_value().is_some_and(|(_, version)| version.gone);
        let kind = KINDS_WITH_ROOM.into_iter().find(|kind| kind == id.0).unwrap_or(OTHER_KINDS);
        let signers: BTreeSet<KeyId> =
            versions.values().flat_map(|version| version.by).copied().collect();
        for key in signers {
            rooms.entry((kind, gone, key)).or_default().push(*id);
        }
    }
    let mut ids: BTreeSet<IdOf<'_>> = BTreeSet::new();
    for (room, mut members) in rooms {
        let limit = match room.0 {
            "Host" => limits::HOST_IDS_PER_SIGNER_MAX,
            _ => limits::IDS_PER_KIND_AND_SIGNER_MAX,
        };
        if members.len() > limit {
            members.sort_by_cached_key(|id| place_in_room(&room, id));
            members.truncate(limit);
        }
        ids.extend(members);
    }
    finished
        .iter()
        .filter(|(id, _)| ids.contains(*id))
        .flat_map(|(_, versions)| {
            versions.keys().rev().take(limits::VERSIONS_KEPT_PER_ID).map(|(_, digest)| *digest)
        })
        .collect()
}

fn place_in_room(room: &Room<'_>, (kind, id): &IdOf<'_>) -> Digest {
    let (name, gone, key) = room;
    Digest::of_parts(&[
        name.as_bytes(),
        &[u8::from(*gone)],
        key.as_bytes(),
        kind.as_bytes(),
        id.as_str().as_bytes(),
    ])
}
