//! The recorder: writes down what the core is given and what comes of it, for support. Each start
//! of the agent has a file of its own; what is too much is left out at the end, never in between.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use daymark_core::event::Reading;
use daymark_core::{Batch, CoreConfig, Event, Start, recording};

use super::AgentError;

/// Most bytes of one recording: about a day of a busy site.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Recordings that are kept in a folder; older ones go when another is begun.
const FILES_MAX: usize = 8;
/// How recordings are named; the time of the start stands between.
const PREFIX: &str = "recording-";
const SUFFIX: &str = ".jsonl";

/// Writes one recording.
#[derive(Debug)]
pub(super) struct Recorder {
    path: PathBuf,
    file: Option<fs::File>,
    bytes: u64,
}

impl Recorder {
    /// Begins a recording in a folder, which only its owner can read: what the fleet says is in it.
    pub(super) fn begin(
        folder: &Path,
        config: &CoreConfig,
        start: &Start,
        reading: Reading,
    ) -> Result<Self, AgentError> {
        let path = folder.join(format!("{PREFIX}{:015}{SUFFIX}", reading.wall.as_ms()));
        let failed = |error: std::io::Error| {
            AgentError::System(format!("cannot record to {}: {error}", path.display()))
        };
        fs::create_dir_all(folder).map_err(failed)?;
        make_room(folder).map_err(failed)?;
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let line = recording::start_line(config, start, reading, env!("CARGO_PKG_VERSION"));
        let line = line.map_err(|error| AgentError::System(error.to_string()))?;
        let mut recorder = Self { path: path.clone(), file: Some(file), bytes: 0 };
        recorder.write(&line);
        tracing::warn!(file = %path.display(), "recording what the agent is told; not its key");
        Ok(recorder)
    }

    /// Notes a step before anything of it is performed.
    pub(super) fn note(&mut self, event: Option<(Reading, Event)>, batch: &Batch) {
        if self.file.is_none() {
            return;
        }
        match recording::step_line(event, batch) {
            Ok(line) => self.write(&line),
            Err(error) => self.end(&error.to_string()),
        }
    }

    fn write(&mut self, line: &str) {
        let Some(file) = &mut self.file else { return };
        self.bytes += line.len() as u64 + 1;
        if self.bytes > FILE_BYTES_MAX {
            return self.end("it is as large as it may be");
        }
        // One write: a line is torn by a power cut at most.
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            self.end(&error.to_string());
        }
    }

    /// Recording must not stop the agent.
    fn end(&mut self, why: &str) {
        tracing::warn!(file = %self.path.display(), why, "the recording ends");
        self.file = None;
    }
}

/// Removes the oldest recordings, so that one more may be begun.
fn make_room(folder: &Path) -> std::io::Result<()> {
    let mut held = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            held.push(path);
        }
    }
    held.sort();
    let excess = (held.len() + 1).saturating_sub(FILES_MAX);
    held.iter().take(excess).try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_only_the_newest_recordings_are_kept_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for number in 0..12 {
            fs::write(file(&format!("{PREFIX}{number:015}{SUFFIX}")), "").unwrap();
        }
        fs::write(file("notes"), "").unwrap();
        make_room(folder.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), FILES_MAX);
        assert_eq!(names[0], "notes");
        assert_eq!(names[1], format!("{PREFIX}{:015}{SUFFIX}", 5));
    }
}
