//! After something came in: what counts, what is kept, and what follows for the store.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changes, EntryRef, FreshEntry, Replica, StoredEntry};
use crate::document::DocumentId;
use crate::document::entry::{Entry, signature_entry, statement_entry};
use crate::document::retention::{self, Candidate, Retained, RetainedResource};
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::resource::{Kind, Scope, Spec};
use crate::trust::{FloorRecord, Held, Stance, Statement, Validity, judge};

impl Replica {
    /// Judges everything, drops what is not kept, and notes the changes. `touched`: the statements
    /// that changed; all documents are looked at without them.
    pub(super) fn settle(&mut self, touched: Option<&BTreeSet<Digest>>, changes: &mut Changes) {
        self.judge();
        if self.judgement.wait.is_some() {
            return;
        }
        let documents = match touched {
            Some(touched) if !self.lifts(touched) => self.documents_touched(touched),
            Some(_) | None => self.all_documents(),
        };
        let lifted = self.lifted();
        let mut drops_any = false;
        let crowded = self.crowded_out(&documents);
        for (document, members) in self.members(documents) {
            let retained = if crowded.contains(&document) {
                Retained::new()
            } else {
                self.retained(&members, &lifted)
            };
            drops_any |= self.reindex(document, &members, &retained, changes);
        }
        if drops_any {
            self.forget_dropped();
            self.judge();
        }
        self.raise_floors(changes);
        changes.standing_changed |= touched.is_some() || !changes.floors.is_empty();
        self.note_fresh(changes);
    }

    pub(super) fn judge(&mut self) {
        let keeps = |document: &DocumentId| self.interest.covers(document);
        let Self { chain, statements, floors, verified, .. } = self;
        self.judgement = judge(chain, statements, floors, &keeps, verified);
    }

    fn lifts(&self, touched: &BTreeSet<Digest>) -> bool {
        touched
            .iter()
            .filter_map(|digest| self.statements.get(digest))
            .any(|held| is_of(&held.statement, Kind::Resume))
    }

    fn documents_touched(&self, touched: &BTreeSet<Digest>) -> BTreeSet<DocumentId> {
        touched
            .iter()
            .filter_map(|digest| self.indexed.get(digest))
            .flat_map(|indexed| indexed.documents.iter().cloned())
            .collect()
    }

    fn all_documents(&self) -> BTreeSet<DocumentId> {
        let indexed = self.indexed.values().flat_map(|indexed| &indexed.documents);
        self.documents.keys().chain(indexed).cloned().collect()
    }

    /// The statements of each of these documents.
    pub(super) fn members(
        &self,
        documents: BTreeSet<DocumentId>,
    ) -> BTreeMap<DocumentId, Vec<Digest>> {
        let mut members: BTreeMap<DocumentId, Vec<Digest>> =
            documents.into_iter().map(|document| (document, Vec::new())).collect();
        for (digest, indexed) in &self.indexed {
            for document in &indexed.documents {
                if let Some(of) = members.get_mut(document) {
                    of.push(*digest);
                }
            }
        }
        members
    }

    /// The sites that find no room among [`limits::SITE_DOCUMENTS_MAX`]: those that have a Site
    /// resource come first, so that a stolen key that makes sites up crowds out none of them.
    fn crowded_out(&self, documents: &BTreeSet<DocumentId>) -> BTreeSet<DocumentId> {
        if self.documents.len() + documents.len() <= limits::SITE_DOCUMENTS_MAX {
            return BTreeSet::new();
        }
        let mut sites: Vec<(bool, Digest, DocumentId)> = self
            .all_documents()
            .into_iter()
            .filter_map(|document| match &document {
                DocumentId::Site(site) => {
                    let line = (Kind::Site, site.clone());
                    let made_up = !self.judgement.standing.lines.contains_key(&line);
                    Some((made_up, Digest::of(site.as_str().as_bytes()), document))
                }
                DocumentId::Fleet | DocumentId::Host(_) => None,
            })
            .collect();
        sites.sort_unstable();
        let crowded = sites.into_iter().skip(limits::SITE_DOCUMENTS_MAX);
        crowded.map(|(_, _, document)| document).collect()
    }

    /// What is kept of one document's statements.
    fn retained(&self, members: &[Digest], lifted: &BTreeMap<Digest, Vec<Scope>>) -> Retained {
        let candidates: BTreeMap<Digest, Candidate> = members
            .iter()
            .filter_map(|digest| {
                let held = self.statements.get(digest)?;
                Some((*digest, self.candidate(digest, held, lifted)))
            })
            .collect();
        retention::retain(&candidates)
    }

    pub(super) fn candidate(
        &self,
        digest: &Digest,
        held: &Held,
        lifted: &BTreeMap<Digest, Vec<Scope>>,
    ) -> Candidate {
        let payload = held.statement.payload();
        let signers: BTreeSet<KeyId> = held.signatures.keys().copied().collect();
        let standing = match self.judgement.stances.get(digest) {
            Some(Stance::Counts(_)) if is_of(&held.statement, Kind::Halt) => {
                let by = lifted.get(digest).into_iter().flatten();
                let lifted = by.into_iter().any(|scope| covers(scope, &payload.scope));
                retention::Standing::Halt { by: signers.clone(), lifted }
            }
            Some(Stance::Counts(_)) if is_of(&held.statement, Kind::Resume) => {
                retention::Standing::Resume
            }
            Some(Stance::Counts(_)) => retention::Standing::Finished(signers.clone()),
            Some(Stance::Pending(_) | Stance::Never(_)) | None => retention::Standing::Draft,
        };
        let resources = payload
            .resources
            .iter()
            .map(|resource| RetainedResource {
                kind: resource.kind.clone(),
                id: resource.id.clone(),
                version: resource.version,
                gone: resource.gone,
            })
            .collect();
        Candidate { resources, signers, standing }
    }

    /// The halts that valid resumes name, with the scopes of those resumes.
    pub(super) fn lifted(&self) -> BTreeMap<Digest, Vec<Scope>> {
        let mut lifted: BTreeMap<Digest, Vec<Scope>> = BTreeMap::new();
        for (digest, held) in &self.statements {
            let valid = Some(&Stance::Counts(Validity::Valid));
            if self.judgement.stances.get(digest) != valid {
                continue;
            }
            let payload = held.statement.payload();
            for resource in &payload.resources {
                if let Ok(Some(Spec::Resume(resume))) = resource.spec() {
                    for halt in &resume.halts {
                        lifted.entry(*halt).or_default().push(payload.scope.clone());
                    }
                }
            }
        }
        lifted
    }

    /// Puts a document's index right. Returns whether anything of it is not kept.
    fn reindex(
        &mut self,
        document: DocumentId,
        members: &[Digest],
        kept: &Retained,
        changes: &mut Changes,
    ) -> bool {
        let mut drops_any = false;
        let mut entries = BTreeMap::new();
        for digest in members {
            let Some(indexed) = self.indexed.get_mut(digest) else { continue };
            let Some(signers) = kept.get(digest) else {
                drops_any |= indexed.documents.remove(&document);
                continue;
            };
            entries.insert(indexed.hash, EntryRef::Statement(*digest));
            for (key, hash) in &indexed.signature_hashes {
                if signers.contains(key) {
                    entries.insert(*hash, EntryRef::Signature(*digest, *key));
                } else {
                    drops_any = true;
                }
            }
        }
        let before = self.documents.remove(&document).unwrap_or_default();
        for hash in before.keys().filter(|hash| !entries.contains_key(*hash)) {
            drops_any = true;
            changes.drops.push((document.clone(), *hash));
        }
        for (hash, entry) in entries.iter().filter(|(hash, _)| !before.contains_key(*hash)) {
            if let Some(bytes) = self.entry_bytes(entry) {
                changes.puts.push(StoredEntry { document: document.clone(), hash: *hash, bytes });
            }
        }
        if !entries.is_empty() {
            self.documents.insert(document, entries);
        }
        drops_any
    }

    /// Forgets statements and signatures that no document keeps.
    fn forget_dropped(&mut self) {
        let mut kept: BTreeMap<Digest, BTreeSet<KeyId>> = BTreeMap::new();
        for entry in self.documents.values().flat_map(BTreeMap::values) {
            match entry {
                EntryRef::Statement(digest) => drop(kept.entry(*digest).or_default()),
                EntryRef::Signature(digest, key) => {
                    kept.entry(*digest).or_default().insert(*key);
                }
            }
        }
        self.indexed.retain(|digest, indexed| match kept.get(digest) {
            Some(keys) => {
                indexed.signature_hashes.retain(|key, _| keys.contains(key));
                true
            }
            None => false,
        });
        self.statements.retain(|digest, held| match kept.get(digest) {
            Some(keys) => {
                held.signatures.retain(|key, _| keys.contains(key));
                true
            }
            None => false,
        });
    }

    /// Raises floors, and holds halts and resumes whole (RULES C6).
    fn raise_floors(&mut self, changes: &mut Changes) {
        let mut records = std::mem::take(&mut self.judgement.raised);
        for digest in &self.judgement.whole {
            let Some(held) = self.statements.get(digest) else { continue };
            records.push(FloorRecord::Whole(statement_entry(held.statement.bytes())));
            for (key, signature) in &held.signatures {
                records.push(FloorRecord::Whole(signature_entry(digest, key, signature)));
            }
        }
        for record in records {
            if self.floors.apply(record.clone()) {
                changes.floors.push(record);
            }
        }
        self.forget_lifted();
    }

    /// Floors without the halts that no longer stand, lifted or crowded out by lower digests:
    /// otherwise one stolen `halt` key could fill memory and journal (I9, RULES C4).
    fn forget_lifted(&mut self) {
        let whole = &self.judgement.whole;
        if self.judgement.wait.is_none() {
            self.floors.retain_whole(|entry| match Entry::decode(entry) {
                Ok(Entry::Statement(statement)) => whole.contains(&statement.digest()),
                Ok(Entry::Signature { statement, .. }) => whole.contains(&statement),
                Err(_) => false,
            });
        }
    }

    /// The floor journal rewritten (RULES Q12): only what still holds.
    pub fn compact_floors(&self) -> Vec<FloorRecord> {
        self.floors.records().collect()
    }

    /// Everything put is worth passing on, once for all its documents.
    fn note_fresh(&self, changes: &mut Changes) {
        let mut fresh: BTreeMap<Digest, (BTreeSet<DocumentId>, &[u8])> = BTreeMap::new();
        for put in &changes.puts {
            let (documents, _) = fresh.entry(put.hash).or_insert((BTreeSet::new(), &put.bytes));
            documents.insert(put.document.clone());
        }
        let mut order: Vec<(Digest, bool, Digest)> = Vec::new();
        for (hash, (documents, _)) in &fresh {
            let found = documents.iter().find_map(|d| self.documents.get(d)?.get(hash));
            match found {
                Some(EntryRef::Statement(digest)) => order.push((*digest, false, *hash)),
                Some(EntryRef::Signature(digest, _)) => order.push((*digest, true, *hash)),
                None => {}
            }
        }
        order.sort_unstable();
        for (_, _, hash) in order {
            let Some((documents, bytes)) = fresh.remove(&hash) else { continue };
            changes.fresh.push(FreshEntry { documents, bytes: bytes.to_vec() });
        }
    }

    pub(super) fn entry_bytes(&self, entry: &EntryRef) -> Option<Vec<u8>> {
        match entry {
            EntryRef::Statement(digest) => {
                self.statements.get(digest).map(|held| statement_entry(held.statement.bytes()))
            }
            EntryRef::Signature(digest, key) => {
                let signature = self.statements.get(digest)?.signatures.get(key)?;
                Some(signature_entry(digest, key, signature))
            }
        }
    }
}

/// A halt or resume that is no tombstone: those stand alone in their statement (RULES S2).
fn is_of(statement: &Statement, kind: Kind) -> bool {
    let resources = &statement.payload().resources;
    resources.iter().any(|resource| resource.kind == kind.name() && !resource.gone)
}

/// A resume reaches no further than its scope (RULES S4).
fn covers(resume: &Scope, halt: &Scope) -> bool {
    *resume == Scope::Fleet || resume == halt
}
