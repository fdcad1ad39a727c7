//! The `command` backend: the operator's program changes the OS. It is run as `PROGRAM VERB` with
//! a JSON object on standard input, answers with one on standard output, and ends with status 0;
//! any other status is a failure whose last line on standard error says why.
//!
//! | verb | input | answer |
//! |---|---|---|
//! | `inspect` | `{}` | [`Inspected`] |
//! | `stage` | [`Order`] | `{}` |
//! | `activate` | [`Order`] | `{}`; what was staged boots next, durably |
//! | `confirm` | `{}` | `{}` |
//! | `rollback` | `{}` | `{}` |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use daymark_protocol::decide::{Installed, InstalledSource, ResolvedTarget};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::OsType;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::{self, Run};

/// Time that `inspect` gets; the others have the configuration's.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What the program is to stage or activate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order<'a> {
    /// Number of the attempt.
    pub attempt: u64,
    /// The signed target.
    pub target: &'a ResolvedTarget,
    /// The image's parts, fetched and verified, if the profile names an image.
    pub parts: BTreeMap<String, PathBuf>,
}

/// What the program says of the machine. Unknown fields are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inspected {
    /// Name of the profile that is installed.
    pub profile: Option<String>,
    /// Version that is installed and booted, as dotted numbers.
    pub version: Option<String>,
    /// SHA-256 of the image file as published, if known.
    pub image_sha256: Option<Digest>,
    /// The OS type, if os-release does not tell.
    pub os_type: Option<OsType>,
    /// What is booted, as the program names it.
    pub booted_slot: Option<String>,
    /// Whether the running boot still awaits `confirm`.
    pub boot_unconfirmed: bool,
    /// Why nothing can be staged now, if so.
    pub busy: Option<String>,
    /// Why the machine must not be changed now.
    pub inhibitors: Vec<String>,
}

impl Inspected {
    /// What is installed, if the program knows.
    pub fn installed(&self) -> Option<Installed> {
        self.version.as_ref()?;
        Some(Installed {
            profile: self.profile.clone(),
            version: self.version.clone(),
            index_digest: None,
            image_sha256: self.image_sha256,
            source: InstalledSource::Program,
        })
    }
}

/// Any answer that says nothing.
#[derive(Deserialize)]
struct Nothing {}

/// The program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    timeout: Duration,
}

impl Program {
    /// The program at that path, with that long for each act.
    pub fn new(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout }
    }

    /// Looks at the machine.
    ///
    /// # Errors
    /// Why it cannot be looked at, for people.
    pub async fn inspect(&self) -> Result<Inspected, String> {
        self.ask("inspect", b"{}".to_vec(), INSPECT_TIMEOUT).await
    }

    /// Stages or activates.
    ///
    /// # Errors
    /// Why it failed, for people.
    pub async fn order(&self, verb: &str, order: &Order<'_>) -> Result<(), String> {
        let input = serde_json::to_vec(order).map_err(|error| error.to_string())?;
        self.ask::<Nothing>(verb, input, self.timeout).await.map(|_| ())
    }

    /// Confirms or rolls back.
    ///
    /// # Errors
    /// Why it failed, for people.
    pub async fn tell(&self, verb: &str) -> Result<(), String> {
        self.ask::<Nothing>(verb, b"{}".to_vec(), self.timeout).await.map(|_| ())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        verb: &str,
        input: Vec<u8>,
        timeout: Duration,
    ) -> Result<T, String> {
        let run = Run::new(&self.path, timeout).arguments(&[verb]).input(input);
        let output = command::run(run).await.map_err(|error| error.to_string())?;
        let program = self.path.display();
        if !output.success() {
            return Err(format!("{program} {verb}: {}", output.last_words()));
        }
        let answer = if output.stdout.trim_ascii().is_empty() { b"{}" } else { &output.stdout[..] };
        serde_json::from_slice(answer)
            .map_err(|error| format!("{program} {verb} gave no JSON answer: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &std::path::Path, body: &str) -> Program {
        let path = folder.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Program::new(path, Duration::from_secs(60))
    }

    #[tokio::test]
    async fn it_says_what_is_installed() {
        let folder = tempfile::tempdir().unwrap();
        let body = r#"[ "$1" = inspect ] && echo '{"profile":"plc","version":"2.0.1","new":1}'"#;
        let inspected = program(folder.path(), body).inspect().await.unwrap();
        let installed = inspected.installed().unwrap();
        assert_eq!(installed.version.as_deref(), Some("2.0.1"));
        assert_eq!(installed.source, InstalledSource::Program);
        assert_eq!(Inspected::default().installed(), None);
    }

    #[tokio::test]
    async fn i6_silence_garbage_and_failure_are_told_apart_and_none_is_success() {
        let folder = tempfile::tempdir().unwrap();
        program(folder.path(), "cat >/dev/null").tell("confirm").await.unwrap();
        let garbage = program(folder.path(), "echo yes").tell("confirm").await.unwrap_err();
        assert!(garbage.contains("no JSON answer"), "{garbage}");
        let failed = program(folder.path(), "echo {}; echo valve open >&2; exit 4");
        let failed = failed.tell("rollback").await.unwrap_err();
        assert!(failed.contains("rollback: valve open"), "{failed}");
    }
}
