//! The update state machine (DESIGN section 8): idle → staging → staged → activating → rebooting →
//! confirming → done, failed or fallen back. Each state is durable before its act is ordered, and
//! each can be resumed after a restart from what is really booted.
//!
//! It does not decide: it follows a [`Decision`] up to the boot switch. After the switch only the
//! machine itself decides, by what is booted and by its health checks (I12).

mod attempt;
mod falling_back;
mod staging;
mod state;
mod switching;
#[cfg(test)]
mod tests;

use daymark_protocol::decide::{Activity, Decision, Verdict};
use daymark_protocol::time::Now;

use self::attempt::Outcome;
pub(crate) use self::state::{attempt_of, staged_image};
use crate::durable::{Attempt, UpdateState};
use crate::effect::{Act, Batch, Effect, OpId};
use crate::event::{Inspection, OpOutput, Reading, StageProgress};
use crate::saved::{OpIds, Saved};
use crate::timer::{Timer, Timers};

/// First pause before staging or falling back is tried again; doubles up to [`RETRY_MS_MAX`].
const RETRY_MS_FIRST: u64 = 30_000;
/// Longest such pause.
const RETRY_MS_MAX: u64 = 3_600_000;
/// Tries of confirming after the first.
const CONFIRM_RETRIES_MAX: u32 = 3;
/// How long an ordered restart may take before it counts as failed.
const RESTART_MS_MAX: u64 = 600_000;
/// How long any other act but staging may take: longer than a platform lets one (a day).
const ACT_MS_MAX: u64 = 25 * 3_600_000;
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
        // A restart that was ordered is still to come.
        if act != Act::Reboot {
            cx.timers.clear(Timer::ActOverdue);
        }
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
            attempt.note_progress(progress);
        }
    }

    /// A deadline of this machine's passed.
    pub(crate) fn woke(&mut self, cx: &mut Context<'_>, timer: Timer) {
        let state = cx.saved.get().update.clone();
        match timer {
            Timer::ActOverdue => self.overdue(cx, state),
            Timer::RetryFallBack => {
                if let (UpdateState::FallingBack(attempt), None) = (state, &self.running) {
                    self.paused = true;
                    self.order_fall_back(cx, &attempt);
                }
            }
            Timer::RetryConfirm => {
                if let (UpdateState::Confirming(_), None) = (state, &self.running) {
                    self.order(cx, Act::Confirm);
                }
            }
            // Staging again is the next decision's.
            Timer::RetryStage => {}
            Timer::Decide
            | Timer::Repair
            | Timer::Dial
            | Timer::Liveness
            | Timer::OpenGeneration
            | Timer::Report
            | Timer::RetryConfig
            | Timer::ConfigOverdue
            | Timer::HearAgain
            | Timer::Heard => debug_assert!(false, "{timer:?} is not the update's"),
        }
    }

    /// The act under way did not end in time: whatever it still does, the way back is taken.
    /// Staging is bounded by its window, and a slot that it may still write must not be used.
    fn overdue(&mut self, cx: &mut Context<'_>, state: UpdateState) {
        match state {
            UpdateState::Idle | UpdateState::Staging(_) | UpdateState::Staged(_) => {}
            UpdateState::Activating(attempt) => {
                self.running = None;
                self.take_back(cx, attempt, "the boot switch did not end in time".to_owned());
            }
            UpdateState::Rebooting(attempt) => {
                self.running = None;
                self.take_back(cx, attempt, "the machine did not restart in time".to_owned());
            }
            UpdateState::Confirming(attempt) => {
                self.running = None;
                self.fall_back(cx, attempt, "the boot was not confirmed in time".to_owned());
            }
            UpdateState::FallingBack(_) => {
                if self.running.take().is_some() {
                    let error = "falling back did not end in time".to_owned();
                    self.retry(cx, Timer::RetryFallBack, error);
                }
            }
        }
    }

    fn finish(&mut self, cx: &mut Context<'_>, attempt: Attempt, outcome: Outcome) {
        for timer in
            [Timer::RetryStage, Timer::RetryFallBack, Timer::RetryConfirm, Timer::ActOverdue]
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
        let longest_ms = match act {
            Act::Stage { .. } => None,
            Act::Reboot => Some(RESTART_MS_MAX),
            Act::Activate { .. }
            | Act::CheckHealth { .. }
            | Act::Confirm
            | Act::FallBack { .. }
            | Act::DeliverConfig { .. } => Some(ACT_MS_MAX),
        };
        if let Some(longest_ms) = longest_ms {
            cx.timers.set(Timer::ActOverdue, cx.reading.mono.plus_ms(longest_ms));
        }
        cx.batch.after(Effect::Perform { op, act });
    }
}

/// The pause after so many failures in a row, in ms.
fn pause_ms(failures: u32) -> u64 {
    RETRY_MS_FIRST.saturating_mul(1 << failures.min(10)).min(RETRY_MS_MAX)
}
