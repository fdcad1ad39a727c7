//! The program as people run it: the real binary, a home of its own, what it prints, how it ends,
//! and that a refused command leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests state what must hold"
)]

mod admission;
mod audit;
mod bad_files;
mod bad_input;
mod ceremony;
mod conflicts;
mod contexts;
mod demo;
mod emergency;
mod exit_codes;
mod founding;
mod halts;
mod images;
mod keys;
mod kinds;
mod membership;
mod plan;
mod resources;
mod rooms;
mod rotation;
mod scope;
mod signing;
mod ssh_agent;
mod sticks;
mod team;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daymark_protocol::control::EnrolmentRequest;
use daymark_protocol::decide::Machine;
use daymark_protocol::document::{Facts, ReportWriter};
use daymark_protocol::trust::{Context, Envelope, SigningKey};
use tempfile::TempDir;

/// An administrator with a home of their own.
struct Admin {
    place: TempDir,
}

/// How a command ended.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// Asserts the exit code.
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Asserts that standard error is one sentence with these words, and a next step.
    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        let errors: Vec<_> = self.err.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "no {word:?} in {}", self.err);
        }
        self
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Admin {
    fn new() -> Self {
        Self { place: TempDir::new().unwrap() }
    }

    /// An administrator with one key and a fleet of their own.
    fn with_fleet() -> Self {
        let admin = Self::new();
        admin.run(&["key", "new", "--name", "alice", "--no-passphrase"]).ends(0);
        admin.run(&["fleet", "init", "--name", "acme", "--root", "1-of-1"]).ends(0);
        admin
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daymarkctl"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DAYMARK_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .env("DAYMARK_HOME", self.place.path().join("home"))
            .env("TZ", "UTC")
            .current_dir(self.place.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        finish(&mut self.command(args))
    }

    /// Runs a command that is refused, and asserts that the home is as it was.
    #[track_caller]
    fn refused(&self, args: &[&str], code: i32, words: &[&str]) {
        let before = files(&self.place.path().join("home"));
        self.run(args).ends(code).says(words);
        assert_eq!(before, files(&self.place.path().join("home")), "something was left behind");
    }

    /// The same administrator at another machine, which took the fleet from a folder.
    fn second_home(&self, stick: &Path) -> Self {
        self.run(&["sync", text(stick)]).ends(0);
        let other = Self::new();
        let keys = other.folder("home/keys");
        fs::copy(self.place.path().join("home/keys/alice.json"), keys.join("alice.json")).unwrap();
        other.run(&["context", "add", "acme", text(stick), "--fleet", &self.pin()]).ends(0);
        other
    }

    /// The fleet's fingerprint.
    fn pin(&self) -> String {
        let info = self.run(&["fleet", "info", "-o", "json"]).ends(0).json();
        info["fingerprint"].as_str().unwrap().to_owned()
    }

    /// Puts what the machine with this key would report of itself into the replica.
    fn reports(&self, seed: u8, machine: &Machine) {
        let mut facts = Facts::default();
        facts.set_machine(machine);
        self.reports_facts(seed, &facts);
    }

    /// As [`Self::reports`], with all that it says.
    fn reports_facts(&self, seed: u8, facts: &Facts) {
        let key = SigningKey::from_seed([seed; 32]);
        let fleet = self.run(&["fleet", "info", "-o", "json"]).ends(0).json();
        let fleet = fleet["fleet"].as_str().unwrap().parse().unwrap();
        let mut writer = ReportWriter::new(fleet, key.public().id(), 1, None);
        let stick = self.folder("reports-stick");
        let folder = stick.join(format!("daymark/reports/{}/1", key.public().id()));
        fs::create_dir_all(&folder).unwrap();
        for (count, report) in writer.write(&key, facts).unwrap().reports.iter().enumerate() {
            fs::write(folder.join((count + 1).to_string()), report.bytes()).unwrap();
        }
        self.run(&["sync", text(&stick)]).ends(0);
    }

    /// Writes a file beside the home.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.place.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.place.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A request as `daymark-node init` writes it.
    fn request(&self, name: &str, seed: u8) -> PathBuf {
        let key = SigningKey::from_seed([seed; 32]);
        let public_key = data_encoding::HEXLOWER.encode(key.public().as_bytes());
        let request = EnrolmentRequest {
            name: name.into(),
            public_key,
            serial: String::new(),
            uuid: String::new(),
            facts: BTreeMap::new(),
        };
        let payload = serde_json::to_vec(&request).unwrap();
        let envelope = Envelope::signed(Context::Enrolment, payload, [&key]);
        self.file(&format!("{name}.json"), envelope.to_json())
    }

    /// Enrols a machine.
    fn enroll(&self, name: &str, seed: u8, more: &[&str]) {
        let request = self.request(name, seed);
        let args = [&["enroll", text(&request), "--yes"], more].concat();
        self.run(&args).ends(0);
    }
}

fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// All files below a folder with their content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}
