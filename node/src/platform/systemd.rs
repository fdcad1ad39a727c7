//! Asking systemd about units. Where it does not run there is nothing to ask; where it runs and
//! gives no answer, that is an error and never "no".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{self, Run};

/// Time that one question gets.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// systemd runs, but does not say what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("systemd does not say which units are {asked}: {why}")]
pub struct NoAnswer {
    asked: String,
    why: String,
}

/// The running systemd.
#[derive(Clone, Debug)]
pub struct Systemd {
    program: PathBuf,
}

impl Systemd {
    /// The one of the machine whose files are under `root`; `None` where it does not run.
    pub fn of(root: &Path) -> Option<Self> {
        root.join("run/systemd/system").exists().then(|| Self::asked_by("systemctl"))
    }

    /// The one that `program` asks.
    pub(super) fn asked_by(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// The names of all units in a state, such as `active` or `failed`.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn units(&self, state: &str) -> Result<BTreeSet<String>, NoAnswer> {
        let no_answer = |why: String| NoAnswer { asked: state.to_owned(), why };
        let state = format!("--state={state}");
        let arguments = ["list-units", "--plain", "--no-legend", "--full", &state];
        let run = Run::new(&self.program, ASK_TIMEOUT).arguments(&arguments);
        let output = command::run(run).await.map_err(|error| no_answer(error.to_string()))?;
        if !output.success() {
            return Err(no_answer(output.last_words()));
        }
        let text = output.stdout_text();
        Ok(text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_answer_is_an_error_and_no_systemd_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert!(Systemd::of(root.path()).is_none());
        std::fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert!(Systemd::of(root.path()).is_some());
        for program in ["false", "/nonexistent/systemctl"] {
            let error = Systemd::asked_by(program).units("active").await.unwrap_err();
            assert!(error.to_string().contains("which units are active"), "{error}");
        }
        assert_eq!(Systemd::asked_by("true").units("active").await.unwrap(), [].into());
    }
}
