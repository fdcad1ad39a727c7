//! The roots in a form that many statements are held against, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{FleetId, KeyId};
use crate::resource::Role;
use crate::trust::{
    Held, Pending, Quorum, RoleKeys, Root, RootChain, RootState, Signature, Stance, Validity,
    Verified,
};

/// Who may speak under each held root.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    state: RootState,
    now: BTreeMap<Role, RoleKeys>,
    before: Vec<BTreeMap<Role, RoleKeys>>,
}

impl Bench {
    /// `None` while nothing can be judged under the chain.
    pub(super) fn new(chain: &RootChain) -> Option<Self> {
        let newest = chain.newest()?;
        let state = RootState {
            fleet: chain.fleet()?,
            version: newest.version,
            digest: newest.digest,
            expires: newest.expires,
        };
        let before = chain.earlier().map(speakers).collect();
        Some(Self { state, now: speakers(newest), before })
    }

    pub(super) fn state(&self) -> &RootState {
        &self.state
    }

    fn fleet(&self) -> FleetId {
        self.state.fleet
    }

    /// How a statement stands, with the keys that make it count.
    pub(super) fn stand(
        &self,
        held: &Held,
        chain: &RootChain,
        verified: &mut Verified,
    ) -> (Stance, BTreeSet<KeyId>) {
        let never = |why: String| (Stance::Never(why), BTreeSet::new());
        if held.statement.payload().fleet != self.fleet() {
            return never("it is for another fleet".into());
        }
        let role = match held.statement.role() {
            Ok(role) => role,
            Err(mixed) => return never(mixed.to_string()),
        };
        let signers = signers(held, chain, verified);
        let count = |roles: &BTreeMap<Role, RoleKeys>| roles.get(&role).map(|r| r.count(&signers));
        let now = count(&self.now);
        if let Some(quorum) = now.as_ref().filter(|quorum| quorum.is_met()) {
            return (Stance::Counts(Validity::Valid), quorum.have.clone());
        }
        if let Some(quorum) = self.before.iter().filter_map(count).find(Quorum::is_met) {
            return (Stance::Counts(Validity::Fallen), quorum.have);
        }
        let may = self.now.get(&role).map(|role| &role.keys - &signers).unwrap_or_default();
        let quorum = now.unwrap_or_else(|| Quorum { have: BTreeSet::new(), need: 1 });
        (Stance::Pending(Pending { role, quorum, may_sign: may }), BTreeSet::new())
    }
}

/// The keys that any root names and whose signatures verify.
fn signers(held: &Held, chain: &RootChain, verified: &mut Verified) -> BTreeSet<KeyId> {
    let verifies = |(id, signature): &(&KeyId, &Signature)| {
        let key = chain.key(id);
        key.is_some_and(|key| verified.check(**id, key, &held.statement, signature))
    };
    held.signatures.iter().filter(verifies).map(|(id, _)| *id).collect()
}

/// Who may speak under a root. A halt takes any one key of `halt` or of `policy` (I11).
fn speakers(root: &Root) -> BTreeMap<Role, RoleKeys> {
    let mut roles = root.roles.clone();
    let halting = [Role::Halt, Role::Policy].iter().filter_map(|role| root.role(*role));
    let keys: BTreeSet<KeyId> = halting.flat_map(|role| &role.keys).copied().collect();
    roles.insert(Role::Halt, RoleKeys { threshold: 1, keys });
    roles
}
