//! Looking at a replica: for repair between peers, for the decision, for people.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Document, EntryRef, Replica};
use crate::document::DocumentId;
use crate::document::canonical::{
    CanonicalDocument, CanonicalError, document_of_entries, document_of_reports,
};
use crate::document::chain::{ChainHead, ChainLink, HostChain, ReportGap};
use crate::document::host_view::HostView;
use crate::id::{Digest, KeyId};
use crate::trust::{Floors, Held, Judgement, RootChain, Stance, Standing};

impl Replica {
    /// The roots held.
    pub fn chain(&self) -> &RootChain {
        &self.chain
    }

    /// The floors ever reached.
    pub fn floors(&self) -> &Floors {
        &self.floors
    }

    /// What counts.
    pub fn standing(&self) -> &Standing {
        &self.judge.judgement().standing
    }

    /// What counts, with how each statement stands.
    pub fn judgement(&self) -> &Judgement {
        self.judge.judgement()
    }

    /// A kept statement with its signatures.
    pub fn statement(&self, digest: &Digest) -> Option<&Held> {
        self.statements.get(digest)
    }

    /// All kept statements, by digest.
    pub fn statements(&self) -> impl Iterator<Item = (&Digest, &Held)> {
        self.statements.iter()
    }

    /// How many entries wait in memory for a root or a counterpart.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The `fleet` and `site/…` documents that have entries.
    pub fn documents(&self) -> impl Iterator<Item = &DocumentId> {
        self.documents.keys()
    }

    /// The hashes of a document's entries, rising: what peers compare.
    pub fn hashes(&self, document: &DocumentId) -> impl Iterator<Item = &Digest> {
        self.entry_refs(document).map(|(hash, _)| hash)
    }

    /// SHA-256 over the hashes of a document's entries in order: equal where the same set is held.
    pub fn fingerprint(&self, document: &DocumentId) -> Digest {
        let hashes: Vec<&[u8]> =
            self.hashes(document).map(|hash| hash.as_bytes().as_slice()).collect();
        Digest::of_parts(&hashes)
    }

    /// Whether a document has an entry of this hash.
    pub fn has(&self, document: &DocumentId, hash: &Digest) -> bool {
        self.documents.get(document).is_some_and(|document| document.entries.contains_key(hash))
    }

    /// An entry's bytes.
    pub fn entry(&self, document: &DocumentId, hash: &Digest) -> Option<Vec<u8>> {
        self.entry_bytes(self.documents.get(document)?.entries.get(hash)?)
    }

    /// A document's entries by hash.
    pub fn entries(&self, document: &DocumentId) -> impl Iterator<Item = (Digest, Vec<u8>)> {
        let entries = self.entry_refs(document);
        entries.filter_map(|(hash, entry)| Some((*hash, self.entry_bytes(entry)?)))
    }

    fn entry_refs(&self, document: &DocumentId) -> impl Iterator<Item = (&Digest, &EntryRef)> {
        self.documents.get(document).into_iter().flat_map(|document| &document.entries)
    }

    /// A statement's entry with those of its signatures in this document, by hash; any other entry
    /// alone.
    pub fn with_signatures(&self, document: &DocumentId, hash: &Digest) -> Vec<Digest> {
        let Some(Document { entries, .. }) = self.documents.get(document) else {
            return Vec::new();
        };
        let signatures = match entries.get(hash) {
            Some(EntryRef::Statement(digest)) => self.indexed.get(digest),
            Some(EntryRef::Signature(..)) => None,
            None => return Vec::new(),
        };
        let signatures = signatures.into_iter().flat_map(|of| of.signature_hashes.values());
        let kept = signatures.filter(|hash| entries.contains_key(*hash));
        std::iter::once(hash).chain(kept).copied().collect()
    }

    /// Whether a kept statement counts, also if it lost its signatures since: it is no draft.
    pub fn counts(&self, statement: &Digest) -> bool {
        matches!(self.judge.judgement().stances.get(statement), Some(Stance::Counts(_)))
    }

    /// The documents of a kept statement and its signatures (RULES Q2).
    pub fn documents_of(&self, statement: &Digest) -> Option<&BTreeSet<DocumentId>> {
        self.indexed.get(statement).map(|indexed| &*indexed.documents)
    }

    /// A host's chain of reports.
    pub fn host_chain(&self, host: &KeyId) -> Option<&HostChain> {
        self.hosts.get(host).map(Arc::as_ref)
    }

    /// A host's reports as bytes, in order; of a forked generation with both sides of the fork.
    pub fn reports(&self, host: &KeyId) -> impl Iterator<Item = &[u8]> {
        self.host_chain(host).into_iter().flat_map(HostChain::evidence).map(ChainLink::bytes)
    }

    /// Where a host's chain stands.
    pub fn head(&self, host: &KeyId) -> Option<ChainHead> {
        self.host_chain(host).map(HostChain::head)
    }

    /// Where all chains stand, by host.
    pub fn heads(&self) -> impl Iterator<Item = (&KeyId, ChainHead)> {
        self.hosts.iter().map(|(host, chain)| (host, chain.head()))
    }

    /// Reports that are missing before held ones.
    pub fn report_gaps(&self) -> impl Iterator<Item = (&KeyId, ReportGap)> {
        self.hosts.iter().filter_map(|(host, chain)| Some((host, chain.gap()?)))
    }

    /// What a host says of itself; `None` if it said nothing or its reports are unknown, because
    /// its key signed two for one place (RULES D6).
    pub fn host_view(&self, host: &KeyId) -> Option<&HostView> {
        let chain = self.hosts.get(host)?;
        (!chain.is_forked() && chain.generation() > 0).then(|| chain.view())
    }

    /// What all hosts say of themselves, as [`Self::host_view`].
    pub fn host_views(&self) -> impl Iterator<Item = (&KeyId, &HostView)> {
        self.hosts.keys().filter_map(|host| Some((host, self.host_view(host)?)))
    }

    /// A document in its canonical Automerge form: a file that any Automerge tool opens.
    ///
    /// # Errors
    /// If Automerge refuses or panics.
    pub fn export(&self, document: &DocumentId) -> Result<CanonicalDocument, CanonicalError> {
        match document {
            DocumentId::Fleet | DocumentId::Site(_) => {
                let entries: Vec<Vec<u8>> =
                    self.entries(document).map(|(_, bytes)| bytes).collect();
                document_of_entries(entries.iter().map(Vec::as_slice))
            }
            DocumentId::Host(host) => {
                let reports = self.host_chain(host).map(HostChain::decoded).unwrap_or_default();
                document_of_reports(&reports)
            }
        }
    }
}
