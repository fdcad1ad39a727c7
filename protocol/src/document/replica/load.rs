//! Loading a replica from what was stored. The store is trusted with nothing: everything is
//! verified again, what is damaged is reported and dropped, and peers give it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Changes, Interest, Outcome, Replica, StoredEntry, StoredReport};
use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::trust::{Floors, RootChain};

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Entries.
    pub entries: Vec<StoredEntry>,
    /// Reports.
    pub reports: Vec<StoredReport>,
    /// Blobs under their digests.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// Something stored that is damaged, and will be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What, for people.
    pub what: String,
    /// Why, for people.
    pub why: String,
}

/// A loaded replica.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The replica.
    pub replica: Replica,
    /// What makes the store equal to it; nothing is fresh.
    pub changes: Changes,
    /// What was damaged.
    pub corrupt: Vec<Corrupt>,
}

impl Replica {
    /// Loads a replica. Halts and resumes come from the floors too, which hold them whole
    /// (RULES C6).
    pub fn load(chain: RootChain, floors: Floors, interest: Interest, stored: &Stored) -> Loaded {
        Self::new(chain, floors, interest).loaded(stored)
    }

    /// This replica with what was stored; as [`Self::load`], if it is new. While roots are missing
    /// or rivals wait nothing of it can be judged: it stays stored as it is, and is read once
    /// statements can be judged.
    pub fn loaded(mut self, stored: &Stored) -> Loaded {
        let mut read = Read::default();
        // A power cut may have come between a root that takes something back and the journal's line.
        self.lower_floors(&mut read.changes);
        if !read.changes.floors.is_empty() {
            self.judge_anew();
        }
        if self.chain.wait().is_some() {
            self.keep_back(stored);
        } else {
            self.read(stored, &mut read);
        }
        read.changes.standing_changed = true;
        Loaded { replica: self, changes: read.changes, corrupt: read.corrupt }
    }

    /// Holds what was stored until it can be judged. The own reports need no statement, nor do
    /// lists that roots name.
    fn keep_back(&mut self, stored: &Stored) {
        let reports: Vec<&[u8]> = stored.reports.iter().map(|report| &*report.bytes).collect();
        self.accept_reports(&reports);
        for (_, bytes) in &stored.blobs {
            self.accept_blob(bytes);
        }
        self.kept_back = Some(Arc::new(stored.clone()));
    }

    /// Reads what was kept back, now that it can be judged. What of it is damaged is dropped, and
    /// peers give it back.
    pub(super) fn read_kept_back(&mut self, changes: &mut Changes) {
        let Some(stored) = self.kept_back.take_if(|_| self.chain.wait().is_none()) else { return };
        self.judge_anew();
        let mut read = Read { changes: std::mem::take(changes), corrupt: Vec::new() };
        self.read(&stored, &mut read);
        *changes = read.changes;
    }

    fn read(&mut self, stored: &Stored, read: &mut Read) {
        self.read_entries(&stored.entries, read);
        self.read_reports(&stored.reports, read);
        self.read_blobs(&stored.blobs, read);
    }

    fn read_entries(&mut self, stored: &[StoredEntry], read: &mut Read) {
        let whole: Vec<Vec<u8>> = self.floors.whole().map(<[u8]>::to_vec).collect();
        let mut entries: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
        let mut names: Vec<Option<&StoredEntry>> = vec![None; entries.len()];
        for entry in stored {
            if Digest::of(&entry.bytes) == entry.hash {
                entries.push(&entry.bytes);
                names.push(Some(entry));
            } else {
                read.note(&entry_name(entry), "its bytes do not have its hash");
            }
        }
        let (outcomes, accepted) = self.accept_entries(&entries);
        for (name, outcome) in names.iter().zip(&outcomes) {
            if let (Some(entry), Outcome::Refused(why)) = (name, outcome) {
                read.note(&entry_name(entry), why);
            }
        }
        let had: BTreeSet<(&DocumentId, &Digest)> =
            stored.iter().map(|entry| (&entry.document, &entry.hash)).collect();
        let gone = had.into_iter().filter(|(document, hash)| !self.has(document, hash));
        read.changes.drops.extend(gone.map(|(document, hash)| (document.clone(), *hash)));
        let sound: BTreeSet<(&DocumentId, &Digest)> =
            names.iter().flatten().map(|entry| (&entry.document, &entry.hash)).collect();
        let puts = accepted.puts.into_iter();
        read.changes.puts.extend(puts.filter(|put| !sound.contains(&(&put.document, &put.hash))));
        read.changes.floors.extend(accepted.floors);
    }

    fn read_reports(&mut self, stored: &[StoredReport], read: &mut Read) {
        let unread = self.adopt_chains(stored);
        let reports: Vec<&[u8]> = unread.iter().map(|report| report.bytes.as_slice()).collect();
        let (outcomes, accepted) = self.accept_reports(&reports);
        for (report, outcome) in unread.iter().zip(outcomes) {
            if let Outcome::Refused(why) = outcome {
                let StoredReport { host, generation, count, .. } = report;
                read.note(&format!("report {generation}/{count} of host {}", host.short()), &why);
            }
        }
        let dropped = &mut read.changes.dropped_reports;
        dropped.extend(accepted.dropped_reports);
        let mut lowest: BTreeMap<KeyId, u64> = BTreeMap::new();
        for report in stored {
            let lowest = lowest.entry(report.host).or_insert(report.generation);
            *lowest = report.generation.min(*lowest);
        }
        for (host, lowest) in lowest {
            let generation = self.head(&host).map_or(u64::MAX, |head| head.generation);
            let below = if generation == 0 { u64::MAX } else { generation };
            if lowest < below {
                dropped.push((host, below));
            }
        }
        dropped.sort_unstable();
        dropped.dedup();
    }

    fn read_blobs(&mut self, stored: &[(Digest, Vec<u8>)], read: &mut Read) {
        for (digest, bytes) in stored {
            if Digest::of(bytes) != *digest {
                read.note(&format!("blob {}", digest.short()), "its bytes do not have its hash");
                read.changes.dropped_blobs.push(*digest);
                continue;
            }
            match self.accept_blob(bytes).0 {
                Outcome::New | Outcome::Known => {}
                Outcome::Held(_) | Outcome::NotKept(_) | Outcome::Refused(_) => {
                    read.changes.dropped_blobs.push(*digest);
                }
            }
        }
    }
}

/// What reading a store comes to.
#[derive(Default)]
struct Read {
    changes: Changes,
    corrupt: Vec<Corrupt>,
}

impl Read {
    fn note(&mut self, what: &str, why: &str) {
        self.corrupt.push(Corrupt { what: what.to_owned(), why: why.to_owned() });
    }
}

fn entry_name(entry: &StoredEntry) -> String {
    format!("entry {} of {}", entry.hash.short(), entry.document)
}
