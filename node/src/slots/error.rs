//! Why a slot could not be opened, written or verified.

use std::io;
use std::path::{Path, PathBuf};

use daymark_protocol::id::Digest;

use crate::durable::DurableError;

/// An operation on a slot that failed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum SlotError {
    #[error("there is no slot {0}")]
    NoSuchSlot(String),
    #[error("slots need two or more different names; {0} is there twice or alone")]
    SlotNames(String),
    #[error("{path} is named for two parts; each part of each slot needs its own")]
    SharedPath { path: PathBuf },
    #[error("{0:?} is not a part name: 1 to 32 of a-z, 0-9 and '-'")]
    PartName(String),
    #[error("slot {0} is running and is never written")]
    Booted(String),
    #[error("slot {0} is running but not configured, so none is safe to write; name it in `slots`")]
    BootedUnknown(String),
    #[error("slot {booted} is running on trial; slot {slot} is the way back and is not written")]
    Unconfirmed { slot: String, booted: String },
    #[error(
        "the image has a part {part}, but slot {slot} has no place for it; name one in `slots`"
    )]
    NoPlace { slot: String, part: String },
    #[error("the signed parts and the image's index disagree about part {0}")]
    PartsDiffer(String),
    #[error("slot {slot} part {part} has {capacity} bytes, the image needs {needed}")]
    TooSmall { slot: String, part: String, capacity: u64, needed: u64 },
    #[error("no space for slot {slot} part {part} at {path}: it needs {needed} bytes; free some")]
    NoSpace { slot: String, part: String, path: PathBuf, needed: u64 },
    #[error("the disk that holds {path} is full; free some space there")]
    DiskFull { path: PathBuf, source: io::Error },
    #[error("cannot record what the slot holds")]
    Record(#[source] DurableError),
    #[error("cannot {act} {path}")]
    Io { act: &'static str, path: PathBuf, source: io::Error },
    #[error("{chunks} chunks in slot {slot} no longer match the image and must be fetched again")]
    Rotten { slot: String, chunks: u32 },
    #[error(
        "slot {slot} part {part} at {path} is gone, or shorter than its {needed} bytes; it has to \
         be staged again"
    )]
    PartLost { slot: String, part: String, path: PathBuf, needed: u64 },
    #[error("{missing} chunks of the image are not yet in slot {slot}")]
    Incomplete { slot: String, missing: u32 },
    #[error("slot {slot} part {part} has SHA-256 {got}, the profile signs {expected}")]
    WrongDigest { slot: String, part: String, expected: Digest, got: Digest },
}

impl SlotError {
    /// A failed act on a path; a full disk is told apart.
    pub(super) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&source) {
            Self::DiskFull { path, source }
        } else {
            Self::Io { act, path, source }
        }
    }
}

/// Whether there was no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
