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
    let mut finished = Finished::new();
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
            Standing::Finished(by) => finish(&mut finished, digest, candidate, by),
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

/// A room that has no place for one more (RULES Q12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullRoom {
    /// What it is for.
    pub of: RoomOf,
    /// How many it keeps.
    pub limit: usize,
}

/// What a room of a signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomOf {
    /// Statements whose threshold was never met.
    Drafts,
    /// Ids of a kind, empty for all kinds of later versions.
    Ids(&'static str),
    /// Ids of a kind that have ended.
    Tombstones(&'static str),
}

/// The room of `key` that is full, if keeping `new` with what is held needs a place in it: one of
/// what the key signed would have to go, and nobody could choose which.
pub fn full_room<'a>(
    held: &'a BTreeMap<Digest, Candidate>,
    (digest, new): (&'a Digest, &'a Candidate),
    key: &KeyId,
) -> Option<FullRoom> {
    match &new.standing {
        Standing::Draft => {
            let own = |of: &&Candidate| of.standing == Standing::Draft && of.signers.contains(key);
            let limit = limits::DRAFTS_PER_KEY_MAX;
            let full = held.values().filter(own).count() >= limit;
            full.then_some(FullRoom { of: RoomOf::Drafts, limit })
        }
        Standing::Finished(by) => {
            let mut finished = Finished::new();
            for (digest, candidate) in held {
                if let Standing::Finished(by) = &candidate.standing {
                    finish(&mut finished, digest, candidate, by);
                }
            }
            let before = rooms(&finished);
            finish(&mut finished, digest, new, by);
            let after = rooms(&finished);
            let own = after.into_iter().filter(|((_, _, of), _)| of == key);
            own.into_iter().find_map(|(room, members)| {
                let (kind, gone, _) = room;
                let limit = places(kind);
                let had = before.get(&room).map_or(0, Vec::len);
                let of = if gone { RoomOf::Tombstones(kind) } else { RoomOf::Ids(kind) };
                (members.len() > limit.max(had)).then_some(FullRoom { of, limit })
            })
        }
        Standing::Halt { .. } | Standing::Resume => None,
    }
}

/// Ids that met their threshold, with their versions.
type Finished<'a> = BTreeMap<IdOf<'a>, Versions<'a>>;
type IdOf<'a> = (&'a String, &'a ResourceId);
type Versions<'a> = BTreeMap<(u64, Digest), Version<'a>>;

#[derive(Clone, Copy, Debug)]
struct Version<'a> {
    gone: bool,
    by: &'a BTreeSet<KeyId>,
}

fn finish<'a>(
    finished: &mut Finished<'a>,
    digest: &Digest,
    candidate: &'a Candidate,
    by: &'a BTreeSet<KeyId>,
) {
    for resource in &candidate.resources {
        let versions = finished.entry((&resource.kind, &resource.id)).or_default();
        versions.insert((resource.version, *digest), Version { gone: resource.gone, by });
    }
}

/// A room for finished ids: of one kind and one signing key, tombstones apart.
type Room = (&'static str, bool, KeyId);

/// How many ids a room keeps.
fn places(kind: &str) -> usize {
    match kind {
        "Host" => limits::HOST_IDS_PER_SIGNER_MAX,
        _ => limits::IDS_PER_KIND_AND_SIGNER_MAX,
    }
}

/// Every room with the ids that count in it.
fn rooms<'a>(finished: &Finished<'a>) -> BTreeMap<Room, Vec<IdOf<'a>>> {
    let mut rooms: BTreeMap<Room, Vec<IdOf<'a>>> = BTreeMap::new();
    for (id, versions) in finished {
        let gone = versions.last_key_value().is_some_and(|(_, version)| version.gone);
        let kind = KINDS_WITH_ROOM.into_iter().find(|kind| kind == id.0).unwrap_or(OTHER_KINDS);
        let signers: BTreeSet<KeyId> =
            versions.values().flat_map(|version| version.by).copied().collect();
        for key in signers {
            rooms.entry((kind, gone, key)).or_default().push(*id);
        }
    }
    rooms
}

/// The four highest versions of every id that fits a room.
fn retained_versions(finished: &Finished<'_>) -> BTreeSet<Digest> {
    let mut ids: BTreeSet<IdOf<'_>> = BTreeSet::new();
    for (room, mut members) in rooms(finished) {
        let limit = places(room.0);
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

fn place_in_room(room: &Room, (kind, id): &IdOf<'_>) -> Digest {
    let (name, gone, key) = room;
    Digest::of_parts(&[
        name.as_bytes(),
        &[u8::from(*gone)],
        key.as_bytes(),
        kind.as_bytes(),
        id.as_str().as_bytes(),
    ])
}
