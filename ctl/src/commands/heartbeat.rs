//! `create heartbeat`: "the newest statements as of now are these", so that a site that is cut off
//! knows how old its word is and what it lacks (RULES K1, D7).

use std::cmp::Reverse;

use daymark_protocol::limits;
use daymark_protocol::resource::{Kind, Scope};
use daymark_protocol::time::WallTime;
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

/// Something that has ended, and when that was said.
type Ended = (WallTime, Seen);

/// What this replica holds as the newest of everything that hosts in a scope must have: what is in
/// force, every halt, and what has ended as far as there is room.
fn newest(session: &Session, scope: &Scope) -> Outcome<Vec<Seen>> {
    let (in_force, ended) = held(session, scope);
    named(in_force, ended).map_err(|count| {
        Failure::refused(format!(
            "{count} things are in force, and a heartbeat can name {}",
            limits::HEARTBEAT_NEWEST_MAX
        ))
        .next("write one for each site: --scope site=SITE")
    })
}

/// The highest version of each id that concerns a scope, and every halt: what is in force, and what
/// has ended. Hosts are not among it: each knows its own.
fn held(session: &Session, scope: &Scope) -> (Vec<Seen>, Vec<Ended>) {
    let standing = session.standing();
    let concerns = |of: &Scope| match (scope, of) {
        (Scope::Site(here), Scope::Site(there)) => here == there,
        (Scope::Fleet | Scope::Region(_) | Scope::Site(_), _) => true,
    };
    let lines = standing.lines.iter().filter(|((kind, _), line)| {
        !matches!(kind, Kind::Host | Kind::Token) && line.state == State::Counts
    });
    let (mut in_force, mut ended) = (Vec::new(), Vec::new());
    for ((kind, id), line) in lines {
        let Some(top) = line.versions.first().filter(|top| concerns(&top.scope)) else { continue };
        let seen = Seen(top.scope.clone(), kind.name().into(), id.clone(), top.version);
        if top.gone {
            ended.push((top.issued, seen));
        } else {
            in_force.push(seen);
        }
    }
    let halts = standing.halts.iter().filter(|halt| concerns(&halt.version.scope));
    in_force.extend(halts.map(|halt| {
        let (scope, kind) = (halt.version.scope.clone(), Kind::Halt.name().to_owned());
        Seen(scope, kind, halt.id.clone(), halt.version.version)
    }));
    (in_force, ended)
}

/// All that is in force, and of what has ended as much as there is room for: first the ends of what
/// opens, since whoever is kept from hearing of one goes on by it; of those the newest. If already
/// too much is in force, how much that is.
fn named(in_force: Vec<Seen>, mut ended: Vec<Ended>) -> Result<Vec<Seen>, usize> {
    let Some(room) = limits::HEARTBEAT_NEWEST_MAX.checked_sub(in_force.len()) else {
        return Err(in_force.len());
    };
    ended.sort_by_key(|(said, Seen(_, kind, ..))| {
        (kind.parse().is_ok_and(Kind::closes), Reverse(*said))
    });
    let ended = ended.into_iter().take(room).map(|(_, seen)| seen);
    let mut seen: Vec<Seen> = in_force.into_iter().chain(ended).collect();
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
    let (_, ended) = held(session, &heartbeat.scope);
    let left_out = ended.iter().filter(|(_, seen)| !heartbeat.newest.contains(seen)).count();
    if left_out > 0 {
        lines.push(format!(
            "WARNING: {left_out} things that have ended are not named: a host that did not hear of \
             their end does not wait for it. A heartbeat for each site has more room: --scope \
             site=SITE"
        ));
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
    let over = |at: Option<WallTime>| at.is_some_and(|at| at <= now);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: Kind, number: usize) -> Seen {
        Seen(Scope::Fleet, kind.name().into(), format!("id-{number}").parse().unwrap(), 1)
    }

    fn many(kind: Kind, count: usize) -> Vec<Seen> {
        (0..count).map(|number| seen(kind, number)).collect()
    }

    /// K1: whoever is kept from hearing that a policy ended would go on by it.
    #[test]
    fn k1_the_ends_of_what_opens_are_named_first_and_the_newest_of_them() {
        let most = limits::HEARTBEAT_NEWEST_MAX;
        let ended: Vec<Ended> = (0..10)
            .flat_map(|number| {
                let at = WallTime::from_seconds(i64::try_from(number).unwrap());
                [(at, seen(Kind::Blackout, number)), (at, seen(Kind::OsUpdatePolicy, number))]
            })
            .collect();
        let kept = |in_force: usize| {
            let mut kept = named(many(Kind::Site, in_force), ended.clone()).unwrap();
            assert!(kept.len() <= most && kept.is_sorted());
            kept.retain(|Seen(_, kind, ..)| *kind != Kind::Site.name());
            kept
        };
        assert_eq!(kept(0).len(), 20);
        assert_eq!(kept(most), vec![]);
        let policies = [8, 9].map(|number| seen(Kind::OsUpdatePolicy, number));
        assert_eq!(kept(most - 2), policies);
        let ends = kept(most - 12);
        let of = |kind: Kind| ends.iter().filter(|seen| seen.1 == kind.name()).count();
        assert_eq!((of(Kind::OsUpdatePolicy), of(Kind::Blackout)), (10, 2));
        assert_eq!(named(many(Kind::Site, most + 1), vec![]), Err(most + 1));
    }
}
