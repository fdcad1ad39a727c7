//! A replica as it is stored: loaded with nothing believed, and the journal of its floors.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daymark_node::folder::{ItemName, ReplicaFolder};
use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::document::{Changes, Interest, Replica, Stored, StoredEntry, StoredReport};
use daymark_protocol::trust::{FloorRecord, Floors, Pin, RootChain};

use crate::exit::Outcome;
use crate::output;

/// The journal of floors, so that no stick or node can take this replica back (RULES C6).
fn floors_file(folder: &Path) -> PathBuf {
    folder.join("floors")
}

/// Reads the journal of floors; a torn last line is cut off.
pub(crate) fn read_floors(folder: &Path) -> Outcome<Floors> {
    let path = floors_file(folder);
    let journal = match fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let read = Floors::read_journal(&journal);
    if read.complete_bytes < journal.len() {
        // A line that was torn off must not run into the next one.
        let opened = fs::OpenOptions::new().write(true).open(&path);
        opened
            .and_then(|file| file.set_len(read.complete_bytes as u64))
            .with_context(|| format!("cannot cut the torn last line off {}", path.display()))?;
    }
    if read.damaged_lines > 0 {
        output::note(&format!(
            "warning: {} lines of {} are damaged and left out",
            read.damaged_lines,
            path.display()
        ));
    }
    Ok(read.floors)
}

/// Adds to the journal of floors, durably.
pub(crate) fn append_floors(folder: &Path, records: &[FloorRecord]) -> Outcome<()> {
    if records.is_empty() {
        return Ok(());
    }
    let lines: Vec<u8> = records.iter().flat_map(FloorRecord::encode).collect();
    let path = floors_file(folder);
    let opened = fs::OpenOptions::new().create(true).append(true).open(&path);
    opened
        .and_then(|mut file| file.write_all(&lines).and_then(|()| file.sync_data()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// A folder's replica, verified anew.
#[derive(Debug)]
pub(crate) struct LoadedFolder {
    /// The replica.
    pub replica: Replica,
    /// The items that were read.
    pub read: BTreeSet<ItemName>,
    /// What makes the folder equal to it.
    pub changes: Changes,
    /// What is damaged or does not verify, for people.
    pub problems: Vec<String>,
    /// How many reports lie in it.
    pub reports: usize,
}

/// Loads a folder's replica under a pin; nothing in it is believed unchecked.
pub(crate) fn load_folder(
    store: &ReplicaFolder,
    pin: Pin,
    floors: Floors,
) -> Outcome<LoadedFolder> {
    let mut chain = RootChain::new(pin);
    let (mut roots, mut stored, mut problems) = (Vec::new(), Stored::default(), Vec::new());
    let mut read = BTreeSet::new();
    for name in store.names()? {
        match store.read(&name)? {
            Some(item) => {
                read.insert(name);
                sort_in(item, &mut roots, &mut stored);
            }
            None => problems.push(format!("{name} is damaged")),
        }
    }
    // A root that is not of the chain, or still lacks signatures, changes nothing.
    chain.accept_all(roots.iter().map(Vec::as_slice));
    let loaded = Replica::load(chain, floors, Interest::default(), &stored);
    problems.extend(loaded.corrupt.iter().map(|bad| format!("{}: {}", bad.what, bad.why)));
    let reports = stored.reports.len();
    Ok(LoadedFolder { replica: loaded.replica, read, changes: loaded.changes, problems, reports })
}

fn sort_in(item: Item, roots: &mut Vec<Vec<u8>>, stored: &mut Stored) {
    match item {
        Item::Root { bytes, .. } => roots.push(bytes.0),
        Item::Entry { document, hash, bytes } => {
            stored.entries.push(StoredEntry { document, hash, bytes: bytes.0 });
        }
        Item::Report { host, generation, count, bytes } => {
            stored.reports.push(StoredReport { host, generation, count, bytes: bytes.0 });
        }
        Item::Blob { digest, bytes } => stored.blobs.push((digest, bytes.0)),
    }
}

/// What of a replica's changes is written, item by item.
pub(crate) fn changes_items(changes: &Changes) -> Vec<Item> {
    let own = |bytes: &Vec<u8>| Bytes(bytes.clone());
    let mut items = Vec::new();
    for (version, bytes) in &changes.roots {
        items.push(Item::Root { version: *version, bytes: own(bytes) });
    }
    for StoredEntry { document, hash, bytes } in &changes.puts {
        items.push(Item::Entry { document: document.clone(), hash: *hash, bytes: own(bytes) });
    }
    for StoredReport { host, generation, count, bytes } in &changes.reports {
        items.push(Item::Report {
            host: *host,
            generation: *generation,
            count: *count,
            bytes: own(bytes),
        });
    }
    for (digest, bytes) in &changes.blobs {
        items.push(Item::Blob { digest: *digest, bytes: own(bytes) });
    }
    items
}
