//! Taking roots and entries.

use std::collections::BTreeSet;

use super::{Changes, Indexed, Outcome, Replica};
use crate::document::DocumentId;
use crate::document::entry::{Entry, documents_of, signature_entry, statement_entry};
use crate::document::held::WaitingSignature;
use crate::id::{Digest, ResourceId};
use crate::resource::Kind;
use crate::trust::{Accepted, Held, RootError, Statement};

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
        for result in self.chain.accept_all(envelopes.iter().copied()) {
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
            self.promote(&mut changes);
            self.settle_anew(&mut changes);
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
        if !touched.is_empty() {
            self.settle(&touched, &mut changes);
        }
        self.waiting.trim();
        let outcomes = read
            .into_iter()
            .map(|came| match came {
                Ok(came) => self.outcome_of(&came, &failed),
                Err(outcome) => outcome,
            })
            .collect();
        (outcomes, changes)
    }

    /// Lets an entry wait, unless it can be answered at once.
    fn take_in(&mut self, bytes: &[u8]) -> Result<Came, Outcome> {
        let entry = Entry::decode_sharing(bytes, &self.shared);
        match entry.map_err(|error| Outcome::Refused(with_sources(&error)))? {
            Entry::Statement(statement) => {
                let digest = statement.digest();
                if self.statements.contains_key(&digest) {
                    return Err(Outcome::Known);
                }
                let fleet = self.chain.fleet();
                if fleet.is_some_and(|fleet| fleet != statement.payload().fleet) {
                    return Err(Outcome::Refused("it is for another fleet".into()));
                }
                if self.documents_kept(&statement).is_empty() {
                    return Err(Outcome::NotKept("its documents are not kept here".into()));
                }
                self.waiting.insert_statement(*statement);
                Ok(Came::Statement(digest))
            }
            Entry::Signature { statement, key, signature } => {
                let waiting = WaitingSignature { statement, key, signature };
                let held = self.statements.get(&statement).and_then(|h| h.signatures.get(&key));
                match held {
                    Some(held) if *held == signature => Err(Outcome::Known),
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
        } else if self.chain.key(&came.key).is_none() {
            "no held root names its key".into()
        } else {
            "its statement is not held".into()
        }
    }

    /// Takes in all waiting signatures that verify, with their statements; those that do not
    /// verify go. Nothing is looked at before all roots are held (RULES R2).
    fn promote(&mut self, changes: &mut Changes) -> Promoted {
        let mut promoted = Promoted::default();
        if self.chain.wait().is_some() {
            return promoted;
        }
        let waiting: Vec<WaitingSignature> = self.waiting.signatures().copied().collect();
        for signature in waiting {
            let Some(key) = self.chain.key(&signature.key) else { continue };
            let held = self.statements.get(&signature.statement).map(|held| &held.statement);
            let Some(statement) = held.or_else(|| self.waiting.statement(&signature.statement))
            else {
                continue;
            };
            let verifies = self.verified.check(signature.key, key, statement, &signature.signature);
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
        if let Some(statement) = self.waiting.take_statement(&digest) {
            let documents = self.documents_kept(&statement);
            if documents.is_empty() || Some(statement.payload().fleet) != self.chain.fleet() {
                return false;
            }
            let hash = Digest::of(&statement_entry(statement.bytes()));
            let signature_hashes = Default::default();
            self.indexed.insert(digest, Indexed { documents, hash, signature_hashes });
            self.statements.insert(digest, Held { statement, signatures: Default::default() });
        }
        let (Some(held), Some(indexed)) =
            (self.statements.get_mut(&digest), self.indexed.get_mut(&digest))
        else {
            return false;
        };
        let of_key = held.signatures.entry(signature.key).or_insert(signature.signature);
        *of_key = (*of_key).min(signature.signature);
        let hash = Digest::of(&signature_entry(&digest, &signature.key, of_key));
        let before = indexed.signature_hashes.insert(signature.key, hash);
        if let Some(replaced) = before.filter(|before| *before != hash) {
            for name in &indexed.documents {
                let document = self.documents.get_mut(name);
                if document.and_then(|d| d.entries.remove(&replaced)).is_some() {
                    changes.drops.push((name.clone(), replaced));
                }
            }
        }
        before != Some(hash)
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
            resources.any(|one| one.kind == Kind::Host.name() && hosts.contains(&one.id))
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
            let host = resource.id.as_host().filter(|_| resource.kind == Kind::Host.name());
            host.is_some_and(|host| self.interest.hosts.contains(&host))
        })
    }
}

/// An entry that came and is yet to be judged.
enum Came {
    Statement(Digest),
    Signature(WaitingSignature),
}

/// What became of the signatures that waited.
#[derive(Default)]
struct Promoted {
    /// The statements that changed.
    touched: BTreeSet<Digest>,
    /// The signatures that do not verify.
    failed: BTreeSet<WaitingSignature>,
}

/// An error with all its sources, for people.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
