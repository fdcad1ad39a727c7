//! A step of one node, and its batch performed as a host must perform it, unless it crashes on the
//! way.

use daymark_core::effect::{Act, Effect, OpId, Verdict};
use daymark_core::{Batch, Event};
use daymark_protocol::id::Digest;

use super::{Happening, World};
use crate::network::{Pair, pair};

/// How long a process takes to come back, ms.
const START_MS: u64 = 3_000;
/// How long a machine takes to restart, ms.
const RESTART_MS: u64 = 30_000;

/// Where a step is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    BeforeSave,
    WithinSave,
    AfterSave,
    BetweenActs,
}

impl World {
    pub(super) fn end_process(&mut self, host: usize) {
        self.hosts[host].node = None;
        let links: Vec<Pair> = self.network.links.keys().copied().collect();
        for (a, b) in links.into_iter().filter(|(a, b)| *a == host || *b == host) {
            self.unlink((a, b));
        }
    }

    pub(super) fn step(&mut self, host: usize, event: Event) {
        let reading = self.reading();
        self.note(host, &event);
        let Some(node) = &mut self.hosts[host].node else { return };
        self.steps += 1;
        let batch = node.step(reading, event);
        self.perform(host, batch);
    }

    fn note(&mut self, host: usize, event: &Event) {
        let told = match event {
            Event::Received { peer, bytes, .. } => {
                format!("received {peer} {}", Digest::of(bytes))
            }
            Event::Gossip { from, bytes, .. } => format!("gossip {from} {}", Digest::of(bytes)),
            Event::Submit { items, .. } => format!("submit {}", items.len()),
            Event::Join { items, .. } => format!("join {}", items.len()),
            Event::Wake
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Listening { .. }
            | Event::Inhibit { .. }
            | Event::Inspected(_)
            | Event::OpDone { .. }
            | Event::Progress { .. } => format!("{event:?}"),
        };
        let time = self.now_ms.to_be_bytes();
        let place = (host as u64).to_be_bytes();
        self.trace = Digest::of_parts(&[&self.trace.0, &time, &place, told.as_bytes()]);
    }

    fn crash(&mut self) -> Option<Crash> {
        if self.faults.below(100_000) >= self.options.crashes_per_100_000 {
            return None;
        }
        let points = [Crash::BeforeSave, Crash::WithinSave, Crash::AfterSave, Crash::BetweenActs];
        points.get(usize::try_from(self.faults.below(4)).unwrap_or(0)).copied()
    }

    /// Performs a batch as a host must, unless it crashes on the way.
    pub(super) fn perform(&mut self, host: usize, mut batch: Batch) {
        let crash = self.crash();
        for effect in batch.take_immediate() {
            self.effect(host, effect);
        }
        let writes = batch.writes();
        let done = match crash {
            Some(Crash::BeforeSave) => 0,
            Some(Crash::WithinSave) => writes.len() / 2,
            Some(Crash::AfterSave | Crash::BetweenActs) | None => writes.len(),
        };
        for write in &writes[..done] {
            self.hosts[host].disk.write(write);
        }
        if matches!(crash, Some(Crash::BeforeSave | Crash::WithinSave | Crash::AfterSave)) {
            return self.fall_over(host);
        }
        let deferred = batch.confirm_durable();
        let half = deferred.len() / 2;
        for (done, effect) in deferred.into_iter().enumerate() {
            if crash.is_some() && done == half {
                return self.fall_over(host);
            }
            self.effect(host, effect);
        }
        self.wake_in_time(host);
    }

    /// The process dies; every other time the machine's power fails with it.
    fn fall_over(&mut self, host: usize) {
        self.crashes += 1;
        if self.faults.happens(500) {
            self.hosts[host].machine.restart();
        }
        self.end_process(host);
        self.later(START_MS, Happening::Start { host });
    }

    fn wake_in_time(&mut self, host: usize) {
        let Some((at, _)) = self.hosts[host].node.as_ref().and_then(|node| node.next_deadline())
        else {
            return;
        };
        let at_ms = at.0.max(self.now_ms + 1);
        if self.hosts[host].wake_ms.is_none_or(|set_ms| at_ms < set_ms) {
            self.hosts[host].wake_ms = Some(at_ms);
            let life = self.hosts[host].life;
            self.later(at_ms - self.now_ms, Happening::Wake { host, life });
        }
    }

    pub(super) fn effect(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Send { peer, channel, bytes } => self.send(host, peer, channel, &bytes),
            Effect::Subscribe(topic) => {
                self.hosts[host].topics.insert(topic);
            }
            Effect::Unsubscribe(topic) => {
                self.hosts[host].topics.remove(&topic);
            }
            Effect::Publish { topic, bytes } => {
                self.hosts[host].seen.insert(Digest::of(&bytes));
                self.flood(host, None, &topic, &bytes);
            }
            Effect::Verdict { id, verdict } => {
                if let (Some((from, topic, bytes)), Verdict::Accept) =
                    (self.gossip.remove(&id), verdict)
                {
                    self.flood(host, Some(from), &topic, &bytes);
                }
            }
            Effect::Admit { peer, admission } => {
                self.hosts[host].gate.insert(peer, admission);
            }
            Effect::Dial { peer, .. } => {
                if let Some(other) = self.numbers.get(&peer).copied()
                    && self.link(host, other).is_none()
                {
                    self.network.wanted.insert(pair(host, other));
                }
            }
            Effect::Reply { request, reply } => {
                self.replies.insert(request, reply);
            }
            Effect::Perform { op, act } => self.order(host, op, act),
            // An act that is cancelled still ends, and says so.
            Effect::Cancel { .. } => {}
        }
    }

    fn order(&mut self, host: usize, op: OpId, act: Act) {
        if act == Act::Reboot {
            let wall = self.wall();
            let machine = &mut self.hosts[host].machine;
            let before = machine.runs().to_owned();
            machine.restart();
            if machine.runs() != before && !machine.is_confirmed() {
                self.hosts[host].activations.push(wall);
            }
            self.end_process(host);
            return self.later(RESTART_MS, Happening::Start { host });
        }
        let life = self.hosts[host].life;
        let after_ms = crate::machine::SimMachine::duration_ms(&act);
        self.later(after_ms, Happening::ActEnds { host, life, op, act });
    }
}
