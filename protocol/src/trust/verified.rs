//! Memory of which signatures verified (RULES C5), so that judging a thousand statements again
//! after one new entry checks one signature.

use std::collections::BTreeMap;

use crate::id::{Digest, KeyId};
use crate::trust::{Context, Held, PublicKey, Signature, Statement};

/// Results of checks, by statement digest, key and signature: whether a signature verifies depends
/// on nothing else. What a verified signature is worth is never remembered.
#[derive(Clone, Debug, Default)]
pub struct Verified(BTreeMap<(Digest, KeyId, Signature), bool>);

impl Verified {
    /// Whether `key` signed `statement`.
    pub fn check(&mut self, key: &PublicKey, statement: &Statement, signature: &Signature) -> bool {
        let check = || key.verify(Context::Statement, statement.bytes(), signature);
        *self.0.entry((statement.digest(), key.id(), *signature)).or_insert_with(check)
    }

    /// Forgets all that is not about `held`, which bounds the memory by what is held.
    pub fn retain(&mut self, held: &BTreeMap<Digest, Held>) {
        self.0.retain(|(statement, key, signature), _| {
            held.get(statement).is_some_and(|held| held.signatures.get(key) == Some(signature))
        });
    }
}
