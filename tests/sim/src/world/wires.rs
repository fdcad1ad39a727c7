//! Connections of the world, and what travels over them.

use daymark_core::Event;
use daymark_core::effect::{Admission, Channel, Topic};
use daymark_core::event::GossipId;
use daymark_protocol::id::{Digest, KeyId};

use super::{Happening, World};
use crate::network::{Link, Pair, pair};

impl World {
    pub(super) fn link(&self, a: usize, b: usize) -> Option<Link> {
        self.network.links.get(&pair(a, b)).copied()
    }

    pub(super) fn is_open(&self, a: usize, b: usize, epoch: u64) -> bool {
        self.link(a, b).is_some_and(|link| link.epoch == epoch)
    }

    /// Opens and closes connections as the machines, the partition and the gates have it.
    pub(super) fn plug(&mut self) {
        let stale: Vec<Pair> = self
            .network
            .links
            .iter()
            .filter(|(pair, link)| !self.may_link(**pair) || self.gates(**pair) != link.admissions)
            .map(|(pair, _)| *pair)
            .collect();
        for pair in stale {
            self.unlink(pair);
        }
        let missing: Vec<Pair> = self
            .network
            .wanted
            .iter()
            .filter(|pair| !self.network.links.contains_key(pair) && self.may_link(**pair))
            .copied()
            .collect();
        for pair in missing {
            self.connect(pair);
        }
    }

    pub(super) fn may_link(&self, (a, b): Pair) -> bool {
        let runs = |host: usize| self.hosts[host].node.is_some();
        runs(a) && runs(b) && !self.network.cut((a, b))
    }

    /// What each end of a new connection would let through.
    pub(super) fn gates(&self, (a, b): Pair) -> [Admission; 2] {
        let gate = |end: usize, other: usize| {
            let of = self.hosts[end].gate.get(&self.hosts[other].id);
            of.copied().unwrap_or(Admission::Stranger)
        };
        [gate(a, b), gate(b, a)]
    }

    pub(super) fn connect(&mut self, (a, b): Pair) {
        let admissions = self.gates((a, b));
        self.network.open((a, b), admissions);
        for (end, other, admission) in [(a, b, admissions[0]), (b, a, admissions[1])] {
            let (peer, address) = (self.hosts[other].id, format!("/sim/{other}"));
            self.step(end, Event::Connected { peer, address, admission });
        }
    }

    pub(super) fn unlink(&mut self, (a, b): Pair) {
        self.network.links.remove(&(a, b));
        for (end, other) in [(a, b), (b, a)] {
            let peer = self.hosts[other].id;
            self.step(end, Event::Disconnected { peer });
        }
    }

    pub(super) fn send(&mut self, from: usize, peer: KeyId, channel: Channel, bytes: &[u8]) {
        let Some(to) = self.numbers.get(&peer).copied() else { return };
        let needed = match channel {
            Channel::Join => Admission::Stranger,
            Channel::Sync => Admission::Authority,
        };
        let Some(link) = self.link(from, to).filter(|link| link.carries(needed)) else { return };
        for after_ms in self.network.arrivals(bytes.len()) {
            let (epoch, bytes) = (link.epoch, bytes.to_vec());
            self.later(after_ms, Happening::Message { from, to, epoch, channel, bytes });
        }
    }

    pub(super) fn flood(
        &mut self,
        from: usize,
        except: Option<usize>,
        topic: &Topic,
        bytes: &[u8],
    ) {
        for to in self.network.neighbours(from) {
            let Some(link) = self.link(from, to) else { continue };
            let listens = self.hosts[to].topics.contains(topic);
            if Some(to) == except || !listens || !link.carries(Admission::Member) {
                continue;
            }
            for after_ms in self.network.arrivals(bytes.len()) {
                let (topic, bytes, epoch) = (topic.clone(), bytes.to_vec(), link.epoch);
                self.later(after_ms, Happening::Gossip { from, to, epoch, topic, bytes });
            }
        }
    }

    pub(super) fn gossip(&mut self, from: usize, to: usize, topic: Topic, bytes: Vec<u8>) {
        if self.hosts[to].node.is_none() || !self.hosts[to].seen.insert(Digest::of(&bytes)) {
            return;
        }
        let id = GossipId(self.sequence);
        self.gossip.insert(id, (from, topic.clone(), bytes.clone()));
        let from = self.hosts[from].id;
        self.step(to, Event::Gossip { id, from, topic, bytes });
        self.gossip.remove(&id);
    }
}
