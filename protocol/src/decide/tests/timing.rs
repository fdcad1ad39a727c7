//! Windows, turns and staging (RULES Q6 to Q8).

use serde_json::{Value, json};

use super::fleet::*;
use crate::decide::{Decision, Gate, Reach, Verdict, World, decide};
use crate::id::{KeyId, ResourceId};
use crate::resource::{Kind, Target};
use crate::time::{Now, WallTime};

fn decide_when(fleet: &Fleet, when: &str) -> Decision {
    fleet.decide_at(&Now::reading(at(when), 0))
}

fn single(from: &str, to: Option<&str>) -> Value {
    json!({
        "name": "once", "scheduleStatus": "SCHEDULE_STATUS_OS_UPDATE",
        "startSeconds": at(from).as_seconds(), "endSeconds": to.map(|to| at(to).as_seconds()),
    })
}

/// The nightly window gives way to a single one.
fn once(from: &str, to: Option<&str>) -> Fleet {
    let mut fleet = Fleet::ready();
    fleet.forget(Kind::RepeatedSchedule, "nightly");
    fleet.put(Kind::SingleSchedule, "once", json!({ "all": true }), single(from, to));
    fleet
}

#[test]
fn a_running_window_is_joined_while_enough_is_left() {
    let mut fleet = Fleet::ready();
    fleet.machine.activation_ms = Some(600_000);
    for (when, verdict, reason) in [
        ("2026-06-16T01:59:59.999Z", Verdict::Wait, "outside-window"),
        ("2026-06-16T02:00:00Z", Verdict::Activate, "staged-and-open"),
        ("2026-06-16T03:50:00Z", Verdict::Activate, "staged-and-open"),
        ("2026-06-16T03:50:00.001Z", Verdict::Wait, "too-little-left"),
        ("2026-06-16T04:00:00Z", Verdict::Wait, "outside-window"),
    ] {
        let decision = decide_when(&fleet, when);
        assert_eq!((decision.verdict, &*decision.reason), (verdict, reason), "{when}");
    }
    let next = decide_when(&fleet, "2026-06-16T03:55:00Z").window.unwrap();
    assert_eq!(next.start, at("2026-06-17T02:00:00Z"));
}

#[test]
fn q8_a_blackout_ends_what_is_left() {
    let mut fleet = Fleet::ready();
    let spec = blackout("2026-06-16T03:00:00Z", "2026-06-16T03:30:00Z");
    fleet.put(Kind::Blackout, "b", json!({ "all": true }), spec);
    fleet.machine.activation_ms = Some(1_800_000);
    let decision = fleet.decide();
    assert_eq!(decision.verdict, Verdict::Activate);
    assert_eq!(decision.window.unwrap().end, Some(at("2026-06-16T03:00:00Z")));
    fleet.machine.activation_ms = Some(1_800_001);
    let decision = fleet.decide();
    assert_eq!(&*decision.reason, "too-little-left");
    let next = decision.window.unwrap();
    assert_eq!(next.start, at("2026-06-17T02:00:00Z"), "the rest after it is too short too");
    assert_eq!(&*decide_when(&fleet, "2026-06-16T03:10:00Z").reason, "blackout");
}

#[test]
fn q8_needed_is_measured_else_the_profiles_else_five_minutes() {
    let mut fleet = once("2026-06-16T02:00:00Z", Some("2026-06-16T02:40:00Z"));
    let reason = |fleet: &Fleet, when: &str| decide_when(fleet, when).reason.to_string();
    assert_eq!(reason(&fleet, "2026-06-16T02:35:00Z"), "staged-and-open");
    assert_eq!(reason(&fleet, "2026-06-16T02:35:01Z"), "too-little-left");
    let spec = with(profile_spec("microvisor", SECOND), "activationSeconds", json!(60));
    let digest = fleet.digest_of(Kind::OsProfile, "os-2");
    fleet.put(Kind::OsProfile, "os-2", json!(null), spec).digest = digest;
    assert_eq!(reason(&fleet, "2026-06-16T02:39:00Z"), "staged-and-open");
    fleet.machine.activation_ms = Some(120_000);
    assert_eq!(reason(&fleet, "2026-06-16T02:39:00Z"), "too-little-left");
}

#[test]
fn q6_a_window_must_be_open_over_the_whole_width_of_now() {
    let fleet = Fleet::ready();
    let reason = |when: &str| fleet.decide_at(&Now::reading(at(when), 60_000)).reason.to_string();
    assert_eq!(reason("2026-06-16T02:00:59Z"), "window-unsure");
    assert_eq!(reason("2026-06-16T02:01:00Z"), "staged-and-open");
    assert_eq!(reason("2026-06-16T03:54:00Z"), "staged-and-open");
    assert_eq!(reason("2026-06-16T03:54:01Z"), "too-little-left");
    let mut fleet = Fleet::ready();
    // Closed for an instant in the middle of now: both ends are open, what lies between is not.
    let spec = blackout("2026-06-16T02:30:00Z", "2026-06-16T02:30:01Z");
    fleet.put(Kind::Blackout, "b", json!({ "all": true }), spec);
    assert_eq!(fleet.decide_at(&Now::reading(at(NOW), 60_000)).verdict, Verdict::Wait);
}

#[test]
fn q7_hosts_spread_over_the_window_and_each_starts_at_the_same_offset() {
    let mut fleet = Fleet::ready();
    let spec = with(latest(), "spreadSeconds", json!(3600));
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "all": true }), spec);
    let begin = at("2026-06-16T02:00:00Z");
    let line = fleet.line(Kind::Host, &HOST.to_string()).clone();
    let mut quarters = [0_u32; 4];
    for number in 0..200_u8 {
        let key = KeyId([number; 32]);
        fleet.standing.lines.insert((Kind::Host, ResourceId::from(key)), line.clone());
        let reach = Reach::new(&fleet.standing, key);
        let world = World { reach: &reach, machine: &fleet.machine };
        let start = decide(&world, &Now::reading(begin, 0)).start_at.unwrap();
        let offset_ms = start.since_ms(begin);
        assert!((0..3_600_000).contains(&offset_ms));
        quarters[usize::try_from(offset_ms / 900_000).unwrap()] += 1;
        for (when, verdict) in [(start.plus_ms(-1), Verdict::Wait), (start, Verdict::Activate)] {
            let decision = decide(&world, &Now::reading(when, 0));
            assert_eq!((decision.verdict, decision.start_at), (verdict, Some(start)));
        }
        // Every night at the same offset.
        let next = decide(&world, &Now::reading(begin.plus_ms(86_400_000), 0)).start_at;
        assert_eq!(next, Some(start.plus_ms(86_400_000)));
    }
    assert!(quarters.iter().all(|hosts| (30..=70).contains(hosts)), "{quarters:?}");
}

#[test]
fn q7_the_spread_fits_what_is_usable_and_begins_with_the_policy() {
    // Ten minutes, of which five are needed: the spread of 15 min shrinks to five.
    let mut fleet = once("2026-06-16T02:25:00Z", Some("2026-06-16T02:35:00Z"));
    let spec = json!({ "name": "latest", "updatePolicy": "LATEST" });
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "all": true }), spec);
    let start = decide_when(&fleet, "2026-06-16T02:25:00Z").start_at.unwrap();
    assert!((at("2026-06-16T02:25:00Z")..at("2026-06-16T02:30:00Z")).contains(&start));
    // Issued in mid-window: it spreads from then on.
    let mut fleet = once("2026-06-16T00:00:00Z", None);
    let spec = json!({ "name": "latest", "updatePolicy": "LATEST" });
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "all": true }), spec).issued = at(NOW);
    let decision = fleet.decide();
    let start = decision.start_at.unwrap();
    assert!((at(NOW)..at(NOW).plus_ms(900_000)).contains(&start), "open-ended: the spread alone");
    assert_eq!((&*decision.reason, decision.next_look), ("not-my-turn", Some(start)));
}

#[test]
fn staging_starts_at_most_six_hours_ahead() {
    let mut fleet = Fleet::ready();
    fleet.machine.staged = None;
    let decision = decide_when(&fleet, "2026-06-15T19:59:59Z");
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "outside-window"));
    assert_eq!(decision.next_look, Some(at("2026-06-15T20:00:00Z")));
    assert_eq!(decide_when(&fleet, "2026-06-15T20:00:00Z").verdict, Verdict::Stage);
    let spec = with(latest(), "stageAheadSeconds", json!(60));
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "all": true }), spec);
    assert_eq!(decide_when(&fleet, "2026-06-16T01:58:59Z").verdict, Verdict::Wait);
    assert_eq!(decide_when(&fleet, "2026-06-16T01:59:00Z").verdict, Verdict::Stage);
    fleet.newest(Kind::OsUpdatePolicy, "policy").until = Some(at("2026-06-16T02:00:00Z"));
    assert_eq!(decide_when(&fleet, "2026-06-16T01:59:00Z").verdict, Verdict::Wait);
}

#[test]
fn a_policy_may_name_the_schedules_it_uses() {
    let mut fleet = once("2026-06-16T02:00:00Z", Some("2026-06-16T04:00:00Z"));
    let named = |name: &str| with(latest(), "schedules", json!([name]));
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "all": true }), named("once"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "all": true }), named("weekly"));
    assert_eq!(&*fleet.decide().reason, "no-window");
}

#[test]
fn s6_a_schedule_that_ends_opens_nothing_from_there_on() {
    let mut fleet = Fleet::ready();
    let schedule = fleet.newest(Kind::RepeatedSchedule, "nightly");
    schedule.until = Some(at("2026-06-16T02:40:00Z"));
    let window = fleet.decide().window.unwrap();
    assert_eq!(window.end, Some(at("2026-06-16T02:40:00Z")));
    let decision = decide_when(&fleet, "2026-06-16T02:36:00Z");
    assert_eq!((decision.window, &*decision.reason), (None, "too-little-left"));
    assert_eq!(&*decide_when(&fleet, "2026-06-16T02:40:00Z").reason, "no-window");
    fleet.newest(Kind::RepeatedSchedule, "nightly").until = None;
    fleet.newest(Kind::RepeatedSchedule, "nightly").issued = at("2026-06-18T00:00:00Z");
    assert_eq!(&*fleet.decide().reason, "no-window", "held: issued too far ahead (S7)");
}

#[test]
fn a_schedule_for_another_profile_opens_nothing() {
    let mut fleet = Fleet::ready();
    let target =
        |profile: &str| Some(Target { os_profile: Some(profile.into()), ..Target::default() });
    fleet.newest(Kind::RepeatedSchedule, "nightly").target = target("ubuntu");
    assert_eq!(&*fleet.decide().reason, "no-window");
    fleet.newest(Kind::RepeatedSchedule, "nightly").target = target("microvisor");
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
}

#[test]
fn next_look_finds_every_change_by_time_alone() {
    let mut fleet = Fleet::ready();
    fleet.machine.staged = None;
    let spec = blackout("2026-06-16T03:00:00Z", "2026-06-16T03:20:00Z");
    fleet.put(Kind::Blackout, "b", json!({ "all": true }), spec);
    fleet.newest(Kind::OsUpdatePolicy, "policy").until = Some(at("2026-06-19T02:30:00Z"));
    fleet.put(Kind::Hold, "h", json!({ "all": true }), json!({ "name": "pin" })).until =
        Some(at("2026-06-17T02:10:00Z"));
    let extra = single("2026-06-17T10:00:00Z", Some("2026-06-18T11:00:00Z"));
    fleet.put(Kind::SingleSchedule, "extra", json!({ "all": true }), extra).issued =
        at("2026-06-18T10:30:00Z");
    let judged = |when: WallTime| {
        let decision = fleet.decide_at(&Now::reading(when, 0));
        let words: Vec<(Gate, bool, String)> = decision
            .gates
            .iter()
            .map(|answer| (answer.gate, answer.pass, answer.reason.to_string()))
            .collect();
        (words, decision.verdict, decision.next_look)
    };
    // From look to look no answer may change; every minute is tried.
    let (mut when, end) = (at("2026-06-15T12:00:00Z"), at("2026-06-19T06:00:00Z"));
    let mut looked = judged(when);
    while when < end {
        when = when.plus_ms(60_000);
        if looked.2.is_none_or(|next| when < next) {
            let between = judged(when);
            assert_eq!((&between.0, between.1), (&looked.0, looked.1), "at {when}");
        } else {
            looked = judged(when);
        }
    }
}
