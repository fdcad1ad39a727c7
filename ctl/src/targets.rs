//! Targets as typed, in flags or in a file, turned into targets of ids.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Kind, Target};
use daymark_protocol::trust::Standing;
use serde_json::{Map, Value};

use crate::cli::{Global, TargetArgs};
use crate::exit::{Failure, Outcome};
use crate::names;

/// Labels written as `K=V`.
pub(crate) fn labels(pairs: &[String]) -> Outcome<BTreeMap<String, String>> {
    pairs
        .iter()
        .map(|pair| {
            pair.split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| {
                    Failure::usage(format!("{pair:?} is not a label")).next("write it like line=3")
                })
        })
        .collect()
}

/// Everyone in the scope.
pub(crate) fn everyone() -> Target {
    Target { all: true, ..Target::default() }
}

/// The target of flags: `None` if none was given.
pub(crate) fn from_flags(
    standing: &Standing,
    args: &TargetArgs,
    global: &Global,
) -> Outcome<Option<Target>> {
    let target = Target {
        all: args.all,
        hosts: args
            .hosts
            .iter()
            .map(|host| names::find_host(standing, host))
            .collect::<Outcome<_>>()?,
        site: global.site.as_deref().map(|site| names::find_site(standing, site)).transpose()?,
        region: args
            .region
            .as_deref()
            .map(|region| names::find(standing, &[Kind::Region], region).map(|(_, id)| id))
            .transpose()?,
        labels: labels(&global.labels)?,
        os_profile: args.os_profile.clone(),
    };
    Ok((target != Target::default()).then_some(target))
}

/// The target of a file.
pub(crate) fn from_file(
    standing: &Standing,
    place: &str,
    fields: &Map<String, Value>,
) -> Outcome<Target> {
    let mut target = Target::default();
    for (field, value) in fields {
        let wrong = || Failure::usage(format!("{place}: target.{field} is not of the right form"));
        let text = || value.as_str().ok_or_else(wrong);
        match field.as_str() {
            "all" => target.all = value.as_bool().ok_or_else(wrong)?,
            "hosts" | "host" => {
                let several = value.as_array().map(Vec::as_slice);
                for host in several.unwrap_or_else(|| std::slice::from_ref(value)) {
                    let name = host.as_str().ok_or_else(wrong)?;
                    target.hosts.push(names::find_host(standing, name)?);
                }
            }
            "site" => target.site = Some(names::find_site(standing, text()?)?),
            "region" => {
                target.region = Some(names::find(standing, &[Kind::Region], text()?)?.1);
            }
            "osProfile" => target.os_profile = Some(text()?.to_owned()),
            "labels" => {
                for (key, value) in value.as_object().ok_or_else(wrong)? {
                    let value = match value {
                        Value::String(text) => text.clone(),
                        Value::Number(number) => number.to_string(),
                        Value::Bool(truth) => truth.to_string(),
                        Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
                    };
                    target.labels.insert(key.clone(), value);
                }
            }
            unknown => {
                return Err(Failure::usage(format!("{place}: unknown field target.{unknown}"))
                    .next("known are all, hosts, site, region, labels and osProfile"));
            }
        }
    }
    Ok(target)
}

/// A target for people: `site berlin, line=3`.
pub(crate) fn show(standing: &Standing, target: Option<&Target>) -> String {
    let Some(target) = target else { return "-".into() };
    let mut parts = Vec::new();
    if target.all {
        parts.push("everyone".to_owned());
    }
    if !target.hosts.is_empty() {
        let hosts: Vec<String> =
            target.hosts.iter().map(|host| names::host_name(standing, host)).collect();
        parts.push(hosts.join(", "));
    }
    if let Some(site) = &target.site {
        parts.push(format!("site {}", names::name_of(standing, Kind::Site, site)));
    }
    if let Some(region) = &target.region {
        parts.push(format!("region {}", names::name_of(standing, Kind::Region, region)));
    }
    parts.extend(target.labels.iter().map(|(key, value)| format!("{key}={value}")));
    if let Some(profile) = &target.os_profile {
        parts.push(format!("profile {profile}"));
    }
    if parts.is_empty() { "nobody".into() } else { parts.join(", ") }
}

/// The hosts that names, or else `--site` and `--label`, select. Selecting nobody is an error.
pub(crate) fn select(
    standing: &Standing,
    hosts: &[String],
    global: &Global,
) -> Outcome<Vec<KeyId>> {
    if !hosts.is_empty() {
        return hosts.iter().map(|host| names::find_host(standing, host)).collect();
    }
    let labels = labels(&global.labels)?;
    let site = global.site.as_deref().map(|site| names::find_site(standing, site)).transpose()?;
    if labels.is_empty() && site.is_none() {
        return Err(
            Failure::usage("no host was named").next("name hosts, or use --label or --site")
        );
    }
    let selected: Vec<KeyId> = names::hosts(standing)
        .into_iter()
        .filter(|(_, version, spec)| {
            site.as_ref().is_none_or(|site| version.site.as_ref() == Some(site))
                && labels.iter().all(|(key, value)| spec.labels.get(key) == Some(value))
        })
        .map(|(key, _, _)| key)
        .collect();
    if selected.is_empty() {
        return Err(Failure::usage("no host has that site and those labels"));
    }
    Ok(selected)
}
