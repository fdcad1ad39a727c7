//! After something came in: what counts, what is kept, and what follows for the store. Only what
//! the statements that came, changed or went can move is looked at; after a change of the roots, or
//! of what documents are kept, that is everything.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Affected;
use super::{Changes, EntryRef, FreshEntry, Replica};
use crate::document::DocumentId;
use crate::document::entry::{Entry, signature_entry, statement_entry};
use crate::document::retention::Rooms;
use crate::id::{Digest, KeyId};
use crate::resource::{Kind, Spec};
use crate::rules::{Rule, holds};
use crate::trust::{FloorRecord, Grounds, Judge, Redone, Verified};

impl Replica {
    /// Judges again what `touched` touches, drops what is not kept, and notes the changes.
    pub(super) fn settle(&mut self, touched: &BTreeSet<Digest>, changes: &mut Changes) {
        let Redone { stops, hosts } = self.judge_again(touched);
        let mut moved = touched.clone();
        moved.extend(hosts);
        moved.extend(touched.iter().flat_map(|digest| self.halts_named_by(digest)));
        let affected = self.place(&moved);
        changes.standing_changed = true;
        self.keep(affected, touched, stops, changes);
    }

    /// Judges everything, drops what is not kept, and notes the changes.
    pub(super) fn settle_anew(&mut self, changes: &mut Changes) {
        self.judge_anew();
        if self.judge.judgement().standing.wait.is_some() {
            return;
        }
        let mut affected = Affected::new();
        for (name, document) in &mut self.documents {
            document.rooms = Rooms::default();
            let held = document.entries.values().map(EntryRef::statement);
            affected.insert(name.clone(), held.collect());
        }
        let all: BTreeSet<Digest> = self.statements.keys().copied().collect();
        for (document, digests) in self.place(&all) {
            affected.entry(document).or_default().extend(digests);
        }
        self.keep(affected, &all, true, changes);
        changes.standing_changed |= !changes.floors.is_empty();
    }

    /// Moves statements to other documents than they were in.
    pub(super) fn rehome(
        &mut self,
        homes: Vec<(Digest, BTreeSet<DocumentId>)>,
        changes: &mut Changes,
    ) {
        let mut affected = Affected::new();
        let mut touched = BTreeSet::new();
        for (digest, documents) in homes {
            let Some(indexed) = self.indexed.get_mut(&digest) else { continue };
            let before =
                std::mem::replace(&mut indexed.documents, self.shared.documents(digest, documents));
            for name in before.difference(&indexed.documents) {
                let left = affected.entry(name.clone()).or_default();
                left.insert(digest);
                left.extend(
                    self.documents
                        .get_mut(name)
                        .map(|d| d.rooms.take(&digest))
                        .into_iter()
                        .flatten(),
                );
            }
            touched.insert(digest);
        }
        for (document, digests) in self.place(&touched) {
            affected.entry(document).or_default().extend(digests);
        }
        changes.standing_changed = true;
        self.keep(affected, &touched, false, changes);
    }

    /// Lets statements that came again compete for the documents that had no room for them, since
    /// room may have come about. Returns those that are in more documents than before.
    pub(super) fn return_to_documents(
        &mut self,
        came: &BTreeSet<Digest>,
        changes: &mut Changes,
    ) -> BTreeSet<Digest> {
        let mut lacking = BTreeMap::new();
        for digest in came {
            let Some(held) = self.statements.get(digest) else { continue };
            let wanted = self.documents_kept(&held.statement);
            let Some(indexed) = self.indexed.get_mut(digest) else { continue };
            if *indexed.documents != wanted {
                lacking.insert(*digest, indexed.documents.len());
                indexed.documents = self.shared.documents(*digest, wanted);
            }
        }
        if lacking.is_empty() {
            return BTreeSet::new();
        }
        let noted = (changes.puts.len(), changes.drops.len());
        let digests = lacking.keys().copied().collect();
        let affected = self.place(&digests);
        self.keep(affected, &digests, false, changes);
        // One that found no room again changed nothing.
        changes.standing_changed |= noted != (changes.puts.len(), changes.drops.len());
        let documents = |digest: &Digest| self.documents_of(digest).map_or(0, BTreeSet::len);
        lacking.retain(|digest, before| documents(digest) > *before);
        lacking.into_keys().collect()
    }

    pub(super) fn judge_anew(&mut self) {
        self.with_judge(Judge::anew);
        self.tell_heartbeats();
    }

    fn judge_again(&mut self, touched: &BTreeSet<Digest>) -> Redone {
        self.with_judge(|judge, grounds, verified| judge.again(touched, grounds, verified))
    }

    fn with_judge<T>(
        &mut self,
        act: impl FnOnce(&mut Judge, &Grounds<'_>, &mut Verified) -> T,
    ) -> T {
        let Self { chain, lists, statements, floors, interest, verified, judge, .. } = self;
        let keeps = |document: &DocumentId| interest.covers(document);
        act(judge, &Grounds { chain, lists, held: statements, floors, keeps: &keeps }, verified)
    }

    /// The halts that a statement lifts, if it is a resume.
    fn halts_named_by(&self, digest: &Digest) -> Vec<Digest> {
        let statement = self.statements.get(digest).map(|held| &held.statement);
        let resources = statement.into_iter().flat_map(|statement| &statement.payload().resources);
        let named = resources.filter_map(|resource| match resource.spec() {
            Ok(Some(Spec::Resume(resume))) => Some(&resume.halts),
            Ok(_) | Err(_) => None,
        });
        named.flatten().copied().collect()
    }

    /// Puts the indexes of documents right, forgets what none keeps, and notes the changes. What was
    /// dropped may move the rest: the hosts of a token, the halts of a resume, the rooms of an id.
    fn keep(
        &mut self,
        mut affected: Affected,
        touched: &BTreeSet<Digest>,
        mut stops: bool,
        changes: &mut Changes,
    ) {
        let named = touched.iter().flat_map(|digest| self.hosts_named_by(digest));
        let mut hosts: BTreeSet<KeyId> = named.collect();
        while !affected.is_empty() {
            let crowded = self.crowded_out(&affected);
            let (mut dropped, mut moved) = (BTreeSet::new(), Affected::new());
            for (name, digests) in affected {
                let is_crowded = crowded.contains(&name);
                let (lost, others) = self.reindex(name.clone(), &digests, is_crowded, changes);
                dropped.extend(lost);
                moved.insert(name, others);
            }
            hosts.extend(dropped.iter().flat_map(|digest| self.hosts_named_by(digest)));
            let halts: Vec<Digest> =
                dropped.iter().flat_map(|digest| self.halts_named_by(digest)).collect();
            let mut changed = self.forget_dropped(&dropped);
            if !changed.is_empty() {
                let redone = self.judge_again(&changed);
                stops |= redone.stops;
                changed.extend(redone.hosts.into_iter().chain(halts));
            }
            affected = self.place(&changed);
            for (name, others) in moved.into_iter().filter(|(_, others)| !others.is_empty()) {
                affected.entry(name).or_default().extend(others);
            }
        }
        self.raise_floors(stops, changes);
        self.note_fresh(changes);
        hosts.retain(|host| self.hosts.contains_key(host));
        self.drop_strangers(&hosts, changes);
    }

    /// The hosts that a statement is about.
    fn hosts_named_by(&self, digest: &Digest) -> Vec<KeyId> {
        let statement = self.statements.get(digest).map(|held| &held.statement);
        let resources = statement.into_iter().flat_map(|statement| &statement.payload().resources);
        let hosts = resources.filter(|resource| resource.kind == Kind::Host.name());
        let named = hosts.flat_map(|host| {
            let replaced = host.replaces.as_ref().map(|replaced| replaced.host);
            [host.id.as_host(), replaced]
        });
        named.flatten().collect()
    }

    /// Raises floors, and holds halts and resumes whole (RULES C6).
    fn raise_floors(&mut self, stops: bool, changes: &mut Changes) {
        let mut records = self.judge.take_raised();
        let whole = if stops { Some(&self.judge.judgement().whole) } else { None };
        for digest in whole.into_iter().flatten() {
            let Some(held) = self.statements.get(digest) else { continue };
            records.push(FloorRecord::Whole(statement_entry(held.statement.bytes())));
            for (key, signature) in &*held.signatures {
                records.push(FloorRecord::Whole(signature_entry(digest, key, signature)));
            }
        }
        let mut overflows = false;
        for record in records {
            if !holds(Rule::C6Floors) {
                continue;
            }
            if self.floors.apply(record.clone()) {
                changes.floors.push(record);
            } else if let FloorRecord::Version { kind, id, .. } = &record {
                overflows |= self.floors.get(kind, id).is_none();
            }
        }
        if overflows {
            // They counted while others of the same save had not yet taken the last room.
            self.judge_anew();
        }
        if stops {
            self.forget_lifted();
        }
    }

    /// Floors without the halts that no longer stand, lifted or crowded out by others of their key:
    /// otherwise one stolen `halt` key could fill memory and journal (I9, RULES C4). Of a document
    /// that is not kept here nobody can tell, and a machine whose own Host statement was lost does
    /// not know which it keeps.
    fn forget_lifted(&mut self) {
        let mut whole = self.judge.judgement().whole.clone();
        let entries = || self.floors.whole().filter_map(|entry| Entry::decode(entry).ok());
        whole.extend(entries().filter_map(|entry| match entry {
            Entry::Statement(statement) if self.documents_kept(&statement).is_empty() => {
                Some(statement.digest())
            }
            Entry::Statement(_) | Entry::Signature { .. } => None,
        }));
        self.floors.retain_whole(|entry| match Entry::decode(entry) {
            Ok(Entry::Statement(statement)) => whole.contains(&statement.digest()),
            Ok(Entry::Signature { statement, .. }) => whole.contains(&statement),
            Err(_) => false,
        });
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
            let found = documents.iter().find_map(|d| self.documents.get(d)?.entries.get(hash));
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
}
