//! Who is connected, and what their connections let through (RULES A1).

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;

use crate::conduct::Fault;
use crate::effect::{Admission, Batch, Effect};
use crate::node::Node;
use crate::peers::Peer;
use crate::status::Counters;
use crate::timer::Timer;
use crate::update::attempt_of;

/// How long a peer's Host statement is kept after its last connection, ms: longer than the longest
/// pause between two dials.
const ACQUAINTANCE_MS: u64 = 30 * 60_000;
/// Most peers that are kept in mind; the host limits connections below this.
const PEERS_MAX: usize = 1_024;

impl Node {
    pub(crate) fn connected(
        &mut self,
        peer: KeyId,
        address: String,
        admission: Admission,
        batch: &mut Batch,
    ) {
        if peer == self.own || (self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&peer)) {
            return;
        }
        let before = self.peers.get(&peer).map(|state| state.budget);
        let budget = before.unwrap_or_else(|| self.parted.take(&peer, self.reading.mono));
        let state = Peer { address, connection: admission, budget };
        self.peers.insert(peer, state);
        self.met(peer);
        self.visitors.came(&peer, self.reading.mono);
        self.addresses.connected(&peer);
        self.refresh_interest(batch);
        self.keep_terms_of(peer);
        self.build_bridges(batch);
        let wanted = self.wanted_admission(&peer);
        if wanted != admission {
            batch.now(Effect::Admit { peer, admission: wanted });
        }
        let all_enrolled = wanted == Admission::Member && self.is_member(&self.own);
        if !all_enrolled || admission < Admission::Member {
            self.ask_to_join(peer, batch);
        }
        if admission >= Admission::Authority {
            self.compare(peer, batch);
            self.tell_heartbeats(peer, batch);
            if !self.liveness.contains_key(&peer) {
                // A newcomer knows nobody; whoever told of itself has heard of this node too.
                self.tell_liveness_soon();
            }
        }
    }

    pub(crate) fn disconnected(&mut self, peer: &KeyId, batch: &mut Batch) {
        if let Some(state) = self.peers.remove(peer) {
            self.parted.keep(*peer, state.budget, self.reading.mono);
            self.visitors.left(peer, self.reading.mono);
            self.met(*peer);
        }
        self.build_bridges(batch);
        self.timers.set_earlier(Timer::Dial, self.reading.mono.plus_ms(self.jitter.below(1_000)));
    }

    /// Notes that a peer was connected. A change of admission closes and redials, and between the
    /// two the peer's Host statement must not be lost, or it would be a stranger again.
    fn met(&mut self, peer: KeyId) {
        let now = self.reading.mono;
        self.acquaintances.retain(|_, seen| now.since_ms(*seen) < ACQUAINTANCE_MS);
        if self.acquaintances.len() >= PEERS_MAX {
            let oldest = self.acquaintances.iter().min_by_key(|(_, seen)| **seen);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.acquaintances.remove(&oldest);
            }
        }
        self.acquaintances.insert(peer, now);
    }

    /// Peers that were connected within [`ACQUAINTANCE_MS`].
    pub(crate) fn recent_peers(&self) -> impl Iterator<Item = KeyId> {
        let now = self.reading.mono;
        self.acquaintances
            .iter()
            .filter(move |(_, seen)| now.since_ms(**seen) < ACQUAINTANCE_MS)
            .map(|(peer, _)| *peer)
    }

    /// Applies what counts now to every connection.
    pub(crate) fn readmit(&mut self, batch: &mut Batch) {
        self.end_visits(batch);
        let changed: Vec<(KeyId, Admission)> = self
            .peers
            .iter()
            .map(|(peer, state)| (*peer, self.wanted_admission(peer), state.connection))
            .filter(|(_, wanted, connection)| wanted != connection)
            .map(|(peer, wanted, _)| (peer, wanted))
            .collect();
        for (peer, wanted) in changed {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.connection = wanted;
            }
            batch.now(Effect::Admit { peer, admission: wanted });
            if !self.is_counted(&peer) {
                self.clock.forget(&peer);
            }
            if wanted < Admission::Authority {
                self.addresses.forget(&peer);
            }
        }
        let own = self.own;
        let gone: Vec<KeyId> = self
            .liveness
            .keys()
            .filter(|host| self.wanted_admission(host) < Admission::Member && **host != own)
            .copied()
            .collect();
        for host in gone {
            self.liveness.remove(&host);
            if !self.is_counted(&host) {
                self.clock.forget(&host);
            }
        }
        self.build_bridges(batch);
    }

    /// Charges a peer for what was counted since `before`, which came from it.
    pub(crate) fn blame_since(&mut self, peer: KeyId, before: &Counters, batch: &mut Batch) {
        let (refused, malformed) =
            (self.counters.refused - before.refused, self.counters.malformed - before.malformed);
        self.blame(peer, Fault::Refused, refused, batch);
        self.blame(peer, Fault::Malformed, malformed, batch);
    }

    /// Charges a peer for faults. One that goes on with them is a stranger that nobody listens to
    /// for a while, whether it is there or not.
    pub(crate) fn blame(&mut self, peer: KeyId, fault: Fault, count: u64, batch: &mut Batch) {
        if count == 0 || peer == self.own {
            return;
        }
        self.conduct.note(peer, fault, count);
        let (now, points) = (self.reading.mono, fault.points().saturating_mul(count));
        let until = match self.peers.get_mut(&peer) {
            Some(state) => state.budget.charge(points, now),
            None => {
                let mut budget = self.parted.take(&peer, now);
                let until = budget.charge(points, now);
                self.parted.keep(peer, budget, now);
                until
            }
        };
        if let Some(until) = until {
            self.timers.set_earlier(Timer::HearAgain, until);
            self.readmit(batch);
        }
    }

    /// Wrong chunks of the image under way, by who sent them.
    pub(crate) fn wrong_chunks(&self) -> BTreeMap<KeyId, u64> {
        let attempt = attempt_of(&self.saved.get().update);
        attempt.map(|attempt| attempt.progress.refused.clone()).unwrap_or_default()
    }

    /// Charges those who sent wrong chunks since `before`.
    pub(crate) fn blame_for_chunks(&mut self, before: &BTreeMap<KeyId, u64>, batch: &mut Batch) {
        for (peer, count) in self.wrong_chunks() {
            let known = before.get(&peer).copied().unwrap_or(0);
            self.blame(peer, Fault::WrongChunk, count.saturating_sub(known), batch);
        }
    }

    /// Whether what a peer sends is not looked at, because too much of it was refused.
    pub(crate) fn is_shut_out(&self, peer: &KeyId) -> bool {
        let now = self.reading.mono;
        match self.peers.get(peer) {
            Some(state) => state.budget.is_shut_out(now),
            None => self.parted.is_shut_out(peer, now),
        }
    }

    /// Admits peers again whose time is over.
    pub(crate) fn hear_again(&mut self, batch: &mut Batch) {
        self.readmit(batch);
        let now = self.reading.mono;
        if let Some(next) =
            self.peers.values().filter_map(|peer| peer.budget.heard_again(now)).min()
        {
            self.timers.set_earlier(Timer::HearAgain, next);
        }
    }

    /// Takes one from what a peer may still ask for; counts it if nothing is left.
    pub(crate) fn spend(&mut self, peer: &KeyId) -> bool {
        #[cfg(feature = "planted-bugs")]
        if self.has_planted(crate::PlantedBug::NoBudget) {
            return true;
        }
        let may =
            self.peers.get_mut(peer).is_none_or(|state| state.budget.spend(self.reading.mono));
        if !may {
            self.counters.over_budget += 1;
            self.conduct.note(*peer, Fault::Flood, 1);
        }
        may
    }
}
