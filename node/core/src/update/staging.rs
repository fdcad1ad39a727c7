//! Up to the boot switch: filling the inactive slot, and giving that up.

use daymark_protocol::decide::{Decision, ResolvedTarget};

use super::attempt::{DropReason, Outcome};
use super::{Context, Surroundings, Updater};
use crate::durable::{Attempt, UpdateState};
use crate::effect::{Act, Effect};
use crate::event::{OpOutput, StageProgress};
use crate::timer::Timer;

impl Updater {
    pub(super) fn may_stage(&self, cx: &Context<'_>) -> bool {
        self.running.is_none() && self.cancelled.is_none() && !cx.timers.is_set(Timer::RetryStage)
    }

    pub(super) fn begin(
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
            from_profile: installed.and_then(|installed| installed.profile.clone()),
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

    pub(super) fn stage(&mut self, cx: &mut Context<'_>, attempt: &Attempt) {
        let target = Box::new(attempt.target.clone());
        self.order(cx, Act::Stage { attempt: attempt.number, target });
    }

    pub(super) fn staged(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: Attempt,
        result: Result<OpOutput, String>,
    ) {
        match result {
            Ok(OpOutput::Staged(progress)) => {
                attempt.note_progress(progress);
                self.last_error = None;
                cx.saved.change().update = UpdateState::Staged(attempt);
            }
            Ok(OpOutput::Done | OpOutput::Healthy | OpOutput::Unhealthy(_)) => {
                self.retry(cx, Timer::RetryStage, "staging ended without an image".to_owned());
            }
            Err(error) => self.retry(cx, Timer::RetryStage, error),
        }
    }

    /// Gives an attempt up before the boot switch (RULES Q14).
    pub(super) fn abandon(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: Attempt,
        reason: DropReason,
    ) {
        self.cancel_running(cx);
        attempt.failure = Some(reason.text().to_owned());
        self.finish(cx, attempt, Outcome::Dropped);
    }

    /// Cancels the staging that runs, if one does.
    pub(super) fn cancel_running(&mut self, cx: &mut Context<'_>) {
        if let Some((op, _)) = self.running.take() {
            cx.batch.now(Effect::Cancel { op });
            self.cancelled = Some(op);
        }
    }
}
