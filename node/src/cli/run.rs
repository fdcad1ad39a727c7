//! `daymark-node run`: the agent as a process.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::Usage;
use crate::agent::Ended;
use crate::settings::{Log, LogFormat, Settings};
use crate::{EXIT_REBOOT, boot};

/// Threads of the agent: one for its loop, one for everything else.
const THREADS: usize = 2;

pub(super) fn run(settings: Settings, record: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    start_log(&settings.log)?;
    die_with_the_boot_program();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        anyhow::Ok(crate::agent::run_recorded(settings, record.as_deref(), stop).await?)
    })?;
    // A health check or a reboot command may still be waited for.
    runtime.shutdown_background();
    Ok(match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::Reboot => ExitCode::from(EXIT_REBOOT),
    })
}

fn stop_on_signals(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch signals")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

/// A boot program that is killed takes its agent along, as a power cut would.
fn die_with_the_boot_program() {
    if std::env::var_os(boot::BOOT_SLOT_VARIABLE).is_some() {
        let signal = Some(rustix::process::Signal::KILL);
        if let Err(error) = rustix::process::set_parent_process_death_signal(signal) {
            tracing::debug!(%error, "the agent may outlive the boot program");
        }
    }
}

/// What the log shows. A peer that goes away is told of by this agent; the stream layer below it
/// warns of the same once per connection, and is heard only if `level` names it.
fn filter(level: &str) -> Result<EnvFilter, Usage> {
    EnvFilter::try_new(format!("yamux=error,{level}"))
        .map_err(|error| Usage(format!("log.level {level:?} is no level or filter: {error}")))
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = filter(&log.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_layer_is_quiet_unless_it_is_named() {
        assert!(filter("info").unwrap().to_string().contains("yamux=error"));
        assert!(filter("info,yamux=debug").unwrap().to_string().contains("yamux=debug"));
        assert!(filter("very=loud=").is_err());
    }
}
