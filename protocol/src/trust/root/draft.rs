//! Writing roots: what `daymarkctl`, tests and the simulator sign.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::Parts;
use super::{
    Delegation, DigestList, EndedKey, Freshness, KeyEnd, RefusedRoot, Root, RootKey, Void,
};
use crate::id::{Digest, KeyId};
use crate::resource::Role;
use crate::time::WallTime;
use crate::trust::{PublicKey, RoleKeys};

/// A root being written.
#[derive(Clone, Debug)]
pub struct RootDraft {
    /// Its version.
    pub version: u64,
    /// When it is written.
    pub issued: WallTime,
    /// When it expires.
    pub expires: WallTime,
    /// The fleet's name.
    pub fleet_name: String,
    /// The keys that it names.
    pub keys: BTreeMap<KeyId, RootKey>,
    /// Who may speak under each role.
    pub roles: BTreeMap<Role, RoleKeys>,
    /// Digests of the roots of the version before.
    pub previous: BTreeSet<Digest>,
    /// Keys that ended, with the lists of what they signed (RULES R5).
    pub lists: BTreeMap<KeyId, EndedKey>,
    /// Single statements that stay valid though they lost their signers (RULES R5).
    pub kept: BTreeSet<Digest>,
    /// Statements that never count again (RULES R6).
    pub void: Vec<Void>,
    /// Who speaks for a part of the fleet for a time, by name (RULES R7).
    pub delegations: BTreeMap<String, Delegation>,
    /// How old the newest heartbeat may be.
    pub freshness: Freshness,
    /// One machine made the keys of several people. It stays so: who had them once has them.
    pub evaluation: bool,
}

impl RootDraft {
    /// The first root of a new fleet; keys and roles are yet to be added.
    pub fn first(fleet_name: &str, issued: WallTime, expires: WallTime) -> Self {
        Self {
            version: 1,
            issued,
            expires,
            fleet_name: fleet_name.to_owned(),
            keys: BTreeMap::new(),
            roles: BTreeMap::new(),
            previous: BTreeSet::new(),
            lists: BTreeMap::new(),
            kept: BTreeSet::new(),
            void: Vec::new(),
            delegations: BTreeMap::new(),
            freshness: Freshness::default(),
            evaluation: false,
        }
    }

    /// The root after `root`, with the same keys, roles and delegations. What it keeps is kept on;
    /// what it revokes or voids is so for good, and need not be said again (RULES R5).
    pub fn after(root: &Root, issued: WallTime, expires: WallTime) -> Self {
        let retired = root.lists.iter().filter(|(_, ended)| ended.end == KeyEnd::Retired);
        Self {
            version: root.version + 1,
            issued,
            expires,
            fleet_name: root.fleet_name.clone(),
            keys: root.keys.clone(),
            roles: root.roles.clone(),
            previous: BTreeSet::from([root.digest]),
            lists: retired.map(|(key, ended)| (*key, ended.clone())).collect(),
            kept: root.kept.clone(),
            void: Vec::new(),
            delegations: root.delegations.clone(),
            freshness: root.freshness,
            evaluation: root.evaluation,
        }
    }

    /// The root that settles rivals (RULES R4): after each of `roots`, with the keys, roles and
    /// delegations of the first. It must be signed by the thresholds of all.
    /// `None` of no roots.
    pub fn settling(roots: &[&Root], issued: WallTime, expires: WallTime) -> Option<Self> {
        let mut draft = Self::after(roots.first()?, issued, expires);
        draft.previous = roots.iter().map(|root| root.digest).collect();
        Some(draft)
    }

    /// Names a key and its holder.
    #[must_use]
    pub fn key(mut self, public: PublicKey, holder: &str) -> Self {
        self.keys.insert(public.id(), RootKey { public, holder: holder.to_owned() });
        self
    }

    /// Lets `threshold` of `keys` speak under a role.
    #[must_use]
    pub fn role(
        mut self,
        role: Role,
        threshold: u32,
        keys: impl IntoIterator<Item = KeyId>,
    ) -> Self {
        self.roles.insert(role, RoleKeys { threshold, keys: keys.into_iter().collect() });
        self
    }

    /// Ends the key of someone who left: what the lists name stays valid. Thresholds stay as they
    /// are, and [`Self::finish`] says which can no longer be met.
    #[must_use]
    pub fn retire(self, key: KeyId, lists: &[DigestList]) -> Self {
        self.end(key, KeyEnd::Retired, lists)
    }

    /// Ends a key that was stolen or lost: what the lists name is fallen, and everything else that
    /// it signed or signs never counted.
    #[must_use]
    pub fn revoke(self, key: KeyId, lists: &[DigestList]) -> Self {
        self.end(key, KeyEnd::Revoked, lists)
    }

    fn end(mut self, key: KeyId, end: KeyEnd, lists: &[DigestList]) -> Self {
        self.keys.remove(&key);
        let delegates = self.delegations.values_mut().map(|delegation| &mut delegation.speakers);
        for speakers in self.roles.values_mut().chain(delegates) {
            speakers.keys.remove(&key);
        }
        let digests = lists.iter().map(DigestList::digest).collect();
        self.lists.insert(key, EndedKey { end, digests });
        self
    }

    /// Keeps single statements valid that lost their signers, by digest.
    #[must_use]
    pub fn keep(mut self, statements: impl IntoIterator<Item = Digest>) -> Self {
        self.kept.extend(statements);
        self
    }

    /// Takes a statement back for good.
    #[must_use]
    pub fn void(mut self, void: Void) -> Self {
        self.void.push(void);
        self
    }

    /// Lets others speak for a part of the fleet for a time. A name that stands already is replaced;
    /// the keys must be named with [`Self::key`].
    #[must_use]
    pub fn delegate(mut self, name: &str, delegation: Delegation) -> Self {
        self.delegations.insert(name.to_owned(), delegation);
        self
    }

    /// Ends a delegation; its keys are still named until they are retired or revoked.
    #[must_use]
    pub fn undelegate(mut self, name: &str) -> Self {
        self.delegations.remove(name);
        self
    }

    /// Sets how old the newest heartbeat may be.
    #[must_use]
    pub fn freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = freshness;
        self
    }

    /// The payload, ready to be signed, and its reading.
    ///
    /// # Errors
    /// If it makes no sense: a threshold that can no longer be met, a revoked key that speaks, or
    /// more than a root may hold.
    pub fn finish(&self) -> Result<(Vec<u8>, Root), RefusedRoot> {
        let payload = Root::write(self);
        let root = Root::parse(&payload)?;
        Ok((payload, root))
    }

    pub(super) fn parts(&self) -> Parts {
        Parts {
            lists: self.lists.clone(),
            kept: self.kept.clone(),
            void: self.void.clone(),
            delegations: self.delegations.clone(),
            freshness: self.freshness,
            evaluation: self.evaluation,
        }
    }
}
