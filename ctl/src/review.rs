//! What a signer is shown before adding a signature to somebody else's words: the same preview as
//! the author's, every field, and what this replica knows that the author did not (RULES S5).

use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Resource, Root, Seen, Statement, Version};

use crate::change::{self, Change, ChangeEffect};
use crate::session::Session;
use crate::{authority, names, occurrences, preview, scopes, times};

/// Lines about a statement.
pub(crate) fn statement(session: &Session, statement: &Statement) -> Vec<String> {
    let payload = statement.payload();
    let mut lines = vec![format!(
        "Statement {} of {}, scope {}{}",
        statement.digest().short(),
        times::show(payload.issued),
        scopes::show(session.standing(), &payload.scope),
        if payload.reason.is_empty() { String::new() } else { format!(": {}", payload.reason) }
    )];
    let changes = changes(session, statement);
    for (change, resource) in changes.iter().zip(&payload.resources) {
        lines.extend(preview::changes(session.standing(), std::slice::from_ref(change)));
        if change.effect == ChangeEffect::Create
            && let Some(spec) = &resource.raw_spec
        {
            lines.extend(fields(spec.get()));
        }
        if let Err(why) = resource.spec() {
            lines.push(format!("    this version of daymarkctl cannot read it: {why}"));
        }
    }
    for resource in payload.resources.iter().filter(|resource| resource.known_kind().is_none()) {
        lines.push(format!("? {} {} is of a kind unknown here", resource.kind, resource.id));
    }
    for part in
        [occurrences::lines(session.standing(), &changes), preview::hosts(session, &changes)]
    {
        match part {
            Ok(part) => lines.extend(part),
            Err(failure) => lines.push(format!("WARNING: {:#}", failure.error)),
        }
    }
    if changes.iter().any(Change::opens) {
        lines.extend(unseen(session, &changes, &payload.sees));
    }
    lines
}

/// What a statement changes, in one line.
pub(crate) fn headline(statement: &Statement) -> String {
    let parts: Vec<String> = statement
        .payload()
        .resources
        .iter()
        .map(|resource| {
            let name = match resource.spec() {
                Ok(Some(spec)) => names::spec_name(spec),
                Ok(None) | Err(_) => resource.id.to_string(),
            };
            let mark = if resource.gone { "-" } else { "+" };
            format!("{mark} {} {name} (version {})", resource.kind, resource.version)
        })
        .collect();
    parts.join("; ")
}

/// The statement's resources as changes to what this replica holds.
fn changes(session: &Session, statement: &Statement) -> Vec<Change> {
    let payload = statement.payload();
    let standing = session.standing();
    payload
        .resources
        .iter()
        .filter_map(|resource| {
            let kind = resource.known_kind()?;
            let spec = resource.spec().ok().flatten().cloned();
            let name = match &spec {
                Some(spec) => names::spec_name(spec),
                None => names::name_of(standing, kind, &resource.id),
            };
            let target = resource.target.clone();
            let effect = match &spec {
                Some(spec) => {
                    change::effect(standing, &resource.id, spec, target.as_ref(), payload.until)
                }
                None => ChangeEffect::Delete,
            };
            Some(Change {
                kind,
                id: resource.id.clone(),
                name,
                scope: payload.scope.clone(),
                target,
                site: resource.site.clone(),
                moved_from: resource.moved_from.clone(),
                replaces: resource.replaces.clone(),
                until: payload.until,
                spec,
                version: resource.version,
                effect,
            })
        })
        .collect()
}

/// The statement's resources as changes, each with the version that would count.
pub(crate) fn versions(session: &Session, statement: &Statement) -> Vec<(Change, Version)> {
    let payload = statement.payload();
    let version = |change: &Change| {
        let said =
            |resource: &&Resource| resource.id == change.id && resource.version == change.version;
        let resource = payload.resources.iter().find(said)?;
        Some(Version {
            statement: statement.digest(),
            scope: payload.scope.clone(),
            issued: payload.issued,
            until: payload.until,
            sees: payload.sees.clone(),
            target: change.target.clone(),
            site: change.site.clone(),
            ..Version::saying(change.version, resource.digest(), change.spec.clone())
        })
    };
    let changes = changes(session, statement).into_iter();
    changes.filter_map(|change| Some((version(&change)?, change))).map(|(v, c)| (c, v)).collect()
}

/// Every field of a spec, a line each.
fn fields(json: &str) -> Vec<String> {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(json) else {
        return vec![format!("    {json}")];
    };
    fields
        .into_iter()
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("    {name}: {text}"),
            None => format!("    {name}: {value}"),
        })
        .collect()
}

/// Closings and narrower policies that are held here and that the signers did not list.
fn unseen(session: &Session, changes: &[Change], sees: &[Seen]) -> Vec<String> {
    let standing = session.standing();
    change::known_closings(standing, changes)
        .into_iter()
        .filter(|known| {
            let Seen(scope, kind, id, version) = known;
            !sees
                .iter()
                .any(|seen| (&seen.0, &seen.1, &seen.2) == (scope, kind, id) && seen.3 >= *version)
        })
        .map(|Seen(_, kind, id, version)| {
            let name = kind
                .parse()
                .map_or_else(|_| id.to_string(), |kind| names::name_of(standing, kind, &id));
            format!("WARNING: its author did not know {kind} {name} (version {version})")
        })
        .collect()
}

/// Lines about a root: who may speak under which role.
pub(crate) fn root(root: &Root) -> Vec<String> {
    let mut lines = vec![format!(
        "Root {} of fleet {}, expires {}",
        root.version,
        root.fleet_name,
        times::show(root.expires)
    )];
    for role in Role::ALL {
        let Some(keys) = root.role(role) else { continue };
        let holders = authority::holders(root, &keys.keys);
        lines.push(format!("  {role:<10} {} of {}", keys.threshold, holders.join(", ")));
    }
    lines
}
