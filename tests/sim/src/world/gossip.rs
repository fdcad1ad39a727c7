//! The overlay: publishing, forwarding, word of recent messages, heartbeats.

use std::sync::Arc;

use daymark_core::Event;
use daymark_core::effect::{Admission, Topic};
use daymark_core::event::GossipId;
use daymark_protocol::id::KeyId;
use daymark_protocol::limits::MESSAGE_BYTES_MAX;

use super::{Judging, Next, Way, World};
use crate::faults::Fault;
use crate::heard::HostSet;
use crate::overlay::{BEAT_MS, Candidate, Grafted, Mesh, Rumour, WORD_BYTES};
use crate::trace::Trace;

impl World {
    /// How many peers each mesh of each machine has.
    pub fn mesh_sizes(&self) -> Vec<usize> {
        let meshes = self.hosts.iter().flat_map(|host| host.overlay.topics.values());
        meshes.map(Mesh::size).collect()
    }

    fn topic_number(&mut self, topic: &Topic) -> u16 {
        let known = self.topics.iter().position(|known| known == topic);
        let place = known.unwrap_or_else(|| {
            self.topics.push(topic.clone());
            self.subscribers.push(HostSet::default());
            self.topics.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    pub(super) fn subscribe(&mut self, host: usize, topic: &Topic) {
        let topic = self.topic_number(topic);
        self.connections_change(host);
        self.subscribers[usize::from(topic)].insert(host);
        let audience = self.audience(host, topic);
        let grafts = self.hosts[host].overlay.joins(self.now_ms, topic, &audience);
        // Who hears of it may graft it before it hears that it was grafted.
        for Candidate { peer, .. } in audience.iter().copied() {
            if self.hosts[peer].overlay.greets(self.now_ms, topic, host) {
                self.graft(peer, host, topic);
            }
        }
        for peer in grafts {
            self.graft(host, peer, topic);
        }
        self.beat_soon(host);
    }

    pub(super) fn unsubscribe(&mut self, host: usize, topic: &Topic) {
        let topic = self.topic_number(topic);
        for Candidate { peer, .. } in self.audience(host, topic).iter().copied() {
            self.hosts[host].overlay.left(self.now_ms, topic, peer);
            self.hosts[peer].overlay.left(self.now_ms, topic, host);
            self.beat_soon(peer);
        }
        self.hosts[host].overlay.topics.remove(&topic);
        self.connections_change(host);
        self.subscribers[usize::from(topic)].remove(host);
    }

    /// A process that ends is in no topic, and remembers nothing.
    pub(super) fn leave_all(&mut self, host: usize) {
        self.connections_change(host);
        self.subscribers.iter_mut().for_each(|subscribers| subscribers.remove(host));
        self.heard.forgets(host);
        self.hosts[host].overlay.clear();
    }

    /// What a host or its peers may gossip with whom changes: its connections, or its topics. Who
    /// has a connection left that this host does not know of any more would speak to nobody.
    pub(super) fn connections_change(&mut self, host: usize) {
        let peers = self.hosts[host].connections.keys();
        let mut sites: Vec<usize> = peers.map(|peer| self.hosts[*peer].site).collect();
        sites.push(self.hosts[host].site);
        sites.sort_unstable();
        sites.dedup();
        let count = self.sites.len();
        self.connections_changed.resize(count, 0);
        for site in sites {
            self.connections_changed[site] += 1;
        }
    }

    /// Peers that a host may gossip with on a topic.
    fn audience(&mut self, host: usize, topic: u16) -> Arc<[Candidate]> {
        let of = &self.hosts[host];
        let as_of = self.connections_changed.get(of.site).copied().unwrap_or(0);
        if let Some(noted) = of.overlay.audience(topic, as_of) {
            return noted;
        }
        let peers = of.connections.iter();
        let candidates: Arc<[Candidate]> = peers
            .filter(|(peer, _)| {
                self.hosts[**peer].overlay.topics.contains_key(&topic)
                    && self.way(host, **peer, Admission::Member).is_some()
            })
            .map(|(peer, connection)| Candidate { peer: *peer, dialled: connection.dialled })
            .collect();
        self.hosts[host].overlay.note_audience(topic, as_of, Arc::clone(&candidates));
        candidates
    }

    /// A host tells a peer that it took it into its mesh; the peer may refuse.
    fn graft(&mut self, host: usize, peer: usize, topic: u16) {
        let dialled = self.hosts[peer].connections.get(&host).is_some_and(|it| it.dialled);
        let by = Candidate { peer: host, dialled };
        let answer = self.hosts[peer].overlay.grafted(self.now_ms, topic, by);
        if answer == Grafted::Refused {
            self.hosts[peer].overlay.prune(self.now_ms, topic, host);
            self.hosts[host].overlay.prune(self.now_ms, topic, peer);
        }
    }

    /// Two hosts that connected hear of each other's topics.
    pub(super) fn joined_overlay(&mut self, one: usize, other: usize) {
        let theirs = &self.hosts[other].overlay.topics;
        let topics = self.hosts[one].overlay.topics.keys().copied();
        let common: Vec<u16> = topics.filter(|topic| theirs.contains_key(topic)).collect();
        for topic in common {
            if self.way(one, other, Admission::Member).is_none() {
                return;
            }
            let ends = [(one, other), (other, one)];
            let grafts =
                ends.map(|(host, peer)| self.hosts[host].overlay.greets(self.now_ms, topic, peer));
            for ((host, peer), _) in ends.into_iter().zip(grafts).filter(|(_, grafts)| *grafts) {
                self.graft(host, peer, topic);
            }
        }
        self.beat_soon(one);
        self.beat_soon(other);
    }

    pub(super) fn left_overlay(&mut self, host: usize, peer: usize) {
        self.hosts[host].overlay.lose(peer);
        self.beat_soon(host);
    }

    /// A host passes gossip on to a peer always, or no longer.
    pub(super) fn bridge(&mut self, host: usize, peer: KeyId, open: bool) {
        for other in self.bodies(&peer) {
            let connected = self.hosts[host].connections.contains_key(&other);
            let bridges = &mut self.hosts[host].overlay.bridges;
            if open && connected {
                bridges.insert(other);
            } else {
                bridges.remove(&other);
            }
        }
    }

    /// A node's own message goes to everyone who may hear it, as the daemon's flood publishing
    /// does.
    pub(super) fn publish(&mut self, host: usize, topic: &Topic, bytes: Arc<[u8]>) {
        let topic = self.topic_number(topic);
        let mut content = Trace::default();
        content.bytes(&bytes);
        let id = content.short();
        let bytes = match &mut self.hosts[host].adversary {
            None => bytes,
            Some(adversary) => {
                let (bytes, withheld) = adversary.leaves(None, &bytes);
                if withheld {
                    self.counts.happened(Fault::Withheld);
                    self.counts.bit(Fault::Withheld);
                }
                bytes
            }
        };
        if !self.heard.sees(self.now_ms, id, host) {
            return;
        }
        let rumour = Rumour { id, topic, bytes, hops: 0, since_ms: self.now_ms };
        self.recorder.tally.published += 1;
        for Candidate { peer, .. } in self.audience(host, topic).iter().copied() {
            self.pass_on(host, peer, &rumour, None);
        }
        self.hosts[host].overlay.keep(self.now_ms, rumour);
        self.beat_soon(host);
    }

    /// What a node accepted goes to its mesh and its bridges, but for whom it came from.
    pub(super) fn forward(&mut self, host: usize, judged: Judging) {
        let Judging { mut rumour, from } = judged;
        if let Some(adversary) = &mut self.hosts[host].adversary {
            let (bytes, withheld) = adversary.leaves(None, &rumour.bytes);
            if withheld {
                self.counts.happened(Fault::Withheld);
                self.counts.bit(Fault::Withheld);
                rumour.bytes = bytes;
            }
        }
        rumour.hops = rumour.hops.saturating_add(1);
        for peer in self.hosts[host].overlay.carriers(rumour.topic) {
            if peer == from || !self.hosts[peer].overlay.topics.contains_key(&rumour.topic) {
                continue;
            }
            self.pass_on(host, peer, &rumour, None);
        }
        self.hosts[host].overlay.keep(self.now_ms, rumour);
        self.beat_soon(host);
    }

    pub(super) fn pass_on(
        &mut self,
        from: usize,
        to: usize,
        rumour: &Rumour,
        taint: Option<Fault>,
    ) {
        let Some(way) = self.way(from, to, Admission::Member) else { return };
        if self.heard.has(rumour.id, to) {
            // It would change nothing: it counts, and is not carried.
            self.count_sent(from, rumour.bytes.len());
            self.recorder.tally.copies += 1;
            self.events[Next::GOSSIP] += 1;
            return;
        }
        for arrival in self.arrivals(way, rumour.bytes.len()).into_iter().flatten() {
            let mut rumour = Box::new(rumour.clone());
            if arrival.corrupt.is_some() {
                rumour.bytes = super::wires::changed(&rumour.bytes, &arrival);
                let mut content = Trace::default();
                content.bytes(&rumour.bytes);
                rumour.id = content.short();
            }
            let taint = taint.or(arrival.taint);
            self.queue.push(arrival.at_ms, Next::Gossip { way, rumour, taint });
        }
    }

    /// A gossip message arrives.
    pub(super) fn gossip_heard(&mut self, way: Way, rumour: Rumour, taint: Option<Fault>) {
        if !self.arrives(way) || rumour.bytes.len() > MESSAGE_BYTES_MAX {
            return;
        }
        let host = way.to;
        self.recorder.tally.copies += 1;
        let subscribed = self.hosts[host].overlay.topics.contains_key(&rumour.topic);
        if !subscribed || !self.heard.sees(self.now_ms, rumour.id, host) {
            return;
        }
        if let Some(adversary) = &mut self.hosts[host].adversary {
            adversary.hears(None, &rumour.bytes);
        }
        self.recorder.delivered(rumour.hops, self.now_ms - rumour.since_ms);
        self.note(8, host, rumour.id);
        self.gossip_ids += 1;
        let (id, from) = (GossipId(self.gossip_ids), self.hosts[way.from].id);
        let bytes = rumour.bytes.to_vec();
        let before = self.refusals(host, taint);
        self.judging = Some(Judging { rumour, from: way.from });
        self.step(host, Event::Gossip { id, from, bytes });
        self.judging = None;
        self.judge_taint(host, taint, before);
    }

    fn beat_soon(&mut self, host: usize) {
        if !self.hosts[host].overlay.beats {
            self.hosts[host].overlay.beats = true;
            let life = self.hosts[host].life;
            let at_ms = self.hosts[host].overlay.next_beat_ms(self.now_ms);
            self.queue.push(at_ms, Next::Heartbeat { host, life });
        }
    }

    /// Tends the meshes and tells others of recent messages, while there are any.
    pub(super) fn heartbeat(&mut self, host: usize) {
        let topics: Vec<u16> = self.hosts[host].overlay.topics.keys().copied().collect();
        for topic in topics {
            let ids = self.hosts[host].overlay.recent(topic);
            let sound = self.hosts[host].is_mesh_sound(topic);
            if sound && ids.is_empty() {
                continue;
            }
            let audience = self.audience(host, topic);
            if !sound {
                self.tend(host, topic, &audience);
            }
            if ids.is_empty() {
                continue;
            }
            self.tell_lazily(host, topic, &audience, &ids);
        }
        if self.hosts[host].overlay.beaten() {
            let life = self.hosts[host].life;
            self.later(BEAT_MS, Next::Heartbeat { host, life });
        }
    }

    /// Tells some peers outside of the mesh of recent messages.
    fn tell_lazily(&mut self, host: usize, topic: u16, audience: &[Candidate], ids: &[u64]) {
        let bytes = WORD_BYTES * (1 + ids.len());
        let subscribers = &self.subscribers[usize::from(topic)];
        if ids.iter().all(|id| self.heard.have_all(*id, subscribers)) {
            // As with copies.
            let told = self.hosts[host].overlay.lazy_number(topic, audience);
            self.events[Next::GOSSIP_CONTROL] += told as u64;
            return self.count_sent_to_many(host, bytes, told);
        }
        for peer in self.hosts[host].overlay.lazy(topic, audience) {
            let Some(way) = self.way(host, peer, Admission::Member) else { continue };
            if ids.iter().all(|id| self.heard.has(*id, peer)) {
                self.events[Next::GOSSIP_CONTROL] += 1;
                self.count_sent(host, bytes);
                continue;
            }
            for arrival in self.arrivals(way, bytes).into_iter().flatten() {
                let ids = ids.to_vec();
                self.queue.push(arrival.at_ms, Next::Have { way, topic, ids });
            }
        }
    }

    fn tend(&mut self, host: usize, topic: u16, audience: &[Candidate]) {
        let (comes, goes) = self.hosts[host].overlay.tends(self.now_ms, topic, audience);
        for peer in comes {
            self.graft(host, peer, topic);
        }
        for peer in goes {
            self.hosts[peer].overlay.prune(self.now_ms, topic, host);
        }
    }

    /// Word of recent messages arrives: what is new is asked for.
    pub(super) fn word_heard(&mut self, way: Way, topic: u16, ids: &[u64]) {
        if !self.arrives(way) || !self.hosts[way.to].overlay.topics.contains_key(&topic) {
            return;
        }
        let Some(back) = self.way(way.to, way.from, Admission::Member) else { return };
        for id in ids.iter().copied() {
            if self.heard.has(id, way.to) {
                continue;
            }
            self.recorder.tally.wished += 1;
            for arrival in self.arrivals(back, 2 * WORD_BYTES).into_iter().flatten() {
                self.queue.push(arrival.at_ms, Next::Want { way: back, id });
            }
        }
    }

    /// A wish for a message arrives.
    pub(super) fn wish_heard(&mut self, way: Way, id: u64) {
        if !self.arrives(way) {
            return;
        }
        if let Some(rumour) = self.hosts[way.to].overlay.kept(self.now_ms, id).cloned() {
            self.pass_on(way.to, way.from, &rumour, None);
        }
    }
}
