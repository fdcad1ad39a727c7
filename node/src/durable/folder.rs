//! The data folder as a whole: its format version, its state file, its roots.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use daymark_core::durable::DurableState;
use daymark_protocol::limits;
use serde::{Deserialize, Serialize};

use super::record::{read_versioned, sync_folder, write_versioned};
use super::{DurableError, Lock, read_bounded, read_record, write_atomic, write_record};

/// The layout that this version writes once its own boot is confirmed.
pub const FORMAT: u32 = 1;
/// The layouts that this version reads and writes: its own and the one before, so that the agent
/// of the other slot still runs on what this one wrote (DESIGN section 8).
pub const FORMATS_READ: RangeInclusive<u32> = 1..=FORMAT;

/// The envelopes of a version's rival roots, each with its line end.
const ROOT_FILE_BYTES_MAX: u64 =
    (limits::RIVAL_ROOTS_MAX * (limits::ENVELOPE_BYTES_MAX + 1)) as u64;

#[derive(Serialize, Deserialize)]
struct Format {
    format: u32,
}

/// An open data folder; the only one of its kind while it lives.
#[derive(Debug)]
pub struct DataFolder {
    pub(super) path: PathBuf,
    format: u32,
    formats: RangeInclusive<u32>,
    _lock: Lock,
}

impl DataFolder {
    /// Opens or creates the folder with this version's formats.
    ///
    /// # Errors
    /// [`DurableError::Locked`], [`DurableError::Newer`], or what the file system says.
    pub fn open(path: &Path) -> Result<Self, DurableError> {
        Self::open_as(path, FORMATS_READ)
    }

    /// Opens or creates the folder as an agent that knows these formats.
    ///
    /// # Errors
    /// As [`DataFolder::open`].
    pub fn open_as(path: &Path, formats: RangeInclusive<u32>) -> Result<Self, DurableError> {
        let failed = |source| DurableError::write(path, source);
        create_private(path).map_err(failed)?;
        let lock = Lock::take(path)?;
        let file = path.join("format");
        let format = match read_record::<Format>(&file, "format")? {
            Some(Format { format }) => format,
            None => {
                let format = *formats.end();
                write_record(&file, "format", 0o600, &Format { format })?;
                format
            }
        };
        if !formats.contains(&format) {
            return Err(DurableError::Newer { path: path.to_owned(), found: format.to_string() });
        }
        let folder = Self { path: path.to_owned(), format, formats, _lock: lock };
        // The change to another fleet that the power cut is brought to its end.
        folder.finish_adoption()?;
        create_private(&path.join("roots")).map_err(failed)?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The layout that is on disk.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// Moves the folder to this version's layout; to be called only when this version's boot is
    /// confirmed, since the version before can then no longer read it. The number goes first: each
    /// file follows when it is next written, and until then is read in its old form.
    ///
    /// # Errors
    /// [`DurableError::Write`]; the old layout is then still valid.
    pub fn raise_format(&mut self) -> Result<(), DurableError> {
        let newest = *self.formats.end();
        if self.format < newest {
            let format = Format { format: newest };
            write_record(&self.path.join("format"), "format", 0o600, &format)?;
            self.format = newest;
        }
        Ok(())
    }

    /// The state file; a fresh machine has the default state.
    ///
    /// # Errors
    /// If it is damaged or cannot be read.
    pub fn read_state(&self) -> Result<DurableState, DurableError> {
        let state = read_versioned(&self.path.join("state"), "state", &self.formats)?;
        Ok(state.unwrap_or_default())
    }

    /// Replaces the state file, durably, in the form of the folder's layout.
    ///
    /// # Errors
    /// [`DurableError::Write`] or [`DurableError::Full`].
    pub fn write_state(&self, state: &DurableState) -> Result<(), DurableError> {
        write_versioned(&self.path.join("state"), "state", self.format, 0o600, state)
    }

    /// The roots on disk, to be read beside this.
    pub fn roots(&self) -> RootFiles {
        RootFiles { folder: self.path.join("roots") }
    }

    /// All roots, by version.
    ///
    /// # Errors
    /// If one of the files cannot be read.
    pub fn read_roots(&self) -> Result<Vec<Vec<u8>>, DurableError> {
        let roots = self.roots();
        let read = |version| {
            let path = roots.path(version);
            read_bounded(&path, ROOT_FILE_BYTES_MAX)
                .map_err(|source| DurableError::Read { path, source })
        };
        roots.versions().into_iter().filter_map(|version| read(version).transpose()).collect()
    }

    /// Replaces the roots on disk by these, by version, and the state file before them: between the
    /// two, roots that do not follow from the state's pin are refused as they are read.
    ///
    /// # Errors
    /// As [`DataFolder::write_root`].
    pub fn move_pin(
        &self,
        state: &DurableState,
        roots: impl IntoIterator<Item = (u64, Vec<u8>)>,
    ) -> Result<(), DurableError> {
        self.write_state(state)?;
        let mut gone: BTreeSet<u64> = self.roots().versions().into_iter().collect();
        for (version, bytes) in roots {
            self.write_root(version, &bytes)?;
            gone.remove(&version);
        }
        for version in gone {
            let path = self.roots().path(version);
            let removed = std::fs::remove_file(&path);
            removed.map_err(|source| DurableError::write(&path, source))?;
        }
        let folder = self.path.join("roots");
        sync_folder(&folder).map_err(|source| DurableError::write(&folder, source))
    }

    /// Stores a root, durably.
    ///
    /// # Errors
    /// [`DurableError::Write`] or [`DurableError::Full`].
    pub fn write_root(&self, version: u64, envelope: &[u8]) -> Result<(), DurableError> {
        let path = self.roots().path(version);
        write_atomic(&path, envelope, 0o600).map_err(|source| DurableError::write(&path, source))
    }
}

/// The roots on disk.
#[derive(Clone, Debug)]
pub struct RootFiles {
    folder: PathBuf,
}

impl RootFiles {
    fn path(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{version:04}.json"))
    }

    /// Their versions, in order.
    pub fn versions(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let version =
            |name: std::ffi::OsString| name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok();
        let mut versions: Vec<u64> =
            entries.filter_map(|entry| version(entry.file_name())).collect();
        versions.sort_unstable();
        versions.truncate(limits::ROOTS_MAX);
        versions
    }

    /// One of them.
    pub fn read(&self, version: u64) -> Option<Vec<u8>> {
        read_bounded(&self.path(version), ROOT_FILE_BYTES_MAX).ok().flatten()
    }
}

pub(super) fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q13_state_and_roots_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(&folder.path().join("data")).unwrap();
        assert_eq!(data.read_state().unwrap(), DurableState::default());
        let state = DurableState { generation: 7, attempt: 3, ..DurableState::default() };
        data.write_state(&state).unwrap();
        assert_eq!(data.read_state().unwrap(), state);
        for version in [2, 10, 1] {
            data.write_root(version, version.to_string().as_bytes()).unwrap();
        }
        assert_eq!(data.read_roots().unwrap(), [b"1".to_vec(), b"2".to_vec(), b"10".to_vec()]);
    }

    #[test]
    fn the_older_agent_runs_on_what_an_unconfirmed_newer_one_wrote_and_not_after() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataFolder::open_as(folder.path(), 1..=1).unwrap());
        let newer = DataFolder::open_as(folder.path(), 1..=2).unwrap();
        assert_eq!(newer.format(), 1);
        newer.write_state(&DurableState { generation: 2, ..DurableState::default() }).unwrap();
        drop(newer);
        let older = DataFolder::open_as(folder.path(), 1..=1).unwrap();
        assert_eq!(older.read_state().unwrap().generation, 2);
        drop(older);

        let mut newer = DataFolder::open_as(folder.path(), 1..=2).unwrap();
        newer.raise_format().unwrap();
        drop(newer);
        let refused = DataFolder::open_as(folder.path(), 1..=1).unwrap_err();
        assert!(matches!(refused, DurableError::Newer { .. }), "{refused}");
        assert!(refused.to_string().contains("newer version"), "{refused}");
    }
}
