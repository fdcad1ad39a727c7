//! A step of one node, and its batch performed as a host must perform it, unless it crashes on the
//! way.

use daymark_core::effect::{Act, Effect, OpId, Verdict, Write};
use daymark_core::event::OpOutput;
use daymark_core::{Batch, Event};

use super::{Next, World};
use crate::facts::{Deed, Restarter};
use crate::faults::Fault;
use crate::host::{Condition, Point};
use crate::scenario::Failing;

/// How long health checks take, ms.
const HEALTH_MS: u64 = 5_000;
/// How long small acts take, ms.
const SMALL_ACT_MS: u64 = 200;

/// What of a batch was done before a crash.
enum Performed {
    All,
    /// The process is gone.
    Crashed,
}

impl World {
    pub(super) fn step(&mut self, host: usize, event: Event) {
        let reading = self.hosts[host].reading(self.scenario.begins, self.now_ms);
        if self.watched == Some(host) {
            self.tell(host, &event);
        }
        let Some(node) = &mut self.hosts[host].node else { return };
        let batch = node.step(reading, event);
        self.hosts[host].steps += 1;
        self.perform(host, batch);
    }

    /// Performs a batch as a host must, unless it crashes on the way.
    pub(super) fn perform(&mut self, host: usize, mut batch: Batch) {
        for effect in batch.take_immediate() {
            if self.is_doomed(host, false, Point::Effect(&effect)) {
                self.counts.bit(Fault::DiedBeforeSave);
                return self.crash(host, true);
            }
            self.effect(host, effect);
        }
        if let Performed::Crashed = self.save(host, &batch) {
            return;
        }
        for (place, effect) in batch.confirm_durable().into_iter().enumerate() {
            let after_save = place == 0;
            if self.is_doomed(host, !after_save, Point::Effect(&effect)) {
                let place =
                    if after_save { Fault::DiedAfterSave } else { Fault::DiedBetweenEffects };
                self.counts.bit(place);
                return self.crash(host, true);
            }
            self.effect(host, effect);
            if self.hosts[host].node.is_none() {
                return;
            }
        }
        self.wake_in_time(host);
    }

    /// Makes a batch's writes durable.
    fn save(&mut self, host: usize, batch: &Batch) -> Performed {
        if batch.writes().is_empty() {
            return Performed::All;
        }
        if self.disk_refuses(host) {
            self.crash(host, false);
            return Performed::Crashed;
        }
        for write in batch.writes() {
            let tears = self.hosts[host].doom.is_some_and(|doom| doom.tears);
            if self.is_doomed(host, false, Point::Write(write)) {
                if tears && self.hosts[host].disk.tear(write, &mut self.pool) {
                    self.counts.happened(Fault::TornWrite);
                }
                self.counts.bit(Fault::DiedBeforeSave);
                self.crash(host, true);
                return Performed::Crashed;
            }
            if let Write::PutState(state) = write
                && state.cloned
                && !self.hosts[host].disk.state().cloned
            {
                self.counts.bit(Fault::Cloned);
            }
            self.hosts[host].disk.write(write, &mut self.pool);
            self.recorder.wrote(self.now_ms, host, write);
            self.record(host, Deed::Wrote(write));
        }
        self.recorder.tally.writes += batch.writes().len() as u64;
        Performed::All
    }

    fn disk_refuses(&mut self, host: usize) -> bool {
        let fault = match self.hosts[host].disk.condition {
            Condition::Good => return false,
            Condition::FullUntil(until_ms) if until_ms <= self.now_ms => {
                self.hosts[host].disk.condition = Condition::Good;
                return false;
            }
            Condition::FullUntil(_) => Fault::FullDisk,
            Condition::ReadOnly => Fault::ReadOnlyDisk,
        };
        self.counts.bit(fault);
        true
    }

    /// Counts one point at which a crash may fall, between two acts or not; whether it does.
    fn is_doomed(&mut self, host: usize, between: bool, point: Point<'_>) -> bool {
        let Some(doom) = &mut self.hosts[host].doom else { return false };
        if let Some(moment) = doom.moment {
            return moment(&point);
        }
        if doom.between {
            return between;
        }
        if doom.points_left == 0 {
            return true;
        }
        doom.points_left -= 1;
        false
    }

    /// The host's process must not rest beyond what the node waits for, give or take the slack.
    pub(super) fn wake_in_time(&mut self, host: usize) {
        let of = &self.hosts[host];
        let Some(node) = &of.node else { return };
        let slack_ms = self.scenario.wake_slack.0;
        let late_ms = node.next_deadline().map(|(at, _)| at.0.saturating_add(slack_ms));
        let firm_ms = node.next_firm_deadline().map(|at| at.0);
        let Some(at_ms) = late_ms.into_iter().chain(firm_ms).min() else { return };
        let at_ms = at_ms.max(self.now_ms + 1);
        // What is set early enough stays; it is set anew when it was not.
        if of.wake_ms.is_some_and(|set_ms| set_ms <= at_ms && set_ms > self.now_ms) {
            return;
        }
        let life = of.life;
        self.hosts[host].wake_ms = Some(at_ms);
        self.queue.push(at_ms, Next::Wake { host, life });
    }

    pub(super) fn woken(&mut self, host: usize) {
        // One that was overtaken by an earlier one may come for nothing.
        if self.hosts[host].wake_ms == Some(self.now_ms) {
            self.hosts[host].wake_ms = None;
            self.note(1, host, 0);
            self.step(host, Event::Wake);
        }
    }

    fn effect(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Send { peer, channel, bytes } => self.send(host, peer, channel, bytes.into()),
            Effect::Subscribe(topic) => self.subscribe(host, &topic),
            Effect::Unsubscribe(topic) => self.unsubscribe(host, &topic),
            Effect::Publish { topic, bytes } => self.publish(host, &topic, bytes.into()),
            Effect::Verdict { id: _, verdict } => {
                if let (Some(judged), Verdict::Accept) = (self.judging.take(), verdict) {
                    self.forward(host, judged);
                }
            }
            Effect::Admit { peer, admission } => {
                self.record(host, Deed::Admitted { peer, admission });
                self.hosts[host].gate.insert(peer, admission);
                for other in self.bodies(&peer) {
                    self.later(super::wires::REPLUG_MS, Next::Replug { one: host, other });
                }
            }
            Effect::Bridge { peer, open } => self.bridge(host, peer, open),
            Effect::Dial { peer, .. } => {
                for other in self.bodies(&peer) {
                    let (from, to) = (self.end_of(host), self.end_of(other));
                    let after_ms = 2 * self.network.latency_ms(from, to);
                    // The node itself tries again.
                    let tries = super::wires::LAST_TRY;
                    self.later(after_ms, Next::Dial { from: host, to: other, tries });
                }
            }
            Effect::Reply { request, reply } => {
                self.replies.insert(request, reply);
            }
            Effect::Perform { op, act } => self.order(host, op, &act),
            Effect::Cancel { op } => {
                if let Some(staging) = self.hosts[host].staging.as_mut().filter(|it| it.op == op) {
                    staging.cancelled = true;
                }
            }
        }
    }

    fn order(&mut self, host: usize, op: OpId, act: &Act) {
        self.note(2, host, op.0);
        self.record(host, Deed::Ordered(act));
        let life = self.hosts[host].life;
        let after_ms = match act {
            Act::Stage { target, .. } => {
                let image = target.index_digest.and_then(|index| self.images.by_index(&index));
                return self.begin_staging(host, op, image);
            }
            Act::Reboot => return self.reboot(host),
            Act::CheckHealth { .. } => HEALTH_MS,
            Act::Activate { .. }
            | Act::Confirm
            | Act::FallBack { .. }
            | Act::DeliverConfig { .. } => SMALL_ACT_MS,
        };
        self.hosts[host].acting = Some((op, act.clone()));
        self.later(after_ms, Next::ActEnds { host, life });
    }

    /// The agent restarts the machine.
    fn reboot(&mut self, host: usize) {
        self.recorder.tally.reboots += 1;
        if self.hosts[host].machine.is_armed() && self.reference.clocks_changed(self.now_ms) {
            self.counts.bit(Fault::ClockChange);
        }
        self.end_process(host, false);
        self.restart(host, Restarter::Agent, false);
    }

    /// An act ends: the machine does it now, and the platform looks before it reports.
    pub(super) fn act_ends(&mut self, host: usize) {
        let Some((op, act)) = self.hosts[host].acting.take() else { return };
        let result = self.do_act(host, &act);
        self.inspect(host);
        self.note(3, host, op.0);
        self.step(host, Event::OpDone { op, result });
    }

    fn do_act(&mut self, host: usize, act: &Act) -> Result<OpOutput, String> {
        let machine = &mut self.hosts[host].machine;
        match act {
            Act::Activate { .. } => machine.arm(),
            Act::Confirm => {
                machine.confirm();
                if let Some(image) = machine.runs() {
                    self.recorder.confirmed(self.now_ms, host, image);
                    self.hosts[host].reached.entry(image).or_insert(self.now_ms);
                }
            }
            Act::FallBack { slot } => {
                if !machine.is_confirmed() {
                    self.recorder.fell_back(self.now_ms, host);
                }
                machine.fall_back(slot.as_deref());
            }
            Act::CheckHealth { .. } => {
                let failing =
                    machine.runs().map(|image| self.images.failing(image, machine.old_hardware));
                if failing != Some(Failing::Nothing) {
                    self.counts.happened(Fault::UnhealthyImage);
                    self.counts.bit(Fault::UnhealthyImage);
                    return Ok(OpOutput::Unhealthy("a unit is down".to_owned()));
                }
                return Ok(OpOutput::Healthy);
            }
            Act::DeliverConfig { .. } => {}
            Act::Stage { .. } | Act::Reboot => return Err("not an act that ends so".to_owned()),
        }
        Ok(OpOutput::Done)
    }

    pub(super) fn inspect(&mut self, host: usize) {
        let inspection = self.hosts[host].machine.inspection(&self.images);
        self.note(4, host, 0);
        self.step(host, Event::Inspected(Box::new(inspection)));
        let Some(node) = &self.hosts[host].node else { return };
        let knows = node.now().known;
        if self.hosts[host].knew_time && !knows {
            let clock = &self.hosts[host].clock;
            if clock.battery_is_dead {
                self.counts.bit(Fault::DeadBattery);
            }
        }
        self.hosts[host].knew_time = knows;
    }

    /// Takes something into the trace.
    pub(super) fn note(&mut self, kind: u64, host: usize, what: u64) {
        self.trace.number(self.now_ms);
        self.trace.number((kind << 32) ^ host as u64);
        self.trace.number(what);
    }
}
