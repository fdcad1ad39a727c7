//! A person's laptop: a home folder with some of the administrators' keys, and the real
//! `daymarkctl`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;

use crate::fleet::Fleet;
use crate::machine::{Machine, PORT};

/// Longest time for one command.
const WITHIN: Duration = Duration::from_secs(60);

/// A laptop.
#[derive(Debug)]
pub struct Workplace {
    home: PathBuf,
    program: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it said beside.
    pub err: String,
}

impl Workplace {
    /// A laptop with the keys of some administrators.
    ///
    /// # Errors
    /// If its folder cannot be written.
    pub fn new(fleet: &Fleet, name: &str, holders: &[&str]) -> anyhow::Result<Self> {
        let home = fleet.folder().join(name);
        std::fs::create_dir_all(home.join("keys"))?;
        for holder in holders {
            let file = home.join("keys").join(format!("{holder}.json"));
            std::fs::write(file, fleet.administrators.key_file(holder))?;
        }
        Ok(Self { home, program: fleet.programs().join("daymarkctl") })
    }

    /// Takes the fleet from a machine over the network.
    ///
    /// # Errors
    /// If `daymarkctl` cannot be run.
    pub async fn take_fleet(&self, fleet: &Fleet, from: &Machine) -> anyhow::Result<Ran> {
        let pin = fleet.administrators.pin().to_string();
        self.run(&["context", "add", "acme", &address(from), "--fleet", &pin]).await
    }

    /// Runs `daymarkctl` to its end.
    ///
    /// # Errors
    /// If it cannot be run, or does not end.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.run_within(WITHIN, arguments).await
    }

    /// Runs it to its end, which may be so far away.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_within(&self, within: Duration, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(arguments).env("DAYMARK_HOME", &self.home).env("TZ", "UTC");
        let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let ended = tokio::time::timeout(within, ended).await;
        let ended = ended.with_context(|| format!("daymarkctl {arguments:?} does not end"))??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = ended.status.code().context("it was killed")?;
        Ok(Ran { code, out: text(&ended.stdout), err: text(&ended.stderr) })
    }

    /// Runs it with a machine's address.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn at(&self, machine: &Machine, arguments: &[&str]) -> anyhow::Result<Ran> {
        let address = address(machine);
        self.run(&[arguments, &["--node", &address]].concat()).await
    }
}

fn address(machine: &Machine) -> String {
    format!("{}:{PORT}", machine.place.address)
}
