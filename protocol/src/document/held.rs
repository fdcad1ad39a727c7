//! Entries that cannot be judged yet: statements without a signature that verifies, signatures
//! whose statement is not here or whose key no held root names (RULES D2, D3).
//!
//! They wait in memory only. What stays when there is too much depends on what came, not on its
//! order: of each key the signatures with the lowest hashes, the fullest key giving way first, and
//! of statements the lowest digests. Room is made only after everything that came together was
//! looked at, so a statement that comes with its signature is never crowded out.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::entry::signature_entry;
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::trust::{Signature, Statement};

/// A signature that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WaitingSignature {
    pub(crate) statement: Digest,
    pub(crate) key: KeyId,
    pub(crate) signature: Signature,
}

/// Everything that waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    statements: BTreeMap<Digest, Statement>,
    signatures: BTreeSet<WaitingSignature>,
}

impl Waiting {
    pub(crate) fn insert_statement(&mut self, statement: Statement) {
        self.statements.insert(statement.digest(), statement);
    }

    pub(crate) fn insert_signature(&mut self, signature: WaitingSignature) {
        self.signatures.insert(signature);
    }

    pub(crate) fn statement(&self, digest: &Digest) -> Option<&Statement> {
        self.statements.get(digest)
    }

    pub(crate) fn take_statement(&mut self, digest: &Digest) -> Option<Statement> {
        self.statements.remove(digest)
    }

    pub(crate) fn holds(&self, signature: &WaitingSignature) -> bool {
        self.signatures.contains(signature)
    }

    pub(crate) fn take_signature(&mut self, signature: &WaitingSignature) {
        self.signatures.remove(signature);
    }

    pub(crate) fn signatures(&self) -> impl Iterator<Item = &WaitingSignature> {
        self.signatures.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.statements.len() + self.signatures.len()
    }

    /// Makes room: half of [`limits::HELD_ENTRIES_MAX`] for signatures, half for statements, whose
    /// bytes are bounded too.
    pub(crate) fn trim(&mut self) {
        let room = limits::HELD_ENTRIES_MAX / 2;
        let mut bytes: usize =
            self.statements.values().map(|statement| statement.bytes().len()).sum();
        while self.statements.len() > room || bytes > limits::HELD_BYTES_MAX {
            match self.statements.pop_last() {
                Some((_, statement)) => bytes -= statement.bytes().len(),
                None => break,
            }
        }
        if self.signatures.len() > room {
            self.trim_signatures(room);
        }
    }

    fn trim_signatures(&mut self, room: usize) {
        let mut of_keys: BTreeMap<KeyId, BTreeMap<Digest, WaitingSignature>> = BTreeMap::new();
        for waiting in &self.signatures {
            let WaitingSignature { statement, key, signature } = waiting;
            let hash = Digest::of(&signature_entry(statement, key, signature));
            of_keys.entry(*key).or_default().insert(hash, *waiting);
        }
        while self.signatures.len() > room {
            let fullest = of_keys.iter_mut().max_by_key(|(key, of)| (of.len(), **key));
            match fullest.and_then(|(_, of)| of.pop_last()) {
                Some((_, waiting)) => self.signatures.remove(&waiting),
                None => break,
            };
        }
    }
}
