//! When to decide, and what follows: the decision is asked again whenever what counts, the machine
//! or the clock changed, and when time alone may change it.

use daymark_protocol::decide::{Decision, Machine, Reach, World, decide};
use daymark_protocol::document::Replica;
use daymark_protocol::id::Digest;
use daymark_protocol::resource::{Kind, OsProfileSpec, Spec};
use daymark_protocol::time::{Now, WallTime};

use crate::dialling::DIAL_PAUSE_MS;
use crate::durable::UpdateState;
use crate::effect::{Batch, OpId};
use crate::event::{Inspection, OpOutput};
use crate::node::Node;
use crate::sync::SetDigests;
use crate::timer::Timer;
use crate::update::{Context, Surroundings, Updater, staged_image};

/// Decisions in one step: each state of an update that a decision moves on is decided upon again.
const DECISIONS_PER_STEP_MAX: usize = 4;
/// The decision is asked again at least this often while more than time and what counts may change
/// it: an update under way, inhibitors that end, configuration that begins.
const LOOK_MS_MAX: i64 = 60_000;
/// The wall clock moving by more against the monotonic one moves the next look.
const CLOCK_SET_MS: u64 = 1_000;

impl Node {
    /// Brings everything that follows from this step's changes about.
    pub(crate) fn settle(&mut self, batch: &mut Batch) {
        self.judge_clock();
        for _ in 0..DECISIONS_PER_STEP_MAX {
            if std::mem::take(&mut self.standing_changed) {
                self.standing_moved(batch);
            }
            if !std::mem::take(&mut self.look) {
                break;
            }
            self.decide(batch);
        }
        #[cfg(feature = "planted-bugs")]
        self.planted_runs();
        self.report(batch);
        self.notice_fetching();
        self.saved.write(batch);
    }

    fn standing_moved(&mut self, batch: &mut Batch) {
        self.note_heartbeats();
        self.hear_after_rivals();
        // What is kept decides what counts, so it comes first.
        self.refresh_interest(batch);
        self.keep_terms();
        let Some(replica) = &self.replica else { return };
        // Without a whole chain of roots too: then the decision is to wait, not the one before.
        #[cfg(feature = "planted-bugs")]
        if self.remembers_permission() {
            return;
        }
        self.reach = Some(Reach::new(replica.standing(), self.own));
        self.set_digests = SetDigests::default();
        self.look = true;
        self.readmit(batch);
        self.subscribe(batch);
        self.await_generation();
        self.deliver_config(batch);
        // More hosts than before may be dialled now.
        self.timers.set_earlier(Timer::Dial, self.reading.mono.plus_ms(DIAL_PAUSE_MS));
    }

    /// Keeps what this node is meant to keep by what counts now.
    pub(crate) fn refresh_interest(&mut self, batch: &mut Batch) {
        let interest = self.interest();
        if self.replica.is_some() && interest != self.kept_interest {
            self.kept_interest = interest.clone();
            if let Some(replica) = &mut self.replica {
                let changes = replica.set_interest(interest);
                self.absorb(changes, crate::intake::Origin::Gossip, batch);
            }
        }
    }

    /// Holds on to the time of the newest heartbeat, which is a floor, until a root takes it back
    /// (RULES K1, R6).
    fn note_heartbeats(&mut self) {
        let Some(replica) = &self.replica else { return };
        let known = self.saved.get().heartbeat;
        let void = |digest: &Digest| replica.void_digests().any(|void| void == *digest);
        let sound = known.filter(|(_, digest)| !void(digest));
        let beats = replica.heartbeats().map(|beat| (beat.heartbeat().time, beat.digest()));
        let newest = beats.max().max(sound);
        if newest != known {
            self.saved.change().heartbeat = newest;
        }
    }

    fn judge_clock(&mut self) {
        let root = self.replica.as_ref().and_then(|replica| replica.chain().newest());
        let signed = crate::clock::SignedTimes {
            issued: root.map(|root| root.issued),
            expires: root.map(|root| root.expires),
            heartbeat: self.saved.get().heartbeat.map(|(time, _)| time),
        };
        let floor = self.saved.get().clock_floor.unwrap_or(WallTime::EPOCH);
        let verdict = self.clock.judge(&self.reading, floor, signed);
        if verdict.now.known != self.clock_verdict.now.known {
            self.look = true;
            // Whom it may dial is judged by the clock too.
            self.timers.set_earlier(Timer::Dial, self.reading.mono);
        }
        let set_by_ms = self.reading.offset_ms().abs_diff(self.decided_offset_ms);
        if set_by_ms > CLOCK_SET_MS || !runs_on(&self.decided_for, &verdict.now) {
            self.look = true;
        } else {
            // No look is due before what was decided may change.
            self.decided_for = verdict.now;
        }
        if let Some(raised) = verdict.raise {
            self.saved.change().clock_floor = Some(raised);
        }
        self.clock_verdict = verdict;
    }

    /// What is known of the time (RULES K1, K2).
    pub fn now(&self) -> Now {
        self.clock_verdict.now
    }

    /// The machine as the decision sees it: what the host saw, and what only the core knows.
    pub fn machine(&self) -> Option<Machine> {
        let state = self.saved.get();
        let mut machine = self.inspection.as_ref()?.machine.clone();
        machine.quarantine.clone_from(&state.quarantine);
        machine.activation_ms = state.activation_ms;
        machine.activity = self.updater.activity(&state.update);
        machine.staged = staged_image(&state.update);
        machine.inhibitors.extend(self.inhibitors().map(|(why, _)| why.clone()));
        machine.inhibitors.extend(self.rebind_asked());
        machine.inhibitors.extend(self.hears_first());
        Some(machine)
    }

    /// Local inhibitors that have not ended for certain.
    pub(crate) fn inhibitors(&self) -> impl Iterator<Item = &(String, WallTime)> {
        let earliest = self.clock_verdict.now.earliest;
        self.saved.get().inhibitors.iter().filter(move |(_, until)| *until > earliest)
    }

    fn asked(&self) -> Option<Decision> {
        let (reach, machine) = (self.reach.as_ref()?, self.machine()?);
        let decision = decide(&World { reach, machine: &machine }, &self.now());
        #[cfg(feature = "planted-bugs")]
        let decision = self.planted_decision(decision);
        Some(decision)
    }

    fn decide(&mut self, batch: &mut Batch) {
        // Custom configuration begins and ends by time alone too.
        self.deliver_config(batch);
        let Some(decision) = self.asked() else { return };
        let Some(inspection) = self.inspection.take() else { return };
        self.counters.decisions += 1;
        self.decided_for = self.now();
        self.decided_offset_ms = self.reading.offset_ms();
        let profile = self.wanted_profile(&decision);
        let health_checks = profile.map_or_else(Vec::new, |profile| profile.health_checks.clone());
        let seconds = profile.and_then(|profile| profile.activation_seconds);
        let around = Surroundings {
            inspection: &inspection,
            health_checks: &health_checks,
            activation_ms: seconds.map(|seconds| u64::from(seconds) * 1_000),
            peer_connected: self.peers.keys().any(|peer| self.is_counted(peer)),
        };
        let before = self.saved.get().update.clone();
        self.with_updater(batch, |updater, cx| updater.decided(cx, &decision, &around));
        self.inspection = Some(inspection);
        if self.saved.get().update != before {
            self.look = true;
        }
        self.wait_to_look(&decision);
        if self.decision.as_ref() != Some(&decision) {
            self.facts_changed = true;
            self.decision = Some(decision);
        }
    }

    fn wait_to_look(&mut self, decision: &Decision) {
        let next_ms = decision.next_look.map(|at| at.since_ms(self.reading.wall));
        let most_ms = (!self.waits_for_time_alone()).then_some(LOOK_MS_MAX);
        let Some(wait_ms) = next_ms.into_iter().chain(most_ms).min() else {
            return self.timers.clear(Timer::Decide);
        };
        let wait_ms = u64::try_from(wait_ms).unwrap_or(0).max(1_000);
        self.timers.set(Timer::Decide, self.reading.mono.plus_ms(wait_ms));
    }

    /// Whether the decision follows from what counts, what the host last saw of the machine and the
    /// time alone: then it says itself when it may change, and all else asks it again.
    fn waits_for_time_alone(&self) -> bool {
        let state = self.saved.get();
        let rests = match &state.update {
            UpdateState::Idle | UpdateState::Staged(_) => true,
            UpdateState::Staging(_)
            | UpdateState::Activating(_)
            | UpdateState::Rebooting(_)
            | UpdateState::Confirming(_)
            | UpdateState::FallingBack(_) => false,
        };
        let standing = self.replica.as_ref().map(Replica::standing);
        let configs = standing.is_some_and(|it| it.of_kind(Kind::CustomConfig).next().is_some());
        rests && self.inhibitors().next().is_none() && !configs
    }

    /// The wanted OS profile.
    fn wanted_profile(&self, decision: &Decision) -> Option<&OsProfileSpec> {
        let target = decision.target.as_ref()?;
        let (_, line) = self
            .replica
            .as_ref()?
            .standing()
            .of_kind(Kind::OsProfile)
            .find(|(id, _)| **id == target.os_profile)?;
        let version = line.versions.iter().find(|version| version.digest == target.digest)?;
        match &version.spec {
            Ok(Some(Spec::OsProfile(profile))) => Some(profile),
            Ok(_) | Err(_) => None,
        }
    }

    /// The host looked at the machine.
    pub(crate) fn inspected(&mut self, inspection: Inspection, batch: &mut Batch) {
        self.look = true;
        self.facts_changed = true;
        self.with_updater(batch, |updater, cx| updater.resume(cx, &inspection));
        self.inspection = Some(inspection);
        #[cfg(feature = "planted-bugs")]
        self.planted_inspected(batch);
    }

    /// An operation ended.
    pub(crate) fn op_done(
        &mut self,
        op: OpId,
        result: Result<OpOutput, String>,
        batch: &mut Batch,
    ) {
        if self.config_delivered(op, &result, batch) {
            return;
        }
        self.look = true;
        self.facts_changed = true;
        let decision = self.asked();
        let Some(inspection) = self.inspection.take() else {
            self.counters.stale_operations += 1;
            return;
        };
        #[cfg(feature = "planted-bugs")]
        let before = self.saved.get().update.clone();
        let ours = self.with_updater(batch, |updater, cx| {
            updater.op_done(cx, op, result, decision.as_ref(), &inspection)
        });
        self.inspection = Some(inspection);
        if !ours {
            self.counters.stale_operations += 1;
        }
        #[cfg(feature = "planted-bugs")]
        self.planted_op_done(&before, batch);
    }

    pub(crate) fn with_updater<T>(
        &mut self,
        batch: &mut Batch,
        act: impl FnOnce(&mut Updater, &mut Context<'_>) -> T,
    ) -> T {
        let mut cx = Context {
            saved: &mut self.saved,
            batch,
            timers: &mut self.timers,
            ops: &mut self.ops,
            reading: self.reading,
            now: self.clock_verdict.now,
        };
        act(&mut self.updater, &mut cx)
    }
}

/// Whether a decision that was taken for one time holds at another until its next look: both are
/// known as well, or nothing is known and nothing moved.
fn runs_on(decided: &Now, now: &Now) -> bool {
    if !now.known {
        return decided == now;
    }
    let width_ms = |now: &Now| now.latest.since_ms(now.earliest);
    decided.known && width_ms(decided) == width_ms(now)
}
