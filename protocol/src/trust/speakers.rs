//! Who may speak for a statement under one root: the keys of its role, or those of a delegation
//! whose scope it is (RULES C5, R7, I11).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{KeyId, ResourceId};
use crate::resource::{Kind, Role, Scope};
use crate::rules::{Rule, holds};
use crate::target::NO_SITE;
use crate::time::WallTime;
use crate::trust::{
    Delegation, MixedRoles, Quorum, Resource, RoleKeys, Root, SignerScope, Statement,
};

/// What of a statement decides who may speak for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) role: Role,
    scope: &'a Scope,
    /// Whether it says nothing that a delegation may not (RULES R7).
    delegable: bool,
}

impl<'a> Claim<'a> {
    pub(super) fn of(statement: &'a Statement) -> Result<Self, MixedRoles> {
        let payload = statement.payload();
        let role = statement.role()?;
        let may = |resource: &Resource| may_be_delegated(resource, &payload.scope);
        let delegable = payload.resources.iter().all(may);
        Ok(Self { role, scope: &payload.scope, delegable })
    }
}

/// Regions and sites define scopes, so no part of the fleet may change them. A host stays where the
/// delegation reaches, and what a newer agent knows to be harmless this one does not.
fn may_be_delegated(resource: &Resource, scope: &Scope) -> bool {
    match (resource.known_kind(), scope) {
        (None | Some(Kind::Region | Kind::Site), _) | (Some(Kind::Host), Scope::Region(_)) => false,
        (Some(Kind::Host), Scope::Site(site)) => {
            let here =
                |of: Option<&ResourceId>| of.map_or(NO_SITE, |of| of.as_str()) == site.as_str();
            here(resource.site.as_ref())
                && resource.moved_from.as_ref().is_none_or(|left| left == site)
                && resource.replaces.as_ref().is_none_or(|other| here(other.site.as_ref()))
        }
        (Some(_), _) => true,
    }
}

/// Keys that met a threshold, and how far their word goes.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) quorum: Quorum,
    pub(super) scope: SignerScope,
    /// When their delegation or token ends.
    pub(super) until: Option<WallTime>,
    /// The token that spoke, if it was one (RULES S9).
    pub(super) token: Option<ResourceId>,
}

/// Who may speak under a root.
#[derive(Clone, Debug)]
pub(super) struct Speakers {
    roles: BTreeMap<Role, RoleKeys>,
    delegations: Vec<Delegation>,
}

impl Speakers {
    /// A halt takes any one key of `halt` or of `policy` (I11), delegated ones in their scope.
    pub(super) fn of(root: &Root) -> Self {
        let mut roles = root.roles.clone();
        let halting = [Role::Halt, Role::Policy].iter().filter_map(|role| root.role(*role));
        let keys: BTreeSet<KeyId> = halting.flat_map(|role| &role.keys).copied().collect();
        roles.insert(Role::Halt, RoleKeys { threshold: 1, keys });
        let halts = |given: &Delegation| {
            let halts = matches!(given.role, Role::Halt | Role::Policy);
            let speakers = RoleKeys { threshold: 1, keys: given.speakers.keys.clone() };
            halts.then(|| Delegation { role: Role::Halt, speakers, ..given.clone() })
        };
        let others = |given: &&Delegation| given.role != Role::Halt;
        let given = root.delegations.values();
        let delegations = given.clone().filter(others).cloned().chain(given.filter_map(halts));
        Self { roles, delegations: delegations.collect() }
    }

    /// Those of `signers` that meet a threshold for the claim: the role's own, or else that of the
    /// delegation that lasts longest. The two are never added (RULES R7).
    pub(super) fn voice(&self, claim: Claim<'_>, signers: &BTreeSet<KeyId>) -> Option<Voice> {
        let own = self.roles.get(&claim.role).map(|role| role.count(signers));
        if let Some(quorum) = own.filter(Quorum::is_met) {
            return Some(Voice { quorum, scope: SignerScope::Fleet, until: None, token: None });
        }
        let fits = |given: &&Delegation| {
            claim.delegable
                && given.role == claim.role
                && (given.scope == *claim.scope || !holds(Rule::R7Scope))
        };
        let met = self.delegations.iter().filter(fits).filter_map(|given| {
            let quorum = Some(given.speakers.count(signers)).filter(Quorum::is_met)?;
            let scope = SignerScope::of(&given.scope);
            Some(Voice { quorum, scope, until: Some(given.until), token: None })
        });
        met.max_by_key(|voice| voice.until)
    }

    /// Who of the role signed, how many must, and who else may.
    pub(super) fn lacking(
        &self,
        claim: Claim<'_>,
        signers: &BTreeSet<KeyId>,
    ) -> (Quorum, BTreeSet<KeyId>) {
        match self.roles.get(&claim.role) {
            Some(role) => (role.count(signers), &role.keys - signers),
            None => (Quorum { have: BTreeSet::new(), need: 1 }, BTreeSet::new()),
        }
    }
}

/// Keys that together may speak for a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaySpeak {
    /// The role under which they do.
    pub role: Role,
    /// The delegation's name and end, if it is one; else they are the role's own.
    pub delegation: Option<(String, WallTime)>,
    /// They, and how many of them must sign.
    pub speakers: RoleKeys,
}

/// Who may sign a statement under a root: the role's own keys, then those of each delegation for
/// exactly its scope. They count apart (RULES R7).
///
/// # Errors
/// If no role speaks for the statement as a whole.
pub fn may_speak(root: &Root, statement: &Statement) -> Result<Vec<MaySpeak>, MixedRoles> {
    let claim = Claim::of(statement)?;
    let role = claim.role;
    let speakers = Speakers::of(root);
    let own = speakers.roles.get(&role).cloned();
    let own = own.map(|speakers| MaySpeak { role, delegation: None, speakers });
    let halts = |given: &Delegation| role == Role::Halt && given.role == Role::Policy;
    let fits = |given: &Delegation| {
        claim.delegable && (given.role == role || halts(given)) && given.scope == *claim.scope
    };
    let given = root.delegations.iter().filter(|(_, given)| fits(given)).map(|(name, given)| {
        let mut speakers = given.speakers.clone();
        if role == Role::Halt {
            speakers.threshold = 1;
        }
        MaySpeak { role, delegation: Some((name.clone(), given.until)), speakers }
    });
    Ok(own.into_iter().chain(given).collect())
}
