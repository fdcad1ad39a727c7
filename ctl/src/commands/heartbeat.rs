//! `create heartbeat`: "the newest statements as of now are these", so that a site that is cut off
//! knows how old its word is and what it lacks (RULES K1, D7).

use daymark_protocol::limits;
use daymark_protocol::resource::{Kind, Scope};
use daymark_protocol::trust::{Heartbeat, Seen, State};

use crate::commands::root;
use crate::drafts::Draft;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{names, output, rotation, scopes, times};

/// Runs `create heartbeat`.
pub(crate) async fn create(mut session: Session) -> Outcome {
    let heartbeat = Heartbeat {
        fleet: session.fleet()?,
        scope: session.scope()?,
        time: times::now(),
        newest: newest(&session, &session.scope()?)?,
    };
    output::lines(lines(&session, &heartbeat));
    if session.global.dry_run {
        output::text("Nothing was signed (--dry-run).");
        return Ok(Exit::Done);
    }
    let draft = Draft::heartbeat(heartbeat)?;
    root::sign(&mut session, draft).await
}

/// What this replica holds as the newest of everything that hosts in a scope must have: the highest
/// version of each id and every halt. Hosts are not among it: each knows its own.
fn newest(session: &Session, scope: &Scope) -> Outcome<Vec<Seen>> {
    let standing = session.standing();
    let concerns = |of: &Scope| match (scope, of) {
        (Scope::Site(here), Scope::Site(there)) => here == there,
        (Scope::Fleet | Scope::Region(_) | Scope::Site(_), _) => true,
    };
    let lines = standing.lines.iter().filter(|((kind, _), line)| {
        !matches!(kind, Kind::Host | Kind::Token) && line.state == State::Counts
    });
    let mut seen: Vec<(bool, Seen)> = lines
        .filter_map(|((kind, id), line)| {
            let top = line.versions.first().filter(|top| concerns(&top.scope))?;
            Some((top.gone, Seen(top.scope.clone(), kind.name().into(), id.clone(), top.version)))
        })
        .collect();
    let halts = standing.halts.iter().filter(|halt| concerns(&halt.version.scope));
    seen.extend(halts.map(|halt| {
        let (scope, kind) = (halt.version.scope.clone(), Kind::Halt.name().to_owned());
        (false, Seen(scope, kind, halt.id.clone(), halt.version.version))
    }));
    if seen.len() > limits::HEARTBEAT_NEWEST_MAX {
        // What is gone closes nothing, and a policy that is missing its end is still the signers'.
        seen.retain(|(gone, _)| !gone);
    }
    if seen.len() > limits::HEARTBEAT_NEWEST_MAX {
        return Err(Failure::refused(format!(
            "{} things are in force, and a heartbeat can name {}",
            seen.len(),
            limits::HEARTBEAT_NEWEST_MAX
        ))
        .next("write one for each site: --scope site=SITE"));
    }
    let mut seen: Vec<Seen> = seen.into_iter().map(|(_, seen)| seen).collect();
    seen.sort();
    Ok(seen)
}

/// What a signer is shown.
pub(crate) fn lines(session: &Session, heartbeat: &Heartbeat) -> Vec<String> {
    let standing = session.standing();
    let mut lines = vec![format!(
        "Heartbeat for {} as of {}: hosts that lack any of the {} statements that it names wait",
        scopes::show(standing, &heartbeat.scope),
        times::show(heartbeat.time),
        heartbeat.newest.len()
    )];
    if let Ok(root) = session.root() {
        lines.push(format!("How old the newest one may be: {}", rotation::freshness(root)));
    }
    for Seen(_, kind, id, version) in &heartbeat.newest {
        let Ok(kind) = kind.parse::<Kind>() else { continue };
        let line = standing.lines.get(&(kind, id.clone()));
        let held = line.and_then(|line| line.versions.first()).map(|top| top.version);
        if kind != Kind::Halt && held.is_none_or(|held| held < *version) {
            let name = names::name_of(standing, kind, id);
            lines.push(format!("WARNING: version {version} of {kind} {name} is not held here"));
        }
    }
    lines
}

/// How old the newest word of the fleet is, for `status`.
pub(crate) fn age(session: &Session) -> String {
    let Ok(root) = session.root() else { return "none".into() };
    let now = times::now();
    let beats = session.standing().heartbeats.values();
    let newest = beats.filter(|beat| beat.scope == Scope::Fleet).map(|beat| beat.time).max();
    let (what, as_of) = match newest.filter(|time| *time > root.issued) {
        Some(time) => ("heartbeat of", time),
        None => ("root of", root.issued),
    };
    let limits = root.freshness;
    let over = |at: Option<daymark_protocol::time::WallTime>| at.is_some_and(|at| at <= now);
    let alarm = match (over(limits.alarms_at(as_of)), over(limits.stops_at(as_of))) {
        (_, true) => "; TOO OLD, nothing new starts: `daymarkctl create heartbeat`",
        (true, false) => "; OLD: `daymarkctl create heartbeat`",
        (false, false) => "",
    };
    format!(
        "{what} {}, {} (freshness {}){alarm}",
        times::show(as_of),
        times::relative(as_of, now),
        rotation::freshness(root)
    )
}
