//! A replica as a folder: what a stick carries, and what `join FOLDER` reads. Read with bounds,
//! since anyone may have written it; written by name, so that what is there is not written again.
//!
//! ```text
//! FOLDER/daymark/roots/<version>.json
//! FOLDER/daymark/documents/<fleet | site/ID>/<SHA-256 of the entry>
//! FOLDER/daymark/reports/<host>/<generation>/<count>
//! FOLDER/daymark/blobs/<SHA-256 of the blob>
//! FOLDER/daymark/drafts/<digest>.json         what lacks signatures; read by `daymarkctl` alone
//! FOLDER/requests/<host>.json
//! ```

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits;
use rustix::fs::OFlags;

use crate::durable::{sync_folder, write_atomic};

/// Most files that are read from one folder: a fleet of 10,000 hosts with 20 reports each.
const FILES_MAX: usize = 400_000;
/// Largest blob: a closed generation of reports is 64 KiB, an image index 16 MiB.
const BLOB_BYTES_MAX: u64 = limits::INDEX_BYTES_MAX as u64;
/// Largest enrolment request.
pub const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Most files in a folder of requests: more machines than a site has.
const REQUESTS_MAX: usize = 16_384;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds nothing of ours.
    #[error(
        "{} holds no daymark/ folder; write one with `daymarkctl sync {}`",
        path.display(),
        path.display()
    )]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// It holds more than can be right.
    #[error("{} holds more than {most} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// Most that are read.
        most: usize,
    },
    /// A file is not one that is read.
    #[error("{} is not an ordinary file of at most {most} bytes", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Largest that is read, in bytes.
        most: u64,
    },
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// It.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}{}", path.display(), full(source))]
    Write {
        /// It.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn full(source: &std::io::Error) -> &'static str {
    if source.kind() == std::io::ErrorKind::StorageFull {
        ": it is full; free some space and try again"
    } else {
        ""
    }
}

/// Where an item stands in a folder: enough to find it, nothing read yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemName {
    /// A root by version.
    Root(u64),
    /// An entry by document and hash.
    Entry(DocumentId, Digest),
    /// A report by host, generation and count.
    Report(KeyId, u64, u64),
    /// A blob by digest.
    Blob(Digest),
}

impl ItemName {
    /// The name of an item.
    pub fn of(item: &Item) -> Self {
        match item {
            Item::Root { version, .. } => Self::Root(*version),
            Item::Entry { document, hash, .. } => Self::Entry(document.clone(), *hash),
            Item::Report { host, generation, count, .. } => {
                Self::Report(*host, *generation, *count)
            }
            Item::Blob { digest, .. } => Self::Blob(*digest),
        }
    }

    fn path(&self) -> PathBuf {
        Path::new("daymark").join(self.to_string())
    }

    fn bytes_max(&self) -> u64 {
        match self {
            Self::Root(_) => (limits::RIVAL_ROOTS_MAX * (limits::ENVELOPE_BYTES_MAX + 1)) as u64,
            Self::Entry(..) | Self::Report(..) => limits::MESSAGE_BYTES_MAX as u64,
            Self::Blob(_) => BLOB_BYTES_MAX,
        }
    }
}

impl fmt::Display for ItemName {
    /// Its path below `daymark/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(version) => write!(f, "roots/{version}.json"),
            Self::Entry(document, hash) => write!(f, "documents/{document}/{hash}"),
            Self::Report(host, generation, count) => {
                write!(f, "reports/{host}/{generation}/{count}")
            }
            Self::Blob(digest) => write!(f, "blobs/{digest}"),
        }
    }
}

/// An enrolment request's file, and what it holds.
pub type ReadRequest = (PathBuf, Result<Vec<u8>, FolderError>);

/// A folder with a replica in it, or one that is to get it.
#[derive(Clone, Debug)]
pub struct ReplicaFolder {
    path: PathBuf,
}

impl ReplicaFolder {
    /// A folder that holds a replica.
    ///
    /// # Errors
    /// [`FolderError::NotOurs`].
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        if !path.join("daymark").is_dir() {
            return Err(FolderError::NotOurs { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// A folder that may yet be empty; it must exist, so that nothing is written below a mount
    /// point whose stick is not there.
    ///
    /// # Errors
    /// [`FolderError::Read`] if it does not exist.
    pub fn open_or_begin(path: &Path) -> Result<Self, FolderError> {
        let found = fs::metadata(path).and_then(|found| {
            let kind = std::io::ErrorKind::NotADirectory;
            if found.is_dir() { Ok(()) } else { Err(kind.into()) }
        });
        found.map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything whose name is well-formed, in order: roots, entries, reports, blobs. Other
    /// files are none of ours and skipped.
    ///
    /// # Errors
    /// [`FolderError::TooMany`] or [`FolderError::Read`].
    pub fn names(&self) -> Result<Vec<ItemName>, FolderError> {
        let mut listing = Listing { folder: self, names: Vec::new(), seen: 0 };
        for name in listing.list("roots")? {
            let version = name.strip_suffix(".json").and_then(|version| version.parse().ok());
            listing.names.extend(version.map(ItemName::Root));
        }
        listing.entries("documents/fleet", &DocumentId::Fleet)?;
        for site in listing.list("documents/site")? {
            if let Ok(id) = site.parse() {
                listing.entries(&format!("documents/site/{site}"), &DocumentId::Site(id))?;
            }
        }
        listing.reports()?;
        for name in listing.list("blobs")? {
            listing.names.extend(name.parse().ok().map(ItemName::Blob));
        }
        let mut names = listing.names;
        names.sort();
        Ok(names)
    }

    /// Reads an item; `None` if its content does not have the size or the hash that its name
    /// claims, or is not an ordinary file.
    ///
    /// # Errors
    /// [`FolderError::Read`].
    pub fn read(&self, name: &ItemName) -> Result<Option<Item>, FolderError> {
        let read = self.read_file(&name.path(), name.bytes_max())?;
        Ok(read.and_then(|bytes| item(name, bytes)))
    }

    /// Writes an item unless it is there already, and says whether it wrote.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write(&self, item: &Item) -> Result<bool, FolderError> {
        let name = ItemName::of(item);
        let held = self.read_file(&name.path(), name.bytes_max());
        if held.is_ok_and(|held| held.is_some_and(|held| held == item.bytes())) {
            return Ok(false);
        }
        self.write_file(&name.path(), item.bytes())?;
        Ok(true)
    }

    /// Removes an item that is no longer kept; that it is gone already is no error.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn remove(&self, name: &ItemName) -> Result<(), FolderError> {
        self.remove_file(&name.path())
    }

    /// Reads an ordinary file of the folder, never through a link or from a pipe; `None` if there
    /// is none, or a larger one.
    ///
    /// # Errors
    /// [`FolderError::Read`].
    pub fn read_file(
        &self,
        relative: &Path,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.path.join(relative);
        read_untrusted(&path, bytes_max).map_err(|source| FolderError::Read { path, source })
    }

    /// Writes a file of the folder whole and durably, with the folders above it, never through a
    /// link.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write_file(&self, relative: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(relative);
        let parents = self.parents(relative, |folder| {
            fs::create_dir(folder)?;
            sync_folder(folder.parent().unwrap_or(folder))
        });
        parents
            .and_then(|()| write_atomic(&path, bytes, 0o644))
            .map_err(|source| FolderError::Write { path, source })
    }

    /// Removes a file of the folder, never through a link; that it is gone already is no error.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn remove_file(&self, relative: &Path) -> Result<(), FolderError> {
        let path = self.path.join(relative);
        let parents = self.parents(relative, |_| Err(std::io::ErrorKind::NotFound.into()));
        match parents.and_then(|()| fs::remove_file(&path)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(FolderError::Write { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Names of what lies in `relative`, in order, at most `most`; none if it is not there.
    ///
    /// # Errors
    /// [`FolderError::Read`].
    pub fn list_files(&self, relative: &Path, most: usize) -> Result<Vec<String>, FolderError> {
        let path = self.path.join(relative);
        list(&path, most).map_err(|source| FolderError::Read { path, source })
    }

    /// The enrolment requests, unchecked, in order: those in `requests/`, or where there is no such
    /// folder those in the folder itself. What is no ordinary file of a request's size is an error
    /// in its place.
    ///
    /// # Errors
    /// [`FolderError::Read`] if the folder cannot be listed, [`FolderError::TooMany`].
    pub fn requests(&self) -> Result<Vec<ReadRequest>, FolderError> {
        let inner = Path::new("requests");
        let relative = if self.path.join(inner).is_dir() { inner } else { Path::new("") };
        let mut names = self.list_files(relative, REQUESTS_MAX + 1)?;
        if names.len() > REQUESTS_MAX {
            let path = self.path.join(relative);
            return Err(FolderError::TooMany { path, most: REQUESTS_MAX });
        }
        names.retain(|name| name.ends_with(".json"));
        let read = |name: String| {
            let path = self.path.join(relative).join(&name);
            let unusable = FolderError::Unusable { path: path.clone(), most: REQUEST_BYTES_MAX };
            let bytes = self.read_file(&relative.join(name), REQUEST_BYTES_MAX);
            (path, bytes.and_then(|bytes| bytes.ok_or(unusable)))
        };
        Ok(names.into_iter().map(read).collect())
    }

    /// Writes a host's enrolment request.
    ///
    /// # Errors
    /// [`FolderError::Write`].
    pub fn write_request(&self, host: &KeyId, json: &[u8]) -> Result<PathBuf, FolderError> {
        let relative = Path::new("requests").join(format!("{host}.json"));
        self.write_file(&relative, json)?;
        Ok(self.path.join(&relative))
    }

    /// Sees that the folders above `relative` are there and no links, which could lead out of the
    /// folder; what becomes of a missing one is up to `missing`.
    fn parents(
        &self,
        relative: &Path,
        missing: impl Fn(&Path) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let mut path = self.path.clone();
        for component in relative.parent().into_iter().flatten() {
            path.push(component);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(std::io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing(&path)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

struct Listing<'a> {
    folder: &'a ReplicaFolder,
    names: Vec<ItemName>,
    seen: usize,
}

impl Listing<'_> {
    fn list(&mut self, relative: &str) -> Result<Vec<String>, FolderError> {
        let path = self.folder.path.join("daymark").join(relative);
        let names =
            list(&path, FILES_MAX + 1).map_err(|source| FolderError::Read { path, source })?;
        self.seen += names.len();
        if self.seen > FILES_MAX {
            return Err(FolderError::TooMany { path: self.folder.path.clone(), most: FILES_MAX });
        }
        Ok(names)
    }

    fn entries(&mut self, relative: &str, document: &DocumentId) -> Result<(), FolderError> {
        for name in self.list(relative)? {
            let hash = name.parse().ok();
            self.names.extend(hash.map(|hash| ItemName::Entry(document.clone(), hash)));
        }
        Ok(())
    }

    fn reports(&mut self) -> Result<(), FolderError> {
        for host in self.list("reports")? {
            let Ok(key) = host.parse::<KeyId>() else { continue };
            for generation in self.list(&format!("reports/{host}"))? {
                let Ok(number) = generation.parse() else { continue };
                for count in self.list(&format!("reports/{host}/{generation}"))? {
                    let count = count.parse().ok();
                    self.names.extend(count.map(|count| ItemName::Report(key, number, count)));
                }
            }
        }
        Ok(())
    }
}

fn list(folder: &Path, most: usize) -> std::io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries.take(most) {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// Reads an ordinary file without following a link or waiting for a pipe's other end.
fn read_untrusted(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file: File = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= bytes_max).then_some(bytes))
}

/// The item of that name, if its bytes are what the name says.
fn item(name: &ItemName, bytes: Vec<u8>) -> Option<Item> {
    match name {
        ItemName::Root(version) => Some(Item::Root { version: *version, bytes: Bytes(bytes) }),
        ItemName::Entry(document, hash) => (Digest::of(&bytes) == *hash).then(|| Item::Entry {
            document: document.clone(),
            hash: *hash,
            bytes: Bytes(bytes),
        }),
        ItemName::Report(host, generation, count) => Some(Item::Report {
            host: *host,
            generation: *generation,
            count: *count,
            bytes: Bytes(bytes),
        }),
        ItemName::Blob(digest) => (Digest::of(&bytes) == *digest)
            .then_some(Item::Blob { digest: *digest, bytes: Bytes(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        let blob = b"a list of digests".to_vec();
        let entry = |document: &str, text: &str| Item::Entry {
            document: document.parse().unwrap(),
            hash: Digest::of(text.as_bytes()),
            bytes: Bytes(text.as_bytes().to_vec()),
        };
        let report = |generation, count| Item::Report {
            host: KeyId([7; 32]),
            generation,
            count,
            bytes: Bytes(vec![1]),
        };
        vec![
            Item::Root { version: 1, bytes: Bytes(b"{}".to_vec()) },
            Item::Root { version: 12, bytes: Bytes(b"{}".to_vec()) },
            entry("fleet", "statement"),
            entry("site/site-1", "another"),
            report(2, 1),
            report(2, 10),
            report(11, 3),
            Item::Blob { digest: Digest::of(&blob), bytes: Bytes(blob) },
        ]
    }

    fn read_all(folder: &ReplicaFolder) -> Vec<Item> {
        folder.names().unwrap().iter().filter_map(|name| folder.read(name).unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_and_written_only_once() {
        let place = tempfile::tempdir().unwrap();
        let folder = ReplicaFolder::open_or_begin(place.path()).unwrap();
        assert!(items().iter().all(|item| folder.write(item).unwrap()));
        assert!(!items().iter().any(|item| folder.write(item).unwrap()));
        assert_eq!(read_all(&ReplicaFolder::open(place.path()).unwrap()), items());
    }

    #[test]
    fn what_does_not_match_its_name_is_skipped_and_repaired_by_the_next_write() {
        let place = tempfile::tempdir().unwrap();
        let folder = ReplicaFolder::open_or_begin(place.path()).unwrap();
        for item in items() {
            folder.write(&item).unwrap();
            if !matches!(item, Item::Root { .. } | Item::Report { .. }) {
                fs::write(place.path().join(ItemName::of(&item).path()), b"tampered").unwrap();
            }
        }
        fs::write(place.path().join("daymark/blobs/README"), b"not ours").unwrap();
        assert!(read_all(&folder).iter().all(|item| !matches!(item, Item::Entry { .. })));
        assert_eq!(items().iter().filter(|item| folder.write(item).unwrap()).count(), 3);
        assert_eq!(read_all(&folder), items());
    }

    #[test]
    fn links_pipes_and_huge_files_of_a_hostile_stick_are_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("daymark/roots")).unwrap();
        fs::write(outside.path().join("secret"), b"secret").unwrap();
        let root = |name: &str| place.path().join("daymark/roots").join(name);
        std::os::unix::fs::symlink(outside.path().join("secret"), root("1.json")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root("2.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        File::create(root("3.json")).unwrap().set_len(1 << 40).unwrap();
        let folder = ReplicaFolder::open(place.path()).unwrap();
        assert_eq!(folder.names().unwrap().len(), 3);
        assert!(read_all(&folder).is_empty());

        std::os::unix::fs::symlink(outside.path(), place.path().join("daymark/blobs")).unwrap();
        let blob = items().pop().unwrap();
        assert!(matches!(folder.write(&blob), Err(FolderError::Write { .. })));
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_without_a_replica_says_how_to_get_one() {
        let place = tempfile::tempdir().unwrap();
        let refused = ReplicaFolder::open(place.path()).unwrap_err().to_string();
        assert!(refused.contains("daymarkctl sync"), "{refused}");
        ReplicaFolder::open_or_begin(&place.path().join("unplugged")).unwrap_err();
    }

    #[test]
    fn requests_are_listed() {
        let place = tempfile::tempdir().unwrap();
        let folder = ReplicaFolder::open_or_begin(place.path()).unwrap();
        assert!(folder.requests().unwrap().is_empty());
        folder.write_request(&KeyId([1; 32]), b"{}").unwrap();
        let requests = folder.requests().unwrap();
        let [(path, Ok(bytes))] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(path, &place.path().join(format!("requests/{}.json", KeyId([1; 32]))));
        assert_eq!(bytes, b"{}");
    }
}
