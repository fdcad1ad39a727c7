//! The `command` backend: the operator's program changes the OS. It is run as `PROGRAM VERB` with
//! a JSON object on standard input, answers with one on standard output, and ends with status 0;
//! any other status is a failure whose last line on standard error says why. It is never asked to
//! stage what was not fetched and verified before (I1); `docs/command-platform.md` is its contract.
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
use daymark_protocol::resource::{OsType, PartName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::command::{self, Run};
use crate::slots::{STAGING_AREA, Slots};

/// Time that `inspect` gets; the others have the configuration's.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What the program is to stage or activate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Number of the attempt.
    pub attempt: u64,
    /// Name of the signed OS profile.
    pub profile: String,
    /// Version of the image, as the profile says it.
    pub version: String,
    /// Resource digest of the profile (RULES Q5).
    pub profile_digest: Digest,
    /// Digest of the image's index; absent for a profile that names no image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// The image's parts by name; none for a profile that names no image.
    pub parts: BTreeMap<PartName, OrderedPart>,
}

/// A part of the image, fetched, with its signed SHA-256 found (I1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderedPart {
    /// The file that holds it, and nothing else.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its signed digest.
    pub sha256: Digest,
}

impl Order {
    /// The order to install `target` from what `area` holds.
    ///
    /// # Errors
    /// If `target` names an image that is not whole in `area`, for people.
    pub fn new(attempt: u64, target: &ResolvedTarget, area: &Slots) -> Result<Self, String> {
        let mut order = Self {
            attempt,
            profile: target.profile.clone(),
            version: target.version.clone(),
            profile_digest: target.digest,
            image: target.index_digest,
            parts: BTreeMap::new(),
        };
        let Some(index) = target.index_digest else { return Ok(order) };
        let record = area.record(STAGING_AREA).map_err(|error| error.to_string())?;
        let held = record.filter(|record| record.complete && record.image.index == index);
        let held = held.ok_or_else(|| {
            format!("{}@{} is not fetched and verified", target.profile, target.version)
        })?;
        area.check_parts_there(STAGING_AREA).map_err(|error| error.to_string())?;
        for (name, signed) in held.image.parts {
            let path = area.part_path(STAGING_AREA, &name);
            let path = path.ok_or_else(|| format!("part {name} has no place"))?;
            let part = OrderedPart { path, bytes: signed.bytes, sha256: signed.sha256 };
            order.parts.insert(name, part);
        }
        Ok(order)
    }
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
    pub async fn order(&self, verb: &str, order: &Order) -> Result<(), String> {
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
#[path = "program_tests.rs"]
mod tests;
