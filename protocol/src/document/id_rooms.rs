//! Rooms for finished ids, one for each kind and signing key, tombstones apart (RULES D3, Q12).
//!
//! An id is kept if it fits the room of any key that signed one of its versions. A replica must be
//! able to tell that from what it keeps: so beside the four highest versions of an id it keeps of
//! each key in whose room the id fits the highest that this key signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::document::retention::{Candidate, Standing};
use crate::document::room::Room;
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

/// Kind as written, and id.
pub(super) type IdOf = (String, ResourceId);
/// A room for finished ids: of one kind and one signing key, tombstones apart.
type IdRoom = (&'static str, bool, KeyId);

/// One version of an id.
#[derive(Clone, Debug)]
struct Said {
    version: u64,
    statement: Digest,
    candidate: Arc<Candidate>,
}

impl Said {
    fn place(&self) -> (u64, Digest) {
        (self.version, self.statement)
    }

    fn signers(&self) -> Option<&BTreeSet<KeyId>> {
        match &self.candidate.standing {
            Standing::Finished(by) => Some(by),
            Standing::Draft | Standing::Halt { .. } | Standing::Resume(_) => None,
        }
    }

    fn is_by(&self, key: &KeyId) -> bool {
        self.signers().is_some_and(|by| by.contains(key))
    }
}

/// A room of one key, by name, with how many are in it and how many it keeps.
pub(super) struct Filled {
    pub(super) kind: &'static str,
    pub(super) gone: bool,
    pub(super) len: usize,
    pub(super) limit: usize,
}

/// The finished ids of one document.
#[derive(Clone, Debug, Default)]
pub(super) struct IdRooms {
    /// The versions of each id, lowest first.
    versions: BTreeMap<IdOf, Vec<Said>>,
    rooms: BTreeMap<IdRoom, Room<(Digest, IdOf)>>,
}

impl IdRooms {
    /// Adds what a finished statement says. `moved` gets the statements of which other than before
    /// may be kept.
    pub(super) fn put(
        &mut self,
        statement: Digest,
        candidate: &Arc<Candidate>,
        moved: &mut BTreeSet<Digest>,
    ) {
        for resource in &candidate.resources {
            let said =
                Said { version: resource.version, statement, candidate: Arc::clone(candidate) };
            self.change((resource.kind.clone(), resource.id.clone()), moved, |versions| {
                // Most ids have one version for years.
                versions.reserve_exact(1);
                versions.push(said);
                versions.sort_unstable_by_key(Said::place);
            });
        }
    }

    /// Takes back what a finished statement says; as [`Self::put`].
    pub(super) fn take(
        &mut self,
        statement: &Digest,
        candidate: &Candidate,
        moved: &mut BTreeSet<Digest>,
    ) {
        for resource in &candidate.resources {
            self.change((resource.kind.clone(), resource.id.clone()), moved, |versions| {
                versions.retain(|said| said.statement != *statement);
            });
        }
    }

    /// Whether a finished statement is kept for any of its resources.
    pub(super) fn keeps(&self, statement: &Digest, candidate: &Candidate) -> bool {
        candidate.resources.iter().any(|resource| {
            let id = (resource.kind.clone(), resource.id.clone());
            self.keeps_version(&id, (resource.version, *statement))
        })
    }

    fn keeps_version(&self, id: &IdOf, version: (u64, Digest)) -> bool {
        let versions = self.versions.get(id).map_or(&[][..], Vec::as_slice);
        let mut fitting = self.rooms_of(id).into_iter().filter(|room| {
            let place = (place_in_room(room, id), id.clone());
            self.rooms.get(room).is_some_and(|ids| ids.keeps(&place))
        });
        let mut highest = versions.iter().rev().take(limits::VERSIONS_KEPT_PER_ID);
        if highest.any(|said| said.place() == version) {
            return fitting.next().is_some();
        }
        fitting.any(|(_, _, key)| {
            let by_key = versions.iter().rev().find(|said| said.is_by(&key));
            by_key.is_some_and(|said| said.place() == version)
        })
    }

    /// The rooms of a key.
    pub(super) fn of_key(&self, key: &KeyId) -> impl Iterator<Item = Filled> {
        let own = self.rooms.iter().filter(move |((_, _, of), _)| of == key);
        own.map(|((kind, gone, _), room)| Filled {
            kind,
            gone: *gone,
            len: room.len(),
            limit: places(kind),
        })
    }

    /// How many ids are in a room of a key, kept or not.
    pub(super) fn len(&self, kind: &'static str, gone: bool, key: KeyId) -> usize {
        self.rooms.get(&(kind, gone, key)).map_or(0, Room::len)
    }

    /// The rooms that an id belongs to: of all keys that signed any of its versions.
    fn rooms_of(&self, id: &IdOf) -> BTreeSet<IdRoom> {
        let versions = self.versions.get(id).map_or(&[][..], Vec::as_slice);
        let gone = versions.last().is_some_and(|said| {
            let mut resources = said.candidate.resources.iter();
            let of_id = resources.find(|resource| {
                (&resource.kind, &resource.id, resource.version) == (&id.0, &id.1, said.version)
            });
            of_id.is_some_and(|resource| resource.gone)
        });
        let kind = KINDS_WITH_ROOM.into_iter().find(|kind| *kind == id.0).unwrap_or(OTHER_KINDS);
        let signers = versions.iter().filter_map(Said::signers);
        signers.flatten().map(|key| (kind, gone, *key)).collect()
    }

    /// Changes the versions of an id, and thereby the rooms that it belongs to.
    fn change(
        &mut self,
        id: IdOf,
        moved: &mut BTreeSet<Digest>,
        change: impl FnOnce(&mut Vec<Said>),
    ) {
        let before = self.rooms_of(&id);
        let versions = self.versions.entry(id.clone()).or_default();
        moved.extend(versions.iter().map(|said| said.statement));
        change(versions);
        moved.extend(versions.iter().map(|said| said.statement));
        let after = self.rooms_of(&id);
        let mut other_ids = BTreeSet::new();
        for room in before.difference(&after) {
            let place = (place_in_room(room, &id), id.clone());
            other_ids.extend(Room::take_from(&mut self.rooms, *room, &place));
        }
        for room in after.difference(&before) {
            let place = (place_in_room(room, &id), id.clone());
            other_ids.extend(Room::of(&mut self.rooms, *room, places(room.0)).put(place));
        }
        for (_, other) in other_ids {
            let versions = self.versions.get(&other).into_iter().flatten();
            moved.extend(versions.map(|said| said.statement));
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
