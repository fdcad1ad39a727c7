//! Memory of which signatures verified (RULES C5), so that judging a thousand statements again
//! under a new root checks none of them again.

use std::collections::BTreeMap;

use crate::id::{Digest, KeyId};
use crate::trust::{Context, Held, PublicKey, Signature, Statement};

/// Results of checks, by statement and key for the signature checked last: whether it verifies
/// depends on nothing else. What a verified signature is worth is never remembered.
#[derive(Clone, Debug, Default)]
pub struct Verified(BTreeMap<(Digest, KeyId), (Signature, bool)>);

impl Verified {
    /// Whether `key`, whose id is `id`, signed `statement`.
    pub fn check(
        &mut self,
        id: KeyId,
        key: &PublicKey,
        statement: &Statement,
        signature: &Signature,
    ) -> bool {
        let place = (statement.digest(), id);
        if let Some((_, result)) = self.0.get(&place).filter(|(checked, _)| checked == signature) {
            return *result;
        }
        let result = key.verify(Context::Statement, statement.bytes(), signature);
        self.0.insert(place, (*signature, result));
        result
    }

    /// Forgets all that is not about `held`, which bounds the memory by what is held.
    pub fn retain(&mut self, held: &BTreeMap<Digest, Held>) {
        self.0.retain(|(statement, key), (signature, _)| {
            held.get(statement).is_some_and(|held| held.signatures.get(key) == Some(signature))
        });
    }

    /// Forgets of one statement all that is not about `held`.
    pub fn forget(&mut self, statement: &Digest, held: Option<&Held>) {
        let of = (*statement, KeyId([0; 32]))..=(*statement, KeyId([0xff; 32]));
        let kept = |key: &KeyId, signature: &Signature| {
            held.is_some_and(|held| held.signatures.get(key) == Some(signature))
        };
        let stale: Vec<(Digest, KeyId)> = self
            .0
            .range(of)
            .filter(|((_, key), (signature, _))| !kept(key, signature))
            .map(|(place, _)| *place)
            .collect();
        for place in stale {
            self.0.remove(&place);
        }
    }
}
