//! What this home knows of packs that it wrote or opened. Lies in the replica's own folder, so that
//! whoever loses the replica opens everything anew, and so does a home whose replica is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use daymark_node::durable::write_atomic;
use daymark_node::folder::ItemName;
use daymark_protocol::id::Digest;
use serde::{Deserialize, Serialize};

use crate::exit::Outcome;
use crate::session::Session;

/// Where it lies, below a context's folder.
const REMEMBERED: &str = "daymark/opened";
/// Most packs that are remembered; beyond, those of other sticks are forgotten, and opened again.
const REMEMBERED_MAX: usize = 1_024;

/// What is known of a pack.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    /// Digest of its recipients.
    pub sealed_to: Digest,
    /// If something of it is not held here: under which [`state`] it was not kept. Such a pack is
    /// left for others.
    pub unheld: Option<Digest>,
    /// Digests of its items' names.
    pub items: BTreeSet<Digest>,
}

/// What stands for an item in what is remembered.
pub(super) fn mark(name: &ItemName) -> Digest {
    Digest::of(name.to_string().as_bytes())
}

/// The items of packs.
pub(super) fn items(packs: &BTreeMap<Digest, Known>) -> BTreeSet<Digest> {
    packs.values().flat_map(|known| known.items.iter().copied()).collect()
}

/// What decides which items are kept: the newest root and every statement.
pub(super) fn state(session: &Session) -> Digest {
    let replica = session.replica();
    let documents = replica.documents().map(|document| replica.fingerprint(document));
    let parts: Vec<Digest> =
        std::iter::once(replica.chain().newest_digest()).chain(documents).collect();
    Digest::of_parts(&parts.iter().map(|part| part.0.as_slice()).collect::<Vec<_>>())
}

/// The folder of it.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    /// Whether it can be relied on.
    whole: bool,
}

impl Memory {
    /// That of a context.
    pub(super) fn of(session: &Session) -> Self {
        Self { folder: session.folder.join(REMEMBERED), whole: session.is_whole() }
    }

    /// What is known of a pack, if nothing of it could be taken in now that could not before.
    pub(super) fn recall(&self, pack: &Digest, state: &Digest) -> Option<Known> {
        let bytes = fs::read(self.folder.join(pack.to_string())).ok().filter(|_| self.whole)?;
        let known: Known = serde_json::from_slice(&bytes).ok()?;
        known.unheld.is_none_or(|then| then == *state).then_some(known)
    }

    /// Remembers a pack.
    pub(super) fn keep(&self, pack: &Digest, known: &Known) -> Outcome<()> {
        fs::create_dir_all(&self.folder)?;
        let file = self.folder.join(pack.to_string());
        Ok(write_atomic(&file, &serde_json::to_vec(known)?, 0o600)?)
    }

    /// Forgets a pack. A file that stays only says of a pack that is gone what was true of it.
    pub(super) fn forget(&self, pack: &Digest) {
        let _ = fs::remove_file(self.folder.join(pack.to_string()));
    }

    /// Forgets packs of other sticks if there are too many.
    pub(super) fn forget_others(&self, here: &BTreeMap<Digest, Known>) -> Outcome<()> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        if files.len() <= REMEMBERED_MAX {
            return Ok(());
        }
        let is_here = |file: &&PathBuf| {
            let name = file.file_name().and_then(|name| name.to_str());
            let pack = name.and_then(|name| name.parse::<Digest>().ok());
            pack.is_some_and(|pack| here.contains_key(&pack))
        };
        for file in files.iter().filter(|file| !is_here(file)) {
            fs::remove_file(file)?;
        }
        Ok(())
    }
}
