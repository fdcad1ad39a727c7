//! Why an image could not be published.

use std::io;
use std::path::{Path, PathBuf};

use daymark_protocol::id::Digest;
use daymark_protocol::image::{BadIndex, BadPackMap};

/// An image that was not published. Nothing of it is left in the release folder.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum ReleaseError {
    #[error("profile {0} is of a mutable OS; images are for OS_TYPE_IMMUTABLE")]
    MutableProfile(String),
    #[error("{path} is packed as {form}; unpack it first: raw, gz and zst are read as they are")]
    UnreadForm { path: PathBuf, form: &'static str },
    #[error("{path} ends too early: it was cut short; fetch it again")]
    Truncated { path: PathBuf },
    #[error("{path} is damaged and cannot be unpacked; fetch it again")]
    Corrupt { path: PathBuf, source: io::Error },
    #[error("{path} is empty")]
    Empty { path: PathBuf },
    #[error(
        "{path} has SHA-256 {got}, but the profile says {expected}: it is another image, or it \
         was changed on the way"
    )]
    OtherImage { path: PathBuf, expected: Digest, got: Digest },
    #[error(
        "{path} is a whole disk with the partitions {found}; say in the profile's `layout` which \
         becomes which part, such as `rootfs: {{partition: {first}}}`"
    )]
    NoLayout { path: PathBuf, found: String, first: String },
    #[error(
        "{path} has no GPT, but the profile has a `layout`; leave it out for a bare file system"
    )]
    NoPartitions { path: PathBuf },
    #[error("{path} is a whole disk whose partition table no tool writes; make the image anew")]
    OddTable { path: PathBuf },
    #[error("{path} is a whole disk without a partition for a root file system")]
    NoRoot { path: PathBuf },
    #[error("part {part}: {path} has no partition {partition:?}; it has {found}")]
    NoPartition { path: PathBuf, part: String, partition: String, found: String },
    #[error("part {part}: {path} has more than one partition {partition:?}; give its number")]
    TwoPartitions { path: PathBuf, part: String, partition: String },
    #[error(
        "part {part}: partition {partition:?} lies partly outside {path}: the image was cut short"
    )]
    PartitionOutside { path: PathBuf, part: String, partition: String },
    #[error("part {part}: the file {file} cannot be read from partition {partition:?}")]
    NoFile { part: String, partition: String, file: String, source: io::Error },
    #[error("the image cannot be described")]
    Index(#[source] BadIndex),
    #[error("the pack cannot be described")]
    Map(#[source] BadPackMap),
    #[error("no space left for {path}; free some and run it again")]
    DiskFull { path: PathBuf },
    #[error("cannot {act} {path}")]
    Io { act: &'static str, path: PathBuf, source: io::Error },
}

impl ReleaseError {
    /// Whether the image or its profile is wrong, and not the machine.
    pub(crate) fn is_of_input(&self) -> bool {
        match self {
            Self::DiskFull { .. } => false,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::MutableProfile(_)
            | Self::UnreadForm { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::Empty { .. }
            | Self::OtherImage { .. }
            | Self::NoLayout { .. }
            | Self::NoPartitions { .. }
            | Self::NoPartition { .. }
            | Self::TwoPartitions { .. }
            | Self::PartitionOutside { .. }
            | Self::NoFile { .. }
            | Self::NoRoot { .. }
            | Self::OddTable { .. }
            | Self::Index(_)
            | Self::Map(_) => true,
        }
    }

    /// A failed act on a path; a full disk is told apart.
    pub(super) fn io(act: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull { path }
        } else {
            Self::Io { act, path, source }
        }
    }
}
