//! Which policy a host follows: the first in the order that fits its OS and is in force
//! (DESIGN section 6, RULES Q10, C3).

use super::because::Because;
use super::image::Images;
use super::line::InForce;
use super::reach::Policy;
use crate::resource::{OsType, OsUpdatePolicySpec, UpdatePolicy};
use crate::time::{Now, WallTime};

/// The policy that a host follows.
pub(super) enum Choice<'a> {
    /// This one.
    Chosen(&'a Policy, &'a OsUpdatePolicySpec),
    /// None asks for anything.
    None(Because),
    /// It cannot be told, or none fits: wait.
    Wait(Because),
}

/// What of the machine plays a part in the choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chooser<'a> {
    pub(super) os_type: OsType,
    /// Installed OS profile, if anybody knows.
    pub(super) profile: Option<&'a str>,
    pub(super) images: &'a Images,
}

/// Whether a policy may be followed.
enum Candidacy {
    No,
    Yes,
    /// What it says is unknown.
    Unknown,
    /// The delegation of those who signed it is over.
    Lapsed,
    /// It is for one OS profile, and what is installed is unknown.
    ProfileUnknown,
    /// Its times do not cover the whole width of `now`, and may from then on.
    Unsure(WallTime),
}

/// Chooses among the policies that reach the host, given in their order.
pub(super) fn choose<'a>(policies: &'a [Policy], chooser: Chooser<'_>, now: &Now) -> Choice<'a> {
    let mut misfit: Option<(&Policy, &'static str)> = None;
    let mut first: Option<(&Policy, &OsUpdatePolicySpec)> = None;
    for policy in policies {
        if let Some((before, _)) = first
            && (before.rank, before.priority) != (policy.rank, policy.priority)
        {
            break;
        }
        let candidacy = candidacy(policy, chooser, now);
        let spec = match (&policy.content, &candidacy) {
            (_, Candidacy::No) => continue,
            (Err(why), _) => return Choice::Wait(unknown(policy, why)),
            (Ok(spec), _) => spec,
        };
        if let Some(word) = misfit_of(spec, chooser) {
            misfit = misfit.or(Some((policy, word)));
            continue;
        }
        if let Some(because) = unsure(policy, &spec.name, &candidacy, now) {
            return Choice::Wait(because);
        }
        match first {
            Some((before, _)) => return Choice::Wait(conflict(before, policy)),
            None => first = Some((policy, spec)),
        }
    }
    match (first, misfit) {
        (Some((policy, spec)), _) => Choice::Chosen(policy, spec),
        (None, Some((policy, word))) => Choice::Wait(
            Because::new(word, "the policy does not fit the kind of this host's OS")
                .fact("policy", told(policy)),
        ),
        (None, None) => Choice::None(Because::new("no-policy", "no policy reaches this host")),
    }
}

fn candidacy(policy: &Policy, chooser: Chooser<'_>, now: &Now) -> Candidacy {
    let wanted = policy.source.profile.as_deref();
    if wanted.is_some() && chooser.profile.is_some() && wanted != chooser.profile {
        return Candidacy::No;
    }
    match policy.source.span.in_force(now) {
        _ if policy.content.is_err() => Candidacy::Unknown,
        InForce::Ended => Candidacy::No,
        InForce::Unsure(at) => Candidacy::Unsure(at),
        InForce::Lapsed => Candidacy::Lapsed,
        InForce::Yes if wanted.is_some() && chooser.profile.is_none() => Candidacy::ProfileUnknown,
        InForce::Yes => Candidacy::Yes,
    }
}

/// A known misfit is no candidate (RULES Q10).
fn misfit_of(spec: &OsUpdatePolicySpec, chooser: Chooser<'_>) -> Option<&'static str> {
    let packages = !spec.update_packages.is_empty() || !spec.update_sources.is_empty();
    let target = spec.target_os.as_ref().and_then(|os| chooser.images.counting(&os.digest));
    match (spec.update_policy, chooser.os_type) {
        (UpdatePolicy::Latest, OsType::Mutable) => Some("latest-is-immutable-only"),
        (UpdatePolicy::Latest, OsType::Immutable) => None,
        (UpdatePolicy::Target, OsType::Immutable) if packages => Some("policy-kind-mismatch"),
        (UpdatePolicy::Target, os_type) => {
            target.filter(|image| image.os_type != os_type).map(|_| "policy-kind-mismatch")
        }
    }
}

fn told(policy: &Policy) -> String {
    let name = policy.content.as_ref().map_or("", |spec| spec.name.as_str());
    format!("{name} ({} v{})", policy.source.id, policy.source.version)
}

fn unknown(policy: &Policy, why: &str) -> Because {
    Because::new(
        "policy-unknown",
        "what the nearest policy says is unknown, and it keeps its place",
    )
    .fact("policy", format!("{}: {why}", policy.source.id))
}

fn unsure(policy: &Policy, name: &str, candidacy: &Candidacy, now: &Now) -> Option<Because> {
    let because = match candidacy {
        Candidacy::Yes | Candidacy::No | Candidacy::Unknown => return None,
        Candidacy::ProfileUnknown => Because::new(
            "installed-unknown",
            format!("whether policy {name} is meant depends on what is installed; nobody knows"),
        ),
        Candidacy::Lapsed => Because::new(
            "policy-lapsed",
            format!(
                "the delegation of those who signed policy {name} is over: have it signed anew"
            ),
        ),
        Candidacy::Unsure(at) if now.latest < *at => Because::new(
            "policy-held",
            format!("policy {name} was issued more than a day in the future"),
        )
        .changes_at(now, *at),
        Candidacy::Unsure(at) => Because::new(
            "policy-unsure",
            format!("policy {name} begins or ends at {at}, within the error of the clock"),
        )
        .changes_at(now, *at),
    };
    Some(because.fact("policy", told(policy)))
}

fn conflict(one: &Policy, other: &Policy) -> Because {
    Because::new("policy-conflict", "two policies are equally near; give one a higher priority")
        .fact("policy", told(one))
        .fact("policy", told(other))
}
