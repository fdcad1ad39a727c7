//! What a slot holds, durably: one small file per slot with format version and checksum (Q13).

use std::collections::BTreeMap;
use std::path::Path;

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{PartDigest, PartName};
use serde::{Deserialize, Serialize};

use super::error::SlotError;
use crate::durable::{self, DurableError};

/// The kind of a record file.
const KIND: &str = "slot";
/// Slots hold no secrets; the boot program and an operator may read what is in them.
const MODE: u32 = 0o644;

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
    /// Reads a record. `None` if there is none, or if it is damaged or of a newer agent: the
    /// slot's content is then unknown, and only ever written anew.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, SlotError> {
        match durable::read_record(path, KIND) {
            Ok(record) => Ok(record),
            Err(DurableError::Read { path, source }) => Err(SlotError::io("read", &path, source)),
            Err(unreadable) => {
                tracing::warn!(path = %path.display(), %unreadable, "the slot's content is unknown");
                Ok(None)
            }
        }
    }

    /// Stores the record, durably and all at once.
    pub(super) fn store(&self, path: &Path) -> Result<(), SlotError> {
        durable::write_record(path, KIND, MODE, self).map_err(SlotError::Record)
    }
}

/// Replaces a file, durably and all at once.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), SlotError> {
    durable::write_atomic(path, bytes, MODE).map_err(|error| SlotError::io("write", path, error))
}
