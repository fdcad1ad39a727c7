//! Keeps the mesh running: a panic, in the driver or in a connection's task, ends the swarm, is
//! counted and reported, and a new swarm takes over with the same configuration, admissions and
//! subscriptions. A parser's fault that a peer can reach then costs connections, not the node.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::driver::{Driver, Ended, Fixed};
use super::event::MeshEvent;
use super::handle::Command;
use super::state::State;

/// First pause before a new swarm; doubles, so that a peer that can make it fail does not keep
/// the machine busy.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// After so long without a failure the pause is short again.
const STABLE_AFTER: Duration = Duration::from_secs(300);

/// Runs until the host stops it.
pub(super) async fn supervise(
    fixed: Arc<Fixed>,
    mut driver: Driver,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<MeshEvent>,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let started = tokio::time::Instant::now();
        let run = AssertUnwindSafe(driver.run(&mut commands, &events)).catch_unwind().await;
        let reason = match run {
            Ok(Ended::Stopped(reply)) => {
                driver.stop();
                confirm(reply);
                return;
            }
            Ok(Ended::Failed(reason)) => reason,
            Err(panic) => panic_text(panic.as_ref()),
        };
        tracing::error!(reason, "the mesh failed and starts again");
        fixed.counters.restarts.fetch_add(1, Ordering::Relaxed);
        fixed.counters.connections.store(0, Ordering::Relaxed);
        if started.elapsed() >= STABLE_AFTER {
            pause = PAUSE_MIN;
        }
        let mut state = driver.stop();
        state.failed(reason);
        driver = match restart(&fixed, state, &mut commands, &mut pause).await {
            Ok(driver) => driver,
            Err(reply) => return confirm(reply),
        };
    }
}

/// Starts a new swarm, as often as it takes; fails if the host stops the mesh meanwhile.
async fn restart(
    fixed: &Arc<Fixed>,
    mut state: State,
    commands: &mut mpsc::Receiver<Command>,
    pause: &mut Duration,
) -> Result<Driver, Option<oneshot::Sender<()>>> {
    loop {
        let until = tokio::time::Instant::now() + *pause;
        *pause = (*pause * 2).min(PAUSE_MAX);
        while let Ok(command) = tokio::time::timeout_at(until, commands.recv()).await {
            let Some(command) = command else { return Err(None) };
            if let Some(reply) = state.take_offline(command) {
                return Err(Some(reply));
            }
        }
        match Driver::start(fixed, state) {
            Ok(driver) => return Ok(driver),
            Err(failed) => {
                let (error, kept) = *failed;
                tracing::warn!(error = &error as &dyn std::error::Error, "the mesh cannot start");
                state = kept;
            }
        }
    }
}

fn confirm(reply: Option<oneshot::Sender<()>>) {
    if let Some(reply) = reply {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(());
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_owned())
}
