//! `update --now`, `rollback`, `promote`: who goes where, now or in the next window.

use std::collections::BTreeMap;

use daymark_protocol::id::{Digest, FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{
    Kind, OsUpdatePolicySpec, PromotionSpec, ScheduleStatus, SingleScheduleSpec, Spec, Target,
    TargetOs,
};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Standing;

use crate::change::Change;
use crate::cli::{PromoteArgs, RollbackArgs, UpdateArgs};
use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{names, output, targets, times};

/// How long after signing a window of `--now` opens: time to spread (EIM's update-os).
const NOW_DELAY_MS: i64 = 30_000;
/// Length of a rollback's window (EIM's update-os).
const NOW_LENGTH_MS: i64 = 630_000;
/// How the policies of `rollback` are named.
const ROLLBACK_PREFIX: &str = "rollback-";
/// When a TARGET policy ends unless its author says otherwise (RULES S6).
pub(crate) const TARGET_UNTIL_MS: i64 = 90 * 24 * 3_600_000;

/// Runs `update … --now`.
pub(crate) async fn update(mut session: Session, args: UpdateArgs) -> Outcome {
    let standing = session.standing();
    let hosts = targets::select(standing, &args.hosts, &session.global)?;
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    let (schedule, until) = window_now(times::length_ms(&args.length)?, "update-now", &hosts);
    let target = Some(Target { hosts, ..Target::default() });
    let change = Change::put(standing, &fleet, scope, schedule, target, Some(until))?;
    submit::run(&mut session, vec![change]).await
}

/// A window from half a minute from now, and when its statement ends. The same hosts reuse one id,
/// so that windows that are over take no room.
fn window_now(length_ms: i64, what: &str, hosts: &[KeyId]) -> (Spec, WallTime) {
    let start = times::now().plus_ms(NOW_DELAY_MS);
    let end = start.plus_ms(length_ms);
    let mut ids: Vec<&[u8]> = hosts.iter().map(|host| host.as_bytes().as_slice()).collect();
    ids.sort_unstable();
    let spec = Spec::SingleSchedule(SingleScheduleSpec {
        name: format!("{what}-{}", Digest::of_parts(&ids).short()),
        schedule_status: ScheduleStatus::OsUpdate,
        start_seconds: start.as_seconds(),
        end_seconds: Some(end.as_seconds()),
    });
    (spec, end)
}

/// The OS profile of a name and version, as a policy names it (RULES S8).
pub(crate) fn target_os(standing: &Standing, profile: &str, version: &str) -> Outcome<TargetOs> {
    let name = format!("{profile}@{version}");
    let (kind, id) = names::find(standing, &[Kind::OsProfile], &name).map_err(|failure| {
        failure.next("`daymarkctl release add` signs one; `daymarkctl get osprofiles` lists them")
    })?;
    let digest = standing
        .lines
        .get(&(kind, id))
        .and_then(names::living)
        .map(|version| version.digest)
        .ok_or_else(|| Failure::usage(format!("there is no OS profile {name}")))?;
    Ok(TargetOs { profile: profile.into(), version: version.into(), digest })
}

/// Runs `promote`.
pub(crate) async fn promote(mut session: Session, args: PromoteArgs) -> Outcome {
    let standing = session.standing();
    let os = target_os(standing, &args.profile, &args.version)?;
    let spec = Spec::Promotion(PromotionSpec { os });
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    let change = Change::put(standing, &fleet, scope, spec, Some(targets::everyone()), None)?;
    submit::run(&mut session, vec![change]).await
}

/// Runs `rollback`: a TARGET that permits going back and avoids what runs now (RULES Q3).
pub(crate) async fn rollback(mut session: Session, args: RollbackArgs) -> Outcome {
    let standing = session.standing();
    let now = times::now();
    let hosts = targets::select(standing, &args.hosts, &session.global)?;
    let (fleet, scope) = (session.fleet()?, session.scope()?);
    let groups = groups(&session, &hosts, args.to.as_deref())?;
    if groups.is_empty() {
        output::text("These hosts run that version already.");
        return Ok(Exit::Done);
    }
    let mut changes = end_older(standing, &fleet, &hosts)?;
    let mut schedules = Vec::new();
    if args.now {
        let (window, _) = window_now(NOW_LENGTH_MS, "rollback-now", &hosts);
        let target = Some(Target { hosts, ..Target::default() });
        // The policy and its window stand in one statement, so they share its end.
        let until = Some(now.plus_ms(TARGET_UNTIL_MS));
        let change = Change::put(standing, &fleet, scope.clone(), window, target, until)?;
        schedules.push(change.id.clone());
        changes.push(change);
    }
    for ((profile, from, to), hosts) in groups {
        let avoid =
            target_os(standing, &profile, &from).map(|os| vec![os.digest]).unwrap_or_default();
        let os = target_os(standing, &profile, &to)?;
        let name = format!("{ROLLBACK_PREFIX}{to}-{}", now.as_seconds());
        let spec = going_back(name, os, avoid, &schedules);
        let target = Some(Target { hosts, ..Target::default() });
        let until = Some(now.plus_ms(TARGET_UNTIL_MS));
        changes.push(Change::put(standing, &fleet, scope.clone(), spec, target, until)?);
    }
    submit::run(&mut session, changes).await
}

/// Takes hosts out of earlier rollbacks: two policies that name a host would contradict each other.
fn end_older(standing: &Standing, fleet: &FleetId, hosts: &[KeyId]) -> Outcome<Vec<Change>> {
    let mut changes = Vec::new();
    for (id, line) in standing.of_kind(Kind::OsUpdatePolicy) {
        let Some(version) = names::living(line) else { continue };
        let (Ok(Some(Spec::OsUpdatePolicy(policy))), Some(target)) =
            (&version.spec, &version.target)
        else {
            continue;
        };
        let named = target.hosts.iter().any(|host| hosts.contains(host));
        if !named || !policy.name.starts_with(ROLLBACK_PREFIX) {
            continue;
        }
        let rest: Vec<KeyId> =
            target.hosts.iter().filter(|host| !hosts.contains(host)).copied().collect();
        changes.push(if rest.is_empty() {
            Change::delete(standing, Kind::OsUpdatePolicy, id)?
        } else {
            let spec = Spec::OsUpdatePolicy(policy.clone());
            let target = Some(Target { hosts: rest, ..target.clone() });
            let (scope, until) = (version.scope.clone(), version.until);
            Change::put(standing, fleet, scope, spec, target, until)?
        });
    }
    Ok(changes)
}

/// Hosts by profile, version that runs, version to go to.
type Groups = BTreeMap<(String, String, String), Vec<KeyId>>;

fn groups(session: &Session, hosts: &[KeyId], to: Option<&str>) -> Outcome<Groups> {
    let mut groups = Groups::new();
    for host in hosts {
        let name = names::host_name(session.standing(), host);
        let summary = session.host(host).ok_or_else(|| {
            Failure::usage(format!("{name} has reported nothing yet, so what it runs is unknown"))
        })?;
        let installed = summary.machine.installed.as_ref();
        let (profile, version) = installed
            .and_then(|installed| Some((installed.profile.clone()?, installed.version.clone()?)))
            .ok_or_else(|| Failure::usage(format!("{name} does not know what it runs")))?;
        let installed_now = format!("{profile}@{version}");
        let mut before =
            summary.runs.iter().filter(|run| run.status == "UPDATED" && run.to == installed_now);
        let to = match to {
            Some(to) => to.to_owned(),
            None => before.next().and_then(|run| run.from.clone()).ok_or_else(|| {
                Failure::usage(format!("{name} has no version before {version} on record"))
                    .next("name one with --to VERSION")
            })?,
        };
        if to != version {
            groups.entry((profile, version, to)).or_default().push(*host);
        }
    }
    Ok(groups)
}

/// A policy that goes back to an image and away from those to avoid.
fn going_back(name: String, os: TargetOs, avoid: Vec<Digest>, schedules: &[ResourceId]) -> Spec {
    Spec::OsUpdatePolicy(Box::new(OsUpdatePolicySpec {
        allow_downgrade: true,
        avoid,
        schedules: schedules.to_vec(),
        spread_seconds: Some(0),
        ..OsUpdatePolicySpec::target(name, os)
    }))
}
