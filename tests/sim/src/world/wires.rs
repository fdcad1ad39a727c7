//! Connections of the world, and messages between two nodes.

use std::sync::Arc;

use daymark_core::Event;
use daymark_core::effect::{Admission, Channel};
use daymark_protocol::id::KeyId;
use daymark_protocol::limits::MESSAGE_BYTES_MAX;

use super::{Next, Way, World};
use crate::facts::Deed;
use crate::faults::Fault;
use crate::host::{Connection, SimHost};
use crate::network::{Arrival, Cut};

/// How long after a change of admission a connection is closed and made anew, ms.
pub(super) const REPLUG_MS: u64 = 300;
/// How long an end that hears nothing keeps a connection, ms.
pub(super) const SILENCE_MS: u64 = 15_000;
/// First pause after a dial that failed, ms; doubles up to five minutes.
const REDIAL_MS: u64 = 5_000;
const REDIAL_MS_MAX: u64 = 300_000;
/// A dial with this number is not tried again.
pub(super) const LAST_TRY: u32 = u32::MAX;
/// Connections that a host takes at most: the daemon's limit is higher.
const CONNECTIONS_MAX: usize = 256;

impl World {
    /// Pairs of machines that are connected, the lower number first.
    pub fn links(&self) -> Vec<(usize, usize)> {
        let of = |(host, it): (usize, &SimHost)| {
            let peers: Vec<usize> = it.connections.range(host..).map(|(peer, _)| *peer).collect();
            peers.into_iter().map(move |peer| (host, peer))
        };
        self.hosts.iter().enumerate().flat_map(of).collect()
    }

    /// A host connects to another; tried again for peers of the configuration.
    pub(super) fn dial(&mut self, from: usize, to: usize, tries: u32) {
        if self.hosts[from].id == self.hosts[to].id
            || self.hosts[from].node.is_none()
            || self.hosts[from].connections.contains_key(&to)
        {
            return;
        }
        let (one, other) = (self.end_of(from), self.end_of(to));
        let cut = self.network.cut_between(one, other);
        let cut = cut.or_else(|| self.network.cut_between(other, one));
        let hears =
            self.hosts[to].node.is_some() && self.hosts[to].connections.len() < CONNECTIONS_MAX;
        if let (true, false, Some(cut)) = (hears, self.scenario.network.air_gap, cut) {
            // A dial that would have come through.
            self.counts.bit(cut.fault());
        }
        if hears && cut.is_none() {
            // What was left of an earlier one at the other end is closed first.
            if self.hosts[to].connections.remove(&from).is_some() {
                self.disconnected(to, from);
            }
            self.connect(from, to);
        } else if tries != LAST_TRY {
            let pause_ms = REDIAL_MS.saturating_mul(1 << tries.min(10)).min(REDIAL_MS_MAX);
            self.later(pause_ms, Next::Dial { from, to, tries: tries + 1 });
        }
    }

    fn admission(&self, end: usize, other: usize) -> Admission {
        let gate = self.hosts[end].gate.get(&self.hosts[other].id);
        gate.copied().unwrap_or(Admission::Stranger)
    }

    fn connect(&mut self, one: usize, other: usize) {
        let epoch = self.network.next_epoch();
        self.note(5, one, other as u64);
        for (end, peer) in [(one, other), (other, one)] {
            let admission = self.admission(end, peer);
            let connection = Connection { epoch, dialled: end == one, admission };
            self.hosts[end].connections.insert(peer, connection);
            self.connections_change(end);
        }
        self.joined_overlay(one, other);
        for (end, peer) in [(one, other), (other, one)] {
            // The first end's process may have ended meanwhile.
            let Some(connection) = self.hosts[end].connections.get(&peer).copied() else { return };
            let (address, admission) = (format!("/sim/{peer}"), connection.admission);
            let peer = self.hosts[peer].id;
            self.step(end, Event::Connected { peer, address, admission });
        }
    }

    /// Closes a connection made under another admission and makes it anew.
    pub(super) fn replug(&mut self, one: usize, other: usize) {
        let Some(connection) = self.hosts[one].connections.get(&other).copied() else { return };
        if self.admission(one, other) == connection.admission {
            return;
        }
        for (end, peer) in [(one, other), (other, one)] {
            if self.hosts[end].connections.remove(&peer).is_some() {
                self.disconnected(end, peer);
            }
        }
        self.later(1, Next::Dial { from: one, to: other, tries: 0 });
    }

    /// One end's connection is gone.
    pub(super) fn disconnected(&mut self, end: usize, peer: usize) {
        self.connections_change(end);
        self.connections_change(peer);
        self.left_overlay(end, peer);
        self.note(6, end, peer as u64);
        let id = self.hosts[peer].id;
        self.step(end, Event::Disconnected { peer: id });
        if self.hosts[end].configured.contains(&peer) {
            self.later(REDIAL_MS, Next::Dial { from: end, to: peer, tries: 0 });
        }
    }

    /// An end notices that it hears nothing any more.
    pub(super) fn lost(&mut self, way: Way) {
        let Way { from: peer, to: end, epoch } = way;
        let there = self.hosts[end].connections.get(&peer);
        if there.is_some_and(|connection| connection.epoch == epoch) {
            self.hosts[end].connections.remove(&peer);
            self.disconnected(end, peer);
        }
    }

    /// A cut begins: both ends of what it severs notice after a while.
    pub(super) fn cut_begins(&mut self, number: u64, cut: Cut, until_ms: u64) {
        self.network.cut(number, cut);
        self.counts.happened(cut.fault());
        self.queue.push(until_ms, Next::CutEnds { number });
        if until_ms < self.now_ms + SILENCE_MS {
            return;
        }
        for host in 0..self.hosts.len() {
            let peers: Vec<(usize, u32)> =
                self.hosts[host].connections.iter().map(|(peer, it)| (*peer, it.epoch)).collect();
            for (peer, epoch) in peers {
                let (one, other) = (self.end_of(host), self.end_of(peer));
                if self.network.cut_between(one, other) == Some(cut)
                    || self.network.cut_between(other, one) == Some(cut)
                {
                    let way = Way { from: peer, to: host, epoch };
                    self.later(SILENCE_MS, Next::Lost { way });
                }
            }
        }
    }

    /// The way to a connected peer whose both ends let something through.
    pub(super) fn way(&self, from: usize, to: usize, needed: Admission) -> Option<Way> {
        let own = self.hosts[from].connections.get(&to)?;
        let there = self.hosts[to].connections.get(&from);
        let their = there.filter(|there| there.epoch == own.epoch);
        // What the other end no longer knows of goes out all the same, and is lost.
        let lets = their.is_none_or(|their| their.admission >= needed);
        (own.admission >= needed && lets).then_some(Way { from, to, epoch: own.epoch })
    }

    /// The machine behind a key that a host talks with: the one that it is connected with, if two
    /// have the same key.
    fn body_of(&self, from: usize, peer: &KeyId) -> Option<usize> {
        let clone = self.clones.iter().copied().find(|clone| {
            self.hosts[*clone].id == *peer && self.hosts[from].connections.contains_key(clone)
        });
        let first = self.numbers.get(peer).copied();
        first.filter(|first| self.hosts[from].connections.contains_key(first)).or(clone).or(first)
    }

    /// All machines with a key.
    pub(super) fn bodies(&self, key: &KeyId) -> Vec<usize> {
        let clones = self.clones.iter().copied().filter(|clone| self.hosts[*clone].id == *key);
        self.numbers.get(key).copied().into_iter().chain(clones).collect()
    }

    pub(super) fn send(&mut self, from: usize, peer: KeyId, channel: Channel, bytes: Arc<[u8]>) {
        let Some(to) = self.body_of(from, &peer) else { return };
        let needed = match channel {
            Channel::Join => Admission::Stranger,
            Channel::Sync => Admission::Authority,
        };
        if let Some((host, peer, count)) = &mut self.answering
            && (*host, *peer) == (from, to)
        {
            *count += 1;
        }
        let Some(way) = self.way(from, to, needed) else { return };
        let bytes = match &mut self.hosts[from].adversary {
            None => bytes,
            Some(adversary) => {
                if let Some(late_ms) = adversary.trickles_ms(channel) {
                    self.counts.happened(Fault::Stalled);
                    let taint = Some(Fault::Stalled);
                    return self.later(late_ms, Next::Message { way, channel, bytes, taint });
                }
                let (bytes, withheld) = adversary.leaves(Some(channel), &bytes);
                if withheld {
                    self.counts.happened(Fault::Withheld);
                    self.counts.bit(Fault::Withheld);
                }
                bytes
            }
        };
        self.put_on_the_way(way, channel, &bytes, None);
    }

    pub(super) fn put_on_the_way(
        &mut self,
        way: Way,
        channel: Channel,
        bytes: &Arc<[u8]>,
        taint: Option<Fault>,
    ) {
        for arrival in self.arrivals(way, bytes.len()).into_iter().flatten() {
            let bytes = changed(bytes, &arrival);
            let taint = taint.or(arrival.taint);
            self.queue.push(arrival.at_ms, Next::Message { way, channel, bytes, taint });
        }
    }

    /// Counts a message that leaves, and says when it arrives.
    pub(super) fn arrivals(&mut self, way: Way, bytes: usize) -> [Option<Arrival>; 2] {
        self.count_sent(way.from, bytes);
        let (from, to) = (self.end_of(way.from), self.end_of(way.to));
        self.network.send(self.now_ms, from, to, bytes, &mut self.counts)
    }

    /// Counts a message that leaves.
    pub(super) fn count_sent(&mut self, host: usize, bytes: usize) {
        self.count_sent_to_many(host, bytes, 1);
    }

    /// Counts a message that leaves for several peers.
    pub(super) fn count_sent_to_many(&mut self, host: usize, bytes: usize, peers: usize) {
        self.record(host, Deed::Sent { bytes });
        let bytes = (bytes * peers) as u64;
        self.hosts[host].sent_bytes += bytes;
        self.recorder.sent_bytes += bytes;
    }

    /// Whether a message's connection still stands where it arrives.
    pub(super) fn arrives(&mut self, way: Way) -> bool {
        let connection = self.hosts[way.to].connections.get(&way.from);
        let stands = connection.is_some_and(|connection| connection.epoch == way.epoch);
        if !stands && !self.hosts[way.to].powered {
            self.counts.bit(Fault::SwitchedOff);
        }
        stands && self.hosts[way.to].node.is_some()
    }

    /// A message arrives.
    pub(super) fn heard(
        &mut self,
        way: Way,
        channel: Channel,
        bytes: &Arc<[u8]>,
        taint: Option<Fault>,
    ) {
        if !self.arrives(way) {
            return;
        }
        if bytes.len() > MESSAGE_BYTES_MAX {
            // The transport's limit, before anything is read.
            self.counts.bit(Fault::Oversized);
            return;
        }
        if let Some(adversary) = &mut self.hosts[way.to].adversary {
            adversary.hears(Some(channel), bytes);
        }
        self.note(7, way.to, way.from as u64);
        self.trace.bytes(bytes);
        let peer = self.hosts[way.from].id;
        let before = self.refusals(way.to, taint);
        let reading = self.hosts[way.to].reading(self.scenario.begins, self.now_ms);
        if self.watched == Some(way.to) {
            let event = Event::Received { peer, channel, bytes: bytes.to_vec() };
            self.tell(way.to, &event);
        }
        let Some(node) = &mut self.hosts[way.to].node else { return };
        let batch = node.step(reading, Event::Received { peer, channel, bytes: bytes.to_vec() });
        self.hosts[way.to].steps += 1;
        self.answering = Some((way.to, way.from, 0));
        self.perform(way.to, batch);
        if let Some((_, peer, with)) = self.answering.take() {
            self.record(way.to, Deed::Answered { peer, with });
        }
        self.judge_taint(way.to, taint, before);
    }

    /// What a node refused so far, if that is of interest.
    pub(super) fn refusals(&self, host: usize, taint: Option<Fault>) -> (u64, u64) {
        let (Some(_), Some(node)) = (taint, &self.hosts[host].node) else { return (0, 0) };
        let counters = node.counters();
        (counters.malformed + counters.refused + counters.over_budget, counters.taken)
    }

    /// Notes whether a message that was tampered with changed anything.
    pub(super) fn judge_taint(&mut self, host: usize, taint: Option<Fault>, before: (u64, u64)) {
        let Some(fault) = taint else { return };
        let (refused, taken) = self.refusals(host, taint);
        let bit = match fault {
            Fault::Duplicate | Fault::Replayed | Fault::Rejoined | Fault::Stalled => true,
            Fault::Stolen | Fault::Drafts | Fault::Boasted => taken > before.1,
            // An unknown key's signature is held or refused: either way nothing counts.
            Fault::Forged => taken == before.1,
            Fault::Corrupt | Fault::Garbled | Fault::Flooded | Fault::Invented => {
                refused > before.0
            }
            Fault::Loss
            | Fault::Reorder
            | Fault::OneWayCut
            | Fault::Partition
            | Fault::Kill
            | Fault::PowerCut
            | Fault::TornWrite
            | Fault::FullDisk
            | Fault::ReadOnlyDisk
            | Fault::RottenByte
            | Fault::ClockDrift
            | Fault::ClockStep
            | Fault::DeadBattery
            | Fault::UnhealthyImage
            | Fault::UnbootableImage
            | Fault::HangingImage
            | Fault::SwitchedOff
            | Fault::WrongBoot
            | Fault::ReleaseAbsent
            | Fault::ReleaseSlow
            | Fault::ReleaseLies
            | Fault::Withheld
            | Fault::Oversized
            | Fault::WrongChunks
            | Fault::Contradiction
            | Fault::Cloned
            | Fault::DiedBeforeSave
            | Fault::DiedAfterSave
            | Fault::DiedBetweenEffects
            | Fault::ClockChange
            | Fault::LateCosign
            | Fault::KeyLeft
            | Fault::RivalRoots
            | Fault::Stick => false,
        };
        if bit {
            self.counts.bit(fault);
        }
    }
}

/// The bytes as they arrive.
pub(super) fn changed(bytes: &Arc<[u8]>, arrival: &Arrival) -> Arc<[u8]> {
    let Some(draw) = arrival.corrupt.filter(|_| !bytes.is_empty()) else {
        return Arc::clone(bytes);
    };
    let mut changed = bytes.to_vec();
    let at = usize::try_from(draw % changed.len() as u64).unwrap_or(0);
    changed[at] ^= u8::try_from((draw >> 32) & 0xff).unwrap_or(0).max(1);
    changed.into()
}
