//! A replica: everything that one node, or `daymarkctl`, holds of a fleet, and what follows from it.
//!
//! It takes roots, entries, reports and blobs in any order from anyone, keeps what the rules keep,
//! judges what counts, and says what must be stored. It does no I/O and knows no time.

mod accept;
mod blobs;
mod changes;
mod heartbeats;
mod hosts;
mod index;
mod lists;
mod load;
mod read;
mod rooms;
mod rotating;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::changes::{Changes, FreshEntry, Interest, Outcome, Sites, StoredEntry, StoredReport};
pub use self::load::{Corrupt, Loaded, Stored};

use self::blobs::Blobs;
use crate::document::chain::HostChain;
use crate::document::held::Waiting;
use crate::document::retention::Rooms;
use crate::document::{DocumentId, Shared};
use crate::id::{Digest, KeyId, ResourceId};
use crate::resource::Scope;
use crate::trust::{Floors, Held, HeldLists, Judge, RootChain, SignedHeartbeat, Verified};

/// What an entry's hash stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EntryRef {
    Statement(Digest),
    Signature(Digest, KeyId),
}

impl EntryRef {
    /// The statement that it is or signs.
    fn statement(&self) -> Digest {
        match self {
            Self::Statement(digest) | Self::Signature(digest, _) => *digest,
        }
    }
}

/// A `fleet` or `site/…` document.
#[derive(Clone, Debug, Default)]
struct Document {
    entries: BTreeMap<Digest, EntryRef>,
    rooms: Rooms,
}

/// What is derived once from a kept statement.
#[derive(Clone, Debug)]
struct Indexed {
    documents: Arc<BTreeSet<DocumentId>>,
    hash: Digest,
    signature_hashes: Arc<BTreeMap<KeyId, Digest>>,
}

impl Indexed {
    /// The entries of the statement that this is derived from, by hash.
    fn entries(&self, statement: &Digest) -> impl Iterator<Item = (Digest, EntryRef)> {
        let signatures = self.signature_hashes.iter();
        let signatures =
            signatures.map(|(key, hash)| (*hash, EntryRef::Signature(*statement, *key)));
        std::iter::once((self.hash, EntryRef::Statement(*statement))).chain(signatures)
    }
}

/// Everything held of a fleet.
#[derive(Clone, Debug)]
pub struct Replica {
    chain: Arc<RootChain>,
    /// Lists that roots name (RULES R5).
    lists: HeldLists,
    /// The newest of each scope (RULES D7).
    heartbeats: BTreeMap<Scope, SignedHeartbeat>,
    floors: Floors,
    interest: Interest,
    /// Kept statements with their signatures, each verified, the lowest of each key (RULES D2).
    statements: BTreeMap<Digest, Held>,
    indexed: BTreeMap<Digest, Indexed>,
    documents: BTreeMap<DocumentId, Document>,
    waiting: Waiting,
    /// What was stored, as long as it cannot be judged.
    kept_back: Option<Arc<Stored>>,
    verified: Verified,
    judge: Judge,
    hosts: BTreeMap<KeyId, Arc<HostChain>>,
    blobs: Blobs,
    shared: Shared,
}

impl Replica {
    /// An empty replica under the roots held and above the floors that were ever reached.
    pub fn new(chain: RootChain, floors: Floors, interest: Interest) -> Self {
        Self::sharing(Arc::new(chain), floors, interest, Shared::default())
    }

    /// As [`Self::new`], holding in common what other replicas of the pool hold too.
    pub fn sharing(
        chain: Arc<RootChain>,
        floors: Floors,
        interest: Interest,
        shared: Shared,
    ) -> Self {
        let mut replica = Self {
            chain,
            lists: HeldLists::new(),
            heartbeats: BTreeMap::new(),
            floors,
            interest,
            statements: BTreeMap::new(),
            indexed: BTreeMap::new(),
            documents: BTreeMap::new(),
            waiting: Waiting::default(),
            kept_back: None,
            judge: Judge::default(),
            hosts: BTreeMap::new(),
            verified: Verified::sharing(shared.clone()),
            blobs: Blobs::default(),
            shared,
        };
        replica.judge_anew();
        replica
    }

    /// Changes which documents are kept; what is no longer of interest is dropped.
    pub fn set_interest(&mut self, interest: Interest) -> Changes {
        let before = std::mem::replace(&mut self.interest, interest);
        let mut changes = Changes::default();
        if self.judge.judgement().standing.wait.is_none()
            && before.differs_in_hosts_only(&self.interest)
        {
            let hosts = before.hosts.symmetric_difference(&self.interest.hosts);
            self.change_hosts(&hosts.map(|host| ResourceId::from(*host)).collect(), &mut changes);
            return changes;
        }
        self.take_whole();
        for (digest, held) in &self.statements {
            let documents = self.documents_kept(&held.statement);
            if let Some(indexed) = self.indexed.get_mut(digest) {
                indexed.documents = self.shared.documents(*digest, documents);
            }
        }
        self.promote(&mut changes);
        self.settle_anew(&mut changes);
        self.drop_all_strangers(&mut changes);
        // Floors of documents that are kept now, or no longer, count otherwise than before.
        changes.standing_changed = true;
        changes
    }
}
