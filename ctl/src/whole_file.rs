//! New files and folders that are whole or not there, also after a power cut, and never take the
//! place of others. Replacing a file is [`daymark_node::durable::write_atomic`]'s business.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use daymark_node::durable::sync_folder;
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Start of the names of files and folders that are being written, and of none that stay.
const UNFINISHED: &str = ".new-";

/// Makes a file; [`ErrorKind::AlreadyExists`] if there is one of its name.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut builder = tempfile::Builder::new();
    let permissions = Permissions::from_mode(mode);
    let mut file = builder.prefix(UNFINISHED).permissions(permissions).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|refused| refused.error)?;
    sync_folder(folder)
}

/// Makes a folder that only its owner may open, and those above it; no error if it is there.
pub(crate) fn create_private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A folder that is filled out of sight and then renamed to where readers look. One that is dropped
/// is removed; one whose process was killed is removed when the next one of its place begins.
#[derive(Debug)]
pub(crate) struct NewFolder {
    folder: tempfile::TempDir,
    parent: PathBuf,
    /// Held as long as somebody fills the folder.
    _lock: File,
}

impl NewFolder {
    /// Begins a folder in `parent`, which is there, and removes those that nobody fills any more.
    pub(crate) fn begin(parent: &Path) -> std::io::Result<Self> {
        // So that nobody takes away a folder between its making and its locking.
        let beginning = File::open(parent)?;
        beginning.lock()?;
        for entry in fs::read_dir(parent)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(UNFINISHED) && path.symlink_metadata()?.is_dir() {
                remove_abandoned(&path)?;
            }
        }
        let folder = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(parent)?;
        let lock = File::open(folder.path())?;
        lock.lock()?;
        Ok(Self { folder, parent: parent.to_owned(), _lock: lock })
    }

    /// Where it is filled.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it its name in its parent, durably; [`ErrorKind::AlreadyExists`] if that is taken.
    pub(crate) fn publish(self, name: &str) -> std::io::Result<PathBuf> {
        let place = self.parent.join(name);
        sync_folder(self.path())?;
        renameat_with(CWD, self.path(), CWD, &place, RenameFlags::NOREPLACE)?;
        // Its name is gone, so there is nothing left to remove.
        drop(self.folder.keep());
        sync_folder(&self.parent)?;
        Ok(place)
    }
}

/// Removes a folder that nobody has locked.
fn remove_abandoned(folder: &Path) -> std::io::Result<()> {
    match File::open(folder)?.try_lock() {
        Ok(()) => fs::remove_dir_all(folder),
        Err(fs::TryLockError::WouldBlock) => Ok(()),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a folder at once: from sight first, then what is in it.
pub(crate) fn remove_folder(folder: &Path) -> std::io::Result<()> {
    let parent = folder.parent().ok_or(ErrorKind::InvalidInput)?;
    let grave = NewFolder::begin(parent)?;
    fs::rename(folder, grave.path().join("removed"))?;
    sync_folder(parent)?;
    grave.folder.close()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_there_whole_or_not_and_what_a_killed_process_left_goes() {
        let place = tempfile::tempdir().unwrap();
        let names = || {
            let entries = fs::read_dir(place.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        let first = NewFolder::begin(place.path()).unwrap();
        fs::write(first.path().join("file"), b"1").unwrap();
        fs::create_dir(place.path().join(".new-killed")).unwrap();
        let second = NewFolder::begin(place.path()).unwrap();
        assert!(first.path().exists(), "its maker still fills it");
        assert!(!place.path().join(".new-killed").exists());
        let made = first.publish("a").unwrap();
        assert_eq!(fs::read(made.join("file")).unwrap(), b"1");
        let refused = second.publish("a").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(names(), ["a"]);
        remove_folder(&made).unwrap();
        assert!(names().is_empty());
    }

    #[test]
    fn a_new_file_has_its_mode_and_takes_no_others_place() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        create_private_folder(&folder).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let file = folder.join("file");
        create(&file, b"first", 0o600).unwrap();
        assert_eq!(mode(&file), 0o600);
        let error = create(&file, b"second", 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"first");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing half-way is left");
    }
}
