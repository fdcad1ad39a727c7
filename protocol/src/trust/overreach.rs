//! Versions that have no effect because their signers reached too far (RULES S4, S9, R7): what a
//! delegation says beside what the role said, and what a token let in that `enroll` decided upon.

use std::sync::Arc;

use crate::resource::{Kind, Spec};
use crate::rules::{Rule, holds};
use crate::trust::{SignerScope, Version};

/// The versions of one id that have an effect.
pub(super) fn within(kind: Option<Kind>, versions: Vec<Arc<Version>>) -> Vec<Arc<Version>> {
    let plain = |version: &Arc<Version>| {
        version.signer_scope == SignerScope::Fleet && version.token.is_none()
    };
    if versions.iter().all(plain) {
        return versions;
    }
    match kind {
        Some(Kind::Host) => hosts_within(versions),
        Some(_) | None => scoped_within(versions),
    }
}

/// Scope is part of the identity: what the role itself said in one scope, nobody whose word ends at
/// another can make unknown.
fn scoped_within(versions: Vec<Arc<Version>>) -> Vec<Arc<Version>> {
    let own = |version: &&Arc<Version>| version.signer_scope == SignerScope::Fleet;
    let said: Vec<_> = versions.iter().filter(own).map(|version| version.scope.clone()).collect();
    let has_effect =
        |version: &Arc<Version>| own(&version) || said.is_empty() || said.contains(&version.scope);
    versions.into_iter().filter(has_effect).collect()
}

/// Any version by `enroll` outranks what a token let in. A delegation neither takes a host from
/// another site nor changes its labels, which define whom others mean.
fn hosts_within(mut versions: Vec<Arc<Version>>) -> Vec<Arc<Version>> {
    if versions.iter().any(|version| version.token.is_none()) && holds(Rule::S9Outranked) {
        versions.retain(|version| version.token.is_none());
    }
    versions.sort_by_key(|version| (version.version, version.signer_scope != SignerScope::Fleet));
    let mut within: Vec<Arc<Version>> = Vec::with_capacity(versions.len());
    for version in versions {
        let below = within.iter().rev().find(|below| below.version < version.version);
        let own = version.signer_scope == SignerScope::Fleet || version.token.is_some();
        if own || changes_no_place(&version, below) {
            within.push(version);
        }
    }
    within
}

fn changes_no_place(version: &Version, below: Option<&Arc<Version>>) -> bool {
    let site = below.is_none_or(|below| below.site == version.site);
    let labels = match (labels(version), below.map(|below| labels(below))) {
        (Some(labels), Some(Some(below))) => labels == below,
        (Some(labels), Some(None) | None) => labels.is_empty(),
        (None, _) => version.gone,
    };
    site && labels
}

fn labels(version: &Version) -> Option<&std::collections::BTreeMap<String, String>> {
    match &version.spec {
        Ok(Some(Spec::Host(spec))) => Some(&spec.labels),
        Ok(_) | Err(_) => None,
    }
}
