//! A replica: everything that one node, or `daymarkctl`, holds of a fleet, and what follows from it.
//!
//! It takes roots, entries, reports and blobs in any order from anyone, keeps what the rules keep,
//! judges what counts, and says what must be stored. It does no I/O and knows no time.

mod accept;
mod blobs;
mod changes;
mod hosts;
mod load;
mod read;
mod rooms;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

pub use self::changes::{Changes, FreshEntry, Interest, Outcome, Sites, StoredEntry, StoredReport};
pub use self::load::{Corrupt, Loaded, Stored};

use self::blobs::Blobs;
use crate::document::DocumentId;
use crate::document::chain::HostChain;
use crate::document::held::Waiting;
use crate::id::{Digest, KeyId};
use crate::trust::{Floors, Held, Judgement, RootChain, Verified};

/// What an entry's hash stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryRef {
    Statement(Digest),
    Signature(Digest, KeyId),
}

/// What is derived once from a kept statement.
#[derive(Clone, Debug)]
struct Indexed {
    documents: BTreeSet<DocumentId>,
    hash: Digest,
    signature_hashes: BTreeMap<KeyId, Digest>,
}

/// Everything held of a fleet.
#[derive(Clone, Debug)]
pub struct Replica {
    chain: RootChain,
    floors: Floors,
    interest: Interest,
    /// Kept statements with their signatures, each verified, the lowest of each key (RULES D2).
    statements: BTreeMap<Digest, Held>,
    indexed: BTreeMap<Digest, Indexed>,
    documents: BTreeMap<DocumentId, BTreeMap<Digest, EntryRef>>,
    waiting: Waiting,
    verified: Verified,
    judgement: Judgement,
    hosts: BTreeMap<KeyId, HostChain>,
    blobs: Blobs,
}

impl Replica {
    /// An empty replica under the roots held and above the floors that were ever reached.
    pub fn new(chain: RootChain, floors: Floors, interest: Interest) -> Self {
        let mut replica = Self {
            chain,
            floors,
            interest,
            statements: BTreeMap::new(),
            indexed: BTreeMap::new(),
            documents: BTreeMap::new(),
            waiting: Waiting::default(),
            verified: Verified::default(),
            judgement: Judgement::default(),
            hosts: BTreeMap::new(),
            blobs: Blobs::default(),
        };
        replica.judge();
        replica
    }

    /// Changes which documents are kept; what is no longer of interest is dropped.
    pub fn set_interest(&mut self, interest: Interest) -> Changes {
        self.interest = interest;
        let mut changes = Changes::default();
        for (digest, held) in &self.statements {
            let documents = self.documents_kept(&held.statement);
            if let Some(indexed) = self.indexed.get_mut(digest) {
                indexed.documents = documents;
            }
        }
        self.settle(None, &mut changes);
        self.drop_strangers(&mut changes);
        // Floors of documents that are kept now, or no longer, count otherwise than before.
        changes.standing_changed = true;
        changes
    }
}
