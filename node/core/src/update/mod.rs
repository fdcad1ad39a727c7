//! The update state machine (DESIGN section 8): idle → staging → staged → activating → rebooting →
//! confirming → done, failed or fallen back. Each state is durable before its act is ordered, and
//! each can be resumed after a restart from what is really booted.
//!
//! It does not decide: it follows a [`Decision`] up to the boot switch. After the switch only the
//! machine itself decides, by what is booted and by its health checks (I12).

mod attempt;
#[cfg(test)]
mod tests;

use daymark_protocol::decide::{Activity, Decision, ResolvedTarget, StagedImage, Verdict};
use daymark_protocol::time::{Now, WallTime};

use self::attempt::{DropReason, Outcome};
use crate::durable::{Attempt, UpdateState};
use crate::effect::{Act, Batch, Effect, OpId};
use crate::event::{Inspection, OpOutput, Reading, StageProgress};
use crate::saved::{OpIds, Saved};
use crate::timer::{Timer, Timers};

/// First pause before staging or falling back is tried again; doubles up to [`RETRY_MS_MAX`].
const RETRY_MS_FIRST: u64 = 30_000;
/// Longest such pause.
const RETRY_MS_MAX: u64 = 3_600_000;
/// How long an ordered restart may take before it counts as failed.
const RESTART_MS_MAX: u64 = 600_000;
/// Restarts ordered at once to get back to the last good slot; after them, one an hour.
const FALL_BACK_RESTARTS_MAX: u8 = 3;
/// Tries of confirming after the first.
const CONFIRM_RETRIES_MAX: u32 = 3;
/// Longest text of a failure that is kept, in bytes: fits a run's detail with its frame.
const FAILURE_BYTES_MAX: usize = 400;

/// What the machine's steps may touch.
pub(crate) struct Context<'a> {
    pub(crate) saved: &'a mut Saved,
    pub(crate) batch: &'a mut Batch,
    pub(crate) timers: &'a mut Timers,
    pub(crate) ops: &'a mut OpIds,
    pub(crate) reading: Reading,
    pub(crate) now: Now,
}

/// What an attempt needs to know besides the decision.
pub(crate) struct Surroundings<'a> {
    pub(crate) inspection: &'a Inspection,
    /// Health checks of the wanted OS profile.
    pub(crate) health_checks: &'a [String],
    /// How long the wanted OS profile says that its activation takes, ms.
    pub(crate) activation_ms: Option<u64>,
    /// Whether an admitted peer is connected.
    pub(crate) peer_connected: bool,
}

/// The machine: the durable state says where it stands, this only what runs right now.
#[derive(Debug, Default)]
pub(crate) struct Updater {
    running: Option<(OpId, Act)>,
    /// A cancelled staging that has not reported its end: nothing else may write the slot.
    cancelled: Option<OpId>,
    resumed: bool,
    /// Failed tries in a row of staging or falling back.
    failures: u32,
    /// Whether falling back was tried again after a pause.
    paused: bool,
    /// Boot switches in a row that were taken back before the machine restarted.
    taken_back: u32,
    /// Why the last try failed, for people.
    last_error: Option<String>,
}

impl Updater {
    /// What the decision has to know of it.
    pub(crate) fn activity(&self, state: &UpdateState) -> Activity {
        match state {
            UpdateState::Idle if self.cancelled.is_some() => Activity::Staging,
            UpdateState::Idle | UpdateState::Staged(_) => Activity::Idle,
            UpdateState::Staging(_) => Activity::Staging,
            // Until the switch is done, what counts is whether it is still permitted.
            UpdateState::Activating(_) if self.resumed => Activity::Idle,
            UpdateState::Activating(_)
            | UpdateState::Rebooting(_)
            | UpdateState::Confirming(_)
            | UpdateState::FallingBack(_) => Activity::Activating,
        }
    }

    /// Why the last try of staging failed.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Takes up what a former start left, from what is really booted. Does so once.
    pub(crate) fn resume(&mut self, cx: &mut Context<'_>, inspection: &Inspection) {
        if std::mem::replace(&mut self.resumed, true) {
            return;
        }
        match cx.saved.get().update.clone() {
            UpdateState::Idle | UpdateState::Staging(_) | UpdateState::Staged(_) => {}
            UpdateState::Activating(attempt)
            | UpdateState::Rebooting(attempt)
            | UpdateState::Confirming(attempt)
                if attempt::is_target_booted(&attempt, inspection) =>
            {
                self.check_health(cx, attempt);
            }
            UpdateState::Activating(attempt) => {
                // The switch was not seen to be done, so that nothing speaks against the image.
                let reason = if attempt::is_same_boot(&attempt, inspection) {
                    "the agent stopped before the machine restarted"
                } else {
                    "the machine stopped during the boot switch and came back on what ran before"
                };
                self.take_back(cx, attempt, reason.to_owned());
            }
            UpdateState::Rebooting(attempt) if attempt::is_same_boot(&attempt, inspection) => {
                let reason = "the agent started again before the machine restarted";
                self.take_back(cx, attempt, reason.to_owned());
            }
            UpdateState::Rebooting(attempt) | UpdateState::Confirming(attempt) => {
                let reason = "the machine came back on what ran before";
                self.fall_back(cx, attempt, reason.to_owned());
            }
            UpdateState::FallingBack(attempt) => {
                self.order_fall_back(cx, &attempt);
                cx.saved.change().update = UpdateState::FallingBack(attempt);
            }
        }
    }

    /// Follows a decision, as far as the state allows.
    pub(crate) fn decided(
        &mut self,
        cx: &mut Context<'_>,
        decision: &Decision,
        around: &Surroundings<'_>,
    ) {
        if !self.resumed {
            return;
        }
        match cx.saved.get().update.clone() {
            UpdateState::Idle => {
                if let (Verdict::Stage, Some(target)) = (decision.verdict, &decision.target) {
                    self.begin(cx, decision, target, around);
                }
            }
            UpdateState::Staging(attempt) => {
                if let Some(reason) = attempt::drop_reason(&attempt, decision, cx.now) {
                    self.abandon(cx, attempt, reason);
                } else if attempt::is_unauthorised(decision) {
                    self.cancel_running(cx);
                } else if self.may_stage(cx) && decision.verdict == Verdict::Stage {
                    self.stage(cx, &attempt);
                }
            }
            UpdateState::Staged(attempt) => {
                if let Some(reason) = attempt::drop_reason(&attempt, decision, cx.now) {
                    self.abandon(cx, attempt, reason);
                } else if decision.verdict == Verdict::Activate {
                    self.activate(cx, attempt, around);
                }
            }
            // The switch is under way: its end asks again, with `confirm_switch`.
            UpdateState::Activating(_)
            | UpdateState::Rebooting(_)
            | UpdateState::Confirming(_)
            | UpdateState::FallingBack(_) => {}
        }
    }

    /// Takes the end of an operation; `false` if it is not one of this machine's. `decision` is
    /// the newest one, asked once more before a restart.
    pub(crate) fn op_done(
        &mut self,
        cx: &mut Context<'_>,
        op: OpId,
        result: Result<OpOutput, String>,
        decision: Option<&Decision>,
        inspection: &Inspection,
    ) -> bool {
        if self.cancelled == Some(op) {
            self.cancelled = None;
            return true;
        }
        let Some((_, act)) = self.running.take_if(|(running, _)| *running == op) else {
            return false;
        };
        match (act, cx.saved.get().update.clone()) {
            (Act::Stage { .. }, UpdateState::Staging(attempt)) => {
                self.staged(cx, attempt, result);
            }
            (Act::Activate { .. }, UpdateState::Activating(attempt)) => {
                self.switched(cx, attempt, result, decision);
            }
            (Act::Reboot, UpdateState::Rebooting(attempt)) => {
                if let Err(error) = result {
                    self.take_back(cx, attempt, format!("the machine did not restart: {error}"));
                }
            }
            (Act::CheckHealth { .. }, UpdateState::Confirming(attempt)) => {
                self.health_checked(cx, attempt, result);
            }
            (Act::Confirm, UpdateState::Confirming(attempt)) => match result {
                Ok(_) => self.finish(cx, attempt, Outcome::Updated),
                Err(error) if self.failures < CONFIRM_RETRIES_MAX => {
                    self.retry(cx, Timer::RetryConfirm, error);
                }
                Err(error) => {
                    self.fall_back(cx, attempt, format!("the boot was not confirmed: {error}"));
                }
            },
            (Act::FallBack { .. } | Act::Reboot, UpdateState::FallingBack(attempt)) => {
                self.fallen_back(cx, attempt, result, inspection);
            }
            (act, state) => debug_assert!(false, "{act:?} runs in {state:?}"),
        }
        true
    }

    /// Notes how far staging is; lost at a restart, which reads it from the chunk journal.
    pub(crate) fn progress(&mut self, cx: &mut Context<'_>, op: OpId, progress: StageProgress) {
        let ours = self.running.as_ref().is_some_and(|(running, _)| *running == op);
        if let (true, UpdateState::Staging(attempt)) = (ours, cx.saved.in_memory_update()) {
            attempt.progress = progress;
        }
    }

    /// A deadline of this machine's passed.
    pub(crate) fn woke(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match (timer, cx.saved.get().update.clone()) {
            (Timer::RestartOverdue, UpdateState::Rebooting(attempt)) => {
                self.running = None;
                self.take_back(cx, attempt, "the machine did not restart in time".to_owned());
            }
            (Timer::RetryFallBack, UpdateState::FallingBack(attempt)) if self.running.is_none() => {
                self.paused = true;
                self.order_fall_back(cx, &attempt);
            }
            (Timer::RetryConfirm, UpdateState::Confirming(_)) if self.running.is_none() => {
                self.order(cx, Act::Confirm);
            }
            // Staging again is the next decision's; all else came too late.
            (_, _) => {}
        }
    }

    fn may_stage(&self, cx: &Context<'_>) -> bool {
        self.running.is_none() && self.cancelled.is_none() && !cx.timers.is_set(Timer::RetryStage)
    }

    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        decision: &Decision,
        target: &ResolvedTarget,
        around: &Surroundings<'_>,
    ) {
        if !self.may_stage(cx) {
            return;
        }
        let state = cx.saved.change();
        state.attempt += 1;
        let installed = around.inspection.machine.installed.as_ref();
        let attempt = Attempt {
            number: state.attempt,
            target: target.clone(),
            from_version: installed.and_then(|installed| installed.version.clone()),
            started: cx.reading.wall,
            from_slot: around.inspection.booted_slot.clone(),
            activated: None,
            boot_id: None,
            untried: false,
            unordered_restart: false,
            activation_ms: around.activation_ms,
            peer_seen: false,
            window: decision.window,
            health_checks: around.health_checks.to_vec(),
            fall_back_restarts: 0,
            progress: StageProgress::default(),
            failure: None,
        };
        self.failures = 0;
        self.last_error = None;
        self.stage(cx, &attempt);
        cx.saved.change().update = UpdateState::Staging(attempt);
    }

    fn stage(&mut self, cx: &mut Context<'_>, attempt: &Attempt) {
        self.order(cx, Act::Stage { attempt: attempt.number, target: attempt.target.clone() });
    }

    fn staged(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: Attempt,
        result: Result<OpOutput, String>,
    ) {
        match result {
            Ok(OpOutput::Staged(progress)) => {
                attempt.progress = progress;
                self.last_error = None;
                cx.saved.change().update = UpdateState::Staged(attempt);
            }
            Ok(OpOutput::Done | OpOutput::Healthy | OpOutput::Unhealthy(_)) => {
                self.retry(cx, Timer::RetryStage, "staging ended without an image".to_owned());
            }
            Err(error) => self.retry(cx, Timer::RetryStage, error),
        }
    }

    fn activate(&mut self, cx: &mut Context<'_>, mut attempt: Attempt, around: &Surroundings<'_>) {
        attempt.activated = Some(cx.reading.wall);
        attempt.boot_id.clone_from(&around.inspection.boot_id);
        attempt.peer_seen = around.peer_connected;
        self.order(cx, Act::Activate { attempt: attempt.number, target: attempt.target.clone() });
        cx.saved.change().update = UpdateState::Activating(attempt);
    }

    fn switched(
        &mut self,
        cx: &mut Context<'_>,
        attempt: Attempt,
        result: Result<OpOutput, String>,
        decision: Option<&Decision>,
    ) {
        if let Err(error) = result {
            return self.take_back(cx, attempt, format!("the boot switch failed: {error}"));
        }
        match attempt::withdrawal(&attempt, decision, cx.now) {
            Some(reason) => self.take_back(cx, attempt, reason),
            None => {
                self.order(cx, Act::Reboot);
                cx.timers.set(Timer::RestartOverdue, cx.reading.mono.plus_ms(RESTART_MS_MAX));
                cx.saved.change().update = UpdateState::Rebooting(attempt);
            }
        }
    }

    fn check_health(&mut self, cx: &mut Context<'_>, mut attempt: Attempt) {
        if matches!(cx.saved.get().update, UpdateState::Activating(_)) {
            attempt.unordered_restart = true;
        }
        self.order(
            cx,
            Act::CheckHealth {
                checks: attempt.health_checks.clone(),
                peer_expected: attempt.peer_seen,
            },
        );
        cx.saved.change().update = UpdateState::Confirming(attempt);
    }

    fn health_checked(
        &mut self,
        cx: &mut Context<'_>,
        attempt: Attempt,
        result: Result<OpOutput, String>,
    ) {
        match result {
            Ok(OpOutput::Healthy) => self.order(cx, Act::Confirm),
            Ok(OpOutput::Unhealthy(why)) => {
                self.fall_back(cx, attempt, format!("health check failed: {why}"));
            }
            Ok(OpOutput::Done | OpOutput::Staged(_)) => {
                self.fall_back(cx, attempt, "the health checks gave no answer".to_owned());
            }
            Err(error) => {
                self.fall_back(cx, attempt, format!("the health checks did not run: {error}"));
            }
        }
    }

    /// Takes the boot switch back before the machine restarted: the image is not to blame.
    fn take_back(&mut self, cx: &mut Context<'_>, mut attempt: Attempt, reason: String) {
        attempt.untried = true;
        self.fall_back(cx, attempt, reason);
    }

    fn fall_back(&mut self, cx: &mut Context<'_>, mut attempt: Attempt, reason: String) {
        cx.timers.clear(Timer::RestartOverdue);
        attempt.failure = Some(attempt::cut(&reason, FAILURE_BYTES_MAX));
        self.failures = 0;
        self.order_fall_back(cx, &attempt);
        cx.saved.change().update = UpdateState::FallingBack(attempt);
    }

    fn order_fall_back(&mut self, cx: &mut Context<'_>, attempt: &Attempt) {
        self.order(cx, Act::FallBack { slot: attempt.from_slot.clone() });
    }

    fn fallen_back(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: Attempt,
        result: Result<OpOutput, String>,
        inspection: &Inspection,
    ) {
        if let Err(error) = result {
            return self.retry(cx, Timer::RetryFallBack, error);
        }
        if !attempt::is_target_booted(&attempt, inspection) {
            if !attempt.untried {
                return self.finish(cx, attempt, Outcome::Failed);
            }
            self.finish(cx, attempt, Outcome::Dropped);
            // A machine that cannot switch must not stage and switch in a circle.
            let pause_ms = pause_ms(self.taken_back);
            self.taken_back = self.taken_back.saturating_add(1);
            return cx.timers.set(Timer::RetryStage, cx.reading.mono.plus_ms(pause_ms));
        }
        // Still on the image that failed. An ordered restart that ends without one comes back
        // here through the retry.
        let paused = std::mem::take(&mut self.paused);
        if paused || attempt.fall_back_restarts < FALL_BACK_RESTARTS_MAX {
            attempt.fall_back_restarts = attempt.fall_back_restarts.saturating_add(1);
            self.order(cx, Act::Reboot);
            cx.saved.change().update = UpdateState::FallingBack(attempt);
        } else {
            self.last_error = Some("the machine does not fall back".to_owned());
            cx.timers.set(Timer::RetryFallBack, cx.reading.mono.plus_ms(RETRY_MS_MAX));
        }
    }

    /// Gives an attempt up before the boot switch (RULES Q14).
    fn abandon(&mut self, cx: &mut Context<'_>, mut attempt: Attempt, reason: DropReason) {
        self.cancel_running(cx);
        attempt.failure = Some(reason.text().to_owned());
        self.finish(cx, attempt, Outcome::Dropped);
    }

    /// Cancels the staging that runs, if one does.
    fn cancel_running(&mut self, cx: &mut Context<'_>) {
        if let Some((op, _)) = self.running.take() {
            cx.batch.now(Effect::Cancel { op });
            self.cancelled = Some(op);
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>, attempt: Attempt, outcome: Outcome) {
        for timer in
            [Timer::RetryStage, Timer::RetryFallBack, Timer::RetryConfirm, Timer::RestartOverdue]
        {
            cx.timers.clear(timer);
        }
        self.failures = 0;
        self.last_error = None;
        attempt::close(cx.saved.change(), attempt, outcome, cx.reading.wall, cx.now);
    }

    fn retry(&mut self, cx: &mut Context<'_>, timer: Timer, error: String) {
        let pause_ms = pause_ms(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(attempt::cut(&error, FAILURE_BYTES_MAX));
        cx.timers.set(timer, cx.reading.mono.plus_ms(pause_ms));
    }

    fn order(&mut self, cx: &mut Context<'_>, act: Act) {
        debug_assert!(self.running.is_none(), "one act at a time");
        let op = cx.ops.mint();
        self.running = Some((op, act.clone()));
        cx.batch.after(Effect::Perform { op, act });
    }
}

/// The pause after so many failures in a row, in ms.
fn pause_ms(failures: u32) -> u64 {
    RETRY_MS_FIRST.saturating_mul(1 << failures.min(10)).min(RETRY_MS_MAX)
}

/// What is staged, as the decision sees it: also while the switch is under way.
pub(crate) fn staged_image(state: &UpdateState) -> Option<StagedImage> {
    match state {
        UpdateState::Staged(attempt) | UpdateState::Activating(attempt) => Some(StagedImage {
            profile: attempt.target.digest,
            index_digest: attempt::image_of(&attempt.target),
        }),
        UpdateState::Idle
        | UpdateState::Staging(_)
        | UpdateState::Rebooting(_)
        | UpdateState::Confirming(_)
        | UpdateState::FallingBack(_) => None,
    }
}

/// When the run under way began, if one is.
pub(crate) fn attempt_of(state: &UpdateState) -> Option<&Attempt> {
    match state {
        UpdateState::Idle => None,
        UpdateState::Staging(attempt)
        | UpdateState::Staged(attempt)
        | UpdateState::Activating(attempt)
        | UpdateState::Rebooting(attempt)
        | UpdateState::Confirming(attempt)
        | UpdateState::FallingBack(attempt) => Some(attempt),
    }
}

/// Time between two points, not negative, in ms.
fn elapsed_ms(from: WallTime, to: WallTime) -> u64 {
    u64::try_from(to.since_ms(from)).unwrap_or(0)
}
