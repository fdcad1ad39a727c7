//! The boot switch, the restart, and the health checks of what came up after it.

use daymark_protocol::decide::Decision;

use super::{Context, Surroundings, Updater, attempt};
use crate::durable::{Attempt, UpdateState};
use crate::effect::Act;
use crate::event::OpOutput;

impl Updater {
    pub(super) fn activate(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: Attempt,
        around: &Surroundings<'_>,
    ) {
        attempt.activated = Some(cx.reading.wall);
        attempt.boot_id.clone_from(&around.inspection.boot_id);
        attempt.peer_seen = around.peer_connected;
        let target = Box::new(attempt.target.clone());
        self.order(cx, Act::Activate { attempt: attempt.number, target });
        cx.saved.change().update = UpdateState::Activating(attempt);
    }

    pub(super) fn switched(
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
                cx.saved.change().update = UpdateState::Rebooting(attempt);
            }
        }
    }

    pub(super) fn check_health(&mut self, cx: &mut Context<'_>, mut attempt: Attempt) {
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

    pub(super) fn health_checked(
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
}
