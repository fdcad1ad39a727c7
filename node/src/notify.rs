//! What the service manager is told: ready, alive, what is going on, stopping (sd_notify). Nothing
//! without one.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Shortest pause between two signs of life.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// Tells the service manager.
#[derive(Debug)]
pub(crate) struct Notifier {
    signs: Option<Interval>,
    told: String,
}

impl Notifier {
    /// Signs of life are given if the service manager wants them.
    pub(crate) fn new() -> Self {
        let signs = sd_notify::watchdog_enabled().map(|timeout| {
            let mut signs = interval((timeout / 2).max(PAUSE_MIN));
            signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
            signs
        });
        Self { signs, told: String::new() }
    }

    pub(crate) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// Waits until a sign of life is due, if ever. It is for the loop that must be alive to ask.
    pub(crate) async fn due(&mut self) {
        match &mut self.signs {
            Some(signs) => {
                signs.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    pub(crate) fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }

    /// Says what is going on, if it is news.
    pub(crate) fn status(&mut self, text: String) {
        if text != self.told {
            tell(&[NotifyState::Status(&text)]);
            self.told = text;
        }
    }

    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
