//! The node's configuration: TOML fragments, then environment, then flags, merged key by key and
//! checked into [`Settings`]. Unknown keys are refused, since a misspelt limit that is silently
//! ignored is found out too late. Nothing here needs to differ from machine to machine.

mod key;
mod layers;
mod show;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;

pub use self::layers::{Inputs, Origin};
pub use self::show::{ShownKey, show};

use self::layers::Layers;
use crate::platform::facts::IdentityFiles;

/// Why a configuration is refused; each names the key and where it stands.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file or folder cannot be read.
    #[error("cannot read the configuration {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{} line {line} is not valid TOML: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that does not exist.
    #[error("{origin}: unknown key `{key}`{}", hint.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_else(|| "; `daymark-node config show` lists all keys".to_owned()))]
    Unknown {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The key that was probably meant.
        hint: Option<String>,
    },
    /// A value that does not fit its key.
    #[error("{origin}: `{key}` must be {expected}")]
    Value {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// What fits.
        expected: String,
    },
    /// A key that is needed and not set.
    #[error("`{key}` is not set: {why}")]
    Missing {
        /// The key.
        key: String,
        /// Why it is needed.
        why: String,
    },
    /// The slots do not fit together.
    #[error("platform.slots: {0}")]
    Slots(String),
}

impl SettingsError {
    fn unknown(key: &str, origin: &Origin, near: impl Fn(&str) -> Option<String>) -> Self {
        Self::Unknown { key: key.to_owned(), origin: origin.clone(), hint: near(key) }
    }
}

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder of identity, floors and replica.
    pub data_dir: PathBuf,
    /// Unix socket of the control API.
    pub control_socket: PathBuf,
    /// The mesh.
    pub network: Network,
    /// What vouches for the clock (RULES K2).
    pub clock: ClockSource,
    /// Release services: URLs or absolute folders, in order (RULES Q16).
    pub release_sources: Vec<String>,
    /// How long to wait for peers before the release service is asked, s.
    pub origin_wait_s: u64,
    /// How the OS is changed.
    pub platform: Platform,
    /// Health checks.
    pub health: Health,
    /// Programs that may veto.
    pub inhibit_dir: PathBuf,
    /// The os-release file.
    pub os_release: PathBuf,
    /// What tells this machine from others (RULES D6).
    pub identity: IdentityFiles,
    /// The log.
    pub log: Log,
}

impl Settings {
    /// Reads, merges and checks.
    ///
    /// # Errors
    /// The first problem found, naming key and place.
    pub fn load(inputs: &Inputs) -> Result<Self, SettingsError> {
        Layers::read(inputs)?.settings()
    }

    /// As if there were one file with that text, and nothing else.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn of_text(text: &str) -> Result<Self, SettingsError> {
        let mut layers = Layers::read(&Inputs::default())?;
        layers.add_text_of(std::path::Path::new("settings.toml"), text)?;
        layers.settings()
    }
}

/// The mesh's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// `IP:PORT` or multiaddr.
    pub listen: Vec<String>,
    /// Interfaces that may be used; empty: all.
    pub interfaces: Vec<String>,
    /// Networks that may be talked to; empty: all.
    pub allow: Vec<IpNet>,
    /// Peers to dial: `IP:PORT` or multiaddr.
    pub peers: Vec<String>,
    /// Whether to find peers on the local link.
    pub mdns: bool,
    /// Most connections at once.
    pub connections_max: u32,
}

/// What vouches for the clock of a machine that hears of no other (RULES K2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// It counts when the operating system says that it is synchronised.
    Os,
    /// It counts unless it jumps.
    Rtc,
}

/// How the OS is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The backend.
    pub kind: PlatformKind,
    /// How the machine restarts.
    pub reboot: Reboot,
    /// Where custom configuration is delivered.
    pub config_dir: PathBuf,
}

/// The backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformKind {
    /// Images in two slots.
    Slots {
        /// Slot → part → file or block device.
        slots: BTreeMap<String, BTreeMap<String, PathBuf>>,
        /// State file of the boot switch.
        boot_file: PathBuf,
        /// Boots that a new slot gets.
        tries: u32,
    },
    /// The operator's program.
    Command {
        /// The program.
        program: PathBuf,
        /// Its longest run, s.
        timeout_s: u64,
    },
    /// None: the machine only reports and waits.
    None,
}

/// How the machine restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reboot {
    /// Leave with [`crate::EXIT_REBOOT`], for `daymark-boot` or a supervisor that knows it.
    Exit,
    /// Run this with `/bin/sh -c`.
    Command(String),
}

/// Health checks of this machine, beside those of image and profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Shell commands that must succeed.
    pub commands: Vec<String>,
    /// systemd units that must be active.
    pub units: Vec<String>,
    /// Longest wait, s.
    pub timeout_s: u64,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Level or filter.
    pub level: String,
    /// Form.
    pub format: LogFormat,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
