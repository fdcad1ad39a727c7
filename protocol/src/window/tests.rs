//! Windows against a second, slower way to find them: walk every minute, look at the wall clock,
//! compare it with the fields as written.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

use super::{Occurrence, Schedule, Windows};
use crate::id::ResourceId;
use crate::resource::{
    BlackoutSpec, RepeatedScheduleSpec, ScheduleStatus, ScheduleZone, SingleScheduleSpec,
};
use crate::time::WallTime;

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

/// Zones with hour, half-hour and no changes, changes at midnight and over the date line.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
];

/// Cases of each property: each walks thousands of minutes.
const CASES: u32 = 48;

/// Whether a field as written holds a number.
fn holds(field: &str, number: i8) -> bool {
    field == "*" || field.split(',').any(|item| item.parse() == Ok(number))
}

/// Whether the wall clock shows a start.
fn shows_start(spec: &RepeatedScheduleSpec, clock: DateTime) -> bool {
    let weekday = clock.date().weekday().to_sunday_zero_offset();
    let date_holds = holds(&spec.cron_day_month, clock.day());
    let weekday_holds = holds(&spec.cron_day_week, weekday);
    let either = spec.cron_day_month != "*" && spec.cron_day_week != "*";
    holds(&spec.cron_minutes, clock.minute())
        && holds(&spec.cron_hours, clock.hour())
        && holds(&spec.cron_month, clock.month())
        && if either { date_holds || weekday_holds } else { date_holds && weekday_holds }
}

/// Every start in `[from_s, until_s)`, minute by minute.
fn walk(spec: &RepeatedScheduleSpec, zone: &TimeZone, from_s: i64, until_s: i64) -> BTreeSet<i64> {
    let clock_at = |at_s| zone.to_datetime(Timestamp::from_second(at_s).unwrap());
    let mut starts = BTreeSet::new();
    // A few days before, so that what the clock showed already is known.
    let mut at_s = from_s - 3 * DAY_S;
    let mut expected = clock_at(at_s);
    let mut shown = BTreeSet::new();
    while at_s < until_s {
        let clock = clock_at(at_s);
        let mut skipped = expected;
        while skipped < clock {
            if shows_start(spec, skipped) {
                starts.insert(at_s);
            }
            skipped = skipped.checked_add(1.minute()).unwrap();
        }
        let again = !shown.insert(clock);
        if shows_start(spec, clock) && (!again || spec.cron_hours == "*") {
            starts.insert(at_s);
        }
        expected = clock.checked_add(1.minute()).unwrap();
        at_s += 60;
    }
    starts.split_off(&from_s)
}

fn zone_named(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

fn repeated(fields: [&str; 5], duration_seconds: u32, zone: &str) -> RepeatedScheduleSpec {
    let [minutes, hours, days, months, weekdays] = fields.map(str::to_owned);
    RepeatedScheduleSpec {
        name: "window".into(),
        schedule_status: ScheduleStatus::OsUpdate,
        duration_seconds,
        cron_minutes: minutes,
        cron_hours: hours,
        cron_day_month: days,
        cron_month: months,
        cron_day_week: weekdays,
        zone: ScheduleZone::from(zone.to_owned()),
    }
}

fn single(start_seconds: i64, end_seconds: Option<i64>) -> SingleScheduleSpec {
    SingleScheduleSpec {
        name: "window".into(),
        schedule_status: ScheduleStatus::Maintenance,
        start_seconds,
        end_seconds,
    }
}

fn blackout(from: &str, to: &str, yearly: bool, zone: &str) -> BlackoutSpec {
    let at = |text: &str| WallTime::from(text.parse::<Timestamp>().unwrap());
    let zone = ScheduleZone::from(zone.to_owned());
    BlackoutSpec { name: "closed".into(), from: at(from), to: at(to), yearly, zone }
}

fn at(text: &str) -> WallTime {
    text.parse::<Timestamp>().unwrap().into()
}

fn only(spec: &RepeatedScheduleSpec) -> Windows {
    Windows::new(&[(id("a"), Schedule::Repeated(spec))], &[], None)
}

/// A field: `*`, or up to four of its numbers.
fn field(min: u8, max: u8) -> impl Strategy<Value = String> {
    let numbers = prop::collection::vec((min..=max).prop_map(|n| n.to_string()), 1..5);
    prop_oneof![2 => Just("*".to_owned()), 3 => numbers.prop_map(|list| list.join(","))]
}

/// Whole minutes, at least one, in seconds.
fn minutes(below_s: i64) -> impl Strategy<Value = i64> {
    (1..below_s / 60).prop_map(|minutes| minutes * 60)
}

fn schedule(zone: &'static str) -> impl Strategy<Value = RepeatedScheduleSpec> {
    // Months rarely restrict, or most walks would find nothing.
    let month = prop_oneof![4 => Just("*".to_owned()), 1 => field(1, 12)];
    let hours = prop_oneof![field(0, 23), field(0, 4)];
    let duration = prop_oneof![1_u32..7200, Just(60), Just(3600), Just(86_400), 1_u32..86_400];
    (field(0, 59), hours, field(1, 31), month, field(0, 6), duration).prop_map(
        move |(minutes, hours, days, months, weekdays, duration)| {
            repeated([&minutes, &hours, &days, &months, &weekdays], duration, zone)
        },
    )
}

/// A zone and an instant within a day and a half of one of its clock changes, or anywhere.
fn zone_and_instant() -> impl Strategy<Value = (&'static str, i64)> {
    let any_s = 946_684_800_i64..4_102_444_800;
    (prop::sample::select(ZONES), any_s, any::<bool>(), -36 * HOUR_S..36 * HOUR_S).prop_map(
        |(zone, at_s, at_change, off_s)| {
            let at = Timestamp::from_second(at_s).unwrap();
            let change = zone_named(zone).following(at).next().map(|c| c.timestamp().as_second());
            (zone, change.filter(|_| at_change).map_or(at_s, |change_s| change_s + off_s))
        },
    )
}

fn case() -> impl Strategy<Value = (RepeatedScheduleSpec, i64)> {
    zone_and_instant().prop_flat_map(|(zone, at_s)| (schedule(zone), Just(at_s)))
}

fn zone_of(spec: &RepeatedScheduleSpec) -> TimeZone {
    zone_named(&String::from(spec.zone.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn q9_starts_are_those_of_the_walk((spec, at_s) in case()) {
        let at_s = at_s.div_euclid(60) * 60;
        let until_s = at_s + 3 * DAY_S;
        let starts = walk(&spec, &zone_of(&spec), at_s, until_s);
        let mut ours = BTreeSet::new();
        let mut next_s = at_s - 1;
        while let Some(next) = only(&spec).next_start(WallTime::from_seconds(next_s)) {
            next_s = next.as_seconds();
            if next_s >= until_s {
                break;
            }
            ours.insert(next_s);
        }
        prop_assert_eq!(ours, starts);
    }

    #[test]
    fn q9_open_windows_and_their_union_are_those_of_the_walk((spec, at_s) in case()) {
        let duration_s = i64::from(spec.duration_seconds);
        let (from_s, until_s) = (at_s - 3 * DAY_S, at_s + 3 * DAY_S);
        let starts = walk(&spec, &zone_of(&spec), from_s.div_euclid(60) * 60, until_s);
        let open: Vec<i64> =
            starts.iter().copied().filter(|s| *s <= at_s && at_s < s + duration_s).collect();
        let windows = only(&spec);
        let now = WallTime::from_seconds(at_s);
        let ours: Vec<i64> = windows.open_at(now).iter().map(|o| o.start.as_seconds()).collect();
        prop_assert_eq!(&ours, &open);
        prop_assert_eq!(windows.is_open_at(now), !open.is_empty());

        let merged = windows.merged_at(now);
        prop_assert_eq!(merged.is_some(), !open.is_empty());
        let Some(merged) = merged else { return Ok(()) };
        // The union by the walk's starts; past its edges it knows nothing.
        let (mut start_s, mut end_s) = (at_s, at_s);
        for s in starts.iter().rev().filter(|s| **s <= at_s) {
            if s + duration_s >= start_s { start_s = *s } else { break }
        }
        for s in &starts {
            if *s <= end_s && s + duration_s > end_s { end_s = s + duration_s }
        }
        let inside = |bound: Option<WallTime>| {
            bound.map(WallTime::as_seconds).filter(|s| from_s + 2 * DAY_S < *s && *s < until_s)
        };
        prop_assert_eq!(inside(merged.start), Some(start_s).filter(|s| from_s + 2 * DAY_S < *s));
        prop_assert_eq!(inside(merged.end), Some(end_s).filter(|s| *s < until_s));
    }

    #[test]
    fn usable_time_is_what_windows_open_and_blackouts_leave(
        specs in prop::collection::vec(schedule("Europe/Berlin"), 1..3),
        lone in (minutes(4 * DAY_S), minutes(DAY_S)),
        closed in prop::collection::vec((minutes(4 * DAY_S), minutes(DAY_S), any::<bool>()), 0..3),
        at_s in minutes(4 * DAY_S),
        needed_s in 0_i64..3 * HOUR_S,
    ) {
        // Around the change of October 2026. All edges lie on whole minutes.
        let base_s = 1_792_699_980;
        let specs: Vec<RepeatedScheduleSpec> = specs
            .into_iter()
            .map(|spec| {
                let duration_seconds = spec.duration_seconds.div_ceil(60) * 60;
                RepeatedScheduleSpec { duration_seconds, ..spec }
            })
            .collect();
        let lone = single(base_s + lone.0, Some(base_s + lone.0 + lone.1));
        let closed: Vec<BlackoutSpec> = closed
            .iter()
            .map(|(from, length, yearly)| BlackoutSpec {
                name: "closed".into(),
                from: WallTime::from_seconds(base_s + from),
                to: WallTime::from_seconds(base_s + from + length),
                yearly: *yearly,
                zone: ScheduleZone::Utc,
            })
            .collect();
        let mut schedules = vec![(id("single"), Schedule::Single(&lone))];
        schedules.extend(specs.iter().map(|spec| (id("a"), Schedule::Repeated(spec))));
        let closings: Vec<_> = closed.iter().map(|spec| (id("b"), spec)).collect();
        let windows = Windows::new(&schedules, &closings, None);

        let usable = |at_s: i64| {
            let now = WallTime::from_seconds(at_s);
            windows.is_open_at(now) && !closed.iter().any(|b| b.from <= now && now < b.to)
        };
        let at_s = base_s + at_s;
        let at = WallTime::from_seconds(at_s);
        prop_assert_eq!(windows.usable_at(at).is_some(), usable(at_s));
        if let Some(piece) = windows.usable_at(at) {
            for edge in [Some(piece.start), piece.end].into_iter().flatten() {
                // Within what the walk of seconds can reach.
                if edge.since_ms(at).abs() < 3 * DAY_S * 1000 {
                    prop_assert!(usable(edge.as_seconds()) != usable(edge.as_seconds() - 1));
                }
            }
        }
        if let Some(next) = windows.next_usable(at, needed_s.unsigned_abs() * 1000) {
            let from = next.start.max(at);
            prop_assert!(usable(from.as_seconds()));
            prop_assert!(next.end.is_none_or(|end| end.since_ms(from) >= needed_s * 1000));
            // No piece before it is long enough.
            let mut run_s = 0;
            for s in (at_s..from.as_seconds().min(at_s + 4 * DAY_S)).step_by(60) {
                run_s = if usable(s) { run_s + 60 } else { 0 };
                prop_assert!(run_s == 0 || run_s < needed_s, "long enough at {}", s);
            }
        }
    }

    #[test]
    fn occurrences_are_in_order_and_complete(
        specs in prop::collection::vec(schedule("America/New_York"), 1..4),
        at_s in 1_700_000_000_i64..1_800_000_000,
    ) {
        let ids: Vec<ResourceId> = (0..specs.len()).map(|n| id(&format!("s{n}"))).collect();
        let schedules: Vec<_> =
            ids.iter().cloned().zip(specs.iter().map(Schedule::Repeated)).collect();
        let windows = Windows::new(&schedules, &[], None);
        let (from, to) = (WallTime::from_seconds(at_s), WallTime::from_seconds(at_s + 2 * DAY_S));
        let ours: Vec<Occurrence> = windows.occurrences(from, to).collect();
        prop_assert!(ours.is_sorted_by_key(|o| (o.start, o.schedule.clone())));
        let mut counts: BTreeMap<&ResourceId, usize> = ids.iter().map(|id| (id, 0)).collect();
        for occurrence in &ours {
            prop_assert!(occurrence.start < to && occurrence.end.unwrap() > from);
            *counts.get_mut(&occurrence.schedule).unwrap() += 1;
        }
        for (id, spec) in ids.iter().zip(&specs) {
            let duration_s = i64::from(spec.duration_seconds);
            let first_s = (at_s - duration_s).div_euclid(60) * 60;
            let starts = walk(spec, &zone_of(spec), first_s, at_s + 2 * DAY_S);
            let open = starts.iter().filter(|s| **s + duration_s > at_s).count();
            prop_assert_eq!(counts[id], open);
        }
    }
}

/// Starts of `30 2 * * *` or another pair of fields in Berlin on the two days of change in 2026.
fn berlin(minutes: &str, hours: &str, from: &str, to: &str) -> Vec<String> {
    let spec = repeated([minutes, hours, "*", "*", "*"], 60, "Europe/Berlin");
    only(&spec).occurrences(at(from), at(to)).map(|o| o.start.to_string()).collect()
}

#[test]
fn q9_a_start_in_the_skipped_hour_opens_at_its_end() {
    let day = ("2026-03-29T00:30:00Z", "2026-03-29T02:00:00Z");
    assert_eq!(berlin("30", "2", day.0, day.1), ["2026-03-29T01:00:00Z"]);
    assert_eq!(
        berlin("0,30", "2,3", day.0, day.1),
        ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
    );
}

#[test]
fn q9_a_start_in_the_doubled_hour_opens_at_the_first_occurrence_and_a_star_hour_at_both() {
    let day = ("2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
    assert_eq!(berlin("30", "2", day.0, day.1), ["2026-10-25T00:30:00Z"]);
    assert_eq!(berlin("30", "*", day.0, day.1), ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]);
}

#[test]
fn q9_length_is_elapsed_time() {
    let spec = repeated(["0", "1", "*", "*", "*"], 7200, "Europe/Berlin");
    let open = only(&spec).usable_at(at("2026-03-29T00:30:00Z")).unwrap();
    assert_eq!(open.end, Some(at("2026-03-29T02:00:00Z")));
}

#[test]
fn a_day_that_a_zone_skipped_opens_at_its_end() {
    let spec = repeated(["0", "12", "30", "12", "*"], 3600, "Pacific/Apia");
    let next = only(&spec).next_start(at("2011-12-29T00:00:00Z"));
    assert_eq!(next, Some(at("2011-12-30T10:00:00Z")));
}

#[test]
fn a_yearly_blackout_repeats_in_its_zone_and_over_new_year() {
    let spec = repeated(["0", "*", "*", "*", "*"], 3600, "UTC");
    let xmas = blackout("2026-12-18T23:00:00Z", "2027-01-06T23:00:00Z", true, "Europe/Berlin");
    let windows = Windows::new(&[(id("a"), Schedule::Repeated(&spec))], &[(id("x"), &xmas)], None);
    let first = windows.usable_at(at("2026-11-01T00:00:00Z")).unwrap();
    assert_eq!((first.start, first.end), (WallTime::MIN, Some(at("2026-12-18T23:00:00Z"))));
    for closed in ["2027-01-06T22:59:59Z", "2030-12-18T23:00:00Z", "2031-01-01T00:00:00Z"] {
        assert_eq!(windows.usable_at(at(closed)), None, "{closed}");
    }
    let later = windows.next_usable(at("2030-12-24T00:00:00Z"), 3_600_000).unwrap();
    assert_eq!(later.start, at("2031-01-06T23:00:00Z"));
    assert_eq!(later.end, Some(at("2031-12-18T23:00:00Z")));
}

#[test]
fn a_leap_day_blackout_leaves_common_years_alone() {
    let spec = repeated(["0", "*", "*", "*", "*"], 3600, "UTC");
    let leap = blackout("2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z", true, "UTC");
    let windows = Windows::new(&[(id("a"), Schedule::Repeated(&spec))], &[(id("x"), &leap)], None);
    assert!(windows.usable_at(at("2030-02-28T12:00:00Z")).is_some());
    assert!(windows.usable_at(at("2032-02-29T12:00:00Z")).is_none());
    let piece = windows.usable_at(at("2029-01-01T00:00:00Z")).unwrap();
    assert_eq!(
        (piece.start, piece.end),
        (at("2028-03-01T00:00:00Z"), Some(at("2032-02-29T00:00:00Z")))
    );
}

#[test]
fn i6_what_cannot_be_followed_opens_nothing_and_closes_for_good() {
    let spec = repeated(["0", "*", "*", "*", "*"], 3600, "Europe/Atlantis");
    let windows = only(&spec);
    assert_eq!(windows.next_start(WallTime::EPOCH), None);
    assert!(windows.problems()[0].message.contains("Europe/Atlantis"), "{:?}", windows.problems());

    let good = repeated(["0", "*", "*", "*", "*"], 3600, "UTC");
    let closed = blackout("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", true, "Europe/Atlantis");
    let windows =
        Windows::new(&[(id("a"), Schedule::Repeated(&good))], &[(id("x"), &closed)], None);
    assert_eq!(windows.usable_at(at("2026-06-01T00:00:00Z")), None);
    assert_eq!(windows.next_usable(at("2026-06-01T00:00:00Z"), 0), None);
}

#[test]
fn only_update_and_maintenance_schedules_open() {
    for (status, opens) in [
        (ScheduleStatus::Unspecified, false),
        (ScheduleStatus::Maintenance, true),
        (ScheduleStatus::Shipping, false),
        (ScheduleStatus::OsUpdate, true),
        (ScheduleStatus::FirmwareUpdate, false),
        (ScheduleStatus::ClusterUpdate, false),
    ] {
        let spec = SingleScheduleSpec { schedule_status: status, ..single(1000, None) };
        let windows = Windows::new(&[(id("a"), Schedule::Single(&spec))], &[], None);
        assert_eq!(windows.is_open_at(WallTime::from_seconds(1000)), opens, "{status:?}");
    }
}

#[test]
fn the_site_zone_is_utc_where_the_site_names_none() {
    let spec = repeated(["0", "2", "*", "*", "*"], 3600, "site");
    let schedules = [(id("a"), Schedule::Repeated(&spec))];
    let next = |zone| Windows::new(&schedules, &[], zone).next_start(at("2026-06-01T00:00:00Z"));
    assert_eq!(next(None), Some(at("2026-06-01T02:00:00Z")));
    assert_eq!(next(Some("Asia/Tokyo")), Some(at("2026-06-01T17:00:00Z")));
}

#[test]
fn a_schedule_that_never_matches_ends_its_search() {
    let spec = repeated(["0", "0", "31", "4,6,9,11", "*"], 3600, "Europe/Berlin");
    assert_eq!(only(&spec).next_start(at("2026-06-01T00:00:00Z")), None);
    assert_eq!(only(&spec).next_start(WallTime::MAX), None);
    assert_eq!(only(&spec).next_start(WallTime::MIN), None);
    assert_eq!(only(&spec).next_usable(WallTime::MAX, 0), None);
}
