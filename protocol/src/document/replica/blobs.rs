//! Blobs: kept only while a held report names them (RULES D5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, Outcome, Replica};
use crate::document::closed::BLOB_BYTES_MAX;
use crate::id::{Digest, KeyId};
use crate::trust::LIST_BYTES_MAX;

/// Held blobs and who names them.
#[derive(Clone, Debug, Default)]
pub(super) struct Blobs {
    held: BTreeMap<Digest, Vec<u8>>,
    named: BTreeSet<(Digest, KeyId)>,
    /// Named and not held.
    missing: BTreeSet<Digest>,
    of_host: BTreeMap<KeyId, Digest>,
}

impl Blobs {
    /// Notes which blob a host names now; returns one that nobody names any more.
    pub(super) fn set_name(&mut self, host: KeyId, digest: Option<Digest>) -> Option<Digest> {
        if self.of_host.get(&host).copied() == digest {
            return None;
        }
        let before = match digest {
            Some(digest) => {
                self.named.insert((digest, host));
                if !self.held.contains_key(&digest) {
                    self.missing.insert(digest);
                }
                self.of_host.insert(host, digest)
            }
            None => self.of_host.remove(&host),
        };
        let before = before?;
        self.named.remove(&(before, host));
        if self.is_named(&before) {
            return None;
        }
        self.missing.remove(&before);
        self.held.remove(&before).map(|_| before)
    }

    fn is_named(&self, digest: &Digest) -> bool {
        let of = (*digest, KeyId([0; 32]))..=(*digest, KeyId([0xff; 32]));
        self.named.range(of).next().is_some()
    }
}

impl Replica {
    /// Takes a blob. It is kept only if a root or a held report names it, or if it is a heartbeat.
    pub fn accept_blob(&mut self, bytes: &[u8]) -> (Outcome, Changes) {
        let mut changes = Changes::default();
        if bytes.len() > LIST_BYTES_MAX {
            let why = format!("a blob has at most {LIST_BYTES_MAX} bytes, not {}", bytes.len());
            return (Outcome::Refused(why), changes);
        }
        let digest = Digest::of(bytes);
        let other = self.accept_list(digest, bytes).or_else(|| self.accept_heartbeat(bytes));
        if let Some(taken) = other {
            return taken;
        }
        if bytes.len() > BLOB_BYTES_MAX {
            let why = format!("a blob has at most {BLOB_BYTES_MAX} bytes, not {}", bytes.len());
            return (Outcome::Refused(why), changes);
        }
        if self.blobs.held.contains_key(&digest) {
            return (Outcome::Known, changes);
        }
        if !self.blobs.is_named(&digest) {
            return (Outcome::NotKept("no held report names it".into()), changes);
        }
        self.blobs.missing.remove(&digest);
        self.blobs.held.insert(digest, bytes.to_vec());
        changes.blobs.push((digest, bytes.to_vec()));
        (Outcome::New, changes)
    }

    /// A held blob, lists included.
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.list(digest).or_else(|| self.blobs.held.get(digest).map(Vec::as_slice))
    }

    /// The held blobs: what reports name, lists and heartbeats.
    pub fn blobs(&self) -> impl Iterator<Item = (Digest, &[u8])> {
        let reported = self.blobs.held.iter().map(|(digest, bytes)| (*digest, bytes.as_slice()));
        let lists = self.lists.iter().map(|(digest, list)| (*digest, list.bytes()));
        let beats = self.heartbeats().map(|beat| (Digest::of(beat.bytes()), beat.bytes()));
        reported.chain(lists).chain(beats)
    }

    /// Blobs that held reports name and that are not held.
    pub fn missing_blobs(&self) -> &BTreeSet<Digest> {
        &self.blobs.missing
    }
}
