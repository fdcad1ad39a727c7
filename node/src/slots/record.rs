//! What a slot holds, durably: one small file per slot with format version and checksum (Q13).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{PartDigest, PartName};
use serde::{Deserialize, Serialize};

use super::error::SlotError;

/// First word of a record file.
const MAGIC: &str = "daymark-slot";
/// Format version of a record file.
const VERSION: &str = "1";

/// Which image is meant, as the signed profile says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIdentity {
    /// Resource digest of the OS profile (RULES Q5).
    pub profile: Digest,
    /// The profile's `profileName`.
    pub profile_name: String,
    /// The profile's `osImageVersion`.
    pub version: String,
    /// Digest of the image's index.
    pub index: Digest,
    /// Signed size and digest of each part.
    pub parts: BTreeMap<PartName, PartDigest>,
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotRecord {
    /// The image.
    #[serde(flatten)]
    pub image: ImageIdentity,
    /// Whether every part was written and its signed SHA-256 found.
    pub complete: bool,
}

impl SlotRecord {
    /// Reads a record. `None` if there is none, or if it is damaged or of another version: the
    /// slot's content is then unknown, and only ever written anew.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, SlotError> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
            Err(error) => Err(SlotError::io("read", path, error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once('\n')?;
        let mut words = head.split(' ');
        let fits = words.next() == Some(MAGIC) && words.next() == Some(VERSION);
        let sum: Digest = words.next()?.parse().ok()?;
        if !fits || words.next().is_some() || Digest::of(body.as_bytes()) != sum {
            return None;
        }
        serde_json::from_str(body).ok()
    }

    /// Stores the record, durably and all at once.
    pub(super) fn store(&self, path: &Path) -> Result<(), SlotError> {
        let body = serde_json::to_string(self).expect("a record is made of strings and numbers");
        let sum = Digest::of(body.as_bytes());
        write_durably(path, format!("{MAGIC} {VERSION} {sum}\n{body}").as_bytes())
    }
}

/// Replaces a file by temporary file, sync, rename and sync of the folder.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SlotError> {
    let temporary = path.with_added_extension("new");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| SlotError::io("write", &temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| SlotError::io("replace", path, error))?;
    sync_folder(path)
}

/// Makes the creation, replacement or removal of `path` durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), SlotError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| SlotError::io("sync", folder, error))
}
