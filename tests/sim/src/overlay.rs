//! Gossip as gossipsub does it, with the daemon's numbers: a mesh of peers for each topic that
//! messages are forwarded in, word of recent messages to some others, and a heartbeat that tends
//! both. What one host knows; the world carries the messages.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::random::Dice;

/// Peers that a mesh should have: below the least it grows to this, from the most on it shrinks to
/// this. The daemon's numbers.
const MESH: usize = 5;
const MESH_LOW: usize = 4;
const MESH_HIGH: usize = 8;
/// How long neither of two peers grafts the other after one of them put the other out, ms.
const BACKOFF_MS: u64 = 60_000;
/// Likewise after one of them left the topic, ms.
const LEFT_BACKOFF_MS: u64 = 10_000;
/// Peers of a mesh that this host dialled, at least.
const DIALLED_MIN: usize = 1;
/// Peers outside of the mesh that hear of recent messages, with each heartbeat.
const LAZY: usize = 4;
/// Share of those peers that hear of them if they are many.
const LAZY_SHARE: f64 = 0.25;
/// Heartbeats for which a message can be had again, and for which others hear of it.
const CACHE_MS: u64 = 5 * BEAT_MS;
const GOSSIP_BEATS: u64 = 3;
/// Messages that there is room for, at most, for each one that is kept: of thousands of hosts all
/// the room that a busy minute took would stay taken.
const CACHE_ROOM: usize = 16;
/// Pause between heartbeats, ms.
pub(crate) const BEAT_MS: u64 = 1_000;
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
    /// When it was published.
    pub(crate) since_ms: u64,
}

/// A message that can be had again.
#[derive(Debug)]
struct Kept {
    since_ms: u64,
    /// How many heartbeats there were before it.
    beat: u64,
    rumour: Rumour,
}

/// Someone who may be gossiped with on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) peer: usize,
    /// Whether this host made the connection: a mesh holds one such peer at least, so that nobody
    /// surrounds it by dialling it.
    pub(crate) dialled: bool,
}

/// What becomes of a peer's wish to be in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grafted {
    /// It is, or need not be since it hears everything anyway.
    Fine,
    /// It is not: it hears so, and waits.
    Refused,
}

/// A host's mesh for one topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mesh {
    peers: BTreeSet<usize>,
    /// Whether it needed no tending when it was looked at last, and is what it was then.
    is_sound: bool,
}

impl Mesh {
    /// How many peers are in it.
    pub(crate) fn size(&self) -> usize {
        self.peers.len()
    }

    fn insert(&mut self, peer: usize) -> bool {
        self.is_sound = false;
        self.peers.insert(peer)
    }

    fn remove(&mut self, peer: usize) {
        self.is_sound &= !self.peers.remove(&peer);
    }
}

/// One host's part of the overlay. The two ends of a link may differ in whether it is in their
/// mesh, as with gossipsub.
#[derive(Debug)]
pub(crate) struct Overlay {
    dice: Dice,
    /// Where between two full seconds its heartbeats are, ms.
    phase_ms: u64,
    pub(crate) topics: BTreeMap<u16, Mesh>,
    /// Peers that all messages go to, outside of every mesh.
    pub(crate) bridges: BTreeSet<usize>,
    /// Until when a peer is not grafted.
    backoffs: BTreeMap<(u16, usize), u64>,
    cache: VecDeque<Kept>,
    beat: u64,
    /// Whether a heartbeat is coming.
    pub(crate) beats: bool,
    audiences: BTreeMap<u16, Audience>,
}

/// Whom a host may gossip with on a topic, as of some state of the connections around it.
#[derive(Debug)]
struct Audience {
    as_of: u64,
    candidates: Arc<[Candidate]>,
}

impl Kept {
    /// Whether others still hear of it.
    fn is_told(&self, beat: u64) -> bool {
        self.beat + GOSSIP_BEATS > beat
    }
}

impl Overlay {
    pub(crate) fn new(mut dice: Dice) -> Self {
        Self {
            phase_ms: dice.below(BEAT_MS),
            dice,
            topics: BTreeMap::new(),
            bridges: BTreeSet::new(),
            backoffs: BTreeMap::new(),
            cache: VecDeque::new(),
            beat: 0,
            beats: false,
            audiences: BTreeMap::new(),
        }
    }

    /// Forgets everything, as a process that ends does.
    pub(crate) fn clear(&mut self) {
        self.topics.clear();
        self.bridges.clear();
        self.backoffs.clear();
        self.cache.clear();
        self.audiences.clear();
        self.beats = false;
    }

    /// Whom it may gossip with on a topic, if it was noted when the connections around it were as
    /// they are.
    pub(crate) fn audience(&self, topic: u16, as_of: u64) -> Option<Arc<[Candidate]>> {
        let noted = self.audiences.get(&topic).filter(|noted| noted.as_of == as_of)?;
        Some(Arc::clone(&noted.candidates))
    }

    /// Notes it.
    pub(crate) fn note_audience(&mut self, topic: u16, as_of: u64, candidates: Arc<[Candidate]>) {
        self.audiences.insert(topic, Audience { as_of, candidates });
    }

    /// Keeps a message to be had again.
    pub(crate) fn keep(&mut self, now_ms: u64, rumour: Rumour) {
        while self.cache.front().is_some_and(|kept| kept.since_ms + CACHE_MS <= now_ms) {
            self.cache.pop_front();
        }
        if self.cache.capacity() > CACHE_ROOM * (self.cache.len() + 1) {
            self.cache.shrink_to_fit();
        }
        self.cache.push_back(Kept { since_ms: now_ms, beat: self.beat, rumour });
    }

    /// A message that can still be had.
    pub(crate) fn kept(&self, now_ms: u64, id: u64) -> Option<&Rumour> {
        let lasts = self.cache.iter().filter(|kept| now_ms < kept.since_ms + CACHE_MS);
        lasts.map(|kept| &kept.rumour).find(|rumour| rumour.id == id)
    }

    /// Whom a message of a topic goes on to, if they can be reached: the mesh and the bridges.
    pub(crate) fn carriers(&self, topic: u16) -> Vec<usize> {
        let mesh = self.topics.get(&topic).into_iter().flat_map(|mesh| &mesh.peers);
        let mut carriers: Vec<usize> = mesh.chain(&self.bridges).copied().collect();
        carriers.sort_unstable();
        carriers.dedup();
        carriers
    }

    /// When the next heartbeat is.
    pub(crate) fn next_beat_ms(&self, now_ms: u64) -> u64 {
        let since_ms = (now_ms + BEAT_MS - self.phase_ms) % BEAT_MS;
        now_ms + BEAT_MS - since_ms
    }

    /// Joins a topic: peers to graft into its mesh, out of those who could be.
    pub(crate) fn joins(
        &mut self,
        now_ms: u64,
        topic: u16,
        candidates: &[Candidate],
    ) -> Vec<usize> {
        self.topics.entry(topic).or_default();
        self.grafts(now_ms, topic, candidates, MESH)
    }

    /// Hears that a peer subscribed to a topic: whether it is grafted.
    pub(crate) fn greets(&mut self, now_ms: u64, topic: u16, peer: usize) -> bool {
        let (barred, bridge) = (self.is_barred(now_ms, topic, peer), self.bridges.contains(&peer));
        let Some(mesh) = self.topics.get_mut(&topic) else { return false };
        !barred && !bridge && mesh.peers.len() < MESH_LOW && mesh.insert(peer)
    }

    /// Hears that a peer grafted this host.
    pub(crate) fn grafted(&mut self, now_ms: u64, topic: u16, by: Candidate) -> Grafted {
        let barred = self.is_barred(now_ms, topic, by.peer);
        let Some(mesh) = self.topics.get_mut(&topic) else { return Grafted::Fine };
        if self.bridges.contains(&by.peer) || mesh.peers.contains(&by.peer) {
            return Grafted::Fine;
        }
        if barred || (mesh.peers.len() >= MESH_HIGH && !by.dialled) {
            return Grafted::Refused;
        }
        mesh.insert(by.peer);
        Grafted::Fine
    }

    /// Puts a peer out of a topic's mesh, or hears that it did so; neither grafts for a while.
    pub(crate) fn prune(&mut self, now_ms: u64, topic: u16, peer: usize) {
        self.part(topic, peer);
        self.backoffs.insert((topic, peer), now_ms + BACKOFF_MS);
    }

    /// Hears that a peer left a topic, or left it itself.
    pub(crate) fn left(&mut self, now_ms: u64, topic: u16, peer: usize) {
        self.part(topic, peer);
        self.backoffs.entry((topic, peer)).or_insert(now_ms + LEFT_BACKOFF_MS);
    }

    fn part(&mut self, topic: u16, peer: usize) {
        if let Some(mesh) = self.topics.get_mut(&topic) {
            mesh.remove(peer);
        }
    }

    /// Loses a peer's connection.
    pub(crate) fn lose(&mut self, peer: usize) {
        self.bridges.remove(&peer);
        for mesh in self.topics.values_mut() {
            mesh.remove(peer);
        }
    }

    fn is_barred(&self, now_ms: u64, topic: u16, peer: usize) -> bool {
        self.backoffs.get(&(topic, peer)).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Whether a heartbeat leaves a topic's mesh as it is.
    pub(crate) fn is_sound(&mut self, topic: u16, dialled: impl Fn(usize) -> bool) -> bool {
        let Some(mesh) = self.topics.get_mut(&topic) else { return true };
        if !mesh.is_sound {
            let size = (MESH_LOW..MESH_HIGH).contains(&mesh.peers.len());
            let dialled = mesh.peers.iter().filter(|peer| dialled(**peer)).take(DIALLED_MIN);
            mesh.is_sound = size && dialled.count() == DIALLED_MIN;
        }
        mesh.is_sound
    }

    /// Peers that come into a topic's mesh with this heartbeat, and that go out of it.
    pub(crate) fn tends(
        &mut self,
        now_ms: u64,
        topic: u16,
        candidates: &[Candidate],
    ) -> (Vec<usize>, Vec<usize>) {
        self.backoffs.retain(|_, until_ms| now_ms < *until_ms);
        let size = |overlay: &Self| overlay.topics.get(&topic).map_or(0, |mesh| mesh.peers.len());
        let mut comes = vec![];
        if size(self) < MESH_LOW {
            let missing = MESH - size(self);
            comes = self.grafts(now_ms, topic, candidates, missing);
        }
        let goes = self.surplus(topic, candidates);
        for peer in &goes {
            self.prune(now_ms, topic, *peer);
        }
        if size(self) >= MESH_LOW && self.dialled_in(topic, candidates) < DIALLED_MIN {
            let dialled: Vec<Candidate> =
                candidates.iter().copied().filter(|candidate| candidate.dialled).collect();
            comes.extend(self.grafts(now_ms, topic, &dialled, DIALLED_MIN));
        }
        (comes, goes)
    }

    /// Takes some peers into a topic's mesh, out of those who could be.
    fn grafts(
        &mut self,
        now_ms: u64,
        topic: u16,
        candidates: &[Candidate],
        count: usize,
    ) -> Vec<usize> {
        let Some(mesh) = self.topics.get(&topic) else { return vec![] };
        let others: Vec<usize> = candidates
            .iter()
            .map(|candidate| candidate.peer)
            .filter(|peer| {
                !mesh.peers.contains(peer)
                    && !self.bridges.contains(peer)
                    && !self.is_barred(now_ms, topic, *peer)
            })
            .collect();
        let chosen = self.some(others, count);
        let mesh = self.topics.entry(topic).or_default();
        for peer in &chosen {
            mesh.insert(*peer);
        }
        chosen
    }

    /// Peers that a topic's mesh has too many of; one that this host dialled stays.
    fn surplus(&mut self, topic: u16, candidates: &[Candidate]) -> Vec<usize> {
        let mesh = self.topics.get(&topic).filter(|mesh| mesh.peers.len() >= MESH_HIGH);
        let Some(mesh) = mesh else { return vec![] };
        let count = mesh.peers.len() - MESH;
        let mut order: Vec<usize> = mesh.peers.iter().copied().collect();
        for at in (1..order.len()).rev() {
            order.swap(at, self.dice.place(at + 1));
        }
        let dialled = |peer: usize| candidates.contains(&Candidate { peer, dialled: true });
        let mut left = self.dialled_in(topic, candidates);
        let mut goes = vec![];
        for peer in order {
            if goes.len() == count {
                break;
            }
            if dialled(peer) {
                if left <= DIALLED_MIN {
                    continue;
                }
                left -= 1;
            }
            goes.push(peer);
        }
        goes
    }

    fn dialled_in(&self, topic: u16, candidates: &[Candidate]) -> usize {
        let Some(mesh) = self.topics.get(&topic) else { return 0 };
        candidates.iter().filter(|it| it.dialled && mesh.peers.contains(&it.peer)).count()
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
    pub(crate) fn lazy(&mut self, topic: u16, candidates: &[Candidate]) -> Vec<usize> {
        let Some(others) = self.lazy_ones(topic, candidates) else { return vec![] };
        let others: Vec<usize> = others.collect();
        let count = lazy_count(others.len());
        self.some(others, count)
    }

    /// How many of them [`Self::lazy`] would choose.
    pub(crate) fn lazy_number(&self, topic: u16, candidates: &[Candidate]) -> usize {
        let others = self.lazy_ones(topic, candidates).map_or(0, Iterator::count);
        lazy_count(others).min(others)
    }

    fn lazy_ones(
        &self,
        topic: u16,
        candidates: &[Candidate],
    ) -> Option<impl Iterator<Item = usize>> {
        let mesh = self.topics.get(&topic)?;
        let peers = candidates.iter().map(|candidate| candidate.peer);
        Some(peers.filter(|peer| !mesh.peers.contains(peer) && !self.bridges.contains(peer)))
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

/// Of so many peers outside of a mesh, how many hear of recent messages with a heartbeat.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few peers"
)]
fn lazy_count(others: usize) -> usize {
    ((others as f64 * LAZY_SHARE) as usize).max(LAZY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC: u16 = 0;

    fn candidates(peers: std::ops::Range<usize>) -> Vec<Candidate> {
        peers.map(|peer| Candidate { peer, dialled: peer % 10 == 0 }).collect()
    }

    fn overlay() -> Overlay {
        let mut overlay = Overlay::new(Dice::new(1, "test"));
        assert!(overlay.joins(0, TOPIC, &[]).is_empty());
        overlay
    }

    fn size(overlay: &Overlay) -> usize {
        overlay.topics[&TOPIC].peers.len()
    }

    #[test]
    fn a_mesh_greets_below_four_accepts_below_eight_and_shrinks_to_five() {
        let mut overlay = overlay();
        let greeted = (1..9).filter(|peer| overlay.greets(0, TOPIC, *peer)).count();
        assert_eq!((greeted, size(&overlay)), (4, 4));
        let refused = |overlay: &mut Overlay, peer, dialled| {
            overlay.grafted(0, TOPIC, Candidate { peer, dialled }) == Grafted::Refused
        };
        assert!((11..15).all(|peer| !refused(&mut overlay, peer, false)));
        assert!(refused(&mut overlay, 15, false), "it is full");
        assert!(!refused(&mut overlay, 20, true), "whom this host dialled gets in");
        let (comes, goes) = overlay.tends(0, TOPIC, &candidates(0..30));
        assert_eq!((comes.len(), goes.len(), size(&overlay)), (0, 4, 5));
        assert!(
            overlay.topics[&TOPIC].peers.contains(&20),
            "the only one that this host dialled stays"
        );
        assert!(refused(&mut overlay, goes[0], true), "too early");
        assert!(!overlay.greets(0, TOPIC, goes[0]));
        let later = Candidate { peer: goes[0], dialled: false };
        assert_eq!(overlay.grafted(BACKOFF_MS, TOPIC, later), Grafted::Fine);
    }

    #[test]
    fn a_heartbeat_fills_a_thin_mesh_and_looks_for_one_that_was_dialled() {
        let mut thin = overlay();
        let (comes, goes) = thin.tends(0, TOPIC, &candidates(1..9));
        assert_eq!((comes.len(), goes.len(), size(&thin)), (5, 0, 5), "none of them was dialled");
        let (comes, _) = thin.tends(0, TOPIC, &candidates(1..12));
        assert_eq!(comes, [10]);
    }

    #[test]
    fn a_bridge_is_in_no_mesh_and_carries_everything() {
        let mut overlay = overlay();
        overlay.bridges.insert(7);
        assert!(!overlay.greets(0, TOPIC, 7));
        let by = Candidate { peer: 7, dialled: false };
        assert_eq!(overlay.grafted(0, TOPIC, by), Grafted::Fine);
        let (comes, _) = overlay.tends(0, TOPIC, &candidates(1..9));
        assert!(!comes.contains(&7) && overlay.lazy(TOPIC, &candidates(7..8)).is_empty());
        assert!(overlay.carriers(TOPIC).contains(&7));
        overlay.lose(7);
        assert!(!overlay.carriers(TOPIC).contains(&7));
    }

    #[test]
    fn heartbeats_come_once_a_second_at_the_hosts_own_moment() {
        let overlay = overlay();
        let first = overlay.next_beat_ms(10_000);
        assert!((10_001..=11_000).contains(&first));
        assert_eq!(overlay.next_beat_ms(first), first + BEAT_MS);
        assert_eq!(overlay.next_beat_ms(first - 1), first);
    }
}
