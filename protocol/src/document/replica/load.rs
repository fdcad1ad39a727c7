//! Loading a replica from what was stored. The store is trusted with nothing: everything is
//! verified again, what is damaged is reported and dropped, and peers give it back.

use std::collections::BTreeSet;

use super::{Changes, Interest, Outcome, Replica, StoredEntry, StoredReport};
use crate::document::DocumentId;
use crate::id::Digest;
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

    /// This replica with what was stored; as [`Self::load`], if it is new.
    pub fn loaded(self, stored: &Stored) -> Loaded {
        let mut loaded = Loaded { replica: self, changes: Changes::default(), corrupt: Vec::new() };
        // A power cut may have come between a root that takes something back and the journal's line.
        loaded.replica.lower_floors(&mut loaded.changes);
        if !loaded.changes.floors.is_empty() {
            loaded.replica.judge_anew();
        }
        loaded.load_entries(&stored.entries);
        loaded.load_reports(&stored.reports);
        loaded.load_blobs(&stored.blobs);
        loaded
    }
}

impl Loaded {
    fn load_entries(&mut self, stored: &[StoredEntry]) {
        let whole: Vec<Vec<u8>> = self.replica.floors.whole().map(<[u8]>::to_vec).collect();
        let mut entries: Vec<&[u8]> = whole.iter().map(Vec::as_slice).collect();
        let mut names: Vec<Option<&StoredEntry>> = vec![None; entries.len()];
        for entry in stored {
            if Digest::of(&entry.bytes) == entry.hash {
                entries.push(&entry.bytes);
                names.push(Some(entry));
            } else {
                self.note(&entry_name(entry), "its bytes do not have its hash");
            }
        }
        let (outcomes, accepted) = self.replica.accept_entries(&entries);
        for (name, outcome) in names.iter().zip(&outcomes) {
            if let (Some(entry), Outcome::Refused(why)) = (name, outcome) {
                self.note(&entry_name(entry), why);
            }
        }
        let had: BTreeSet<(&DocumentId, &Digest)> =
            stored.iter().map(|entry| (&entry.document, &entry.hash)).collect();
        let drops: Vec<(DocumentId, Digest)> = had
            .into_iter()
            .filter(|(document, hash)| !self.replica.has(document, hash))
            .map(|(document, hash)| (document.clone(), *hash))
            .collect();
        let sound: BTreeSet<(&DocumentId, &Digest)> =
            names.iter().flatten().map(|entry| (&entry.document, &entry.hash)).collect();
        let puts = accepted.puts.into_iter();
        self.changes.puts =
            puts.filter(|put| !sound.contains(&(&put.document, &put.hash))).collect();
        self.changes.drops = drops;
        self.changes.floors.extend(accepted.floors);
        self.changes.standing_changed = true;
    }

    fn load_reports(&mut self, stored: &[StoredReport]) {
        let reports: Vec<&[u8]> = stored.iter().map(|report| report.bytes.as_slice()).collect();
        let (outcomes, accepted) = self.replica.accept_reports(&reports);
        for (report, outcome) in stored.iter().zip(outcomes) {
            if let Outcome::Refused(why) = outcome {
                let StoredReport { host, generation, count, .. } = report;
                self.note(&format!("report {generation}/{count} of host {}", host.short()), &why);
            }
        }
        self.changes.dropped_reports = accepted.dropped_reports;
        let hosts: BTreeSet<_> = stored.iter().map(|report| report.host).collect();
        for host in hosts {
            let generation = self.replica.head(&host).map_or(u64::MAX, |head| head.generation);
            let below = if generation == 0 { u64::MAX } else { generation };
            if stored.iter().any(|report| report.host == host && report.generation < below) {
                self.changes.dropped_reports.push((host, below));
            }
        }
        self.changes.dropped_reports.sort_unstable();
        self.changes.dropped_reports.dedup();
    }

    fn load_blobs(&mut self, stored: &[(Digest, Vec<u8>)]) {
        for (digest, bytes) in stored {
            if Digest::of(bytes) != *digest {
                self.note(&format!("blob {}", digest.short()), "its bytes do not have its hash");
                self.changes.dropped_blobs.push(*digest);
                continue;
            }
            match self.replica.accept_blob(bytes).0 {
                Outcome::New | Outcome::Known => {}
                // While roots are missing nobody can tell what names it.
                Outcome::NotKept(_) if self.replica.chain.wait().is_some() => {}
                Outcome::Held(_) | Outcome::NotKept(_) | Outcome::Refused(_) => {
                    self.changes.dropped_blobs.push(*digest);
                }
            }
        }
    }

    fn note(&mut self, what: &str, why: &str) {
        self.corrupt.push(Corrupt { what: what.to_owned(), why: why.to_owned() });
    }
}

fn entry_name(entry: &StoredEntry) -> String {
    format!("entry {} of {}", entry.hash.short(), entry.document)
}
