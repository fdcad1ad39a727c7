//! A plan for people: what it comes to, then a line for each update and each host that makes none.

use daymark_protocol::time::WallTime;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::difference::Change;
use super::{ASSUMED, Difference, PlannedHost, PlannedObjection, PlannedUpdate, Stretch, Summary};
use crate::output::{self, Row};
use crate::times;

/// A line of the listing: an update, or a host that makes none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlanRow {
    host: String,
    from: String,
    to: String,
    local: String,
    utc: String,
    window: String,
    policy: String,
    turn: String,
    why_not: String,
    lifted_by: String,
    site: String,
    fetches: String,
    reported: String,
}

impl Row for PlanRow {
    const HEADS: &'static [&'static str] = &[
        "host",
        "from",
        "to",
        "local",
        "utc",
        "window",
        "policy",
        "turn",
        "why not",
        "lifted by",
        "site",
        "fetches",
        "reported",
    ];
    const WIDE_FROM: usize = 10;

    fn cells(&self) -> Vec<String> {
        let Self { host, from, to, local, utc, window, policy, turn, why_not, lifted_by, .. } =
            self;
        let Self { site, fetches, reported, .. } = self;
        let cells = [
            host, from, to, local, utc, window, policy, turn, why_not, lifted_by, site, fetches,
            reported,
        ];
        cells.map(Clone::clone).into()
    }

    fn name(&self) -> String {
        self.host.clone()
    }
}

/// The lines of what hosts would do.
pub(crate) fn rows(hosts: &[PlannedHost]) -> Vec<PlanRow> {
    let mut rows = Vec::new();
    for host in hosts {
        rows.extend(host.updates.iter().map(|update| updating(host, update)));
        if host.updates.is_empty() {
            rows.push(waiting(host));
        }
    }
    rows
}

fn updating(host: &PlannedHost, update: &PlannedUpdate) -> PlanRow {
    PlanRow {
        from: update.from.clone(),
        to: update.to.clone(),
        local: update.local.clone(),
        utc: times::show_seconds_utc(update.at),
        policy: update.policy.clone(),
        turn: update.offset_ms.map_or_else(String::new, turn),
        window: update.window.clone(),
        fetches: update.fetches_at.map_or_else(|| "done".into(), times::show_utc),
        ..empty(host)
    }
}

fn waiting(host: &PlannedHost) -> PlanRow {
    let why = |why: &PlannedObjection| format!("{} ({})", why.message, why.reason);
    PlanRow {
        from: host.runs.clone(),
        to: "-".into(),
        why_not: host.why_not().map_or_else(String::new, why),
        lifted_by: host.why_not().map_or_else(String::new, |why| why.lifted_by.to_owned()),
        ..empty(host)
    }
}

fn empty(host: &PlannedHost) -> PlanRow {
    PlanRow {
        host: host.host.clone(),
        from: String::new(),
        to: String::new(),
        local: String::new(),
        utc: String::new(),
        window: String::new(),
        policy: String::new(),
        turn: String::new(),
        why_not: String::new(),
        lifted_by: String::new(),
        site: host.site.clone().unwrap_or_else(|| "-".into()),
        fetches: String::new(),
        reported: host.as_of.map_or_else(|| "never".into(), times::show),
    }
}

/// How long after the beginning a host's turn comes.
fn turn(offset_ms: i64) -> String {
    let seconds = offset_ms / 1000;
    format!("+{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// What a plan comes to.
pub(crate) fn summary(summary: &Summary, stretch: Stretch) -> Vec<String> {
    let days = stretch.to.since_ms(stretch.from) / 86_400_000;
    let Summary { hosts, updating, not_updating, first, last, peak } = summary;
    let mut lines = vec![format!(
        "In {days} days from {}: {updating} of {hosts} hosts would update, {} would not.",
        times::show(stretch.from),
        hosts - updating
    )];
    let reasons: Vec<String> =
        not_updating.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    if !reasons.is_empty() {
        lines.push(format!("  would not: {}", reasons.join(", ")));
    }
    if let (Some(first), Some(last)) = (first, last) {
        lines.push(format!("  first {}, last {}", both(*first), both(*last)));
    }
    if let Some((most, at)) = peak {
        lines.push(format!("  at most {most} at the same time, first {}", both(*at)));
    }
    lines
}

/// In this machine's zone and in UTC.
fn both(at: WallTime) -> String {
    let local = times::show_seconds_in(at, &times::local_zone());
    let utc = times::show_seconds_utc(at);
    if times::local_zone() == TimeZone::UTC { utc } else { format!("{local} ({utc})") }
}

/// What is taken to be so, and what was not looked at.
pub(crate) fn assumed(hosts: &[PlannedHost], as_of: &str) -> Vec<String> {
    let mut lines = vec![ASSUMED.to_owned(), as_of.to_owned()];
    let short = hosts.iter().filter_map(|host| Some((&host.host, host.looked_until?)));
    lines.extend(short.map(|(host, until)| {
        format!("{host} has too much ahead of it: looked at until {} only.", both(until))
    }));
    lines
}

/// What would be otherwise.
pub(crate) fn differences(differences: &[Difference], unchanged: usize) -> Vec<String> {
    let count = |change| differences.iter().filter(|one| one.change == change).count();
    let mut lines = vec![format!(
        "+{} would update, -{} no longer would, ~{} otherwise, {unchanged} as before.",
        count(Change::Added),
        count(Change::Removed),
        count(Change::Changed)
    )];
    for Difference { change, before, after } in differences {
        let (mark, colour) = match change {
            Change::Added => ("+", 32),
            Change::Removed => ("-", 31),
            Change::Changed => ("~", 33),
        };
        lines.push(output::paint(&format!("{mark} {}", after.host), colour));
        let of = |host: &PlannedHost| -> Vec<String> {
            match host.updates.as_slice() {
                [] => vec![host.why_not().map_or_else(String::new, holds)],
                updates => updates.iter().map(updates_line).collect(),
            }
        };
        lines.extend(of(before).iter().map(|line| format!("    now   {line}")));
        lines.extend(of(after).iter().map(|line| format!("    then  {line}")));
    }
    lines
}

fn updates_line(update: &PlannedUpdate) -> String {
    let PlannedUpdate { from, to, local, at, window, policy, .. } = update;
    let turn = update.offset_ms.map_or_else(String::new, |ms| format!(", turn {}", turn(ms)));
    let utc = times::show_seconds_utc(*at);
    format!("{from} -> {to}  {local} ({utc})  window {window}  policy {policy}{turn}")
}

fn holds(why: &PlannedObjection) -> String {
    format!("no update: {} ({}); lifted by {}", why.message, why.reason, why.lifted_by)
}
