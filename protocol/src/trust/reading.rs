//! Reads the specs of a statement's resources, as far as this version understands them, and finds
//! what breaks the limits of its kind or contradicts the statement around it. An error makes the id
//! unknown; nothing is refused.

use crate::limits;
use crate::resource::{HostSpec, Kind, NewerFields, Scope, Spec, TokenSpec};
use crate::rules::{Rule, holds};
use crate::target::NO_SITE;
use crate::trust::statement::ReadPayload;
use crate::trust::{Payload, PublicKey, Resource};

/// Fills in the spec of every resource that is not known to be unreadable already.
pub(super) fn read_specs(read: &mut ReadPayload, newer: &NewerFields) {
    let mut resources = std::mem::take(&mut read.payload.resources);
    let unknown = read.unknown_fields.first();
    for resource in &mut resources {
        resource.spec = match (&resource.spec, unknown) {
            (Err(already), _) => Err(already.clone()),
            (Ok(_), Some(field)) => {
                Err(format!("field {field:?} of its statement is not known to this version"))
            }
            (Ok(_), None) => read_spec(resource, &read.payload, newer),
        };
    }
    read.payload.resources = resources;
}

fn read_spec(
    resource: &Resource,
    payload: &Payload,
    newer: &NewerFields,
) -> Result<Option<Spec>, String> {
    let kind: Kind = resource.kind.parse().map_err(|error| format!("{error}"))?;
    if kind != Kind::Host && (resource.site.is_some() || resource.moved_from.is_some()) {
        return Err(format!("a {kind} cannot have a site beside its target"));
    }
    resource.check_replaced()?;
    let Some(json) = &resource.raw_spec else { return Ok(None) };
    let json = newer.without(kind, json.get());
    let spec = Spec::parse(kind, resource.schema, &json).map_err(|e| e.to_string())?;
    spec.validate()
        .or_else(|invalid| if holds(Rule::S3Limits) { Err(invalid.to_string()) } else { Ok(()) })?;
    match &spec {
        Spec::Host(host) => check_host(resource, host, &payload.scope)?,
        Spec::Emergency(_) => check_emergency(payload)?,
        Spec::Token(token) => check_token(token, payload)?,
        Spec::Region(_)
        | Spec::Site(_)
        | Spec::OsProfile(_)
        | Spec::SingleSchedule(_)
        | Spec::RepeatedSchedule(_)
        | Spec::Blackout(_)
        | Spec::OsUpdatePolicy(_)
        | Spec::Promotion(_)
        | Spec::CustomConfig(_)
        | Spec::Hold(_)
        | Spec::Retry(_)
        | Spec::Halt(_)
        | Spec::Resume(_) => {}
    }
    Ok(Some(spec))
}

/// A key as a spec writes it.
pub(crate) fn read_key(hex: &str) -> Result<PublicKey, String> {
    let raw = data_encoding::HEXLOWER.decode(hex.as_bytes()).ok();
    let raw =
        raw.and_then(|raw| raw.try_into().ok()).ok_or("its public key is not 64 hex digits")?;
    PublicKey::from_bytes(raw).map_err(|weak| weak.to_string())
}

/// A host is its key (RULES Q4), and a statement of one site cannot place it in another (S4).
fn check_host(resource: &Resource, host: &HostSpec, scope: &Scope) -> Result<(), String> {
    let key = read_key(&host.public_key)?;
    if resource.id.as_host() != Some(key.id()) {
        return Err("its id is not that of its public key".into());
    }
    let site = resource.site.as_ref().map_or(NO_SITE, |site| site.as_str());
    match scope {
        Scope::Site(scope) if scope.as_str() != site => {
            Err(format!("a statement of site {scope} cannot place a host in {site}"))
        }
        Scope::Site(_) | Scope::Region(_) | Scope::Fleet => Ok(()),
    }
}

/// A token ends, and a statement of one site cannot make one for another.
fn check_token(token: &TokenSpec, payload: &Payload) -> Result<(), String> {
    read_key(&token.public_key)?;
    payload.until.ok_or("a token must name its end")?;
    let site = token.site.as_ref().map_or(NO_SITE, |site| site.as_str());
    match &payload.scope {
        Scope::Site(scope) if scope.as_str() != site => {
            Err(format!("a statement of site {scope} cannot make a token for {site}"))
        }
        Scope::Region(region) => Err(format!("a token is not of a region such as {region}")),
        Scope::Site(_) | Scope::Fleet => Ok(()),
    }
}

/// An emergency ends, and soon (RULES S6).
fn check_emergency(payload: &Payload) -> Result<(), String> {
    let until = payload.until.ok_or("an emergency must name its end")?;
    if payload.reason.trim().is_empty() {
        return Err("an emergency must say why".into());
    }
    if until.since_ms(payload.issued) > limits::EMERGENCY_MS_MAX {
        return Err("an emergency must end within 7 days".into());
    }
    Ok(())
}
