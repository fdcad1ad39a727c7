//! What accepting something did: to each item, and to what must be stored and passed on.

use std::collections::BTreeSet;

use crate::document::DocumentId;
use crate::document::chain::ChainLink;
use crate::id::{Digest, KeyId, ResourceId};
use crate::trust::FloorRecord;

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New here, and kept.
    New,
    /// Already held.
    Known,
    /// Held in memory until a root, a counterpart or a report before it arrives; why, for people.
    Held(String),
    /// Well-formed, but not kept here; why, for people.
    NotKept(String),
    /// Refused for good; why, for people.
    Refused(String),
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredEntry {
    /// The document.
    pub document: DocumentId,
    /// SHA-256 of the bytes.
    pub hash: Digest,
    /// The entry.
    pub bytes: Vec<u8>,
}

/// A report as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredReport {
    /// The host.
    pub host: KeyId,
    /// Its generation.
    pub generation: u64,
    /// Its count.
    pub count: u64,
    /// The report.
    pub bytes: Vec<u8>,
}

impl StoredReport {
    pub(super) fn of(host: KeyId, link: &ChainLink) -> Self {
        let (generation, count) = (link.generation(), link.count());
        Self { host, generation, count, bytes: link.bytes().to_vec() }
    }
}

/// An entry that peers may not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshEntry {
    /// The documents that it belongs to.
    pub documents: BTreeSet<DocumentId>,
    /// The entry.
    pub bytes: Vec<u8>,
}

/// What must become durable, and what is worth passing on. Floors and roots cannot be got back
/// from peers and come first.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Roots with their versions, as envelopes; rivals of one version together, one on each line.
    pub roots: Vec<(u64, Vec<u8>)>,
    /// Floors that rose (RULES C6).
    pub floors: Vec<FloorRecord>,
    /// Entries that are kept now.
    pub puts: Vec<StoredEntry>,
    /// Entries that are no longer kept.
    pub drops: Vec<(DocumentId, Digest)>,
    /// Reports that are kept now, also worth passing on.
    pub reports: Vec<StoredReport>,
    /// Hosts whose reports below a generation are no longer kept.
    pub dropped_reports: Vec<(KeyId, u64)>,
    /// Blobs that are kept now.
    pub blobs: Vec<(Digest, Vec<u8>)>,
    /// Blobs that are no longer kept.
    pub dropped_blobs: Vec<Digest>,
    /// Entries to pass on: a statement and its signatures stand together.
    pub fresh: Vec<FreshEntry>,
    /// Whether what counts may have changed.
    pub standing_changed: bool,
}

impl Changes {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        let nothing_new = self.roots.is_empty()
            && self.floors.is_empty()
            && self.puts.is_empty()
            && self.reports.is_empty()
            && self.blobs.is_empty()
            && self.fresh.is_empty();
        let nothing_gone = self.drops.is_empty()
            && self.dropped_reports.is_empty()
            && self.dropped_blobs.is_empty();
        nothing_new && nothing_gone && !self.standing_changed
    }

    /// Whether nothing happened but to reports and blobs.
    pub fn is_of_reports_alone(&self) -> bool {
        self.roots.is_empty()
            && self.floors.is_empty()
            && self.puts.is_empty()
            && self.drops.is_empty()
            && self.fresh.is_empty()
            && !self.standing_changed
    }
}

/// Which documents a replica keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Whose sites; `fleet` always.
    pub sites: Sites,
    /// The machine's own key: its reports are kept even before it is enrolled.
    pub own_host: Option<KeyId>,
    /// Machines whose Host statements are kept wherever they stand: those that this one talks
    /// with, so that neighbours from other sites can be admitted (RULES A2).
    pub hosts: BTreeSet<KeyId>,
}

/// Sites that a replica keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sites {
    /// Every site that is met: for `daymarkctl` and gateways.
    #[default]
    All,
    /// Only these; `none` is the site of hosts without one.
    Only(BTreeSet<ResourceId>),
}

impl Interest {
    /// Whether two name the same sites and the same machine as the own one.
    pub(super) fn differs_in_hosts_only(&self, other: &Self) -> bool {
        self.sites == other.sites && self.own_host == other.own_host
    }

    pub(super) fn covers(&self, document: &DocumentId) -> bool {
        match (document, &self.sites) {
            (DocumentId::Fleet, _) | (DocumentId::Site(_), Sites::All) => true,
            (DocumentId::Site(site), Sites::Only(sites)) => sites.contains(site),
            (DocumentId::Host(_), _) => false,
        }
    }
}
