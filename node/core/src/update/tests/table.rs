//! Each state with each way out of it, as exact traces.

use daymark_protocol::decide::{Decision, Gate, Verdict};

use super::rig::{Asked, Hardware, NEW, Rig, decision, halted};
use crate::durable::{DurableState, UpdateState};
use crate::effect::{Act, OpId};
use crate::event::{OpOutput, StageProgress};
use crate::timer::Timer;

fn name(state: &UpdateState) -> &'static str {
    match state {
        UpdateState::Idle => "idle",
        UpdateState::Staging(_) => "staging",
        UpdateState::Staged(_) => "staged",
        UpdateState::Activating(_) => "activating",
        UpdateState::Rebooting(_) => "rebooting",
        UpdateState::Confirming(_) => "confirming",
        UpdateState::FallingBack(_) => "falling back",
    }
}

/// What was saved and then ordered, as `saved state > act, act`.
pub(super) fn trace(asked: &Asked) -> String {
    let saved = asked.save.as_ref().map_or("-", |state| name(&state.update));
    let acts = asked.acts.iter().map(|(_, act)| match act {
        Act::Stage { .. } => "stage",
        Act::Activate { .. } => "activate",
        Act::Reboot => "reboot",
        Act::CheckHealth { .. } => "check health",
        Act::Confirm => "confirm",
        Act::FallBack { .. } => "fall back",
        Act::DeliverConfig { .. } => "deliver",
    });
    let acts: Vec<&str> = acts.collect();
    let cancelled = if asked.cancelled.is_empty() { "" } else { "cancel < " };
    format!("{cancelled}{saved} > {}", acts.join(", "))
}

fn staged() -> Result<OpOutput, String> {
    Ok(OpOutput::Staged(StageProgress::default()))
}

/// Drives a rig and compares each step's trace.
struct Script {
    rig: Rig,
    hardware: Hardware,
    op: Option<OpId>,
}

impl Script {
    fn new() -> Self {
        Self::restarted(DurableState::default(), Hardware::new())
    }

    fn restarted(durable: DurableState, hardware: Hardware) -> Self {
        Self { rig: Rig::start(durable), hardware, op: None }
    }

    fn expect(&mut self, asked: &Asked, expected: &str) {
        if let Some((op, _)) = asked.acts.first() {
            self.op = Some(*op);
        }
        assert_eq!(trace(asked), expected);
    }

    fn resume(mut self, expected: &str) -> Self {
        let asked = self.rig.resume(&self.hardware);
        self.expect(&asked, expected);
        self
    }

    fn decided(mut self, decision: &Decision, expected: &str) -> Self {
        let asked = self.rig.decided(&self.hardware, decision);
        self.expect(&asked, expected);
        self
    }

    fn done(self, result: Result<OpOutput, String>, expected: &str) -> Self {
        self.done_under(&decision(Verdict::Activate, NEW), result, expected)
    }

    /// The act ends while this is the newest decision.
    fn done_under(
        mut self,
        decision: &Decision,
        result: Result<OpOutput, String>,
        expected: &str,
    ) -> Self {
        let op = self.op.expect("an act runs");
        let asked = self.rig.done(&self.hardware, op, result, decision);
        self.expect(&asked, expected);
        self
    }

    /// The agent's process ends; what was saved stays.
    fn restart(self) -> Self {
        Self::restarted(self.rig.saved.get().clone(), self.hardware)
    }

    fn boot_new(mut self) -> Self {
        self.hardware.slots[1] = Some(NEW);
        self.hardware.restart();
        self.hardware.booted = 1;
        self
    }

    /// The machine restarts into what ran before.
    fn boot_old(mut self) -> Self {
        self.hardware.restart();
        self.hardware.booted = 0;
        self
    }

    /// The agent's next start finds what ran before, and what it switched is taken back.
    fn ends_after_fall_back(self, runs: &[(u64, &str, &str)], quarantined: usize) {
        let script = self.restart().resume("falling back > fall back");
        let script = script.done(Ok(OpOutput::Done), "idle > ");
        assert_eq!(script.runs(), runs);
        assert_eq!(script.quarantined(), quarantined);
    }

    fn runs(&self) -> Vec<(u64, &str, &str)> {
        let runs = &self.rig.saved.get().finished;
        runs.iter()
            .map(|run| (run.attempt.number, run.status.as_str(), run.detail.as_str()))
            .collect()
    }

    fn quarantined(&self) -> usize {
        self.rig.saved.get().quarantine.len()
    }
}

const FALLS_BACK: &str = "falling back > fall back";

fn at_staging() -> Script {
    Script::new().resume("- > ").decided(&decision(Verdict::Stage, NEW), "staging > stage")
}

fn at_staged() -> Script {
    at_staging().done(staged(), "staged > ")
}

fn at_activating() -> Script {
    at_staged().decided(&decision(Verdict::Activate, NEW), "activating > activate")
}

fn at_rebooting() -> Script {
    at_activating().done(Ok(OpOutput::Done), "rebooting > reboot")
}

fn at_confirming() -> Script {
    at_rebooting().boot_new().restart().resume("confirming > check health")
}

fn at_falling_back() -> Script {
    at_confirming().done(Ok(OpOutput::Unhealthy("unit down".into())), "falling back > fall back")
}

#[test]
fn nothing_happens_before_the_machine_was_looked_at() {
    Script::new().decided(&decision(Verdict::Stage, NEW), "- > ");
}

#[test]
fn a_good_image_ends_confirmed_with_one_run() {
    let script = at_confirming()
        .done(Ok(OpOutput::Healthy), "- > confirm")
        .done(Ok(OpOutput::Done), "idle > ");
    assert_eq!(script.runs(), [(1, "UPDATED", "")]);
    assert_eq!(script.quarantined(), 0);
    assert!(script.rig.saved.get().activation_ms.is_some(), "Q8");
}

#[test]
fn staging_that_fails_is_tried_again_in_the_same_attempt() {
    let mut script = at_staging().done(Err("no source".into()), "- > ");
    assert!(script.rig.timers.is_set(Timer::RetryStage));
    script = script.decided(&decision(Verdict::Stage, NEW), "- > ");
    script.rig.timers.clear(Timer::RetryStage);
    let script = script
        .decided(&decision(Verdict::Wait, NEW), "- > ")
        .decided(&decision(Verdict::Stage, NEW), "- > stage");
    assert_eq!(script.runs(), []);
}

#[test]
fn staging_and_staged_survive_a_restart() {
    let script = at_staging().restart().resume("- > ");
    script.decided(&decision(Verdict::Stage, NEW), "- > stage").done(staged(), "staged > ");
    let script = at_staged().restart().resume("- > ");
    script.decided(&decision(Verdict::Activate, NEW), "activating > activate");
}

#[test]
fn q14_a_dropped_attempt_leaves_one_failed_run_with_its_reason() {
    let late = |mut script: Script, expected: &str| {
        script.rig.mono_ms = 2_000_000;
        let mut wait = decision(Verdict::Wait, NEW);
        wait.window = None;
        script.decided(&wait, expected)
    };
    for (script, cancel) in [(at_staging as fn() -> Script, "cancel < "), (at_staged, "")] {
        let expected = format!("{cancel}idle > ");
        let halt = script().decided(&halted(), &expected);
        assert_eq!(halt.runs(), [(1, "FAILED", "halted")]);
        let other = script().decided(&decision(Verdict::Wait, "3.0.0"), &expected);
        assert_eq!(other.runs(), [(1, "FAILED", "superseded")]);
        let nothing = script().decided(&decision(Verdict::Nothing, NEW), &expected);
        assert_eq!(nothing.runs(), [(1, "FAILED", "superseded")]);
        let missed = late(script(), &expected);
        assert_eq!(missed.runs(), [(1, "FAILED", "window missed")]);
        assert_eq!(missed.quarantined(), 0, "the image is not to blame");
    }
}

#[test]
fn i5_a_cancelled_staging_must_end_before_the_slot_is_written_again() {
    let mut script = at_staging().decided(&halted(), "cancel < idle > ");
    script = script.decided(&decision(Verdict::Stage, NEW), "- > ");
    script = script.done(Err("cancelled".into()), "- > ");
    script.decided(&decision(Verdict::Stage, NEW), "staging > stage");
}

#[test]
fn i6_no_restart_unless_the_newest_decision_still_permits_it() {
    let nothing = Decision { target: None, ..decision(Verdict::Nothing, NEW) };
    let inhibited = Decision { message: "inhibited".to_owned(), ..decision(Verdict::Wait, NEW) };
    for (newest, expected) in [
        (Some(halted()), "halted"),
        (Some(decision(Verdict::Activate, "3.0.0")), "superseded"),
        (Some(nothing), "superseded"),
        (Some(inhibited), "no longer permitted: inhibited"),
        (None, "whether to restart could not be decided"),
    ] {
        let mut script = at_activating();
        let op = script.op.unwrap();
        let inspection = script.hardware.inspection();
        let asked = script.rig.step(|updater, cx| {
            updater.op_done(cx, op, Ok(OpOutput::Done), newest.as_ref(), &inspection);
        });
        script.expect(&asked, "falling back > fall back");
        let script = script.done(Ok(OpOutput::Done), "idle > ");
        assert_eq!(script.runs(), [(1, "FAILED", expected)]);
        assert_eq!(script.quarantined(), 0, "the image is not to blame");
    }
}

#[test]
fn staging_that_lost_its_authority_stops_and_goes_on_in_the_same_attempt() {
    let failing = |gate, reason: &'static str| {
        let mut wait = halted();
        wait.gates[0].gate = gate;
        wait.gates[0].reason = reason.into();
        wait
    };
    let no_target = Decision { target: None, ..decision(Verdict::Wait, NEW) };
    let not_enrolled = failing(Gate::Enrolled, "not-enrolled");
    for wait in [no_target, not_enrolled, failing(Gate::Authority, "root-incomplete")] {
        let script = at_staging().decided(&wait, "cancel < - > ").decided(&wait, "- > ");
        let script = script.decided(&decision(Verdict::Stage, NEW), "- > ");
        let script = script.done(Err("cancelled".into()), "- > ");
        let script = script.decided(&wait, "- > ");
        let script = script.decided(&decision(Verdict::Stage, NEW), "- > stage");
        assert_eq!(script.done(staged(), "staged > ").runs(), []);
    }
    let expired = failing(Gate::Authority, "root-expired");
    at_staging().decided(&expired, "- > ").done(staged(), "staged > ");
}

#[test]
fn r1_an_expired_root_stops_starting_but_no_confirming_and_no_falling_back() {
    let mut expired = halted();
    expired.gates[0].gate = Gate::Authority;
    expired.gates[0].reason = "root-expired".into();
    at_staged().decided(&expired, "- > ");
    let withdrawn = at_activating().done_under(&expired, Ok(OpOutput::Done), FALLS_BACK);
    assert_eq!(withdrawn.quarantined(), 0, "the image is not to blame");
    let script = at_rebooting().decided(&expired, "- > ");
    let script = script.boot_new().restart().resume("confirming > check health");
    let script = script
        .decided(&expired, "- > ")
        .done_under(&expired, Ok(OpOutput::Healthy), "- > confirm")
        .done_under(&expired, Ok(OpOutput::Done), "idle > ");
    assert_eq!(script.runs(), [(1, "UPDATED", "")]);
    let unhealthy = Ok(OpOutput::Unhealthy("unit down".into()));
    let script = at_confirming().done_under(&expired, unhealthy, FALLS_BACK);
    let script = script.decided(&expired, "- > ").done_under(
        &expired,
        Ok(OpOutput::Done),
        "falling back > reboot",
    );
    let script = script.boot_old().restart().resume(FALLS_BACK);
    let script = script.done_under(&expired, Ok(OpOutput::Done), "idle > ");
    assert_eq!(script.runs(), [(1, "FAILED", "health check failed: unit down")]);
}

#[test]
fn a_switch_or_restart_that_fails_goes_back_and_blames_no_image() {
    let switch = at_activating().done(Err("efivars full".into()), "falling back > fall back");
    let switch = switch.done(Ok(OpOutput::Done), "idle > ");
    assert_eq!(switch.runs(), [(1, "FAILED", "the boot switch failed: efivars full")]);
    let restart = at_rebooting().done(Err("refused".into()), "falling back > fall back");
    let restart = restart.done(Ok(OpOutput::Done), "idle > ");
    assert_eq!(restart.runs(), [(1, "FAILED", "the machine did not restart: refused")]);
    let mut overdue = at_rebooting();
    let asked = overdue.rig.step(|updater, cx| updater.woke(cx, Timer::ActOverdue));
    overdue.expect(&asked, "falling back > fall back");
    let overdue = overdue.done(Ok(OpOutput::Done), "idle > ");
    assert_eq!(overdue.runs(), [(1, "FAILED", "the machine did not restart in time")]);
    for script in [switch, restart, overdue] {
        assert_eq!(script.quarantined(), 0);
        let mut script = script.decided(&decision(Verdict::Stage, NEW), "- > ");
        script.rig.timers.clear(Timer::RetryStage);
        script.decided(&decision(Verdict::Stage, NEW), "staging > stage");
    }
}

#[test]
fn i12_a_power_cut_between_switch_and_restart_is_recorded_as_what_it_is() {
    // The switch took: the new image runs, and is judged by its health.
    let script = at_activating().boot_new().restart().resume("confirming > check health");
    let script =
        script.done(Ok(OpOutput::Healthy), "- > confirm").done(Ok(OpOutput::Done), "idle > ");
    let by_itself = "the machine restarted by itself after the boot switch";
    assert_eq!(script.runs(), [(1, "UPDATED", by_itself)]);
    // It did not: whether the image was tried is not known.
    let cut = "the machine stopped during the boot switch and came back on what ran before";
    at_activating().boot_old().ends_after_fall_back(&[(1, "FAILED", cut)], 0);
    // The boot loader gave up on the new image.
    let came_back = "the machine came back on what ran before";
    at_rebooting().boot_old().ends_after_fall_back(&[(1, "FAILED", came_back)], 1);
    at_confirming().boot_old().ends_after_fall_back(&[(1, "FAILED", came_back)], 1);
}

#[test]
fn i12_the_agent_s_death_without_a_restart_blames_no_image() {
    let stopped = "the agent stopped before the machine restarted";
    at_activating().ends_after_fall_back(&[(1, "FAILED", stopped)], 0);
    let again = "the agent started again before the machine restarted";
    at_rebooting().ends_after_fall_back(&[(1, "FAILED", again)], 0);
}

#[test]
fn q8_an_activation_is_measured_only_by_a_counting_clock_and_never_as_too_short() {
    let measured = |said_ms: Option<u64>, took_ms: u64, known: bool| {
        let mut script = at_confirming().done(Ok(OpOutput::Healthy), "- > confirm");
        let UpdateState::Confirming(attempt) = script.rig.saved.in_memory_update() else {
            panic!("it confirms");
        };
        attempt.activation_ms = said_ms;
        script.rig.mono_ms += took_ms;
        script.rig.clock_counts = known;
        script.done(Ok(OpOutput::Done), "idle > ").rig.saved.get().activation_ms
    };
    assert_eq!(measured(None, 200_000, true), Some(200_000));
    assert_eq!(measured(None, 200_000, false), None);
    assert_eq!(measured(None, 0, true), Some(60_000));
    assert_eq!(measured(Some(600_000), 0, true), Some(300_000));
    assert_eq!(measured(Some(600_000), 400_000, true), Some(400_000));
}

#[test]
fn confirming_resumes_and_falls_back_on_anything_but_health() {
    at_confirming().restart().resume("confirming > check health");
    for result in [Err("no answer".to_owned()), Ok(OpOutput::Done)] {
        at_confirming().done(result, "falling back > fall back");
    }
    let mut script = at_confirming().done(Ok(OpOutput::Healthy), "- > confirm");
    for _ in 0..3 {
        script = script.done(Err("read-only".into()), "- > ");
        let asked = script.rig.step(|updater, cx| updater.woke(cx, Timer::RetryConfirm));
        script.expect(&asked, "- > confirm");
    }
    script.done(Err("read-only".into()), "falling back > fall back");
}

#[test]
fn falling_back_from_the_new_image_restarts_and_records_why() {
    let script = at_falling_back().done(Ok(OpOutput::Done), "falling back > reboot");
    let script = script.boot_old().restart();
    let script = script.resume("falling back > fall back").done(Ok(OpOutput::Done), "idle > ");
    assert_eq!(script.runs(), [(1, "FAILED", "health check failed: unit down")]);
    assert_eq!(script.quarantined(), 1);
}

#[test]
fn i9_a_boot_switch_that_does_not_obey_is_not_restarted_for_ever() {
    let mut script = at_falling_back();
    for _ in 0..3 {
        script = script.done(Ok(OpOutput::Done), "falling back > reboot").restart();
        script = script.resume("falling back > fall back");
    }
    script = script.done(Ok(OpOutput::Done), "- > ");
    let (retry_at, _) = script.rig.timers.next().unwrap();
    assert_eq!(retry_at.0 - script.rig.mono_ms, 3_600_000, "then once an hour");
    let asked = script.rig.step(|updater, cx| updater.woke(cx, Timer::RetryFallBack));
    script.expect(&asked, "- > fall back");
    let script = script.done(Ok(OpOutput::Done), "falling back > reboot");
    assert_eq!(script.runs(), []);
}

#[test]
fn falling_back_that_fails_is_tried_again() {
    let mut script = at_falling_back().done(Err("busy".into()), "- > ");
    assert!(script.rig.timers.is_set(Timer::RetryFallBack));
    let asked = script.rig.step(|updater, cx| updater.woke(cx, Timer::RetryFallBack));
    script.expect(&asked, "- > fall back");
}

#[test]
fn rt_m5_stale_and_foreign_ends_change_nothing() {
    let script = at_staged();
    script.done(staged(), "- > ");
    let mut script = at_staging();
    script.op = Some(OpId(77));
    let script = script.done(Err("whose?".into()), "- > ");
    assert!(!script.rig.timers.is_set(Timer::RetryStage));
}
