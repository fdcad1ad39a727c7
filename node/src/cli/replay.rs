//! `daymark-node replay`: a recorded run again, in a core without a machine, with this machine's
//! key. Nothing is performed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::Context as _;
use daymark_core::recording::{Replay, ReplayError};
use daymark_protocol::trust::SigningKey;

use super::print;
use crate::durable::HostKeyFile;
use crate::settings::Settings;

pub(super) fn replay(settings: &Settings, recording: &Path) -> anyhow::Result<()> {
    let key = HostKeyFile::read(&settings.data_dir)?;
    let failed = || format!("cannot replay {}", recording.display());
    let file = std::fs::File::open(recording).with_context(failed)?;
    let mut lines = BufReader::new(file).lines();
    let first = lines.next().context("it is empty").with_context(failed)?.with_context(failed)?;
    let mut replay = Replay::begin(&first, SigningKey::from_seed(key.seed)).with_context(failed)?;
    let mut lines = lines.peekable();
    let mut torn = false;
    while let Some(line) = lines.next() {
        match replay.step(&line.with_context(failed)?) {
            // The agent was cut off while it wrote.
            Err(ReplayError::Unreadable { .. }) if lines.peek().is_none() => torn = true,
            taken => taken.with_context(failed)?,
        }
    }
    let agent = replay.agent();
    if agent != env!("CARGO_PKG_VERSION") {
        print(&format!("it was recorded by version {agent}, which may rightly do otherwise"))?;
    }
    let replayed = replay.replayed();
    let compared: usize = replayed.compared.values().sum();
    print(&format!(
        "{} steps and all {compared} effects and writes are the same{}",
        replayed.steps,
        if torn { "; the last line was torn off and is left out" } else { "" }
    ))?;
    for (variant, count) in &replayed.compared {
        print(&format!("  {count:>8} {variant}"))?;
    }
    Ok(())
}
