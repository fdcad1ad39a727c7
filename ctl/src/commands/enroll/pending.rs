//! `enroll --pending`: countersigns the hosts that a token let in, all in one question (RULES S9).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::{HostSpec, Kind};
use daymark_protocol::trust::{Standing, Version};

use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::signing::Signer;
use crate::{names, output};

/// The hosts that nobody countersigned, each with its token's name.
pub(crate) fn provisional(standing: &Standing) -> Vec<(KeyId, &Version, &HostSpec, String)> {
    let hosts = names::hosts(standing).into_iter();
    let by_token = hosts.filter_map(|(key, version, spec)| {
        let token = version.token.as_ref()?;
        Some((key, version, spec, names::name_of(standing, Kind::Token, token)))
    });
    by_token.collect()
}

/// Runs `enroll --pending`, for all of them or for those that are named.
pub(super) async fn run(mut session: Session, first: Option<&Path>, more: &[String]) -> Outcome {
    let named: Vec<String> = first
        .map(|first| first.to_string_lossy().into_owned())
        .into_iter()
        .chain(more.iter().cloned())
        .collect();
    let chosen: BTreeSet<KeyId> = named
        .iter()
        .map(|name| names::find_host(session.standing(), name))
        .collect::<Outcome<_>>()?;
    let selected = session.selected()?;
    let (lines, statements) = choose(session.standing(), |host| {
        (chosen.is_empty() || chosen.contains(host))
            && selected.as_ref().is_none_or(|selected| selected.contains(host))
    });
    output::lines(lines);
    if statements.is_empty() {
        output::text("No provisional host waits to be countersigned.");
        return Ok(Exit::Done);
    }
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    if !session.global.yes
        && !output::confirm(&format!("Countersign these {} hosts?", statements.len()))
    {
        return Err(Failure::refused("nothing was signed").next("say --yes to sign without asking"));
    }
    let mut signer = Signer::new(&session);
    let mut items = Vec::new();
    for digest in &statements {
        if let Some(held) = session.replica().statement(digest) {
            items.extend(signer.sign(&held.statement)?);
        }
    }
    submit::submit(&mut session, &items, &statements).await
}

/// What a signer is shown, and the statements to sign. Two of one name are left out: nobody could
/// tell them apart afterwards.
fn choose(standing: &Standing, wanted: impl Fn(&KeyId) -> bool) -> (Vec<String>, Vec<Digest>) {
    let mut lines = Vec::new();
    for (token, (uses, hosts)) in standing.tokens() {
        if hosts.len() > uses as usize {
            lines.push(format!(
                "ALARM: {} hosts joined by token {}, which is meant for {uses}: someone else may \
                 have it. Countersign by name only those that you know",
                hosts.len(),
                names::name_of(standing, Kind::Token, &token)
            ));
        }
    }
    let mut names_held: BTreeMap<&String, usize> = BTreeMap::new();
    for (_, _, spec) in names::hosts(standing) {
        *names_held.entry(&spec.name).or_default() += 1;
    }
    let mut statements = Vec::new();
    for (key, version, spec, token) in provisional(standing) {
        if !wanted(&key) {
            continue;
        }
        let site = version.site.as_ref();
        let site =
            site.map_or_else(|| "no site".into(), |id| names::name_of(standing, Kind::Site, id));
        let labels: Vec<String> =
            spec.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let told = format!(
            "{} ({}), {site} {}, by token {token}",
            spec.name,
            key.short(),
            labels.join(",")
        );
        if names_held.get(&spec.name).is_some_and(|count| *count > 1) {
            lines.push(format!(
                "left out: {told}: the name is taken. `daymarkctl revoke host {}`, and let it join \
                 with another --name under a new key",
                key.short()
            ));
            continue;
        }
        lines.push(format!("+ Host {told}"));
        statements.push(version.statement);
    }
    (lines, statements)
}
