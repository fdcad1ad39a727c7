//! Taking roots and entries.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Changes, Indexed, Outcome, Replica};
use crate::document::DocumentId;
use crate::document::entry::{Entry, documents_of, signature_entry, statement_entry};
use crate::document::held::WaitingSignature;
use crate::id::{Digest, KeyId, ResourceId};
use crate::resource::Kind;
use crate::rules::{Rule, holds};
use crate::trust::{Accepted, FloorRecord, Held, PublicKey, RootError, Statement, own_key};

impl Replica {
    /// Takes a root's envelope.
    pub fn accept_root(&mut self, envelope: &[u8]) -> (Outcome, Changes) {
        let (mut outcomes, changes) = self.accept_roots(&[envelope]);
        (outcomes.pop().unwrap_or(Outcome::Known), changes)
    }

    /// Takes roots in any order.
    pub fn accept_roots(&mut self, envelopes: &[&[u8]]) -> (Vec<Outcome>, Changes) {
        let mut changes = Changes::default();
        let mut versions = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(envelopes.len());
        for result in self.shared.rooted(&mut self.chain, envelopes) {
            outcomes.push(match result {
                Ok(Accepted::New { version, .. } | Accepted::Signatures { version, .. }) => {
                    versions.insert(version);
                    Outcome::New
                }
                Ok(Accepted::Known) => Outcome::Known,
                Err(error @ RootError::NotYet { .. }) => Outcome::NotKept(with_sources(&error)),
                Err(error) => Outcome::Refused(with_sources(&error)),
            });
        }
        if !versions.is_empty() {
            changes.roots =
                self.chain.files().filter(|(version, _)| versions.contains(version)).collect();
            self.drop_lists(&mut changes);
            self.lower_floors(&mut changes);
            self.read_kept_back(&mut changes);
            self.promote(&mut changes);
            self.settle_anew(&mut changes);
            self.promote_late(&mut changes);
            self.recheck_heartbeats(&mut changes);
            self.waiting.trim();
            self.drop_all_strangers(&mut changes);
            changes.standing_changed = true;
        }
        (outcomes, changes)
    }

    /// Takes an entry of any document. A statement and its signatures had better come together
    /// through [`Self::accept_entries`].
    pub fn accept_entry(&mut self, bytes: &[u8]) -> (Outcome, Changes) {
        let (mut outcomes, changes) = self.accept_entries(&[bytes]);
        (outcomes.pop().unwrap_or(Outcome::Known), changes)
    }

    /// Takes entries in any order; what each comes to depends on all of them.
    pub fn accept_entries(&mut self, entries: &[&[u8]]) -> (Vec<Outcome>, Changes) {
        let mut changes = Changes::default();
        let read: Vec<Result<Came, Outcome>> =
            entries.iter().map(|bytes| self.take_in(bytes)).collect();
        let Promoted { touched, failed } = self.promote(&mut changes);
        let again = read.iter().flatten().map(Came::statement).collect();
        let returned = self.return_to_documents(&again, &mut changes);
        if !touched.is_empty() {
            self.settle(&touched, &mut changes);
            self.promote_late(&mut changes);
        }
        self.waiting.trim();
        let outcomes = read
            .into_iter()
            .map(|came| match came {
                Ok(Came::Again(statement)) if returned.contains(&statement) => Outcome::New,
                Ok(came) => self.outcome_of(&came, &failed),
                Err(outcome) => outcome,
            })
            .collect();
        (outcomes, changes)
    }

    /// Lets the halts and resumes that floors hold whole wait, as far as they are not here: their
    /// document was not kept.
    pub(super) fn take_whole(&mut self) {
        let whole: Vec<Vec<u8>> = self.floors.whole().map(<[u8]>::to_vec).collect();
        for entry in whole {
            // What is not kept, or held already, needs no room.
            self.take_in(&entry).ok();
        }
    }

    /// Lets an entry wait, unless it can be answered at once.
    fn take_in(&mut self, bytes: &[u8]) -> Result<Came, Outcome> {
        let entry = Entry::decode_sharing(bytes, &self.shared);
        match entry.map_err(|error| Outcome::Refused(with_sources(&error)))? {
            Entry::Statement(statement) => {
                let digest = statement.digest();
                if self.statements.contains_key(&digest) {
                    return Ok(Came::Again(digest));
                }
                let fleet = self.chain.fleet();
                if fleet.is_some_and(|fleet| fleet != statement.payload().fleet) {
                    return Err(Outcome::Refused("it is for another fleet".into()));
                }
                if self.documents_kept(&statement).is_empty() {
                    return Err(Outcome::NotKept("its documents are not kept here".into()));
                }
                self.waiting.insert_statement(*statement);
                if !holds(Rule::D2Pairs) {
                    self.keep_waiting(&digest);
                }
                Ok(Came::Statement(digest))
            }
            Entry::Signature { statement, key, signature } => {
                let waiting = WaitingSignature { statement, key, signature };
                let held = self.statements.get(&statement).and_then(|h| h.signatures.get(&key));
                match held {
                    Some(held) if *held == signature => Ok(Came::Again(statement)),
                    Some(held) if *held < signature => {
                        Err(Outcome::NotKept("a lower signature of that key is held".into()))
                    }
                    Some(_) | None => {
                        self.waiting.insert_signature(waiting);
                        Ok(Came::Signature(waiting))
                    }
                }
            }
        }
    }

    fn outcome_of(&self, came: &Came, failed: &BTreeSet<WaitingSignature>) -> Outcome {
        match came {
            Came::Again(_) => Outcome::Known,
            Came::Statement(digest) => {
                if self.statements.contains_key(digest) {
                    Outcome::New
                } else if self.waiting.statement(digest).is_some() {
                    Outcome::Held("no signature of it is held that verifies".into())
                } else {
                    Outcome::NotKept("there is no room for it".into())
                }
            }
            Came::Signature(came) => {
                let held = self.statements.get(&came.statement);
                if held.and_then(|held| held.signatures.get(&came.key)) == Some(&came.signature) {
                    Outcome::New
                } else if self.waiting.holds(came) {
                    Outcome::Held(self.why_held(came))
                } else if failed.contains(came) {
                    Outcome::Refused("the signature does not verify".into())
                } else {
                    Outcome::NotKept("there is no room for it".into())
                }
            }
        }
    }

    fn why_held(&self, came: &WaitingSignature) -> String {
        if self.chain.wait().is_some() {
            "not all roots are held".into()
        } else if self.chain.key(&came.key).is_none() && self.judge.token_key(&came.key).is_none() {
            "no held root and no valid token names its key".into()
        } else {
            "its statement is not held".into()
        }
    }

    /// The key of this id, if it may sign the statement: one that a root or a token names, or the
    /// machine's own beside those (RULES D3).
    fn key_for(&self, statement: &Statement, id: &KeyId) -> Option<PublicKey> {
        let known = self.chain.key(id).or_else(|| self.judge.token_key(id)).cloned();
        let beside = || {
            let held = self.statements.contains_key(&statement.digest());
            held.then(|| own_key(statement, id)).flatten()
        };
        known.or_else(beside)
    }

    /// Takes in what a token that counts since a moment ago lets in: the Hosts that its key signed,
    /// then their own signatures beside it.
    fn promote_late(&mut self, changes: &mut Changes) {
        loop {
            let Promoted { touched, .. } = self.promote(changes);
            if touched.is_empty() {
                return;
            }
            self.settle(&touched, changes);
        }
    }

    /// Lowers the floors that void statements set (RULES R6).
    pub(super) fn lower_floors(&mut self, changes: &mut Changes) {
        let void = self.chain.held().flat_map(|root| &root.void).flat_map(|void| &void.ids);
        let lowered: Vec<FloorRecord> = void
            .map(|void| FloorRecord::Lowered {
                kind: void.kind.clone(),
                id: void.id.clone(),
                digest: void.digest,
            })
            .collect();
        for record in lowered {
            if self.floors.apply(record.clone()) {
                changes.floors.push(record);
            }
        }
    }

    /// Takes in all waiting signatures that verify, with their statements; those that do not
    /// verify go. Nothing is looked at before all roots are held (RULES R2).
    pub(super) fn promote(&mut self, changes: &mut Changes) -> Promoted {
        let mut promoted = Promoted::default();
        if self.chain.wait().is_some() {
            return promoted;
        }
        let waiting: Vec<WaitingSignature> = self.waiting.signatures().copied().collect();
        for signature in waiting {
            let held = self.statements.get(&signature.statement).map(|held| &held.statement);
            let Some(statement) = held.or_else(|| self.waiting.statement(&signature.statement))
            else {
                continue;
            };
            let verifies = match self.key_for(statement, &signature.key) {
                Some(key) => {
                    self.verified.check(signature.key, &key, statement, &signature.signature)
                }
                None if holds(Rule::D3Named) => continue,
                None => true,
            };
            self.waiting.take_signature(&signature);
            if !verifies {
                promoted.failed.insert(signature);
                continue;
            }
            let adopted = self.adopt(&signature, changes);
            self.verified.forget(&signature.statement, self.statements.get(&signature.statement));
            if adopted {
                promoted.touched.insert(signature.statement);
            }
        }
        promoted
    }

    /// Adds a verified signature, and its statement if that waited. Of several signatures by one
    /// key the lowest counts (RULES D2).
    fn adopt(&mut self, signature: &WaitingSignature, changes: &mut Changes) -> bool {
        let digest = signature.statement;
        self.keep_waiting(&digest);
        let (Some(held), Some(indexed)) =
            (self.statements.get_mut(&digest), self.indexed.get_mut(&digest))
        else {
            return false;
        };
        let signatures = Arc::make_mut(&mut held.signatures);
        let of_key = signatures.entry(signature.key).or_insert(signature.signature);
        *of_key = (*of_key).min(signature.signature);
        let hash = Digest::of(&signature_entry(&digest, &signature.key, of_key));
        self.shared.signatures(digest, &mut held.signatures);
        let hashes = Arc::make_mut(&mut indexed.signature_hashes);
        let before = hashes.insert(signature.key, hash);
        self.shared.hashes(digest, &mut indexed.signature_hashes);
        if let Some(replaced) = before.filter(|before| *before != hash) {
            for name in &*indexed.documents {
                let document = self.documents.get_mut(name);
                if document.and_then(|d| d.entries.remove(&replaced)).is_some() {
                    changes.drops.push((name.clone(), replaced));
                }
            }
        }
        before != Some(hash)
    }

    /// Keeps a statement that waited, if it is of this fleet and of a document that is kept.
    fn keep_waiting(&mut self, digest: &Digest) {
        let Some(statement) = self.waiting.take_statement(digest) else { return };
        let documents = self.documents_kept(&statement);
        if documents.is_empty() || Some(statement.payload().fleet) != self.chain.fleet() {
            return;
        }
        let hash = Digest::of(&statement_entry(statement.bytes()));
        let signature_hashes = Default::default();
        let documents = self.shared.documents(*digest, documents);
        self.indexed.insert(*digest, Indexed { documents, hash, signature_hashes });
        self.statements.insert(*digest, Held { statement, signatures: Default::default() });
    }

    pub(super) fn documents_kept(&self, statement: &Statement) -> BTreeSet<DocumentId> {
        let mut documents = documents_of(statement);
        if !self.is_of_interest(statement) {
            documents.retain(|document| self.interest.covers(document));
        }
        documents
    }

    /// Puts the statements of machines that this one talks with now, or no longer, into the
    /// documents that they belong to here.
    pub(super) fn change_hosts(&mut self, hosts: &BTreeSet<ResourceId>, changes: &mut Changes) {
        let of_hosts = |held: &Held| {
            let mut resources = held.statement.payload().resources.iter();
            resources.any(|one| {
                let replaced = one.replaces.as_ref().map(|replaced| replaced.host.into());
                let named =
                    hosts.contains(&one.id) || replaced.is_some_and(|old| hosts.contains(&old));
                one.kind == Kind::Host.name() && named
            })
        };
        let held = self.statements.iter().filter(|(_, held)| of_hosts(held));
        let documents: Vec<(Digest, BTreeSet<DocumentId>)> = held
            .map(|(digest, held)| (*digest, self.documents_kept(&held.statement)))
            .filter(|(digest, kept)| self.documents_of(digest) != Some(kept))
            .collect();
        if !documents.is_empty() {
            self.rehome(documents, changes);
        }
    }

    /// Whether it is the Host statement of a machine that this one talks with.
    fn is_of_interest(&self, statement: &Statement) -> bool {
        statement.payload().resources.iter().any(|resource| {
            let replaced = resource.replaces.as_ref().map(|replaced| replaced.host);
            let hosts = [resource.id.as_host(), replaced].into_iter().flatten();
            resource.kind == Kind::Host.name()
                && hosts.into_iter().any(|host| self.interest.hosts.contains(&host))
        })
    }
}

/// An entry that came and is yet to be judged.
enum Came {
    /// One that is held: the statement that it is or signs.
    Again(Digest),
    Statement(Digest),
    Signature(WaitingSignature),
}

impl Came {
    /// The statement that it is or signs.
    fn statement(&self) -> Digest {
        match self {
            Self::Again(digest) | Self::Statement(digest) => *digest,
            Self::Signature(signature) => signature.statement,
        }
    }
}

/// What became of the signatures that waited.
#[derive(Default)]
pub(super) struct Promoted {
    /// The statements that changed.
    touched: BTreeSet<Digest>,
    /// The signatures that do not verify.
    failed: BTreeSet<WaitingSignature>,
}

/// An error with all its sources, for people.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
