//! What a change set does before anybody signs it: what changes, whom it reaches, and what those
//! hosts would then decide. The decisions are [`decide`]'s, on what the replica holds.

use std::sync::Arc;

use daymark_protocol::decide::{Decision, Reach, Verdict, World, decide};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::target::UnknownProfile;
use daymark_protocol::time::{Now, WallTime};
use daymark_protocol::trust::{HaltLine, Line, Standing, State, Version};

use crate::change::{Change, ChangeEffect};
use crate::exit::{Failure, Outcome};
use crate::session::Session;
use crate::{names, output, scopes, targets, times};

/// Hosts listed before the rest is only counted.
const HOSTS_SHOWN_MAX: usize = 20;

/// Lines that say what changes.
pub(crate) fn changes(standing: &Standing, changes: &[Change]) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes {
        let whom = match &change.target {
            Some(target) => format!(
                "  for {}{}",
                targets::show(standing, Some(target)),
                scopes::suffix(standing, &change.scope)
            ),
            None => String::new(),
        };
        let until =
            change.until.map_or_else(String::new, |at| format!(", until {}", times::show(at)));
        let (mark, colour) = match &change.effect {
            ChangeEffect::Create => ("+", 32),
            ChangeEffect::Update(_) => ("~", 33),
            ChangeEffect::Unchanged => ("=", 0),
            ChangeEffect::Delete => ("-", 31),
        };
        let text = format!(
            "{mark} {} {} (version {}){whom}{until}",
            change.kind, change.name, change.version
        );
        lines.push(if colour == 0 {
            format!("= {} {} is so already", change.kind, change.name)
        } else {
            output::paint(&text, colour)
        });
        if let Some(replaced) = &change.replaces {
            lines.push(format!(
                "    takes the place of {}, whose key {} ends",
                names::host_name(standing, &replaced.host),
                replaced.host.short()
            ));
        }
        if let ChangeEffect::Update(differences) = &change.effect {
            lines.extend(
                differences
                    .iter()
                    .map(|(field, before, after)| format!("    {field}: {before} -> {after}")),
            );
        }
    }
    lines
}

/// Puts a change into a standing as if it had been signed.
pub(crate) fn insert(standing: &mut Standing, change: &Change) {
    let digest = Digest::of_parts(&[change.id.as_str().as_bytes(), change.name.as_bytes()]);
    let version = Version {
        scope: change.scope.clone(),
        issued: times::now(),
        until: change.until,
        target: change.target.clone(),
        site: change.site.clone(),
        ..Version::saying(change.version, digest, change.spec.clone())
    };
    put(standing, change, version);
}

/// Puts a change into a standing as if this version of it counted.
pub(crate) fn put(standing: &mut Standing, change: &Change, version: Version) {
    match (&change.effect, &change.spec) {
        (ChangeEffect::Unchanged, _) => return,
        // A set in which each stands until it is lifted by name (RULES C4).
        (_, Some(Spec::Halt(_))) => {
            let (id, version) = (change.id.clone(), Arc::new(version));
            standing.halts.push(HaltLine { id, version, flood: None, lifted_until: None });
            return;
        }
        (_, Some(Spec::Resume(resume))) => {
            standing.halts.retain(|halt| !resume.halts.contains(&halt.version.statement));
            return;
        }
        _ if matches!(change.kind, Kind::Halt | Kind::Resume) => return,
        _ => {}
    }
    let key = (change.kind, change.id.clone());
    let line = standing
        .lines
        .entry(key)
        .or_insert_with(|| Line { state: State::Counts, versions: Vec::new() });
    line.state = State::Counts;
    line.versions.insert(0, Arc::new(version));
    if let Some(replaced) = &change.replaces {
        standing.lines.remove(&(Kind::Host, replaced.host.into()));
    }
}

/// What each host that a change set reaches would decide under it, by name; `None` for those that
/// have not described their machine.
pub(crate) fn outlooks(session: &Session, changes: &[Change]) -> Vec<(String, Option<Decision>)> {
    let standing = session.standing();
    let decisions = decisions(session, changes).into_iter();
    decisions.map(|(host, decision)| (names::host_name(standing, &host), decision)).collect()
}

fn decisions(session: &Session, changes: &[Change]) -> Vec<(KeyId, Option<Decision>)> {
    let mut after = session.standing().clone();
    for change in changes {
        insert(&mut after, change);
    }
    let now = Now::reading(times::now(), 0);
    names::hosts(session.standing())
        .into_iter()
        .map(|(host, _, _)| host)
        .filter(|host| changes.iter().any(|change| reaches(&after, change, host)))
        .map(|host| (host, decision(session, &after, &host, &now)))
        .collect()
}

/// Lines that say whom a change set reaches, and what each host would decide under it.
///
/// # Errors
/// With the code for what a rule refuses, if a policy is of a kind that fits the OS of no host
/// that it reaches, as far as they have reported.
pub(crate) fn hosts(session: &Session, changes: &[Change]) -> Outcome<Vec<String>> {
    let before = session.standing();
    let decisions = decisions(session, changes);
    if decisions.is_empty() {
        let aims = changes.iter().any(|change| change.target.is_some());
        let nobody = aims.then(|| "It reaches no host that is enrolled.".to_owned());
        return Ok(nobody.into_iter().collect());
    }
    refuse_misfit(before, changes, &decisions)?;
    let mut lines =
        vec![format!("It reaches {} of {} hosts:", decisions.len(), names::hosts(before).len())];
    lines.extend(decisions.iter().take(HOSTS_SHOWN_MAX).map(|(host, decision)| {
        let outlook = decision.as_ref().map_or_else(|| "has reported nothing yet".into(), outlook);
        format!("  {:<16} {outlook}", names::host_name(before, host))
    }));
    if decisions.len() > HOSTS_SHOWN_MAX {
        lines.push(format!("  and {} more", decisions.len() - HOSTS_SHOWN_MAX));
    }
    Ok(lines)
}

/// The reason by which hosts turn down a policy for another kind of OS.
const MISFIT: &str = "policy-kind-mismatch";

fn refuse_misfit(
    standing: &Standing,
    changes: &[Change],
    decisions: &[(KeyId, Option<Decision>)],
) -> Outcome<()> {
    let policy =
        changes.iter().find(|change| change.kind == Kind::OsUpdatePolicy && change.spec.is_some());
    let known: Vec<_> =
        decisions.iter().filter_map(|(host, decision)| Some((host, decision.as_ref()?))).collect();
    match (policy, known.first()) {
        (Some(policy), Some((host, first)))
            if known.iter().all(|(_, decision)| &*decision.reason == MISFIT) =>
        {
            Err(Failure::refused(format!(
                "policy {:?} fits no host that it reaches; {}: {}",
                policy.name,
                names::host_name(standing, host),
                first.message
            ))
            .next("an immutable OS takes an image, by targetOs or LATEST; a mutable one packages"))
        }
        _ => Ok(()),
    }
}

fn reaches(standing: &Standing, change: &Change, host: &KeyId) -> bool {
    let Some(target) = &change.target else { return false };
    let reach = Reach::new(standing, *host);
    change.scope.holds(reach.place()) && target.reaches(reach.place(), UnknownProfile::Matches)
}

/// What a host would decide, if it has described its machine.
fn decision(session: &Session, standing: &Standing, host: &KeyId, now: &Now) -> Option<Decision> {
    let summary = session.host(host)?;
    let reach = Reach::new(standing, *host);
    Some(decide(&World { reach: &reach, machine: &summary.machine }, now))
}

/// A decision in a line.
fn outlook(decision: &Decision) -> String {
    let when =
        |at: Option<WallTime>| at.map_or_else(String::new, |at| format!(" {}", times::show(at)));
    let to = decision
        .target
        .as_ref()
        .map_or_else(String::new, |target| format!(" {}@{}", target.profile, target.version));
    match decision.verdict {
        Verdict::Nothing => format!("nothing to do ({})", decision.reason),
        Verdict::Wait => format!(
            "waits{to}: {}{}",
            decision.message,
            decision
                .start_at
                .map_or_else(String::new, |at| format!("; its turn {}", times::show(at)))
        ),
        Verdict::Stage => format!("stages{to} at once, activates{}", when(decision.start_at)),
        Verdict::Activate => format!("activates{to} at once"),
    }
}
