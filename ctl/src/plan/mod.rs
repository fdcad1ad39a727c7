//! Who would update when, and who would not and why: what [`foresee`] says of each host, told from
//! what this replica holds. It decides nothing and writes nothing.

mod difference;
mod lifts;
pub(crate) mod show;
mod summary;

use daymark_protocol::decide::{
    ForeseenUpdate, Foresight, Gate, Installed, Objection, Reach, Window, Word, foresee,
};
use daymark_protocol::id::{KeyId, ResourceId};
use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Standing;
use jiff::Zoned;
use jiff::tz::TimeZone;
use serde::Serialize;

pub(crate) use self::difference::Difference;
pub(crate) use self::summary::Summary;
use crate::session::Session;
use crate::{names, times};

/// What is taken to be so, for people to judge.
pub(crate) const ASSUMED: &str = "Assumed: each machine stays as it last reported, is on and knows \
     the time; images are fetched before its turn comes; every update succeeds; nothing else is \
     signed.";

/// The stretch of time that is planned for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Stretch {
    /// Its beginning: now.
    pub from: WallTime,
    /// Its end, not included.
    pub to: WallTime,
}

/// What a host would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedHost {
    /// Its name.
    pub host: String,
    /// Its site.
    pub site: Option<String>,
    /// The site's zone.
    pub zone: String,
    /// What it runs, as far as it reported.
    pub runs: String,
    /// When it reported last.
    pub as_of: Option<WallTime>,
    /// Its updates, in order.
    pub updates: Vec<PlannedUpdate>,
    /// Why it does not update, or not yet: each reason once, as they are met.
    pub objections: Vec<PlannedObjection>,
    /// Up to when was looked, if there was too much to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub looked_until: Option<WallTime>,
}

/// An update that a host would make.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedUpdate {
    /// What it runs before.
    pub from: String,
    /// What it runs then.
    pub to: String,
    /// When it may begin to fetch; absent if it holds the image already.
    pub fetches_at: Option<WallTime>,
    /// When it activates.
    pub at: WallTime,
    /// The same in the site's zone.
    pub local: String,
    /// Until when the activation takes.
    pub until: WallTime,
    /// The window that it does so in, in the site's zone: `02:00 to 05:00`.
    pub window: String,
    /// Begin of the window.
    pub window_start: Option<WallTime>,
    /// End of the window; absent if it has none.
    pub window_end: Option<WallTime>,
    /// The policy.
    pub policy: String,
    /// Version of the policy.
    pub policy_version: u64,
    /// How long after the beginning of the window, or of the policy, its turn comes.
    pub offset_ms: Option<i64>,
}

/// A reason not to update.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedObjection {
    /// When it is met first.
    pub from: WallTime,
    /// The gate that says no.
    pub gate: Option<Gate>,
    /// Stable word for programs.
    pub reason: Word,
    /// Sentence for people.
    pub message: String,
    /// What would lift it.
    pub lifted_by: &'static str,
}

impl PlannedHost {
    /// Why it does not update: of what is met, what the first gate says.
    pub(crate) fn why_not(&self) -> Option<&PlannedObjection> {
        // Among several of the window's gate the last: it is met where a window opens.
        let rank = |objection: &&PlannedObjection| std::cmp::Reverse(objection.gate);
        if self.updates.is_empty() { self.objections.iter().max_by_key(rank) } else { None }
    }
}

/// What each of these hosts would do under a standing.
pub(crate) fn plan(
    session: &Session,
    standing: &Standing,
    hosts: &[KeyId],
    stretch: Stretch,
) -> Vec<PlannedHost> {
    hosts.iter().map(|host| planned(session, standing, host, stretch)).collect()
}

fn planned(
    session: &Session,
    standing: &Standing,
    host: &KeyId,
    Stretch { from, to }: Stretch,
) -> PlannedHost {
    let site = names::host_spec(standing, host).and_then(|(version, _)| version.site.clone());
    let zone = zone(standing, site.as_ref());
    let summary = session.host(host);
    let mut planned = PlannedHost {
        host: names::host_name(standing, host),
        site: site.map(|site| names::name_of(standing, Kind::Site, &site)),
        zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        runs: summary.as_ref().map_or_else(|| "unknown".into(), |summary| summary.installed()),
        as_of: summary.as_ref().and_then(|summary| summary.update.as_ref()?.time),
        updates: Vec::new(),
        objections: Vec::new(),
        looked_until: None,
    };
    let Some(summary) = summary else {
        planned.objections.push(never_heard_of(from));
        return planned;
    };
    let reach = Reach::new(standing, *host);
    let Foresight { updates, objections, last: _, looked_until } =
        foresee(&reach, &summary.machine, from, to);
    planned.updates = updates.iter().map(|update| told(standing, &zone, update)).collect();
    planned.objections = objections.into_iter().map(objected).collect();
    planned.looked_until = (looked_until < to).then_some(looked_until);
    planned
}

/// The zone of a site; UTC without one, as its windows are then meant.
fn zone(standing: &Standing, site: Option<&ResourceId>) -> TimeZone {
    let line = site.and_then(|site| standing.lines.get(&(Kind::Site, site.clone())));
    let named = line.and_then(names::living).and_then(|version| match &version.spec {
        Ok(Some(Spec::Site(site))) => site.zone.as_deref(),
        Ok(_) | Err(_) => None,
    });
    named.and_then(|name| times::zone(name).ok()).unwrap_or(TimeZone::UTC)
}

fn never_heard_of(from: WallTime) -> PlannedObjection {
    PlannedObjection {
        from,
        gate: None,
        reason: Word::Borrowed(lifts::NEVER_REPORTED),
        message: "it has not reported what it runs".into(),
        lifted_by: lifts::lifts(None, lifts::NEVER_REPORTED),
    }
}

fn objected(objection: Objection) -> PlannedObjection {
    let Objection { from, gate, reason, message } = objection;
    let lifted_by = lifts::lifts(gate, &reason);
    PlannedObjection { from, gate, reason, message, lifted_by }
}

fn told(standing: &Standing, zone: &TimeZone, update: &ForeseenUpdate) -> PlannedUpdate {
    let target = &update.target;
    PlannedUpdate {
        from: version(update.from.as_ref()),
        to: format!("{}@{}", target.profile, target.version),
        fetches_at: update.stages_at,
        at: update.at,
        local: times::show_seconds_in(update.at, zone),
        until: update.until,
        window: update.window.map_or_else(String::new, |window| spoken(&window, zone)),
        window_start: update.window.map(|window| window.start),
        window_end: update.window.and_then(|window| window.end),
        policy: names::name_of(standing, Kind::OsUpdatePolicy, &target.policy),
        policy_version: target.policy_version,
        offset_ms: update.spread.map(|(_, offset_ms)| offset_ms),
    }
}

/// A window in words; its days stand where they are not one.
fn spoken(window: &Window, zone: &TimeZone) -> String {
    let local = |at: WallTime| Zoned::new(at.to_timestamp(), zone.clone());
    let start = local(window.start);
    let from = start.strftime("%H:%M");
    match window.end.map(local) {
        None => format!("from {} on", start.strftime("%a %Y-%m-%d %H:%M")),
        Some(end) if end.date() == start.date() => format!("{from} to {}", end.strftime("%H:%M")),
        Some(end) => format!("{} to {}", start.strftime("%a %H:%M"), end.strftime("%a %H:%M")),
    }
}

fn version(installed: Option<&Installed>) -> String {
    let part = |part: Option<&str>| part.unwrap_or("?").to_owned();
    installed.map_or_else(
        || "unknown".into(),
        |installed| {
            let (profile, version) = (&installed.profile, &installed.version);
            format!("{}@{}", part(profile.as_deref()), part(version.as_deref()))
        },
    )
}
