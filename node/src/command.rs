//! Other programs, run with a bound on time and output; what they started goes with them.

use std::ffi::{OsStr, OsString};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Most output kept of each stream; what a program writes beyond it is read and dropped.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Starts again when the program is still being written by someone.
const BUSY_TRIES: u32 = 5;

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It cannot be started.
    #[error("cannot start {program}: {cause}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        cause: std::io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{program} did not end within {} s", timeout.as_secs())]
    Timeout {
        /// The program.
        program: String,
        /// The time that it had.
        timeout: Duration,
    },
    /// Talking to it failed.
    #[error("cannot talk to {program}: {cause}")]
    Talk {
        /// The program.
        program: String,
        /// Why.
        cause: std::io::Error,
    },
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    input: Vec<u8>,
    timeout: Duration,
}

impl Run {
    /// A program without arguments and input.
    pub fn new(program: impl AsRef<OsStr>, timeout: Duration) -> Self {
        let program = program.as_ref().to_owned();
        Self { program, arguments: Vec::new(), input: Vec::new(), timeout }
    }

    /// A line for the shell.
    pub fn shell(line: &str, timeout: Duration) -> Self {
        Self::new("/bin/sh", timeout).arguments(&["-c", line])
    }

    /// With arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(OsString::from).collect();
        self
    }

    /// With standard input.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// The time that it gets.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }
}

/// What a program gave back.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, cut at [`OUTPUT_BYTES_MAX`].
    pub stdout: Vec<u8>,
    /// Its standard error, cut likewise.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended with status 0.
    pub fn success(&self) -> bool {
        self.status.success()
    }

    /// Its standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The last line that it wrote, on standard error or else on standard output, cut to 200
    /// characters; how it ended if it wrote nothing.
    pub fn last_words(&self) -> String {
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
            Some(line.trim().chars().take(200).collect::<String>())
        };
        last(&self.stderr)
            .or_else(|| last(&self.stdout))
            .unwrap_or_else(|| format!("it ended with {}", self.status))
    }
}

/// Runs a program to its end.
///
/// # Errors
/// If it cannot be started, takes too long, or cannot be talked to. That it failed is no error.
pub async fn run(run: Run) -> Result<Output, CommandError> {
    let mut child = start(&run).await?;
    let mut group = Group(child.id());
    let ended = tokio::time::timeout(run.timeout, talk(&mut child, &run.input)).await;
    match ended {
        Ok(Ok(output)) => {
            group.0 = None;
            Ok(output)
        }
        Ok(Err(cause)) => Err(CommandError::Talk { program: run.name(), cause }),
        Err(_) => {
            drop(group);
            let _ = child.wait().await;
            Err(CommandError::Timeout { program: run.name(), timeout: run.timeout })
        }
    }
}

async fn start(run: &Run) -> Result<Child, CommandError> {
    let mut tries = 0;
    loop {
        let spawned = Command::new(&run.program)
            .args(&run.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        match spawned {
            Ok(child) => return Ok(child),
            Err(error)
                if error.kind() == std::io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
            {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(cause) => return Err(CommandError::Start { program: run.name(), cause }),
        }
    }
}

async fn talk(child: &mut Child, input: &[u8]) -> std::io::Result<Output> {
    let mut stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin.take() {
            match stdin.write_all(input).await {
                // A program may well answer without reading its input.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                other => other,
            }
        } else {
            Ok(())
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (written, stdout, stderr, status) =
        tokio::join!(write, read(stdout), read(stderr), child.wait());
    written?;
    Ok(Output { status: status?, stdout: stdout?, stderr: stderr? })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return Ok(kept) };
    (&mut stream).take(OUTPUT_BYTES_MAX as u64).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// The group of a program that has not ended: killed when nobody waits for it any longer.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.take().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group.and_then(rustix::process::Pid::from_raw) {
            // Nothing to do about a group that is gone.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn input_goes_in_and_output_comes_back() {
        let output = run(Run::new("cat", LONG).input(b"through".to_vec())).await.unwrap();
        assert!(output.success());
        assert_eq!(output.stdout_text(), "through");
        let failed = run(Run::shell("echo out; echo why >&2; exit 3", LONG)).await.unwrap();
        assert_eq!((failed.status.code(), failed.last_words()), (Some(3), "why".to_owned()));
    }

    #[tokio::test]
    async fn output_is_bounded_and_input_need_not_be_read() {
        let run_it = Run::shell("yes | head -c 10000000", LONG).input(vec![0; 1_000_000]);
        let output = run(run_it).await.unwrap();
        assert_eq!(output.stdout.len(), OUTPUT_BYTES_MAX);
    }

    #[tokio::test]
    async fn what_does_not_end_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let line = format!("sleep 1000 & echo $! > {}; wait", mark.display());
        let error = run(Run::shell(&line, Duration::from_secs(1))).await.unwrap_err();
        assert!(matches!(error, CommandError::Timeout { .. }));
        await_end(&mark).await;
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_longer_is_killed_too() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let line = format!("sleep 1000 & echo $! > {}; wait", mark.display());
        let waiting = tokio::spawn(run(Run::shell(&line, LONG)));
        while !std::fs::read_to_string(&mark).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        waiting.abort();
        await_end(&mark).await;
    }

    async fn await_end(mark: &std::path::Path) {
        let pid: i32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        let stat = format!("/proc/{pid}/stat");
        // Killed, it may wait as a zombie for whoever adopts it.
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error = run(Run::new("/nonexistent/program", LONG)).await.unwrap_err().to_string();
        assert!(error.contains("/nonexistent/program"), "{error}");
    }
}
