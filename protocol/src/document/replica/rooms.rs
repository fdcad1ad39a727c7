//! Whether there is room for one more signature, asked by those who are about to sign (RULES Q12).

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use crate::document::DocumentId;
use crate::document::entry::documents_of;
use crate::document::retention::{self, Candidate, FullRoom};
use crate::id::{Digest, KeyId};
use crate::trust::{Held, Statement};

impl Replica {
    /// The document and the room of `key` in it that have no place for a statement once this key
    /// has signed it too. `finishes`: whether its threshold is met then. Halts and resumes
    /// that count have room of their own (RULES C4).
    pub fn full_room(
        &self,
        statement: &Statement,
        key: &KeyId,
        finishes: bool,
    ) -> Option<(DocumentId, FullRoom)> {
        let digest = statement.digest();
        let lifted = self.lifted();
        let mut signers: BTreeSet<KeyId> = self
            .statement(&digest)
            .map(|held| held.signatures.keys().copied().collect())
            .unwrap_or_default();
        signers.insert(*key);
        let unsigned = Held { statement: statement.clone(), signatures: BTreeMap::new() };
        let mut new = self.candidate(&digest, &unsigned, &lifted);
        new.signers.clone_from(&signers);
        new.standing = match finishes {
            true => retention::Standing::Finished(signers),
            false => retention::Standing::Draft,
        };
        self.members(documents_of(statement)).into_iter().find_map(|(document, members)| {
            let held: BTreeMap<Digest, Candidate> = members
                .iter()
                .filter(|member| **member != digest)
                .filter_map(|member| {
                    Some((*member, self.candidate(member, self.statement(member)?, &lifted)))
                })
                .collect();
            retention::full_room(&held, (&digest, &new), key).map(|room| (document, room))
        })
    }
}
