//! The data folder: what cannot be got back from peers, in small files (DESIGN section 2, RULES
//! Q13). Replicated data is in `store/` and not this module's business.
//!
//! ```text
//! DATA/lock            held while an agent runs; names its process
//! DATA/format          version of the folder's layout
//! DATA/key             the host's identity, readable by its owner only
//! DATA/state           DurableState
//! DATA/floors          the floor journal
//! DATA/roots/NNNN.json roots, as received
//! DATA/adopting        the change to another fleet, while it is under way
//! DATA/former/         what was held of the fleets before
//! ```

mod adoption;
mod folder;
mod journal;
mod key;
mod lock;
mod record;

use std::path::{Path, PathBuf};

pub use self::adoption::{Adopting, NewFleet};
pub use self::folder::{DataFolder, FORMAT, FORMATS_READ, RootFiles};
pub use self::journal::Journal;
#[cfg(feature = "fuzzing")]
pub(crate) use self::journal::{
    MAGIC as JOURNAL_MAGIC, frame as journal_frame, parse as parse_journal,
};
pub use self::key::HostKeyFile;
pub use self::lock::Lock;
#[cfg(feature = "fuzzing")]
pub(crate) use self::record::parse as parse_record;
pub(crate) use self::record::read_bounded;
pub use self::record::{read_record, sync_folder, write_atomic, write_record};

/// Why something durable cannot be read or written; each names the file and, where there is one,
/// the next step.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("cannot write {}: the disk is full; free some space and start again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file does not hold what was written.
    #[error(
        "{} is damaged ({what}); restore it, or move {} away, run `daymark-node init` and have the \
         machine enrolled again with --replace",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version of the agent wrote it and was confirmed.
    #[error(
        "{} was written by a newer version of the agent (format {found}); start that version, this \
         one cannot read it",
        path.display()
    )]
    Newer {
        /// The file or folder.
        path: PathBuf,
        /// The format found.
        found: String,
    },
    /// Another agent runs on the folder.
    #[error(
        "an agent with process id {pid} already runs on {}; stop it first, or give this one a \
         data_dir of its own",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The other's process id, `?` if it cannot be told.
        pid: String,
    },
    /// There is no identity yet.
    #[error("{} holds no identity; run `daymark-node init` first", path.display())]
    NotInitialised {
        /// The folder.
        path: PathBuf,
    },
    /// There already is an identity.
    #[error("{} already holds an identity; it is left as it is", path.display())]
    AlreadyInitialised {
        /// The folder.
        path: PathBuf,
    },
    /// No randomness from the operating system.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(String),
}

impl DurableError {
    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded) {
            Self::Full { path: path.to_owned() }
        } else {
            Self::Write { path: path.to_owned(), source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_that_with_the_next_step() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let sentence = DurableError::write(Path::new("/data/state"), full).to_string();
        assert!(sentence.contains("/data/state") && sentence.contains("free some space"));
        let other = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = DurableError::write(Path::new("/data/state"), other);
        assert!(matches!(error, DurableError::Write { .. }));
    }
}
