//! New files and folders that are whole or not there, also after a power cut, and never take the
//! place of others. Replacing a file is [`daymark_node::durable::write_atomic`]'s business.

use std::fs::{DirBuilder, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use daymark_node::durable::sync_folder;

/// Start of the names of files that are being written.
const UNFINISHED: &str = ".new-";

/// Makes a file; [`std::io::ErrorKind::AlreadyExists`] if there is one of its name.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"first");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing half-way is left");
    }
}
