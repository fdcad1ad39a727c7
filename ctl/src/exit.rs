//! Exit codes, the same for every command, and the failure that carries one.

use std::fmt;
use std::process::ExitCode;

/// How a command ended; documented in `docs/operating.md` and in `daymarkctl help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line or a file given to it is wrong.
    Usage = 2,
    /// Signatures are still missing.
    Pending = 3,
    /// A rule refuses it.
    Refused = 4,
    /// Nobody could be reached.
    Unreachable = 5,
    /// Two things contradict each other.
    Conflict = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failed command: one sentence that names the thing, the next step, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, and its causes.
    pub error: anyhow::Error,
    /// What to do about it.
    pub next_step: Option<String>,
}

impl Failure {
    /// A failure with an exit code and a sentence.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}"), next_step: None }
    }

    /// Wrong usage.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Refused by a rule.
    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = Some(step.into());
        self
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into(), next_step: None }
    }
}

/// What a command returns.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;
