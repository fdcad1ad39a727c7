//! Gossip as gossipsub does it, with the daemon's numbers: a mesh of peers for each topic that
//! messages are forwarded in, word of recent messages to some others, and a heartbeat that tends
//! both. What one host knows; the world carries the messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::random::Dice;

/// Peers that a mesh should have, at least and at most: the daemon's.
const MESH: usize = 5;
const MESH_LOW: usize = 4;
const MESH_HIGH: usize = 8;
/// Peers outside of the mesh that hear of recent messages, with each heartbeat.
const LAZY: usize = 4;
/// Share of those peers that hear of them if they are many.
const LAZY_SHARE: f64 = 0.25;
/// Heartbeats for which a message can be had again, and for which others hear of it.
const CACHE_MS: u64 = 5 * BEAT_MS;
const GOSSIP_BEATS: u64 = 3;
/// Pause between heartbeats, ms.
pub(crate) const BEAT_MS: u64 = 1_000;
/// How long a message is remembered as seen at least, ms.
const SEEN_MS: u64 = 120_000;
/// Bytes of word of one message, and of its frame.
pub(crate) const WORD_BYTES: usize = 40;

/// A message that is under way in a topic.
#[derive(Clone, Debug)]
pub(crate) struct Rumour {
    /// Its id: from its content.
    pub(crate) id: u64,
    pub(crate) topic: u16,
    pub(crate) bytes: Arc<[u8]>,
    /// How often it was forwarded.
    pub(crate) hops: u8,
}

/// A message that can be had again.
#[derive(Debug)]
struct Kept {
    since_ms: u64,
    /// How many heartbeats there were before it.
    beat: u64,
    rumour: Rumour,
}

/// One host's part of the overlay.
#[derive(Debug)]
pub(crate) struct Overlay {
    dice: Dice,
    pub(crate) topics: BTreeMap<u16, BTreeSet<usize>>,
    seen: [BTreeSet<u64>; 2],
    seen_since_ms: u64,
    cache: VecDeque<Kept>,
    beat: u64,
    /// Whether a heartbeat is coming.
    pub(crate) beats: bool,
}

impl Kept {
    /// Whether others still hear of it.
    fn is_told(&self, beat: u64) -> bool {
        self.beat + GOSSIP_BEATS > beat
    }
}

impl Overlay {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            dice,
            topics: BTreeMap::new(),
            seen: [BTreeSet::new(), BTreeSet::new()],
            seen_since_ms: 0,
            cache: VecDeque::new(),
            beat: 0,
            beats: false,
        }
    }

    /// Forgets everything, as a process that ends does.
    pub(crate) fn clear(&mut self) {
        self.topics.clear();
        self.seen.iter_mut().for_each(BTreeSet::clear);
        self.cache.clear();
        self.beats = false;
    }

    /// Notes a message; whether it is new.
    pub(crate) fn sees(&mut self, now_ms: u64, id: u64) -> bool {
        if now_ms >= self.seen_since_ms + SEEN_MS {
            self.seen.swap(0, 1);
            self.seen[0].clear();
            self.seen_since_ms = now_ms;
        }
        !self.seen[1].contains(&id) && self.seen[0].insert(id)
    }

    /// Whether a message was seen.
    pub(crate) fn has_seen(&self, id: u64) -> bool {
        self.seen.iter().any(|seen| seen.contains(&id))
    }

    /// Keeps a message to be had again.
    pub(crate) fn keep(&mut self, now_ms: u64, rumour: Rumour) {
        while self.cache.front().is_some_and(|kept| kept.since_ms + CACHE_MS <= now_ms) {
            self.cache.pop_front();
        }
        self.cache.push_back(Kept { since_ms: now_ms, beat: self.beat, rumour });
    }

    /// A message that can still be had.
    pub(crate) fn kept(&self, now_ms: u64, id: u64) -> Option<&Rumour> {
        let lasts = self.cache.iter().filter(|kept| now_ms < kept.since_ms + CACHE_MS);
        lasts.map(|kept| &kept.rumour).find(|rumour| rumour.id == id)
    }

    /// Those of a mesh.
    pub(crate) fn mesh(&self, topic: u16) -> impl Iterator<Item = usize> {
        self.topics.get(&topic).into_iter().flatten().copied()
    }

    /// Whether a topic's mesh should have more peers.
    pub(crate) fn is_thin(&self, topic: u16) -> bool {
        self.topics.get(&topic).is_some_and(|mesh| mesh.len() < MESH_LOW)
    }

    /// Whether a topic's mesh takes another peer.
    pub(crate) fn has_room(&self, topic: u16) -> bool {
        self.topics.get(&topic).is_some_and(|mesh| mesh.len() < MESH_HIGH)
    }

    /// Peers to take into a topic's mesh, out of those who could be.
    pub(crate) fn grafts(&mut self, topic: u16, candidates: &[usize]) -> Vec<usize> {
        let Some(mesh) = self.topics.get(&topic) else { return vec![] };
        let missing = MESH.saturating_sub(mesh.len());
        let others: Vec<usize> =
            candidates.iter().copied().filter(|peer| !mesh.contains(peer)).collect();
        self.some(others, missing)
    }

    /// Peers to put out of a topic's mesh, if it has too many.
    pub(crate) fn prunes(&mut self, topic: u16) -> Vec<usize> {
        let Some(mesh) = self.topics.get(&topic) else { return vec![] };
        if mesh.len() <= MESH_HIGH {
            return vec![];
        }
        let surplus = mesh.len() - MESH;
        let all: Vec<usize> = mesh.iter().copied().collect();
        self.some(all, surplus)
    }

    /// The ids of recent messages of a topic, which others hear of with this heartbeat.
    pub(crate) fn recent(&self, topic: u16) -> Vec<u64> {
        let of_topic = self.cache.iter().rev().take_while(|kept| kept.is_told(self.beat));
        let mut ids: Vec<u64> =
            of_topic.filter(|kept| kept.rumour.topic == topic).map(|kept| kept.rumour.id).collect();
        ids.reverse();
        ids
    }

    /// Whom to tell of them, out of those who could be told.
    pub(crate) fn lazy(&mut self, topic: u16, candidates: &[usize]) -> Vec<usize> {
        let Some(mesh) = self.topics.get(&topic) else { return vec![] };
        let others: Vec<usize> =
            candidates.iter().copied().filter(|peer| !mesh.contains(peer)).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a few peers"
        )]
        let share = (others.len() as f64 * LAZY_SHARE) as usize;
        self.some(others, share.max(LAZY))
    }

    /// Ends a heartbeat; whether another one has anything to tell.
    pub(crate) fn beaten(&mut self) -> bool {
        self.beat += 1;
        self.beats = self.cache.back().is_some_and(|kept| kept.is_told(self.beat));
        self.beats
    }

    fn some(&mut self, mut of: Vec<usize>, count: usize) -> Vec<usize> {
        while of.len() > count {
            let place = self.dice.place(of.len());
            of.swap_remove(place);
        }
        of
    }
}
