//! A room with a limit, of which the lowest items are kept whatever the order they came in.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::{Rule, holds};

/// A room: of all that is in it, it keeps the lowest.
#[derive(Clone, Debug)]
pub(super) struct Room<T> {
    limit: usize,
    kept: BTreeSet<T>,
    over: BTreeSet<T>,
}

impl<T: Ord + Clone> Room<T> {
    /// The room of a name, which begins empty.
    pub(super) fn of<K: Ord>(rooms: &mut BTreeMap<K, Self>, name: K, limit: usize) -> &mut Self {
        let empty = || Self { limit, kept: BTreeSet::new(), over: BTreeSet::new() };
        rooms.entry(name).or_insert_with(empty)
    }

    /// How many items are in it, kept or not.
    pub(super) fn len(&self) -> usize {
        self.kept.len() + self.over.len()
    }

    pub(super) fn keeps(&self, item: &T) -> bool {
        self.kept.contains(item)
    }

    /// Puts an item in. Returns what is kept no longer: perhaps the item itself.
    pub(super) fn put(&mut self, item: T) -> Option<T> {
        self.kept.insert(item);
        if self.kept.len() <= self.limit || !holds(Rule::D3Room) {
            return None;
        }
        let out = self.kept.pop_last()?;
        self.over.insert(out.clone());
        Some(out)
    }

    /// Takes an item out of a room, which ends when it is empty. Returns what is kept instead.
    pub(super) fn take_from<K: Ord>(rooms: &mut BTreeMap<K, Self>, name: K, item: &T) -> Option<T> {
        let room = rooms.get_mut(&name)?;
        let let_in = if room.kept.remove(item) { room.over.pop_first() } else { None };
        room.over.remove(item);
        room.kept.extend(let_in.clone());
        if room.kept.is_empty() {
            rooms.remove(&name);
        }
        let_in
    }
}
