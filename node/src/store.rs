//! Replicated data on disk: entries, reports and blobs in sled. Peers can give all of it back, so
//! a store that is damaged is set aside and begun anew; what cannot be got back is in `durable`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daymark_protocol::document::{DocumentId, StoredEntry, StoredReport};
use daymark_protocol::id::{Digest, KeyId};

/// Memory that sled may use for its cache; a node is to stay below 32 MiB (DESIGN section 10).
const CACHE_BYTES: u64 = 2 * 1024 * 1024;
/// Writes are flushed by the agent before it relies on them, and otherwise this often.
const FLUSH_EVERY_MS: u64 = 1_000;
/// Tries while an earlier opening's lock goes: sled's threads, or a program that was just being
/// started, may share it for a moment. Only one agent opens a data folder.
const LOCKED_TRIES: u32 = 100;
/// Pause between them.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);

/// Why replicated data cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be opened, nor set aside.
    #[error("cannot open the store {}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
    /// A damaged store cannot be moved away.
    #[error("cannot set the damaged store {} aside", path.display())]
    SetAside {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error("cannot write the store: the disk is full; free some space and start again")]
    Full,
    /// A read or write failed.
    #[error("cannot {act} the store")]
    Access {
        /// Read, write or flush.
        act: &'static str,
        /// Why.
        source: sled::Error,
    },
}

impl StoreError {
    fn access(act: &'static str) -> impl Fn(sled::Error) -> Self {
        move |source| if is_full(&source) { Self::Full } else { Self::Access { act, source } }
    }
}

/// Everything stored, as read back at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Entries of all documents.
    pub entries: Vec<StoredEntry>,
    /// Reports of all hosts, in order of generation and count.
    pub reports: Vec<StoredReport>,
    /// Blobs, by the digest they were stored under.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// What a store holds, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Entries by document, by SHA-256 of their bytes.
    pub entries: BTreeMap<DocumentId, Vec<Digest>>,
    /// Reports by host, as (generation, count), in order.
    pub reports: BTreeMap<KeyId, Vec<(u64, u64)>>,
    /// Blobs by SHA-256.
    pub blobs: Vec<Digest>,
}

/// The open store. Clones are cheap and reach the same store.
#[derive(Clone, Debug)]
pub struct Store {
    db: sled::Db,
    entries: sled::Tree,
    reports: sled::Tree,
    blobs: sled::Tree,
    set_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the store and reads everything. If what is there is damaged it is set aside and a new
    /// store begun.
    ///
    /// # Errors
    /// If neither works.
    pub fn open(path: &Path) -> Result<(Self, Stored), StoreError> {
        let error = match Self::open_whole(path) {
            Ok(opened) => return Ok(opened),
            Err(error) if !is_damage(&error) => return Err(error),
            Err(error) => error,
        };
        let aside = free_name(path);
        tracing::error!(
            %error, aside = %aside.display(),
            "the store is damaged; it is set aside and refilled from peers"
        );
        std::fs::rename(path, &aside)
            .map_err(|source| StoreError::SetAside { path: path.to_owned(), source })?;
        let (mut store, stored) = Self::open_whole(path)?;
        store.set_aside = Some(aside);
        Ok((store, stored))
    }

    /// sled panics on some damaged files, so a panic counts as damage.
    fn open_whole(path: &Path) -> Result<(Self, Stored), StoreError> {
        let attempt = std::panic::AssertUnwindSafe(|| {
            let store = Self::open_unguarded(path)?;
            let stored = store.read_all()?;
            Ok((store, stored))
        });
        std::panic::catch_unwind(attempt).unwrap_or_else(|_| {
            let source = sled::Error::ReportableBug("reading it panics".to_owned());
            Err(StoreError::Open { path: path.to_owned(), source })
        })
    }

    fn open_unguarded(path: &Path) -> Result<Self, StoreError> {
        let opened = |source| {
            if is_full(&source) {
                StoreError::Full
            } else {
                StoreError::Open { path: path.to_owned(), source }
            }
        };
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        let mut tries = 0;
        let db = loop {
            match config.open() {
                Err(error) if is_locked(&error) && tries < LOCKED_TRIES => {
                    tries += 1;
                    std::thread::sleep(LOCKED_PAUSE);
                }
                other => break other.map_err(opened)?,
            }
        };
        let tree = |name: &str| db.open_tree(name).map_err(opened);
        let (entries, reports, blobs) = (tree("entries")?, tree("reports")?, tree("blobs")?);
        Ok(Self { db, entries, reports, blobs, set_aside: None })
    }

    /// Where a damaged store was moved, if this one was begun anew.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    fn read_all(&self) -> Result<Stored, StoreError> {
        let mut stored = Stored::default();
        for item in self.entries.iter() {
            let (key, bytes) = item.map_err(StoreError::access("read"))?;
            if let (Some(document), Some(hash)) = (document_of(&key), key.last_chunk::<32>()) {
                let hash = Digest(*hash);
                stored.entries.push(StoredEntry { document, hash, bytes: bytes.to_vec() });
            }
        }
        for item in self.reports.iter() {
            let (key, bytes) = item.map_err(StoreError::access("read"))?;
            if let Some((host, generation, count)) = report_name(&key) {
                let bytes = bytes.to_vec();
                stored.reports.push(StoredReport { host, generation, count, bytes });
            }
        }
        for item in self.blobs.iter() {
            let (key, bytes) = item.map_err(StoreError::access("read"))?;
            if let Some(digest) = key.first_chunk::<32>() {
                stored.blobs.push((Digest(*digest), bytes.to_vec()));
            }
        }
        Ok(stored)
    }

    /// Stores an entry.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Access`].
    pub fn put_entry(
        &self,
        document: &DocumentId,
        hash: &Digest,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.entries
            .insert(entry_key(document, hash), bytes)
            .map_err(StoreError::access("write"))?;
        Ok(())
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn drop_entry(&self, document: &DocumentId, hash: &Digest) -> Result<(), StoreError> {
        self.entries.remove(entry_key(document, hash)).map_err(StoreError::access("write"))?;
        Ok(())
    }

    /// Stores a report.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Access`].
    pub fn put_report(
        &self,
        host: &KeyId,
        generation: u64,
        count: u64,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let key = report_key(host, generation, count);
        self.reports.insert(key, bytes).map_err(StoreError::access("write"))?;
        Ok(())
    }

    /// Removes all reports of a host below a generation.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn drop_reports(&self, host: &KeyId, below: u64) -> Result<(), StoreError> {
        let range = report_key(host, 0, 0)..report_key(host, below, 0);
        let mut batch = sled::Batch::default();
        for key in self.reports.range(range).keys() {
            batch.remove(key.map_err(StoreError::access("read"))?);
        }
        self.reports.apply_batch(batch).map_err(StoreError::access("write"))
    }

    /// Stores a blob.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Access`].
    pub fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        self.blobs.insert(digest.as_bytes(), bytes).map_err(StoreError::access("write"))?;
        Ok(())
    }

    /// Removes a blob.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn drop_blob(&self, digest: &Digest) -> Result<(), StoreError> {
        self.blobs.remove(digest.as_bytes()).map_err(StoreError::access("write"))?;
        Ok(())
    }

    /// Names of all entries, reports and blobs.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn index(&self) -> Result<Names, StoreError> {
        let mut names = Names::default();
        for key in self.entries.iter().keys() {
            let key = key.map_err(StoreError::access("read"))?;
            if let (Some(document), Some(hash)) = (document_of(&key), key.last_chunk::<32>()) {
                names.entries.entry(document).or_default().push(Digest(*hash));
            }
        }
        for key in self.reports.iter().keys() {
            let key = key.map_err(StoreError::access("read"))?;
            if let Some((host, generation, count)) = report_name(&key) {
                names.reports.entry(host).or_default().push((generation, count));
            }
        }
        for key in self.blobs.iter().keys() {
            let key = key.map_err(StoreError::access("read"))?;
            names.blobs.extend(key.first_chunk::<32>().map(|digest| Digest(*digest)));
        }
        Ok(names)
    }

    /// An entry's bytes.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn entry(
        &self,
        document: &DocumentId,
        hash: &Digest,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.entries, &entry_key(document, hash))
    }

    /// A report's bytes.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn report(
        &self,
        host: &KeyId,
        generation: u64,
        count: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.reports, &report_key(host, generation, count))
    }

    /// A blob's bytes.
    ///
    /// # Errors
    /// [`StoreError::Access`].
    pub fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.blobs, digest.as_bytes())
    }

    /// Makes all writes durable.
    ///
    /// # Errors
    /// [`StoreError::Full`] or [`StoreError::Access`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(StoreError::access("flush"))?;
        Ok(())
    }

    /// Size on disk, bytes.
    pub fn size_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or_default()
    }
}

fn is_full(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull)
}

/// Whether another opening holds the store; sled says so in words alone.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Whether an error speaks of what is in the files. All others may pass: a disk that fails, no
/// descriptors, no memory, no permission, another process that holds the store. What was stored is
/// then as good as before, and setting it aside would only make the peers send it all again.
fn is_damage(error: &StoreError) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        StoreError::Open { source, .. } | StoreError::Access { source, .. } => match source {
            sled::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
            sled::Error::Corruption { .. }
            | sled::Error::ReportableBug(_)
            | sled::Error::Unsupported(_)
            | sled::Error::CollectionNotFound(_) => true,
        },
        StoreError::SetAside { .. } | StoreError::Full => false,
    }
}

fn get(tree: &sled::Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let found = tree.get(key).map_err(StoreError::access("read"))?;
    Ok(found.map(|bytes| bytes.to_vec()))
}

fn report_name(key: &[u8]) -> Option<(KeyId, u64, u64)> {
    let (host, rest) = key.split_first_chunk::<32>()?;
    let (generation, count) = rest.split_first_chunk::<8>()?;
    let count = count.first_chunk::<8>()?;
    Some((KeyId(*host), u64::from_be_bytes(*generation), u64::from_be_bytes(*count)))
}

fn entry_key(document: &DocumentId, hash: &Digest) -> Vec<u8> {
    let mut key = document.to_string().into_bytes();
    key.push(0);
    key.extend_from_slice(hash.as_bytes());
    key
}

fn document_of(key: &[u8]) -> Option<DocumentId> {
    let (name, _) = key.split_at_checked(key.len().checked_sub(33)?)?;
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn report_key(host: &KeyId, generation: u64, count: u64) -> Vec<u8> {
    let mut key = host.as_bytes().to_vec();
    key.extend(generation.to_be_bytes());
    key.extend(count.to_be_bytes());
    key
}

fn free_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (1u32..)
        .map(|number| path.with_file_name(format!("{name}.damaged-{number}")))
        .find(|candidate| !candidate.exists())
        .expect("some number is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &Path) -> Store {
        let (store, _) = Store::open(path).unwrap();
        let site: DocumentId = "site/site-1234".parse().unwrap();
        store.put_entry(&DocumentId::Fleet, &Digest([1; 32]), b"statement").unwrap();
        store.put_entry(&site, &Digest([0; 32]), b"zeros in its hash").unwrap();
        store.put_entry(&DocumentId::Fleet, &Digest([2; 32]), b"dropped").unwrap();
        store.drop_entry(&DocumentId::Fleet, &Digest([2; 32])).unwrap();
        for (generation, count) in [(300, 2), (300, 1), (2, 9), (1, 1)] {
            store
                .put_report(&KeyId([9; 32]), generation, count, &[u8::try_from(count).unwrap()])
                .unwrap();
        }
        store.drop_reports(&KeyId([9; 32]), 2).unwrap();
        store.put_blob(&Digest([3; 32]), b"blob").unwrap();
        store.flush().unwrap();
        store
    }

    #[test]
    fn what_was_put_is_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(filled(&path));
        let site: DocumentId = "site/site-1234".parse().unwrap();
        let host = KeyId([9; 32]);
        let stored = Store::open(&path).unwrap().1;
        let entries: Vec<_> =
            stored.entries.iter().map(|entry| (&entry.document, entry.bytes.as_slice())).collect();
        assert_eq!(
            entries,
            [(&DocumentId::Fleet, &b"statement"[..]), (&site, b"zeros in its hash")]
        );
        let reports: Vec<_> = stored.reports.iter().map(|r| (r.generation, r.count)).collect();
        assert_eq!(reports, [(2, 9), (300, 1), (300, 2)]);
        assert!(stored.reports.iter().all(|report| report.host == host));
        assert_eq!(stored.blobs, [(Digest([3; 32]), b"blob".to_vec())]);
    }

    #[test]
    fn a_lock_that_goes_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let first = filled(&path);
        let held = sled::Config::new().path(&path).open().unwrap_err();
        assert!(is_locked(&held), "{held}");
        let second = std::thread::spawn(move || Store::open(&path).unwrap().1);
        drop(first);
        assert_eq!(second.join().unwrap().blobs.len(), 1);
    }

    #[test]
    fn everything_is_found_by_the_name_that_the_index_gives() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&folder.path().join("store"));
        let names = store.index().unwrap();
        for (document, hashes) in &names.entries {
            assert!(hashes.iter().all(|hash| store.entry(document, hash).unwrap().is_some()));
        }
        assert_eq!(names.entries.len(), 2);
        assert_eq!(names.reports[&KeyId([9; 32])], [(2, 9), (300, 1), (300, 2)]);
        assert_eq!(store.report(&KeyId([9; 32]), 2, 9).unwrap(), Some(vec![9]));
        assert_eq!(store.blob(&names.blobs[0]).unwrap().unwrap(), b"blob");
        assert_eq!(store.blob(&Digest([0; 32])).unwrap(), None);
    }

    #[test]
    fn a_damaged_store_is_set_aside_and_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(filled(&path));
        std::fs::write(path.join("conf"), b"not a configuration").unwrap();
        let (store, stored) = Store::open(&path).unwrap();
        assert_eq!(stored, Stored::default());
        assert!(store.set_aside().unwrap().exists());
        store.put_blob(&Digest([3; 32]), b"again").unwrap();
        store.flush().unwrap();
    }

    #[test]
    fn only_what_speaks_of_the_content_is_damage() {
        use rustix::io::Errno;
        let opened = |source| StoreError::Open { path: "store".into(), source };
        let io = |errno: Errno| opened(sled::Error::Io(errno.into()));
        for passing in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::INTR,
            Errno::IO,
            Errno::ACCESS,
            Errno::ROFS,
            Errno::NOSPC,
            Errno::NODEV,
            Errno::STALE,
            Errno::AGAIN,
        ] {
            assert!(!is_damage(&io(passing)), "{passing}");
            let read = StoreError::access("read")(sled::Error::Io(passing.into()));
            assert!(!is_damage(&read), "{passing}");
        }
        for kind in [std::io::ErrorKind::InvalidData, std::io::ErrorKind::UnexpectedEof] {
            assert!(is_damage(&opened(sled::Error::Io(kind.into()))), "{kind}");
        }
        assert!(is_damage(&opened(sled::Error::Corruption { at: None, bt: () })));
    }

    #[test]
    fn a_store_that_another_process_holds_is_not_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let held = filled(&path);
        assert!(Store::open(&path).is_err());
        assert!(held.set_aside().is_none() && path.exists());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// Set in the process that [`without_descriptors_the_store_is_refused_and_kept`] starts.
    const CHILD: &str = "DAYMARK_TEST_STORE";
    const REFUSED: i32 = 42;
    const OPENED: i32 = 43;

    /// Opens the store in a process with fewer and fewer descriptors.
    #[test]
    fn without_descriptors_the_store_is_refused_and_kept() {
        if let Some(path) = std::env::var_os(CHILD) {
            let opened = Store::open(Path::new(&path));
            std::process::exit(if opened.is_ok() { OPENED } else { REFUSED });
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(filled(&path));
        let name = "store::tests::without_descriptors_the_store_is_refused_and_kept";
        let mut codes = std::collections::BTreeSet::new();
        for descriptors in 4..24 {
            let status = std::process::Command::new("sh")
                .args(["-c", "ulimit -n $0; exec \"$@\"", &descriptors.to_string()])
                .arg(std::env::current_exe().unwrap())
                .args([name, "--exact", "--nocapture"])
                .env(CHILD, &path)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status();
            codes.extend(status.unwrap().code());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{descriptors}");
        }
        assert!(codes.contains(&REFUSED) && codes.contains(&OPENED), "{codes:?}");
    }
}
