//! What is kept of a document: a function of the set of entries, never of their order (RULES D3,
//! C4, Q12).
//!
//! A statement that met its threshold is kept while any of its resources is among the four highest
//! of its id. Ids have room per kind and signing key, drafts, halts and resumes per signing key; so
//! a flooding key crowds out only what it alone signed.
//!
//! What several keys signed is kept if it fits the room of *any* of them: were it counted in one
//! room only, the key of that room could crowd out what others signed by signing it too.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::document::id_rooms::{Filled, IdRooms};
use crate::document::room::Room;
use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;
use crate::time::WallTime;
use crate::trust::HaltPlace;

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
        /// The keys that a root or a token names and that signed it, whether or not they may halt.
        by: BTreeSet<KeyId>,
        /// Whether a resume that met its threshold names it.
        lifted: bool,
        /// When it ends by itself.
        until: Option<WallTime>,
    },
    /// A resume that met its threshold, by these keys.
    Resume(BTreeSet<KeyId>),
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
    rooms.drop_all_not_kept();
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
    /// Resumes.
    Resumes,
}

/// The rooms of one document with the statements in them. What is kept follows from the statements
/// alone; only what one of them moves is worked out anew when it comes, changes or goes.
#[derive(Clone, Debug, Default)]
pub struct Rooms {
    candidates: BTreeMap<Digest, Arc<Candidate>>,
    ids: IdRooms,
    drafts: BTreeMap<KeyId, Room<Reverse<(u64, Digest)>>>,
    halts: BTreeMap<(KeyId, bool), Room<HaltPlace>>,
    resumes: BTreeMap<KeyId, Room<(Digest, Digest)>>,
}

impl Rooms {
    /// Puts a statement in, in place of what it was before. Returns the statements of which other
    /// than before may be kept.
    pub fn put(&mut self, digest: Digest, candidate: Arc<Candidate>) -> BTreeSet<Digest> {
        let mut moved = self.take(&digest);
        moved.insert(digest);
        let version = candidate.version();
        let Candidate { signers, standing, .. } = &*candidate;
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
            Standing::Finished(_) => self.ids.put(digest, &candidate, &mut moved),
            Standing::Resume(by) => {
                for key in by {
                    let room = Room::of(&mut self.resumes, *key, limits::RESUMES_PER_KEY_MAX);
                    moved.extend(room.put(resume_place(key, &digest)).map(|(_, out)| out));
                }
            }
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
            Standing::Finished(_) => self.ids.take(digest, &candidate, &mut moved),
            Standing::Resume(by) => {
                for key in by {
                    let place = resume_place(key, digest);
                    let let_in = Room::take_from(&mut self.resumes, *key, &place);
                    moved.extend(let_in.map(|(_, let_in)| let_in));
                }
            }
        }
        self.candidates.remove(digest);
        moved.remove(digest);
        moved
    }

    /// Takes out all that is not kept, until everything is. What goes can let nothing in that went
    /// with it, or that would hang on which of them went first.
    fn drop_all_not_kept(&mut self) {
        let mut suspects: BTreeSet<Digest> = self.candidates.keys().copied().collect();
        while !suspects.is_empty() {
            suspects = self.drop_not_kept(&suspects).1;
        }
    }

    /// Takes out those of these statements that are not kept. Returns what went, and the statements
    /// that are held still and of which other than before may be kept.
    pub fn drop_not_kept(&mut self, of: &BTreeSet<Digest>) -> (BTreeSet<Digest>, BTreeSet<Digest>) {
        let gone: BTreeSet<Digest> =
            of.iter().filter(|digest| self.kept(digest).is_none()).copied().collect();
        let mut moved = BTreeSet::new();
        for digest in &gone {
            moved.extend(self.take(digest));
        }
        moved.retain(|digest| self.candidates.contains_key(digest));
        (gone, moved)
    }

    /// The keys whose signatures of a statement are kept, if it is.
    pub fn kept(&self, digest: &Digest) -> Option<BTreeSet<KeyId>> {
        let candidate = self.candidates.get(digest)?;
        let Candidate { signers, standing, .. } = &**candidate;
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
            Standing::Finished(_) => self.ids.keeps(digest, candidate),
            Standing::Resume(by) => by.iter().any(|key| {
                let room = self.resumes.get(key);
                room.is_some_and(|room| room.keeps(&resume_place(key, digest)))
            }),
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
                after.ids.of_key(key).find_map(|Filled { kind, gone, len, limit }| {
                    let had = before.ids.len(kind, gone, *key);
                    let of = if gone { RoomOf::Tombstones(kind) } else { RoomOf::Ids(kind) };
                    (len > limit.max(had)).then_some(FullRoom { of, limit })
                })
            }
            Standing::Resume(_) => {
                let limit = limits::RESUMES_PER_KEY_MAX;
                let is_full = before.resumes.get(key).is_some_and(|room| room.len() >= limit);
                is_full.then_some(FullRoom { of: RoomOf::Resumes, limit })
            }
            Standing::Halt { .. } => None,
        }
    }
}

/// Where a resume stands in the room of a key that signed it: nobody can choose it.
fn resume_place(key: &KeyId, statement: &Digest) -> (Digest, Digest) {
    (Digest::of_parts(&[b"Resume", key.as_bytes(), statement.as_bytes()]), *statement)
}
