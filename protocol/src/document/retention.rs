//! What is kept of a document: a function of the set of entries, never of their order (RULES D3,
//! C4, Q12).
//!
//! A statement that met its threshold is kept while any of its resources is among the four highest
//! of its id. Ids have room per kind and signing key, drafts per signing key, halts and resumes
//! room of their own; so a flooding key crowds out only what it alone signed.
//!
//! An id that several keys signed is kept if it fits the room of *any* of them: were it counted in
//! one room only, the key of that room could crowd out what others signed by signing it too.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::document::room::Room;
use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;
use crate::time::WallTime;
use crate::trust::HaltPlace;

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
        /// When it ends by itself.
        until: Option<WallTime>,
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
    let mut rooms = Rooms::default();
    for (digest, candidate) in statements {
        rooms.put(*digest, Arc::new(candidate.clone()));
    }
    let kept = |digest: &Digest| Some((*digest, rooms.kept(digest)?));
    rooms.candidates.keys().filter_map(kept).collect()
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

/// Kind as written, and id.
type IdOf = (String, ResourceId);
/// A room for finished ids: of one kind and one signing key, tombstones apart.
type IdRoom = (&'static str, bool, KeyId);

/// The rooms of one document with the statements in them. What is kept follows from the statements
/// alone; only what one of them moves is worked out anew when it comes, changes or goes.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    candidates: BTreeMap<Digest, Arc<Candidate>>,
    /// The finished versions of each id, lowest first.
    versions: BTreeMap<IdOf, Vec<(u64, Digest)>>,
    ids: BTreeMap<IdRoom, Room<(Digest, IdOf)>>,
    drafts: BTreeMap<KeyId, Room<Reverse<(u64, Digest)>>>,
    halts: BTreeMap<(KeyId, bool), Room<HaltPlace>>,
}

impl Rooms {
    /// Puts a statement in, in place of what it was before. Returns the statements of which other
    /// than before may be kept.
    pub fn put(&mut self, digest: Digest, candidate: Arc<Candidate>) -> BTreeSet<Digest> {
        let mut moved = self.take(&digest);
        moved.insert(digest);
        let version = candidate.version();
        let Candidate { resources, signers, standing } = &*candidate;
        match standing {
            Standing::Draft => {
                for key in signers {
                    let room = Room::of(&mut self.drafts, *key, limits::DRAFTS_PER_KEY_MAX);
                    moved.extend(room.put(Reverse((version, digest))).map(|Reverse(out)| out.1));
                }
            }
            Standing::Halt { by, lifted, until } => {
                for key in by {
                    let room = (*key, *lifted);
                    let room = Room::of(&mut self.halts, room, limits::HALTS_PER_KEY_MAX);
                    let out = room.put(HaltPlace::of(*until, digest));
                    moved.extend(out.map(|out| out.statement));
                }
            }
            Standing::Finished(_) => {
                let resources = resources.clone();
                self.candidates.insert(digest, candidate);
                for resource in resources {
                    self.change_id((resource.kind, resource.id), &mut moved, |versions| {
                        versions.push((resource.version, digest));
                        versions.sort_unstable();
                    });
                }
                return moved;
            }
            Standing::Resume => {}
        }
        self.candidates.insert(digest, candidate);
        moved
    }

    /// Takes a statement out. Returns the statements of which other than before may be kept.
    pub fn take(&mut self, digest: &Digest) -> BTreeSet<Digest> {
        let mut moved = BTreeSet::new();
        let Some(candidate) = self.candidates.get(digest).cloned() else { return moved };
        let version = candidate.version();
        match &candidate.standing {
            Standing::Draft => {
                for key in &candidate.signers {
                    let let_in =
                        Room::take_from(&mut self.drafts, *key, &Reverse((version, *digest)));
                    moved.extend(let_in.map(|Reverse(let_in)| let_in.1));
                }
            }
            Standing::Halt { by, lifted, until } => {
                let place = HaltPlace::of(*until, *digest);
                for key in by {
                    let let_in = Room::take_from(&mut self.halts, (*key, *lifted), &place);
                    moved.extend(let_in.map(|let_in| let_in.statement));
                }
            }
            Standing::Finished(_) => {
                for resource in candidate.resources.clone() {
                    self.change_id((resource.kind, resource.id), &mut moved, |versions| {
                        versions.retain(|(_, other)| other != digest);
                    });
                }
            }
            Standing::Resume => {}
        }
        self.candidates.remove(digest);
        moved.remove(digest);
        moved
    }

    /// The keys whose signatures of a statement are kept, if it is.
    pub fn kept(&self, digest: &Digest) -> Option<BTreeSet<KeyId>> {
        let candidate = self.candidates.get(digest)?;
        let Candidate { resources, signers, standing } = &**candidate;
        let is_kept = match standing {
            Standing::Draft => {
                let place = Reverse((candidate.version(), *digest));
                let keeps =
                    |key: &&KeyId| self.drafts.get(*key).is_some_and(|room| room.keeps(&place));
                let keys: BTreeSet<KeyId> = signers.iter().filter(keeps).copied().collect();
                return (!keys.is_empty()).then_some(keys);
            }
            Standing::Halt { by, lifted, until } => {
                let place = HaltPlace::of(*until, *digest);
                let room = |key: &KeyId| self.halts.get(&(*key, *lifted));
                by.iter().any(|key| room(key).is_some_and(|room| room.keeps(&place)))
            }
            Standing::Finished(_) => resources.iter().any(|resource| {
                let id = (resource.kind.clone(), resource.id.clone());
                self.is_among_highest(&id, (resource.version, *digest)) && self.has_room(&id)
            }),
            Standing::Resume => true,
        };
        is_kept.then(|| signers.clone())
    }

    /// The room of `key` that is full, if keeping `new` needs a place in it: one of what the key
    /// signed would have to go, and nobody could choose which.
    pub fn full_room(&self, digest: &Digest, new: Candidate, key: &KeyId) -> Option<FullRoom> {
        let mut before = self.clone();
        before.take(digest);
        match &new.standing {
            Standing::Draft => {
                let limit = limits::DRAFTS_PER_KEY_MAX;
                let is_full = before.drafts.get(key).is_some_and(|room| room.len() >= limit);
                is_full.then_some(FullRoom { of: RoomOf::Drafts, limit })
            }
            Standing::Finished(_) => {
                let mut after = before.clone();
                after.put(*digest, Arc::new(new));
                let own = after.ids.iter().filter(|((_, _, of), _)| of == key);
                own.into_iter().find_map(|(name, room)| {
                    let (kind, gone, _) = *name;
                    let limit = places(kind);
                    let had = before.ids.get(name).map_or(0, Room::len);
                    let of = if gone { RoomOf::Tombstones(kind) } else { RoomOf::Ids(kind) };
                    (room.len() > limit.max(had)).then_some(FullRoom { of, limit })
                })
            }
            Standing::Halt { .. } | Standing::Resume => None,
        }
    }

    /// Whether a version is among the four highest of its id.
    fn is_among_highest(&self, id: &IdOf, version: (u64, Digest)) -> bool {
        let versions = self.versions.get(id).map_or(&[][..], Vec::as_slice);
        versions.iter().rev().take(limits::VERSIONS_KEPT_PER_ID).any(|other| *other == version)
    }

    fn has_room(&self, id: &IdOf) -> bool {
        self.rooms_of(id).iter().any(|room| {
            self.ids.get(room).is_some_and(|ids| ids.keeps(&(place_in_room(room, id), id.clone())))
        })
    }

    /// The rooms that an id belongs to: of all keys that signed any of its versions.
    fn rooms_of(&self, id: &IdOf) -> BTreeSet<IdRoom> {
        let versions = self.versions.get(id).map_or(&[][..], Vec::as_slice);
        let gone = versions.last().and_then(|(_, digest)| {
            let resources = &self.candidates.get(digest)?.resources;
            let of_id =
                |resource: &&RetainedResource| (&resource.kind, &resource.id) == (&id.0, &id.1);
            Some(resources.iter().find(of_id)?.gone)
        });
        let kind = KINDS_WITH_ROOM.into_iter().find(|kind| *kind == id.0).unwrap_or(OTHER_KINDS);
        let signers = versions.iter().filter_map(|(_, digest)| {
            match &self.candidates.get(digest)?.standing {
                Standing::Finished(by) => Some(by),
                Standing::Draft | Standing::Halt { .. } | Standing::Resume => None,
            }
        });
        signers.flatten().map(|key| (kind, gone.unwrap_or(false), *key)).collect()
    }

    /// Changes the versions of an id, and thereby the rooms that it belongs to.
    fn change_id(
        &mut self,
        id: IdOf,
        moved: &mut BTreeSet<Digest>,
        change: impl FnOnce(&mut Vec<(u64, Digest)>),
    ) {
        let before = self.rooms_of(&id);
        let versions = self.versions.entry(id.clone()).or_default();
        moved.extend(versions.iter().map(|(_, digest)| *digest));
        change(versions);
        moved.extend(versions.iter().map(|(_, digest)| *digest));
        let after = self.rooms_of(&id);
        let mut other_ids = BTreeSet::new();
        for room in before.difference(&after) {
            let place = (place_in_room(room, &id), id.clone());
            other_ids.extend(Room::take_from(&mut self.ids, *room, &place));
        }
        for room in after.difference(&before) {
            let place = (place_in_room(room, &id), id.clone());
            other_ids.extend(Room::of(&mut self.ids, *room, places(room.0)).put(place));
        }
        for (_, other) in other_ids {
            moved
                .extend(self.versions.get(&other).into_iter().flatten().map(|(_, digest)| *digest));
        }
        if self.versions.get(&id).is_some_and(Vec::is_empty) {
            self.versions.remove(&id);
        }
    }
}

/// How many ids a room of a kind keeps.
fn places(kind: &str) -> usize {
    match kind {
        "Host" => limits::HOST_IDS_PER_SIGNER_MAX,
        _ => limits::IDS_PER_KIND_AND_SIGNER_MAX,
    }
}

/// Where an id stands in a room: nobody can choose it.
fn place_in_room((name, gone, key): &IdRoom, (kind, id): &IdOf) -> Digest {
    Digest::of_parts(&[
        name.as_bytes(),
        &[u8::from(*gone)],
        key.as_bytes(),
        kind.as_bytes(),
        id.as_str().as_bytes(),
    ])
}
