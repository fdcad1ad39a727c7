//! What survives a process: files and the store of replicated data, with the faults of disks.

use std::collections::BTreeMap;
use std::sync::Arc;

use daymark_core::Start;
use daymark_core::durable::DurableState;
use daymark_core::effect::Write;
use daymark_protocol::document::{DocumentId, StoredEntry, StoredReport};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::trust::{Floors, SigningKey};

use crate::trace::Trace;

/// Stored bytes; equal ones are held once however many disks hold them.
pub(crate) type Bytes = Arc<[u8]>;

/// The bytes that disks hold, once each.
#[derive(Debug, Default)]
pub(crate) struct Pool(BTreeMap<Bytes, ()>);

impl Pool {
    fn share(&mut self, bytes: &[u8]) -> Bytes {
        if let Some((held, ())) = self.0.get_key_value(bytes) {
            return Arc::clone(held);
        }
        let held: Bytes = bytes.into();
        self.0.insert(Arc::clone(&held), ());
        held
    }

    /// Different byte strings that some disk holds; forgets the others.
    pub(crate) fn prune(&mut self) -> usize {
        self.0.retain(|bytes, ()| Arc::strong_count(bytes) > 1);
        self.0.len()
    }
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Good,
    /// It is full until this time, ms.
    FullUntil(u64),
    /// It is read-only until the machine restarts.
    ReadOnly,
}

/// A disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: DurableState,
    roots: BTreeMap<u64, Bytes>,
    floors: Floors,
    entries: BTreeMap<DocumentId, BTreeMap<Digest, Bytes>>,
    reports: BTreeMap<KeyId, BTreeMap<(u64, u64), Bytes>>,
    blobs: BTreeMap<Digest, Bytes>,
    /// What is wrong with it.
    pub condition: Condition,
    /// Whether a torn write or a changed byte waits to be found.
    pub(crate) damaged: bool,
}

impl Disk {
    /// Does one write; it is durable when this returns.
    pub(crate) fn write(&mut self, write: &Write, pool: &mut Pool) {
        match write {
            Write::PutEntry { document, hash, bytes } => {
                let bytes = pool.share(bytes);
                self.entries.entry(document.clone()).or_default().insert(*hash, bytes);
            }
            Write::DropEntry { document, hash } => {
                if let Some(entries) = self.entries.get_mut(document) {
                    entries.remove(hash);
                }
            }
            Write::PutReport { host, generation, count, bytes } => {
                let bytes = pool.share(bytes);
                self.reports.entry(*host).or_default().insert((*generation, *count), bytes);
            }
            Write::DropReports { host, below } => {
                if let Some(reports) = self.reports.get_mut(host) {
                    reports.retain(|(generation, _), _| generation >= below);
                }
            }
            Write::PutBlob { digest, bytes } => {
                self.blobs.insert(*digest, pool.share(bytes));
            }
            Write::DropBlob { digest } => {
                self.blobs.remove(digest);
            }
            Write::PutRoot { version, bytes } => {
                self.roots.insert(*version, pool.share(bytes));
            }
            Write::AppendFloor(floor) => {
                self.floors.apply(floor.clone());
            }
            Write::PutState(state) => self.state.clone_from(state),
        }
    }

    /// The power fails within a write. Files are replaced whole, so that the old one stays; a
    /// journal's torn line is dropped by its checksum; the store may keep half of what it got.
    /// Whether something is left that the next start must find.
    pub(crate) fn tear(&mut self, write: &Write, pool: &mut Pool) -> bool {
        let mut torn = write.clone();
        match &mut torn {
            Write::PutEntry { bytes, .. }
            | Write::PutReport { bytes, .. }
            | Write::PutBlob { bytes, .. } => bytes.truncate(bytes.len() / 2),
            Write::DropEntry { .. }
            | Write::DropReports { .. }
            | Write::DropBlob { .. }
            | Write::PutRoot { .. }
            | Write::AppendFloor(_)
            | Write::PutState(_) => return false,
        }
        self.write(&torn, pool);
        self.damaged = true;
        true
    }

    /// Changes one byte of one stored entry, report or blob, chosen by `draw`. Whether there was
    /// any.
    pub(crate) fn rot(&mut self, draw: u64, pool: &mut Pool) -> bool {
        let entries = self.entries.values_mut().flat_map(BTreeMap::values_mut);
        let reports = self.reports.values_mut().flat_map(BTreeMap::values_mut);
        let mut stored: Vec<&mut Bytes> =
            entries.chain(reports).chain(self.blobs.values_mut()).collect();
        let count = stored.len().max(1) as u64;
        let place = usize::try_from(draw % count).unwrap_or(0);
        let Some(bytes) = stored.get_mut(place).filter(|bytes| !bytes.is_empty()) else {
            return false;
        };
        let mut changed = bytes.to_vec();
        let at = usize::try_from((draw >> 20) % changed.len() as u64).unwrap_or(0);
        changed[at] ^= 0x10;
        **bytes = pool.share(&changed);
        self.damaged = true;
        true
    }

    /// The small file.
    pub fn state(&self) -> &DurableState {
        &self.state
    }

    /// The fold of the floor journal.
    pub fn floors(&self) -> &Floors {
        &self.floors
    }

    /// Version of the newest root on it; 0 if there is none.
    pub fn root_version(&self) -> u64 {
        self.roots.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether two roots of the newest version are on it: one envelope on each line of their file.
    pub fn holds_rival_roots(&self) -> bool {
        self.roots.values().next_back().is_some_and(|file| envelopes(file).count() > 1)
    }

    /// Whether the roots on it are those of another disk.
    pub fn has_roots_of(&self, other: &Self) -> bool {
        self.roots == other.roots
    }

    /// Whether an entry is on it, in whatever document.
    pub fn holds(&self, hash: &Digest) -> bool {
        self.entries.values().any(|entries| entries.contains_key(hash))
    }

    /// The hashes of a document's entries, in order.
    pub fn hashes(&self, document: &DocumentId) -> impl Iterator<Item = &Digest> {
        self.entries.get(document).into_iter().flat_map(BTreeMap::keys)
    }

    /// The bytes of a document's entries.
    pub fn entries(&self, document: &DocumentId) -> impl Iterator<Item = &[u8]> {
        self.entries.get(document).into_iter().flat_map(|entries| entries.values().map(|b| &**b))
    }

    /// The documents on it.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentId> {
        self.entries.keys()
    }

    /// The newest report of each host on it: generation, count and bytes.
    pub fn heads(&self) -> impl Iterator<Item = (&KeyId, u64, u64, &[u8])> {
        self.reports.iter().filter_map(|(host, reports)| {
            let ((generation, count), bytes) = reports.iter().next_back()?;
            Some((host, *generation, *count, &**bytes))
        })
    }

    /// All that a stick takes from it: roots, entries, reports, blobs.
    pub(crate) fn everything(&self) -> Vec<daymark_core::event::Carried> {
        use daymark_core::event::Carried;
        let roots = self.roots.values().flat_map(|file| envelopes(file));
        let roots = roots.map(|envelope| Carried::Root(envelope.to_vec()));
        let entries = self.entries.values().flat_map(BTreeMap::values);
        let reports = self.reports.values().flat_map(BTreeMap::values);
        roots
            .chain(entries.map(|bytes| Carried::Entry(bytes.to_vec())))
            .chain(reports.map(|bytes| Carried::Report(bytes.to_vec())))
            .chain(self.blobs.values().map(|bytes| Carried::Blob(bytes.to_vec())))
            .collect()
    }

    /// One number for all replicated data on it: equal for disks that hold the same.
    pub fn content(&self) -> u64 {
        let mut content = Trace::default();
        for (document, entries) in &self.entries {
            content.bytes(document.to_string().as_bytes());
            entries.keys().for_each(|hash| content.bytes(hash.as_bytes()));
        }
        for (host, reports) in &self.reports {
            content.bytes(host.as_bytes());
            for (generation, count) in reports.keys() {
                content.number(*generation);
                content.number(*count);
            }
        }
        content.short()
    }

    /// What a process starts from.
    pub(crate) fn start(&self, key: SigningKey, seed: [u8; 32]) -> Start {
        let entries = self.entries.iter().flat_map(|(document, entries)| {
            entries.iter().map(|(hash, bytes)| StoredEntry {
                document: document.clone(),
                hash: *hash,
                bytes: bytes.to_vec(),
            })
        });
        let reports = self.reports.iter().flat_map(|(host, reports)| {
            reports.iter().map(|((generation, count), bytes)| StoredReport {
                host: *host,
                generation: *generation,
                count: *count,
                bytes: bytes.to_vec(),
            })
        });
        Start {
            key,
            seed,
            durable: self.state.clone(),
            roots: self.roots.values().map(|bytes| bytes.to_vec()).collect(),
            entries: entries.collect(),
            reports: reports.collect(),
            blobs: self.blobs.iter().map(|(digest, bytes)| (*digest, bytes.to_vec())).collect(),
            floors: self.floors.clone(),
        }
    }

    /// The store's damage was found and set right by a start: what was damaged is dropped.
    pub(crate) fn drop_damaged(&mut self) {
        self.damaged = false;
        for entries in self.entries.values_mut() {
            entries.retain(|hash, bytes| Digest::of(bytes) == *hash);
        }
        self.blobs.retain(|digest, bytes| Digest::of(bytes) == *digest);
    }
}

/// The envelopes in a file of roots of one version.
fn envelopes(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
