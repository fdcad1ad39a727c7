//! `get KIND`: listings. Every row comes from the replica, or from the node where one is asked.

use daymark_protocol::decide::Reach;
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Kind, ScheduleStatus, Spec};
use daymark_protocol::target::UnknownProfile;
use daymark_protocol::trust::{Standing, State, Version};
use serde::Serialize;

use crate::cli::GetArgs;
use crate::commands::{peers, sign, stop, token, windows};
use crate::exit::{Exit, Failure, Outcome};
use crate::files;
use crate::output::{self, Row};
use crate::session::Session;
use crate::spread::Spread;
use crate::{names, scopes, targets, times};

/// A row of plain cells: the listing's own columns, as one struct per kind would have them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HostRow {
    name: String,
    site: String,
    installed: String,
    status: String,
    decision: String,
    labels: String,
    key: String,
}

impl Row for HostRow {
    const HEADS: &'static [&'static str] =
        &["name", "site", "installed", "status", "decision", "labels", "key"];
    const WIDE_FROM: usize = 5;

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.site.clone(),
            self.installed.clone(),
            self.status.clone(),
            self.decision.clone(),
            self.labels.clone(),
            self.key.clone(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// A resource of the fleet.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceRow {
    name: String,
    what: String,
    scope: String,
    target: String,
    state: String,
    version: u64,
    until: String,
    id: String,
    reason: String,
}

impl Row for ResourceRow {
    const HEADS: &'static [&'static str] =
        &["name", "what", "scope", "for", "state", "version", "until", "id", "reason"];
    const WIDE_FROM: usize = 7;

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.what.clone(),
            self.scope.clone(),
            self.target.clone(),
            self.state.clone(),
            self.version.to_string(),
            self.until.clone(),
            self.id.clone(),
            self.reason.clone(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunRow {
    /// Name of the host.
    pub host: String,
    /// The run.
    #[serde(flatten)]
    pub run: crate::hosts::Run,
    /// Which peers sent wrong chunks, in a sentence.
    #[serde(skip)]
    pub blamed: Option<String>,
}

impl RunRow {
    fn detail(&self) -> String {
        let detail = Some(self.run.detail.clone()).filter(|detail| !detail.is_empty());
        let parts: Vec<String> = detail.into_iter().chain(self.blamed.clone()).collect();
        parts.join("; ")
    }
}

impl Row for RunRow {
    const HEADS: &'static [&'static str] =
        &["name", "host", "status", "from", "to", "started", "took", "origin", "peers", "detail"];

    fn cells(&self) -> Vec<String> {
        let run = &self.run;
        let took = match (run.start, run.end) {
            (Some(start), Some(end)) => format!("{} s", end.since_ms(start) / 1000),
            (Some(_), None) | (None, _) => "running".into(),
        };
        vec![
            run.name.clone(),
            self.host.clone(),
            run.status.clone(),
            run.from.clone().unwrap_or_else(|| "?".into()),
            run.to.clone(),
            run.start.map_or_else(|| "?".into(), times::show),
            took,
            times::bytes(run.origin_bytes),
            times::bytes(run.peer_bytes),
            self.detail(),
        ]
    }

    fn name(&self) -> String {
        self.run.name.clone()
    }
}

/// Two or three words about something.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    /// What it is about.
    pub name: String,
    /// Where, or for whom.
    pub about: String,
    /// What there is to say.
    pub what: String,
}

impl Row for Fact {
    const HEADS: &'static [&'static str] = &["name", "about", "what"];

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.about.clone(), self.what.clone()]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Runs `get`.
pub(crate) async fn run(session: Session, args: GetArgs) -> Outcome {
    let format = session.global.output;
    let as_of = session.as_of();
    let only = args.name.as_deref();
    match args.kind.to_ascii_lowercase().as_str() {
        "host" | "hosts" => output::rows(format, &hosts(&session, only)?, &as_of)?,
        "run" | "runs" => output::rows(format, &runs(&session, only)?, &as_of)?,
        "window" | "windows" => {
            output::rows(format, &windows::rows(&session, only, args.days)?, &as_of)?;
        }
        "peer" | "peers" => {
            no_hosts_to_select(&session, "peers")?;
            let (mut peers, as_of) = peers::rows(&session).await?;
            peers.retain(|peer| only.is_none_or(|only| peer.is_of(only)));
            output::rows(format, &peers, &as_of)?;
        }
        "conflict" | "conflicts" => {
            no_hosts_to_select(&session, "conflicts")?;
            output::rows(format, &named(conflicts(&session), only), &as_of)?;
        }
        "halt" | "halts" => output::rows(format, &named(halts(&session)?, only), &as_of)?,
        "quarantine" => output::rows(format, &quarantine(&session, only)?, &as_of)?,
        "approval" | "approvals" => {
            no_hosts_to_select(&session, "approvals")?;
            output::rows(format, &named(sign::approvals(&session)?, only), &as_of)?;
        }
        "token" | "tokens" => {
            no_hosts_to_select(&session, "tokens")?;
            output::rows(format, &token::rows(&session, only)?, &as_of)?;
        }
        other => {
            let kinds = listed_kinds(other)?;
            output::rows(format, &resources(&session, &kinds, only)?, &as_of)?;
        }
    }
    Ok(Exit::Done)
}

/// Refuses what selects hosts for a listing that is not of what reaches hosts.
fn no_hosts_to_select(session: &Session, listing: &str) -> Outcome<()> {
    if session.selected()?.is_none() {
        return Ok(());
    }
    Err(Failure::usage(format!("`get {listing}` lists the whole fleet's"))
        .next(format!("leave --site and --label away, or name one: `get {listing} NAME`")))
}

/// Those of a name, or all.
fn named(mut facts: Vec<Fact>, only: Option<&str>) -> Vec<Fact> {
    facts.retain(|fact| only.is_none_or(|only| fact.name == only));
    facts
}

/// Whether a version reaches one of the hosts that are selected, if any are.
fn reaches_selected(standing: &Standing, selected: Option<&[KeyId]>, version: &Version) -> bool {
    let reached = |host: &KeyId| {
        version.reaches(Reach::new(standing, *host).place(), UnknownProfile::Matches)
    };
    selected.is_none_or(|selected| selected.iter().any(reached))
}

/// The kinds that a word lists.
pub(crate) fn listed_kinds(word: &str) -> Outcome<Vec<Kind>> {
    match files::kind_named(word) {
        Some(Kind::RepeatedSchedule | Kind::SingleSchedule) => {
            Ok(vec![Kind::RepeatedSchedule, Kind::SingleSchedule])
        }
        Some(kind) => Ok(vec![kind]),
        None => Err(Failure::usage(format!("there is no kind {word:?}")).next(
            "kinds are hosts, policies, schedules, windows, osprofiles, runs, sites, regions, \
             peers, conflicts, blackouts, holds, halts, promotions, configs, quarantine, approvals, \
             tokens, emergencies",
        )),
    }
}

fn hosts(session: &Session, only: Option<&str>) -> Outcome<Vec<HostRow>> {
    let standing = session.standing();
    let chosen = only.map(|name| names::find_host(standing, name)).transpose()?;
    let selected = session.selected()?;
    Ok(names::hosts(standing)
        .into_iter()
        .filter(|(key, _, _)| chosen.is_none_or(|chosen| chosen == *key))
        .filter(|(key, _, _)| selected.as_ref().is_none_or(|selected| selected.contains(key)))
        .map(|(key, version, spec)| {
            let summary = session.host(&key);
            let site = version
                .site
                .as_ref()
                .map_or_else(|| "-".to_owned(), |site| names::name_of(standing, Kind::Site, site));
            let labels: Vec<String> =
                spec.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let update = summary.as_ref().and_then(|summary| summary.update.as_ref());
            HostRow {
                name: spec.name.clone(),
                site,
                installed: summary.as_ref().map_or_else(|| "-".into(), |s| s.installed()),
                status: update
                    .map_or_else(|| "not seen yet".into(), |update| update.status.clone()),
                decision: said(summary.as_ref()),
                labels: labels.join(","),
                key: key.to_string(),
            }
        })
        .collect())
}

/// What a host decided, after how it came to this fleet if that was not by its own choice.
fn said(summary: Option<&crate::hosts::HostSummary>) -> String {
    let decided = summary.and_then(|summary| summary.decision.as_ref());
    let decided = decided.map_or_else(|| "-".into(), |decision| decision.message.clone());
    match summary.and_then(|summary| summary.adopted.as_ref()) {
        Some(adopted) => format!("{decided} ({adopted})"),
        None => decided,
    }
}

/// Update runs of a host, or of all, newest first.
pub(crate) fn runs(session: &Session, only: Option<&str>) -> Outcome<Vec<RunRow>> {
    let standing = session.standing();
    let chosen = only.map(|name| names::find_host(standing, name)).transpose()?;
    let selected = session.selected()?;
    let mut rows = Vec::new();
    for (key, _, spec) in names::hosts(standing) {
        let wanted = chosen.is_none_or(|chosen| chosen == key)
            && selected.as_ref().is_none_or(|selected| selected.contains(&key));
        if let (true, Some(summary)) = (wanted, session.host(&key)) {
            rows.extend(summary.runs.into_iter().map(|run| RunRow {
                host: spec.name.clone(),
                blamed: crate::hosts::blamed(standing, &run.blamed),
                run,
            }));
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.run.start));
    Ok(rows)
}

fn resources(session: &Session, kinds: &[Kind], only: Option<&str>) -> Outcome<Vec<ResourceRow>> {
    let standing = session.standing();
    let chosen = only.map(|name| session.find(kinds, name)).transpose()?;
    let scope = session.global.scope.as_ref().map(|_| session.scope()).transpose()?;
    if kinds.iter().any(|kind| matches!(kind, Kind::Region | Kind::Site | Kind::OsProfile)) {
        no_hosts_to_select(session, "regions, sites and osprofiles")?;
    }
    let selected = session.selected()?;
    let mut rows: Vec<ResourceRow> = standing
        .lines
        .iter()
        .filter(|((kind, _), _)| kinds.contains(kind))
        .filter(|((kind, id), _)| {
            chosen.as_ref().is_none_or(|chosen| chosen == &(*kind, id.clone()))
        })
        .filter_map(|((kind, id), line)| {
            let version = names::living(line)?;
            let fits = scope.as_ref().is_none_or(|scope| *scope == version.scope)
                && reaches_selected(standing, selected.as_deref(), version);
            if !fits {
                return None;
            }
            let state = match &line.state {
                State::Counts => ended(version).unwrap_or("in force").to_owned(),
                State::Unknown(why) => format!("unknown: {why}"),
            };
            Some(ResourceRow {
                name: names::version_name(version, id),
                what: what(*kind, version),
                scope: scopes::show(standing, &version.scope),
                target: targets::show(standing, version.target.as_ref()),
                state,
                version: version.version,
                until: version.until.map_or_else(|| "-".into(), times::show),
                id: id.to_string(),
                reason: version.reason.clone(),
            })
        })
        .collect();
    rows.sort_by(|a, b| a.name.cmp(&b.name).then(a.id.cmp(&b.id)));
    Ok(rows)
}

fn ended(version: &Version) -> Option<&'static str> {
    version.until.filter(|until| *until <= times::now()).map(|_| "ended")
}

/// What a resource says, in a few words.
pub(crate) fn what(kind: Kind, version: &Version) -> String {
    let spec = match &version.spec {
        Ok(Some(spec)) => spec,
        Ok(None) => return "ended".into(),
        Err(why) => return format!("cannot be read: {why}"),
    };
    match spec {
        Spec::Region(_) => "region".into(),
        Spec::Site(site) => site.zone.clone().unwrap_or_else(|| "UTC".into()),
        Spec::Host(host) => host.name.clone(),
        Spec::OsProfile(profile) => profile.name.clone(),
        Spec::SingleSchedule(schedule) => single(schedule),
        Spec::RepeatedSchedule(schedule) => {
            let zone: String = schedule.zone.clone().into();
            format!(
                "{} {} {} {} {} ({zone}) for {} min{}",
                schedule.cron_minutes,
                schedule.cron_hours,
                schedule.cron_day_month,
                schedule.cron_month,
                schedule.cron_day_week,
                schedule.duration_seconds / 60,
                closed_note(schedule.schedule_status)
            )
        }
        Spec::Blackout(blackout) => format!(
            "{} to {}{}",
            times::show(blackout.from),
            times::show(blackout.to),
            if blackout.yearly { ", yearly" } else { "" }
        ),
        Spec::OsUpdatePolicy(policy) => match &policy.target_os {
            Some(os) => format!("TARGET {}@{}", os.profile, os.version),
            None if policy.update_packages.is_empty() => {
                format!("LATEST {}", policy.versions.as_deref().unwrap_or("any version"))
            }
            None => "TARGET packages".into(),
        },
        Spec::Promotion(promotion) => format!("digest {}", promotion.os.digest.short()),
        Spec::CustomConfig(config) => format!("{} bytes", config.config.len()),
        Spec::Token(token) => format!("{} uses", token.uses),
        Spec::Hold(_) | Spec::Retry(_) | Spec::Halt(_) | Spec::Resume(_) | Spec::Emergency(_) => {
            kind.name().to_lowercase()
        }
    }
}

fn single(schedule: &daymark_protocol::resource::SingleScheduleSpec) -> String {
    let at = |seconds| times::show(daymark_protocol::time::WallTime::from_seconds(seconds));
    let end = schedule.end_seconds.filter(|end| *end != 0);
    format!(
        "once {} to {}{}",
        at(schedule.start_seconds),
        end.map_or_else(|| "open end".into(), at),
        closed_note(schedule.schedule_status)
    )
}

fn closed_note(status: ScheduleStatus) -> &'static str {
    match status {
        ScheduleStatus::OsUpdate | ScheduleStatus::Maintenance => "",
        ScheduleStatus::Unspecified
        | ScheduleStatus::Shipping
        | ScheduleStatus::FirmwareUpdate
        | ScheduleStatus::ClusterUpdate => " (opens no update window)",
    }
}

fn conflicts(session: &Session) -> Vec<Fact> {
    let standing = session.standing();
    standing
        .lines
        .iter()
        .filter_map(|((kind, id), line)| match &line.state {
            State::Unknown(why) => Some(Fact {
                name: names::name_of(standing, *kind, id),
                about: format!("{kind} {id}"),
                what: why.clone(),
            }),
            State::Counts => None,
        })
        .collect()
}

fn halts(session: &Session) -> Outcome<Vec<Fact>> {
    let standing = session.standing();
    let selected = session.selected()?;
    Ok(standing
        .halts
        .iter()
        .filter(|halt| reaches_selected(standing, selected.as_deref(), &halt.version))
        .map(|halt| Fact {
            name: stop::halt_name(halt),
            about: format!(
                "{}{}",
                targets::show(standing, halt.version.target.as_ref()),
                scopes::suffix(standing, &halt.version.scope)
            ),
            what: format!(
                "since {}, {}{}{}",
                times::show(halt.version.issued),
                Spread::of(session, &halt.version.scope, halt.version.target.as_ref()).line(),
                halt.version
                    .until
                    .map_or_else(String::new, |at| format!(", until {}", times::show(at))),
                if halt.version.reason.is_empty() {
                    String::new()
                } else {
                    format!(": {}", halt.version.reason)
                }
            ),
        })
        .collect())
}

fn quarantine(session: &Session, only: Option<&str>) -> Outcome<Vec<Fact>> {
    let standing = session.standing();
    let chosen = only.map(|name| names::find_host(standing, name)).transpose()?;
    let selected = session.selected()?;
    let mut rows = Vec::new();
    for (key, _, spec) in names::hosts(standing) {
        let wanted = chosen.is_none_or(|chosen| chosen == key)
            && selected.as_ref().is_none_or(|selected| selected.contains(&key));
        if !wanted {
            continue;
        }
        let quarantine = session.host(&key).map(|host| host.machine.quarantine).unwrap_or_default();
        rows.extend(quarantine.into_iter().map(|image| Fact {
            name: spec.name.clone(),
            about: format!("image {} (attempt {})", image.profile.short(), image.attempt),
            what: image.reason,
        }));
    }
    Ok(rows)
}
