//! When new schedules open and blackouts close: the next occurrences in local time and UTC, with
//! clock changes marked, so that nobody finds out at night.

use std::collections::BTreeSet;

use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{BlackoutSpec, Kind, ScheduleZone, Scope, Spec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Standing;
use daymark_protocol::window::{Schedule, Windows};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use crate::change::{Change, ChangeEffect};
use crate::exit::Outcome;
use crate::{names, times};

/// Occurrences shown of each schedule or blackout.
const SHOWN_MAX: usize = 10;
/// How far ahead they are looked for: ten times 29 February.
const AHEAD_MS: i64 = 42 * 366 * 86_400_000;

/// A stretch of time; `None`: without end.
type Stretch = (WallTime, Option<WallTime>);

/// The lines of all schedules and blackouts of a change set.
pub(crate) fn lines(standing: &Standing, changes: &[Change]) -> Outcome<Vec<String>> {
    let mut lines = Vec::new();
    let changing = |change: &&Change| change.effect != ChangeEffect::Unchanged;
    for change in changes.iter().filter(changing) {
        let Some((written, verb)) = change.spec.as_ref().and_then(zone_of) else { continue };
        let utc = || BTreeSet::from(["UTC".to_owned()]);
        let site_zones = match (written, site_zones(standing, change)) {
            (ScheduleZone::Site, zones) => zones,
            // Shown in the zone of the people on site, if that is one.
            (ScheduleZone::Utc, zones) if zones.len() == 1 => zones,
            (ScheduleZone::Utc | ScheduleZone::Iana(_), _) => utc(),
        };
        for site_zone in site_zones {
            let zone = match written {
                ScheduleZone::Iana(name) => times::zone(name)?,
                ScheduleZone::Utc | ScheduleZone::Site => times::zone(&site_zone)?,
            };
            let next = next(change, &zone, &site_zone, times::now());
            let name = zone.iana_name().unwrap_or("UTC");
            lines.push(match next.is_empty() {
                true => format!("{} {verb} never.", change.name),
                false if name == "UTC" => format!("{} {verb} next, UTC:", change.name),
                false => format!("{} {verb} next, {name} and UTC:", change.name),
            });
            lines.extend(show(&zone, &next));
        }
    }
    Ok(lines)
}

/// The zone that a spec's fields are meant in, and what it does then.
fn zone_of(spec: &Spec) -> Option<(&ScheduleZone, &'static str)> {
    match spec {
        Spec::SingleSchedule(_) => Some((&ScheduleZone::Utc, "opens")),
        Spec::RepeatedSchedule(spec) => Some((&spec.zone, "opens")),
        Spec::Blackout(spec) => Some((&spec.zone, "closes")),
        Spec::Region(_)
        | Spec::Site(_)
        | Spec::Host(_)
        | Spec::OsProfile(_)
        | Spec::OsUpdatePolicy(_)
        | Spec::Promotion(_)
        | Spec::CustomConfig(_)
        | Spec::Hold(_)
        | Spec::Retry(_)
        | Spec::Halt(_)
        | Spec::Resume(_)
        | Spec::Emergency(_)
        | Spec::Token(_) => None,
    }
}

/// The zones of the sites that a change may reach: its own, or those of all sites.
fn site_zones(standing: &Standing, change: &Change) -> BTreeSet<String> {
    let own = match &change.scope {
        Scope::Site(site) => Some(site),
        Scope::Fleet | Scope::Region(_) => {
            change.target.as_ref().and_then(|target| target.site.as_ref())
        }
    };
    let of_site = |(kind, id): (&Kind, &ResourceId)| {
        let line = standing.lines.get(&(*kind, id.clone()))?;
        match &names::living(line)?.spec {
            Ok(Some(Spec::Site(site))) => Some(site.zone.clone().unwrap_or_else(|| "UTC".into())),
            _ => None,
        }
    };
    let mut zones: BTreeSet<String> = match own {
        Some(site) => of_site((&Kind::Site, site)).into_iter().collect(),
        None => standing.lines.keys().filter_map(|(kind, id)| of_site((kind, id))).collect(),
    };
    if zones.is_empty() {
        zones.insert("UTC".into());
    }
    zones
}

fn next(change: &Change, zone: &TimeZone, site_zone: &str, now: WallTime) -> Vec<Stretch> {
    let opens = |schedule| {
        let windows = Windows::new(&[(change.id.clone(), schedule)], &[], Some(site_zone));
        let all = windows.occurrences(now, now.plus_ms(AHEAD_MS));
        all.take(SHOWN_MAX).map(|occurrence| (occurrence.start, occurrence.end)).collect()
    };
    match &change.spec {
        Some(Spec::SingleSchedule(spec)) => opens(Schedule::Single(spec)),
        Some(Spec::RepeatedSchedule(spec)) => opens(Schedule::Repeated(spec)),
        Some(Spec::Blackout(spec)) => {
            let windows = Windows::new(&[], &[(change.id.clone(), spec)], Some(site_zone));
            closings(spec, &windows, zone, now)
        }
        _ => Vec::new(),
    }
}

/// What a blackout closes, found by asking it about the anniversaries of its start.
fn closings(
    spec: &BlackoutSpec,
    windows: &Windows,
    zone: &TimeZone,
    now: WallTime,
) -> Vec<Stretch> {
    let start = Zoned::new(spec.from.to_timestamp(), zone.clone());
    let since = Zoned::new(now.to_timestamp(), zone.clone()).year() - start.year();
    let years = if spec.yearly { (since - 1).max(0)..(since + 42).max(42) } else { 0..1 };
    let closed = years.filter_map(|years| {
        let at = start.checked_add(i64::from(years).years()).ok()?;
        let (_, closed) = windows.closed_at(at.timestamp().into()).next()?;
        (closed.to > now).then_some((closed.from, Some(closed.to)))
    });
    closed.take(SHOWN_MAX).collect()
}

fn show(zone: &TimeZone, stretches: &[Stretch]) -> Vec<String> {
    let offset = |at: WallTime| zone.to_offset(at.to_timestamp());
    let mut lines = Vec::new();
    let mut before = None;
    for (start, end) in stretches {
        let mark = match (before, *end) {
            (_, Some(end)) if offset(end) != offset(*start) => "  clocks change during it",
            (Some(before), _) if before != offset(*start) => "  clocks have changed before it",
            _ => "",
        };
        before = Some(end.map_or_else(|| offset(*start), offset));
        let to = |show: &dyn Fn(WallTime) -> String| end.map_or_else(|| "open end".into(), show);
        let local = |at| times::show_in(at, zone);
        let utc = match *zone == TimeZone::UTC {
            true => String::new(),
            false => format!("   {} to {}", times::show_utc(*start), to(&times::show_utc)),
        };
        lines.push(format!("  {} to {}{utc}{mark}", local(*start), to(&local)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use daymark_protocol::resource::RepeatedScheduleSpec;

    fn change(spec: Spec) -> Change {
        Change {
            kind: spec.kind(),
            id: "repeatedsche-1".parse().unwrap(),
            name: "s".into(),
            scope: Scope::Fleet,
            target: None,
            site: None,
            moved_from: None,
            replaces: None,
            until: None,
            spec: Some(spec),
            version: 1,
            effect: ChangeEffect::Create,
        }
    }

    fn at(text: &str) -> WallTime {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn a_week_after_the_clocks_change_the_utc_hour_is_another_and_is_marked() {
        let spec = RepeatedScheduleSpec {
            name: "s".into(),
            schedule_status: daymark_protocol::resource::ScheduleStatus::OsUpdate,
            duration_seconds: 3 * 3_600,
            cron_minutes: "0".into(),
            cron_hours: "1".into(),
            cron_day_month: "*".into(),
            cron_month: "*".into(),
            cron_day_week: "0".into(),
            zone: ScheduleZone::Site,
        };
        let berlin = times::zone("Europe/Berlin").unwrap();
        let change = change(Spec::RepeatedSchedule(spec));
        let next = next(&change, &berlin, "Europe/Berlin", at("2026-10-12T00:00:00Z"));
        assert_eq!(next.len(), SHOWN_MAX);
        let lines = show(&berlin, &next);
        assert!(lines[0].ends_with("2026-10-17 23:00Z to 2026-10-18 02:00Z"), "{}", lines[0]);
        assert!(lines[1].contains("Sun 2026-10-25 01:00 CEST to Sun 2026-10-25 03:00 CET"));
        assert!(lines[1].ends_with("clocks change during it"), "{}", lines[1]);
        assert!(lines[2].contains("2026-11-01 00:00Z"), "{}", lines[2]);
    }

    #[test]
    fn a_yearly_blackout_over_the_turn_of_the_year_is_found_while_it_lasts() {
        let berlin = times::zone("Europe/Berlin").unwrap();
        let spec = BlackoutSpec {
            name: "xmas".into(),
            from: at("2025-12-18T23:00:00Z"),
            to: at("2026-01-06T23:00:00Z"),
            yearly: true,
            zone: ScheduleZone::Site,
        };
        let change = change(Spec::Blackout(spec));
        let next = next(&change, &berlin, "Europe/Berlin", at("2027-01-03T00:00:00Z"));
        assert_eq!(next.len(), SHOWN_MAX);
        assert_eq!(next[0], (at("2026-12-18T23:00:00Z"), Some(at("2027-01-06T23:00:00Z"))));
        assert_eq!(next[1].0, at("2027-12-18T23:00:00Z"));
    }
}
