//! Tokens: who may let hosts in without `enroll`, and which hosts they let in (RULES S9).

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{KeyId, ResourceId};
use crate::resource::{Kind, Spec};
use crate::rules::{Rule, holds};
use crate::time::WallTime;
use crate::trust::reading::read_key;
use crate::trust::speakers::Voice;
use crate::trust::{
    Line, PublicKey, Quorum, SignerScope, Standing, State, Statement, Validity, Version,
};

/// What a version of a token lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) token: ResourceId,
    pub(super) key: KeyId,
    pub(super) public: PublicKey,
    /// Whether it does so now; a token that fell or was ended once did.
    pub(super) is_valid: bool,
    site: Option<ResourceId>,
    labels: BTreeMap<String, String>,
    until: Option<WallTime>,
    scope: SignerScope,
}

/// What all tokens let in.
pub(super) fn grants(standing: &Standing) -> Vec<Grant> {
    let of_line = |(id, line): (&ResourceId, &Line)| -> Vec<Grant> {
        let counts = line.state == State::Counts;
        let versions = line.versions.iter().enumerate();
        versions.filter_map(|(place, version)| grant(id, version, counts && place == 0)).collect()
    };
    standing.of_kind(Kind::Token).flat_map(of_line).collect()
}

fn grant(id: &ResourceId, version: &Version, counts: bool) -> Option<Grant> {
    let Ok(Some(Spec::Token(token))) = &version.spec else { return None };
    let public = read_key(&token.public_key).ok()?;
    Some(Grant {
        token: id.clone(),
        key: public.id(),
        public,
        is_valid: counts && version.validity == Validity::Valid,
        site: token.site.clone(),
        labels: token.labels.clone(),
        until: [version.until, version.signers_until].into_iter().flatten().min(),
        scope: version.signer_scope.clone(),
    })
}

/// The grant by which a statement counts: version 1 of a Host as the token fixes it, signed by the
/// token's key and by the machine itself.
pub(super) fn let_in<'g>(
    grants: &'g [Grant],
    statement: &Statement,
    signers: &BTreeSet<KeyId>,
) -> Option<(&'g Grant, Voice)> {
    let [host] = statement.payload().resources.as_slice() else { return None };
    let Ok(Some(Spec::Host(spec))) = host.spec() else { return None };
    let version = host.version == 1 || !holds(Rule::S9FirstVersion);
    let first = version && host.moved_from.is_none() && host.replaces.is_none();
    let own = host.id.as_host()?;
    let own_signed = signers.contains(&own) || !holds(Rule::S9Own);
    if !first || spec.baseline.is_some() || !own_signed {
        return None;
    }
    let fits = |grant: &&Grant| {
        grant.key != own
            && signers.contains(&grant.key)
            && (grant.site == host.site && grant.labels == spec.labels || !holds(Rule::S9Fixed))
            && grant.scope.covers(&statement.payload().scope)
    };
    let grant = grants.iter().filter(fits).max_by_key(|grant| (grant.is_valid, grant.until))?;
    let quorum = Quorum { have: BTreeSet::from([grant.key]), need: 1 };
    let (scope, until, token) = (grant.scope.clone(), grant.until, Some(grant.token.clone()));
    Some((grant, Voice { quorum, scope, until, token }))
}

/// The key of the machine that a Host statement is about, if `id` is its id.
pub(crate) fn own_key(statement: &Statement, id: &KeyId) -> Option<PublicKey> {
    let [host] = statement.payload().resources.as_slice() else { return None };
    match host.spec() {
        Ok(Some(Spec::Host(spec))) if host.id.as_host() == Some(*id) => {
            read_key(&spec.public_key).ok()
        }
        Ok(_) | Err(_) => None,
    }
}
