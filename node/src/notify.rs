//! What the service manager is told: ready, alive, stopping (sd_notify). Nothing without one.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Tells the service manager.
#[derive(Debug)]
pub(crate) struct Notifier(());

impl Notifier {
    /// Starts to show signs of life, if the service manager wants them.
    pub(crate) fn start(stop: &CancellationToken) -> Self {
        if let Some(timeout) = sd_notify::watchdog_enabled() {
            let stop = stop.clone();
            let every = (timeout / 2).max(Duration::from_millis(100));
            tokio::spawn(async move {
                while tokio::time::timeout(every, stop.cancelled()).await.is_err() {
                    tell(&[NotifyState::Watchdog]);
                }
            });
        }
        Self(())
    }

    pub(crate) fn ready(&self) {
        tell(&[NotifyState::Ready, NotifyState::Status("running")]);
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
