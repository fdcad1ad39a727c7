//! What is kept of each document, and under which hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Changes, Document, EntryRef, Replica, StoredEntry};
use crate::document::DocumentId;
use crate::document::entry::{signature_entry, statement_entry};
use crate::document::retention::{self, Candidate, RetainedResource};
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::resource::{Kind, Scope};
use crate::trust::{Stance, Statement, lifts};

/// The statements of each document of which other than before may be kept.
pub(super) type Affected = BTreeMap<DocumentId, BTreeSet<Digest>>;

impl Replica {
    /// Puts statements into the rooms of their documents.
    pub(super) fn place(&mut self, digests: &BTreeSet<Digest>) -> Affected {
        let mut affected = Affected::new();
        for digest in digests {
            let Some(candidate) = self.candidate(digest) else { continue };
            let candidate = self.shared.candidate(*digest, candidate);
            let Some(indexed) = self.indexed.get(digest) else { continue };
            for name in &*indexed.documents {
                let document = self.documents.entry(name.clone()).or_default();
                let moved = document.rooms.put(*digest, Arc::clone(&candidate));
                affected.entry(name.clone()).or_default().extend(moved);
            }
        }
        affected
    }

    /// The sites that find no room among [`limits::SITE_DOCUMENTS_MAX`]: those that have a Site
    /// resource come first, so that a stolen key that makes sites up crowds out none of them.
    pub(super) fn crowded_out(&self, affected: &Affected) -> BTreeSet<DocumentId> {
        if self.documents.len() <= limits::SITE_DOCUMENTS_MAX {
            return BTreeSet::new();
        }
        let mut sites: Vec<(bool, Digest, &DocumentId)> = self
            .documents
            .keys()
            .filter_map(|document| match document {
                DocumentId::Site(site) => {
                    let line = (Kind::Site, site.clone());
                    let made_up = !self.standing().lines.contains_key(&line);
                    Some((made_up, Digest::of(site.as_str().as_bytes()), document))
                }
                DocumentId::Fleet | DocumentId::Host(_) => None,
            })
            .collect();
        sites.sort_unstable();
        let crowded = sites.into_iter().skip(limits::SITE_DOCUMENTS_MAX);
        let crowded = crowded.map(|(_, _, document)| document);
        crowded.filter(|document| affected.contains_key(document)).cloned().collect()
    }

    fn candidate(&self, digest: &Digest) -> Option<Candidate> {
        let held = self.statements.get(digest)?;
        let payload = held.statement.payload();
        let signers: BTreeSet<KeyId> = held.signatures.keys().copied().collect();
        // A machine's own key has no room: a token's key could make up machines without end.
        let paying =
            |key: &&KeyId| self.chain.key(key).is_some() || self.judge.token_key(key).is_some();
        let by: BTreeSet<KeyId> = signers.iter().filter(paying).copied().collect();
        let resources = resources_of(&held.statement);
        let standing = match self.judge.judgement().stances.get(digest) {
            Some(Stance::Counts(_)) if is_of(&held.statement, Kind::Halt) => {
                let lifted = self.is_lifted(digest, &payload.scope);
                retention::Standing::Halt { by, lifted, until: payload.until }
            }
            Some(Stance::Counts(_)) if is_of(&held.statement, Kind::Resume) => {
                retention::Standing::Resume(by)
            }
            Some(Stance::Counts(_)) => retention::Standing::Finished(by),
            Some(Stance::Pending(_) | Stance::Never(_)) | None => {
                let standing = retention::Standing::Draft;
                return Some(Candidate { resources, signers: by, standing });
            }
        };
        Some(Candidate { resources, signers, standing })
    }

    /// Whether a valid resume lifts a halt.
    fn is_lifted(&self, halt: &Digest, halt_scope: &Scope) -> bool {
        self.judge.valid_resumes().any(|resume| lifts(resume, halt, halt_scope))
    }

    /// Puts a document's index right as to these statements. Returns those of which something is
    /// not kept, and others of which other than before may be kept now.
    pub(super) fn reindex(
        &mut self,
        name: DocumentId,
        digests: &BTreeSet<Digest>,
        is_crowded: bool,
        changes: &mut Changes,
    ) -> (BTreeSet<Digest>, BTreeSet<Digest>) {
        let mut document = self.documents.remove(&name).unwrap_or_default();
        let Document { entries, rooms } = &mut document;
        let (mut puts, mut drops) = (BTreeMap::new(), BTreeSet::new());
        let mut dropped = BTreeSet::new();
        if is_crowded {
            digests.iter().for_each(|digest| drop(rooms.take(digest)));
        }
        let (_, moved) = rooms.drop_not_kept(digests);
        for digest in digests {
            let Some(indexed) = self.indexed.get_mut(digest) else { continue };
            let kept = rooms.kept(digest);
            if kept.is_none() {
                if indexed.documents.contains(&name) {
                    Arc::make_mut(&mut indexed.documents).remove(&name);
                }
                dropped.insert(*digest);
            }
            for (hash, entry) in indexed.entries(digest) {
                let keeps = kept.as_ref().is_some_and(|signers| match entry {
                    EntryRef::Statement(_) => true,
                    EntryRef::Signature(_, key) => signers.contains(&key),
                });
                if keeps {
                    if entries.insert(hash, entry).is_none() {
                        puts.insert(hash, entry);
                    }
                } else {
                    dropped.insert(*digest);
                    if entries.remove(&hash).is_some() {
                        drops.insert(hash);
                    }
                }
            }
        }
        changes.drops.extend(drops.into_iter().map(|hash| (name.clone(), hash)));
        for (hash, entry) in puts {
            if let Some(bytes) = self.entry_bytes(&entry) {
                changes.puts.push(StoredEntry { document: name.clone(), hash, bytes });
            }
        }
        if !document.entries.is_empty() {
            self.documents.insert(name, document);
        }
        (dropped, moved)
    }

    /// Forgets of these statements what no document keeps. Returns those of which that is anything.
    pub(super) fn forget_dropped(&mut self, dropped: &BTreeSet<Digest>) -> BTreeSet<Digest> {
        let mut changed = BTreeSet::new();
        for digest in dropped {
            let Some(indexed) = self.indexed.get_mut(digest) else { continue };
            let documents = indexed.documents.iter().filter_map(|name| self.documents.get(name));
            let kept: BTreeSet<KeyId> =
                documents.filter_map(|document| document.rooms.kept(digest)).flatten().collect();
            if indexed.documents.is_empty() {
                self.indexed.remove(digest);
                self.statements.remove(digest);
                changed.insert(*digest);
            } else if let Some(held) = self.statements.get_mut(digest)
                && indexed.signature_hashes.keys().any(|key| !kept.contains(key))
            {
                Arc::make_mut(&mut indexed.signature_hashes).retain(|key, _| kept.contains(key));
                Arc::make_mut(&mut held.signatures).retain(|key, _| kept.contains(key));
                changed.insert(*digest);
            }
        }
        changed
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

/// What retention cares for of a statement's resources: a host that another takes the place of ends
/// by it.
pub(super) fn resources_of(statement: &Statement) -> Vec<RetainedResource> {
    let mut retained = Vec::new();
    for resource in &statement.payload().resources {
        let kind = resource.kind.clone();
        retained.extend(resource.replaces.iter().map(|replaced| RetainedResource {
            kind: kind.clone(),
            id: replaced.host.into(),
            version: replaced.version,
            gone: true,
        }));
        let (id, version, gone) = (resource.id.clone(), resource.version, resource.gone);
        retained.push(RetainedResource { kind, id, version, gone });
    }
    retained
}

/// A halt or resume that is no tombstone: those stand alone in their statement (RULES S2).
pub(super) fn is_of(statement: &Statement, kind: Kind) -> bool {
    let resources = &statement.payload().resources;
    resources.iter().any(|resource| resource.kind == kind.name() && !resource.gone)
}
