//! Names to ids and back: people type names, the wire carries ids (RULES Q4).

use std::collections::BTreeSet;
use std::sync::Arc;

use daymark_protocol::id::{KeyId, ResourceId};
use daymark_protocol::resource::{HostSpec, Kind, Scope, Spec};
use daymark_protocol::trust::{Line, Standing, Version};

use crate::exit::{Failure, Outcome};
use crate::scopes;

/// How much of a key id must be typed before it is taken for one.
const KEY_ID_START_CHARS: usize = 6;

/// The version that counts of a line, unless it is a tombstone.
pub(crate) fn living(line: &Line) -> Option<&Version> {
    line.versions.first().map(Arc::as_ref).filter(|version| !version.gone)
}

/// The display name in a spec; hosts, sites and the like all have one.
pub(crate) fn spec_name(spec: &Spec) -> String {
    match spec {
        Spec::Region(spec) => spec.name.clone(),
        Spec::Site(spec) => spec.name.clone(),
        Spec::Host(spec) => spec.name.clone(),
        Spec::OsProfile(spec) => format!("{}@{}", spec.profile_name, spec.os_image_version),
        Spec::SingleSchedule(spec) => spec.name.clone(),
        Spec::RepeatedSchedule(spec) => spec.name.clone(),
        Spec::Blackout(spec) => spec.name.clone(),
        Spec::OsUpdatePolicy(spec) => spec.name.clone(),
        Spec::Promotion(spec) => format!("{}@{}", spec.os.profile, spec.os.version),
        Spec::CustomConfig(spec) => spec.name.clone(),
        Spec::Hold(spec) => spec.name.clone(),
        Spec::Retry(spec) => spec.name.clone(),
        Spec::Halt(spec) => spec.name.clone(),
        Spec::Resume(spec) => spec.name.clone(),
        Spec::Emergency(spec) => spec.name.clone(),
        Spec::Token(spec) => spec.name.clone(),
    }
}

/// The name of a version; its id where the spec cannot be read.
pub(crate) fn version_name(version: &Version, id: &ResourceId) -> String {
    match &version.spec {
        Ok(Some(spec)) => spec_name(spec),
        Ok(None) | Err(_) => id.to_string(),
    }
}

/// The name of an id.
pub(crate) fn name_of(standing: &Standing, kind: Kind, id: &ResourceId) -> String {
    if kind == Kind::Halt
        && let Some(halt) = standing.halts.iter().find(|halt| halt.id == *id)
    {
        return version_name(&halt.version, id);
    }
    standing
        .lines
        .get(&(kind, id.clone()))
        .and_then(|line| line.versions.iter().find(|version| matches!(version.spec, Ok(Some(_)))))
        .map_or_else(|| id.to_string(), |version| version_name(version, id))
}

/// The name of a host.
pub(crate) fn host_name(standing: &Standing, host: &KeyId) -> String {
    let name = name_of(standing, Kind::Host, &ResourceId::from(*host));
    if name == host.to_string() { host.short() } else { name }
}

/// The spec of an enrolled host.
pub(crate) fn host_spec<'a>(
    standing: &'a Standing,
    host: &KeyId,
) -> Option<(&'a Version, &'a HostSpec)> {
    let line = standing.lines.get(&(Kind::Host, ResourceId::from(*host)))?;
    let version = living(line)?;
    match &version.spec {
        Ok(Some(Spec::Host(spec))) => Some((version, spec)),
        _ => None,
    }
}

/// All enrolled hosts, by name.
pub(crate) fn hosts(standing: &Standing) -> Vec<(KeyId, &Version, &HostSpec)> {
    let mut hosts: Vec<_> = standing
        .lines
        .keys()
        .filter(|(kind, _)| *kind == Kind::Host)
        .filter_map(|(_, id)| id.as_host())
        .filter_map(|key| host_spec(standing, &key).map(|(version, spec)| (key, version, spec)))
        .collect();
    hosts.sort_by(|a, b| a.2.name.cmp(&b.2.name).then(a.0.cmp(&b.0)));
    hosts
}

/// The one living resource of these kinds that `name` means: its id, the start of a host's key
/// id, or its name.
pub(crate) fn find(standing: &Standing, kinds: &[Kind], name: &str) -> Outcome<(Kind, ResourceId)> {
    find_in(standing, kinds, name, None)
}

/// As [`find`], among what is of one scope only: a name may stand for one thing in each.
pub(crate) fn find_in(
    standing: &Standing,
    kinds: &[Kind],
    name: &str,
    scope: Option<&Scope>,
) -> Outcome<(Kind, ResourceId)> {
    let living: Vec<(Kind, &ResourceId, &Version)> = standing
        .lines
        .iter()
        .filter(|((kind, _), _)| kinds.contains(kind))
        .filter_map(|((kind, id), line)| Some((*kind, id, living(line)?)))
        .filter(|(_, _, version)| scope.is_none_or(|scope| version.scope == *scope))
        .collect();
    if let Some((kind, id, _)) = living.iter().find(|(_, id, _)| id.as_str() == name) {
        return Ok((*kind, (*id).clone()));
    }
    let mut found: Vec<_> =
        living.iter().filter(|(_, id, version)| version_name(version, id) == name).collect();
    if found.is_empty() && name.len() >= KEY_ID_START_CHARS {
        let is_start = |(kind, id, _): &&(Kind, &ResourceId, &Version)| {
            *kind == Kind::Host && id.as_str().starts_with(name)
        };
        found = living.iter().filter(is_start).collect();
    }
    let what = kinds.first().map_or("resource", |kind| kind.name());
    match found.as_slice() {
        [(kind, id, _)] => Ok((*kind, (*id).clone())),
        [] => {
            let among = scope.map_or_else(String::new, |scope| scopes::suffix(standing, scope));
            Err(Failure::usage(format!("there is no {what} {name:?}{among}")).next(format!(
                "`daymarkctl get {}` lists them; `daymarkctl sync` fetches what is new",
                plural(kinds)
            )))
        }
        several => Err(ambiguous(standing, what, name, several)),
    }
}

fn ambiguous(
    standing: &Standing,
    what: &str,
    name: &str,
    several: &[&(Kind, &ResourceId, &Version)],
) -> Failure {
    let ids: Vec<String> = several
        .iter()
        .map(|(_, id, version)| format!("{id} ({})", scopes::show(standing, &version.scope)))
        .collect();
    let scopes: BTreeSet<&Scope> = several.iter().map(|(_, _, version)| &version.scope).collect();
    let hosts = several.iter().any(|(kind, _, _)| *kind == Kind::Host);
    Failure::usage(format!("{what} {name:?} fits {}: {}", ids.len(), ids.join(", "))).next(
        match scopes.len() == several.len() && !hosts {
            true => "use the id, or say which with --scope site=SITE or --scope fleet",
            false => "use the id",
        },
    )
}

/// The word that `get` takes for these kinds.
fn plural(kinds: &[Kind]) -> &'static str {
    match kinds.first() {
        Some(Kind::Region) => "regions",
        Some(Kind::Site) => "sites",
        Some(Kind::OsProfile) => "osprofiles",
        Some(Kind::SingleSchedule | Kind::RepeatedSchedule) => "schedules",
        Some(Kind::Blackout) => "blackouts",
        Some(Kind::OsUpdatePolicy) => "policies",
        Some(Kind::CustomConfig) => "configs",
        Some(Kind::Hold) => "holds",
        Some(Kind::Host) | None => "hosts",
        Some(Kind::Promotion) => "promotions",
        Some(Kind::Retry) => "retries",
        Some(Kind::Halt | Kind::Resume) => "halts",
        Some(Kind::Emergency) => "emergencies",
        Some(Kind::Token) => "tokens",
    }
}

/// The host that `name` means.
pub(crate) fn find_host(standing: &Standing, name: &str) -> Outcome<KeyId> {
    let (_, id) = find(standing, &[Kind::Host], name)?;
    id.as_host().ok_or_else(|| Failure::usage(format!("{name:?} is not a host")))
}

/// The host that `name` means, also one whose membership has ended.
pub(crate) fn find_ever(standing: &Standing, name: &str) -> Outcome<KeyId> {
    let hosts = standing.of_kind(Kind::Host).filter_map(|(id, _)| id.as_host());
    let fits: BTreeSet<KeyId> = hosts
        .filter(|host| {
            let is_start = name.len() >= KEY_ID_START_CHARS && host.to_string().starts_with(name);
            is_start || host_name(standing, host) == name
        })
        .collect();
    match fits.iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok(**one),
        [] => Err(Failure::usage(format!("there never was a host {name:?}"))
            .next("`daymarkctl audit` names those that there were")),
        several => {
            let ids: Vec<String> = several.iter().map(|id| id.to_string()).collect();
            Err(Failure::usage(format!("{name:?} was the name of several: {}", ids.join(", ")))
                .next("use the key id"))
        }
    }
}

/// The site that `name` means; `none` for hosts without one.
pub(crate) fn find_site(standing: &Standing, name: &str) -> Outcome<ResourceId> {
    if name == "none" {
        return name.parse().map_err(Failure::usage);
    }
    find(standing, &[Kind::Site], name).map(|(_, id)| id)
}
