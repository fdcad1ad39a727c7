//! Small files that survive a power cut: one line with kind, version and checksum, then JSON.
//! Written to a temporary file, synced, renamed over the old one, and the folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::DurableError;

/// Largest small file that is read back: the state of a node with 30 runs is a few KiB.
const RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Replaces `path` with `bytes`, durably: afterwards either the old or the new content is there,
/// whenever the power goes.
///
/// # Errors
/// Whatever the file system says; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    // A left-over of a crash may have other permissions, which opening would keep.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(folder)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Whatever the file system says.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Reads at most `bytes_max` bytes; `None` if there is no such file, an error if it is longer.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("larger than {bytes_max} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
    }
    Ok(Some(bytes))
}

/// Writes `value` as a record of that kind.
///
/// # Errors
/// [`DurableError::Write`].
pub fn write_record<T: Serialize>(
    path: &Path,
    kind: &str,
    mode: u32,
    value: &T,
) -> Result<(), DurableError> {
    write_versioned(path, kind, 1, mode, value)
}

/// Writes `value` as a record of that kind, in that version of its form.
///
/// # Errors
/// [`DurableError::Write`].
pub(super) fn write_versioned<T: Serialize>(
    path: &Path,
    kind: &str,
    version: u32,
    mode: u32,
    value: &T,
) -> Result<(), DurableError> {
    // One of them holds the host's key.
    let body = serde_json::to_vec(value).map(Zeroizing::new);
    let body = body.map_err(|error| DurableError::write(path, std::io::Error::other(error)))?;
    let header = format!("daymark {kind} {version} {}\n", checksum(&body));
    let mut bytes = Zeroizing::new(Vec::with_capacity(header.len() + body.len() + 1));
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&body);
    bytes.push(b'\n');
    write_atomic(path, &bytes, mode).map_err(|source| DurableError::write(path, source))
}

/// Reads a record of that kind; `None` if the file does not exist.
///
/// # Errors
/// [`DurableError::Read`], [`DurableError::Damaged`] or [`DurableError::Newer`].
pub fn read_record<T: DeserializeOwned>(
    path: &Path,
    kind: &str,
) -> Result<Option<T>, DurableError> {
    read_versioned(path, kind, &(1..=1))
}

/// Reads a record of that kind in one of those versions of its form; `None` if the file does not
/// exist.
///
/// # Errors
/// As [`read_record`].
pub(super) fn read_versioned<T: DeserializeOwned>(
    path: &Path,
    kind: &str,
    versions: &RangeInclusive<u32>,
) -> Result<Option<T>, DurableError> {
    let bytes = read_bounded(path, RECORD_BYTES_MAX)
        .map_err(|source| DurableError::Read { path: path.to_owned(), source })?;
    bytes.map(Zeroizing::new).map(|bytes| parse(path, &bytes, kind, versions)).transpose()
}

/// What the bytes of a record say; `path` is for errors.
pub(crate) fn parse<T: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    kind: &str,
    versions: &RangeInclusive<u32>,
) -> Result<T, DurableError> {
    let damaged =
        |what: &str| DurableError::Damaged { path: path.to_owned(), what: what.to_owned() };
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("no header"))?;
    let header = std::str::from_utf8(&bytes[..end]).map_err(|_| damaged("no header"))?;
    let words: Vec<&str> = header.split(' ').collect();
    let ["daymark", found_kind, version, sum] = words.as_slice() else {
        return Err(damaged("no header"));
    };
    if *found_kind != kind {
        return Err(damaged("it holds something else"));
    }
    if !version.parse().is_ok_and(|version| versions.contains(&version)) {
        return Err(DurableError::Newer { path: path.to_owned(), found: (*version).to_owned() });
    }
    let body = bytes[end + 1..].strip_suffix(b"\n").ok_or_else(|| damaged("it is cut short"))?;
    if checksum(body) != *sum {
        return Err(damaged("the checksum does not match"));
    }
    serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))
}

fn checksum(body: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn q13_what_is_written_is_read_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(read_record::<Vec<u32>>(&path, "state").unwrap(), None);
        write_record(&path, "state", 0o600, &vec![1, 2, 3]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_record(&path, "state").unwrap(), Some(vec![1, 2, 3]));
        assert!(matches!(read_record::<Vec<u32>>(&path, "key"), Err(DurableError::Damaged { .. })));
        let whole = fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            fs::write(&path, &bytes).unwrap();
            read_record::<Vec<u32>>(&path, "state").unwrap_err();
            fs::write(&path, &whole[..position]).unwrap();
            read_record::<Vec<u32>>(&path, "state").unwrap_err();
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_record(&path, "state", 0o600, &1).unwrap();
        // A folder in the way of the temporary file stands for any failure before the rename.
        fs::create_dir(folder.path().join("state.new")).unwrap();
        write_record(&path, "state", 0o600, &2).unwrap_err();
        assert_eq!(read_record(&path, "state").unwrap(), Some(1));
    }

    #[test]
    fn a_record_of_a_newer_version_is_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        fs::write(&path, format!("daymark state 2 {}\n1\n", checksum(b"1"))).unwrap();
        assert!(matches!(read_record::<u32>(&path, "state"), Err(DurableError::Newer { .. })));
    }
}
