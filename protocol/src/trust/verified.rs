//! Memory of which signatures verified (RULES C5), so that judging a thousand statements again
//! under a new root checks none of them again.

use std::collections::BTreeMap;

use crate::document::Shared;
use crate::id::{Digest, KeyId};
use crate::rules::{Rule, holds};
use crate::trust::{Held, PublicKey, Signature, Statement};

/// Signatures that verify, by statement and key: whether one does depends on nothing else. What it
/// is worth is never remembered, nor that one does not verify, which anybody can make any number of.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    verifying: BTreeMap<(Digest, KeyId), Signature>,
    shared: Shared,
}

impl Verified {
    /// An empty memory that asks what is shared before it checks.
    pub fn sharing(shared: Shared) -> Self {
        Self { verifying: BTreeMap::new(), shared }
    }

    /// What is shared.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether `key`, whose id is `id`, signed `statement`.
    pub fn check(
        &mut self,
        id: KeyId,
        key: &PublicKey,
        statement: &Statement,
        signature: &Signature,
    ) -> bool {
        let place = (statement.digest(), id);
        if self.verifying.get(&place) == Some(signature) {
            return true;
        }
        let verifies =
            self.shared.verifies(id, key, statement, signature) || !holds(Rule::S1Signature);
        // What is shared remembers it for all.
        if verifies && !self.shared.is_pool() {
            self.verifying.insert(place, *signature);
        }
        verifies
    }

    /// Forgets all that is not about `held`, which bounds the memory by what is held.
    pub fn retain(&mut self, held: &BTreeMap<Digest, Held>) {
        self.verifying.retain(|(statement, key), signature| {
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
            .verifying
            .range(of)
            .filter(|((_, key), signature)| !kept(key, signature))
            .map(|(place, _)| *place)
            .collect();
        for place in stale {
            self.verifying.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::FleetId;
    use crate::resource::{Kind, Scope};
    use crate::time::WallTime;
    use crate::trust::{Context, Draft, ResourceDraft, SigningKey};

    #[test]
    fn i9_c5_signatures_that_do_not_verify_leave_nothing_behind() {
        let key = SigningKey::from_seed([1; 32]);
        let gone = ResourceDraft::tombstone(Kind::Site, "site-1".parse().unwrap(), 1);
        let draft = Draft::new(FleetId([1; 32]), Scope::Fleet, WallTime::EPOCH).resource(gone);
        let statement = draft.finish().unwrap();
        let (id, public) = (key.public().id(), key.public());
        let mut verified = Verified::default();
        let good = key.sign(Context::Statement, statement.bytes());
        assert!(verified.check(id, &public, &statement, &good));
        for number in 0..1_000_u16 {
            let mut forged = good;
            forged.0[..2].copy_from_slice(&number.to_be_bytes());
            if forged != good {
                assert!(!verified.check(id, &public, &statement, &forged));
            }
        }
        assert_eq!(verified.verifying.len(), 1, "only the one that verifies is remembered");
        assert!(verified.check(id, &public, &statement, &good));
        verified.forget(&statement.digest(), None);
        assert!(verified.verifying.is_empty());
    }
}
