//! The way back to what ran before; always allowed, and never given up.

use super::attempt::{self, Outcome};
use super::{Context, FAILURE_BYTES_MAX, RETRY_MS_MAX, Updater, pause_ms};
use crate::durable::{Attempt, UpdateState};
use crate::effect::Act;
use crate::event::{Inspection, OpOutput};
use crate::timer::Timer;

/// Restarts ordered at once to get back to the last good slot; after them, one an hour.
const FALL_BACK_RESTARTS_MAX: u8 = 3;

impl Updater {
    /// Takes the boot switch back before the machine restarted: the image is not to blame.
    pub(super) fn take_back(&mut self, cx: &mut Context<'_>, mut attempt: Attempt, reason: String) {
        attempt.untried = true;
        self.fall_back(cx, attempt, reason);
    }

    pub(super) fn fall_back(&mut self, cx: &mut Context<'_>, mut attempt: Attempt, reason: String) {
        attempt.failure = Some(attempt::cut(&reason, FAILURE_BYTES_MAX));
        self.failures = 0;
        self.order_fall_back(cx, &attempt);
        cx.saved.change().update = UpdateState::FallingBack(attempt);
    }

    pub(super) fn order_fall_back(&mut self, cx: &mut Context<'_>, attempt: &Attempt) {
        self.order(cx, Act::FallBack { slot: attempt.from_slot.clone() });
    }

    pub(super) fn fallen_back(
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
}
