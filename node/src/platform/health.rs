//! Health checks after an update: those of the image, the profile and the configuration. All must
//! pass; a check that cannot be made has not passed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::systemd::{NoAnswer, Systemd};
use crate::command::{self, Run};
use crate::durable::{DurableError, read_record, write_record};
use crate::settings::Health;

/// Time that one check gets.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two rounds; services need a moment after a boot.
const PAUSE: Duration = Duration::from_secs(2);
/// Programs that an image brings along.
pub const IMAGE_CHECKS: &str = "/usr/lib/daymark/health.d";
/// Ends of the names of systemd units.
const UNIT_ENDS: [&str; 6] = [".service", ".target", ".socket", ".mount", ".timer", ".path"];

/// What to check.
#[derive(Clone, Debug)]
pub struct Checks {
    commands: Vec<String>,
    units: BTreeSet<String>,
    programs: PathBuf,
    /// Or why that cannot be read, for people.
    units_before: Result<Option<BTreeSet<String>>, String>,
    systemd: Option<Systemd>,
    peer_expected: bool,
    timeout: Duration,
}

/// Units that were active before a restart, in a file.
#[derive(Serialize, Deserialize)]
struct UnitsBefore {
    units: BTreeSet<String>,
}

impl Checks {
    /// The configuration's checks and the profile's, each a unit or a shell command, and whether a
    /// peer must be seen again. `before` is the file of [`remember_units`].
    pub fn new(health: &Health, profile: &[String], peer_expected: bool, before: &Path) -> Self {
        let is_unit = |check: &&String| {
            UNIT_ENDS.iter().any(|end| check.ends_with(end)) && !check.contains([' ', '/'])
        };
        let (units, commands): (Vec<&String>, Vec<&String>) = profile.iter().partition(is_unit);
        let remembered = read_record::<UnitsBefore>(before, "units");
        Self {
            commands: health.commands.iter().chain(commands).cloned().collect(),
            units: health.units.iter().chain(units).cloned().collect(),
            programs: IMAGE_CHECKS.into(),
            units_before: match remembered {
                Ok(before) => Ok(before.map(|before| before.units)),
                Err(error) => Err(error.to_string()),
            },
            systemd: Systemd::of(Path::new("/")),
            peer_expected,
            timeout: Duration::from_secs(health.timeout_s),
        }
    }

    /// Tries until all pass or time is up; then says which did not, and why.
    ///
    /// # Errors
    /// The checks that did not pass, for people.
    pub async fn run(&self, mut peers: watch::Receiver<usize>) -> Result<(), String> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let seen = *peers.borrow_and_update();
            let failed = self.round(seen, deadline).await;
            if failed.is_empty() {
                return Ok(());
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(failed.join("; "));
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                Ok(()) = peers.changed(), if self.peer_expected => {}
            }
        }
    }

    /// One look at everything; checks that the time runs out on have not passed.
    async fn round(&self, peers: usize, deadline: Instant) -> Vec<String> {
        let mut failed = Vec::new();
        let time = || CHECK_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
        for line in &self.commands {
            failed.extend(failure(line, Run::shell(line, time())).await);
        }
        for program in programs(&self.programs) {
            let name = program.to_string_lossy().into_owned();
            failed.extend(failure(&name, Run::new(&program, time())).await);
        }
        for unit in &self.units {
            let run = Run::new("systemctl", time()).arguments(&["is-active", unit]);
            failed.extend(failure(unit, run).await);
        }
        failed.extend(self.units_that_failed().await);
        if self.peer_expected && peers == 0 {
            failed.push("no peer is seen, though one was before".to_owned());
        }
        failed
    }

    /// Units that ran before the restart and failed since, or why that cannot be told.
    async fn units_that_failed(&self) -> Vec<String> {
        let before = match &self.units_before {
            Ok(Some(before)) => before,
            Ok(None) => return Vec::new(),
            Err(why) => return vec![format!("which units ran before is not known: {why}")],
        };
        let Some(systemd) = &self.systemd else {
            return vec!["systemd ran before and does not now".to_owned()];
        };
        match systemd.units("failed").await {
            Ok(now) => now
                .intersection(before)
                .map(|unit| format!("{unit} ran before and failed"))
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}

/// Why it was not written down which units are active.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs, reason = "each wraps the error of the act that failed")]
pub enum RememberError {
    NoAnswer(#[from] NoAnswer),
    Durable(#[from] DurableError),
    #[error("cannot remove {}", path.display())]
    Stale {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Writes down which units are active now, to be compared after the restart. Without systemd
/// nothing stays written down, so that units of another time are not compared.
///
/// # Errors
/// If systemd runs and does not answer, or it cannot be made durable: the check after the restart
/// could then not be made.
pub async fn remember_units(file: &Path, systemd: Option<Systemd>) -> Result<(), RememberError> {
    if let Some(systemd) = systemd {
        let units = systemd.units("active").await?;
        return Ok(write_record(file, "units", 0o600, &UnitsBefore { units })?);
    }
    match std::fs::remove_file(file) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(RememberError::Stale { path: file.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn failure(name: &str, run: Run) -> Option<String> {
    if run.timeout().is_zero() {
        return Some(format!("{name}: there was no time left for it"));
    }
    match command::run(run).await {
        Ok(output) if output.success() => None,
        Ok(output) => Some(format!("{name}: {}", output.last_words())),
        Err(error) => Some(format!("{name}: {error}")),
    }
}

fn programs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut programs: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    programs.sort();
    programs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(commands: &[&str], profile: &[&str], peer_expected: bool) -> Checks {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let health = Health { commands: owned(commands), units: vec![], timeout_s: 1 };
        let profile: Vec<String> = owned(profile);
        Checks::new(&health, &profile, peer_expected, Path::new("/nonexistent"))
    }

    #[tokio::test]
    async fn all_must_pass_and_each_that_does_not_is_named() {
        let (_peers, none) = watch::channel(0);
        checks(&["true"], &["test 1 = 1"], false).run(none.clone()).await.unwrap();
        let failed = checks(&["true", "echo no plc >&2; false"], &["false"], true);
        let failed = failed.run(none).await.unwrap_err();
        for part in ["no plc", "false: ", "no peer is seen"] {
            assert!(failed.contains(part), "{failed}");
        }
    }

    #[tokio::test]
    async fn checks_that_hang_use_up_the_time_of_all_and_no_more() {
        let (_peers, none) = watch::channel(0);
        let mut checks = checks(&["sleep 1000", "sleep 1001"], &[], false);
        checks.timeout = Duration::from_millis(200);
        let failed = checks.run(none).await.unwrap_err();
        assert!(failed.contains("sleep 1000: /bin/sh did not end"), "{failed}");
        assert!(failed.contains("sleep 1001: there was no time left"), "{failed}");
    }

    #[tokio::test]
    async fn a_peer_that_comes_back_heals() {
        let (peers, seen) = watch::channel(0);
        let mut checks = checks(&[], &[], true);
        checks.timeout = Duration::from_secs(60);
        let run = tokio::spawn(async move { checks.run(seen).await });
        peers.send(1).unwrap();
        run.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn units_that_cannot_be_compared_are_no_pass() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("units-before");
        let failing = Systemd::asked_by("false");
        remember_units(&file, Some(failing.clone())).await.unwrap_err();
        let health = Health { commands: vec![], units: vec![], timeout_s: 1 };
        let failed = async |systemd: &Systemd| {
            let systemd = Some(systemd.clone());
            let checks = Checks::new(&health, &[], false, &file);
            Checks { systemd, ..checks }.units_that_failed().await
        };
        assert_eq!(failed(&failing).await, [""; 0], "nothing was remembered");

        let answering = Systemd::asked_by("true");
        remember_units(&file, Some(answering.clone())).await.unwrap();
        assert_eq!(failed(&answering).await, [""; 0]);
        assert_eq!(failed(&failing).await.len(), 1, "systemd does not answer");
        std::fs::write(&file, "damaged").unwrap();
        assert_eq!(failed(&answering).await.len(), 1, "what was remembered is damaged");

        remember_units(&file, None).await.unwrap();
        assert!(!file.exists(), "units of another time are not compared");
    }

    #[test]
    fn a_profiles_checks_are_units_by_their_ending() {
        let checks = checks(&[], &["sshd.service", "curl localhost/x.service", "true"], false);
        assert_eq!(checks.units.iter().collect::<Vec<_>>(), ["sshd.service"]);
        assert_eq!(checks.commands.len(), 2);
    }
}
