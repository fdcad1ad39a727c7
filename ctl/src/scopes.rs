//! Where what is written lives: in the fleet, or in one site, whose machines alone it then reaches
//! (RULES Q1, S4).

use daymark_protocol::id::{KeyId, ResourceId};
use daymark_protocol::resource::{Kind, Scope, Target};
use daymark_protocol::target::NO_SITE;
use daymark_protocol::trust::Standing;
use serde_json::Value;

use crate::exit::{Failure, Outcome};
use crate::names;

/// The scope of `--scope`: `fleet`, `site=SITE` or `region=REGION`.
pub(crate) fn parse(standing: &Standing, text: &str) -> Outcome<Scope> {
    if text == "fleet" {
        return Ok(Scope::Fleet);
    }
    match text.split_once('=') {
        Some(("site", site)) if !site.is_empty() => {
            names::find_site(standing, site).map(Scope::Site)
        }
        Some(("region", region)) if !region.is_empty() => {
            names::find(standing, &[Kind::Region], region).map(|(_, id)| Scope::Region(id))
        }
        _ => Err(Failure::usage(format!("{text:?} is not a scope"))
            .next("write site=SITE, region=REGION, or fleet")),
    }
}

/// The scope in a file: `fleet` or `{site: SITE}`.
pub(crate) fn from_file(standing: &Standing, place: &str, value: &Value) -> Outcome<Scope> {
    let site = match value {
        Value::String(text) if text == "fleet" => return Ok(Scope::Fleet),
        Value::Object(fields) if fields.len() == 1 => fields.get("site").and_then(Value::as_str),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    };
    let site = site.ok_or_else(|| {
        Failure::usage(format!("{place}: scope is not of the right form"))
            .next("write `scope: {site: SITE}`, or `scope: fleet`")
    })?;
    names::find_site(standing, site).map(Scope::Site)
}

/// The scope that a kind may have: what defines scopes and images is the fleet's (RULES R7).
pub(crate) fn of_kind(kind: Kind, wanted: Scope) -> Scope {
    match kind {
        Kind::Region | Kind::Site | Kind::OsProfile => Scope::Fleet,
        Kind::Host
        | Kind::SingleSchedule
        | Kind::RepeatedSchedule
        | Kind::Blackout
        | Kind::OsUpdatePolicy
        | Kind::Promotion
        | Kind::CustomConfig
        | Kind::Hold
        | Kind::Retry
        | Kind::Halt
        | Kind::Resume
        | Kind::Emergency
        | Kind::Token => wanted,
    }
}

/// Refuses a target that lies outside the scope: the statement reaches what is in both (RULES S4),
/// which would be nobody.
pub(crate) fn check(standing: &Standing, scope: &Scope, target: Option<&Target>) -> Outcome<()> {
    let (Scope::Site(site), Some(target)) = (scope, target) else { return Ok(()) };
    let outside = |what: String| {
        Failure::usage(format!("{what} lies outside the scope {}", show(standing, scope)))
            .next("widen the scope, or leave the target out: then it is everyone in the scope")
    };
    if let Some(other) = target.site.as_ref().filter(|other| *other != site) {
        return Err(outside(format!("site {}", names::name_of(standing, Kind::Site, other))));
    }
    match target.hosts.iter().find(|host| site_of(standing, host).as_ref() != Some(site)) {
        Some(host) => Err(outside(format!("host {}", names::host_name(standing, host)))),
        None => Ok(()),
    }
}

/// The site whose document a host lives in.
fn site_of(standing: &Standing, host: &KeyId) -> Option<ResourceId> {
    let (version, _) = names::host_spec(standing, host)?;
    version.site.clone().or_else(|| NO_SITE.parse().ok())
}

/// A scope for people: `fleet`, `site berlin`.
pub(crate) fn show(standing: &Standing, scope: &Scope) -> String {
    match scope {
        Scope::Fleet => "fleet".into(),
        Scope::Region(region) => {
            format!("region {}", names::name_of(standing, Kind::Region, region))
        }
        Scope::Site(site) => format!("site {}", names::name_of(standing, Kind::Site, site)),
    }
}

/// What stands behind something that is not the whole fleet's: `, in the scope site berlin`.
pub(crate) fn suffix(standing: &Standing, scope: &Scope) -> String {
    match scope {
        Scope::Fleet => String::new(),
        Scope::Region(_) | Scope::Site(_) => {
            format!(", in the scope {}", show(standing, scope))
        }
    }
}
