//! Emergencies: they pass windows, not halts, and blackouts only if they say so (RULES S6, I2).

use serde_json::{Value, json};

use super::fleet::*;
use crate::decide::{Decision, Gate, Verdict};
use crate::resource::Kind;
use crate::time::Now;

const NOON: &str = "2026-06-16T12:00:00Z";

/// The nightly window is far; an emergency begins at ten and lasts two days.
fn emergency(target: Value, spec: Value) -> Fleet {
    let mut fleet = Fleet::ready();
    let version = fleet.put(Kind::Emergency, "e", target, spec);
    version.issued = at("2026-06-16T10:00:00Z");
    version.until = Some(at("2026-06-18T10:00:00Z"));
    version.reason = "CVE-2026-1234".into();
    fleet
}

fn for_all() -> Fleet {
    emergency(json!({ "all": true }), json!({ "name": "cve" }))
}

fn decided(fleet: &Fleet, when: &str) -> Decision {
    fleet.decide_at(&Now::reading(at(when), 0))
}

fn reason(fleet: &Fleet, when: &str) -> String {
    decided(fleet, when).reason.to_string()
}

#[test]
fn s6_an_emergency_passes_windows_from_its_issue_to_its_end() {
    let fleet = for_all();
    assert_eq!(reason(&Fleet::ready(), NOON), "outside-window");
    for (when, verdict, word) in [
        ("2026-06-16T09:59:59Z", Verdict::Wait, "outside-window"),
        ("2026-06-16T10:00:00Z", Verdict::Activate, "emergency"),
        ("2026-06-18T09:54:00Z", Verdict::Activate, "emergency"),
        ("2026-06-18T09:55:01Z", Verdict::Wait, "outside-window"),
        ("2026-06-18T10:00:00Z", Verdict::Wait, "outside-window"),
    ] {
        let decision = decided(&fleet, when);
        assert_eq!((decision.verdict, word_of(&decision)), (verdict, word.to_owned()), "{when}");
    }
    // Within an ordinary window the window is told.
    assert_eq!(word_of(&decided(&fleet, "2026-06-17T02:30:00Z")), "window-open");
}

fn word_of(decision: &Decision) -> String {
    word(decision, Gate::Window)
}

#[test]
fn s6_an_emergency_passes_no_halt_and_no_hold() {
    let mut fleet = for_all();
    fleet.halt(json!({ "all": true }), json!({ "name": "stop" }));
    assert_eq!(reason(&fleet, NOON), "halted");
    let mut fleet = for_all();
    fleet.put(Kind::Hold, "h", json!({ "all": true }), json!({ "name": "pin" }));
    assert_eq!(reason(&fleet, NOON), "held");
}

#[test]
fn s6_an_emergency_passes_blackouts_only_if_it_says_so() {
    let closed = blackout("2026-06-16T11:00:00Z", "2026-06-16T13:00:00Z");
    let mut fleet = for_all();
    fleet.put(Kind::Blackout, "b", json!({ "all": true }), closed.clone());
    assert_eq!(reason(&fleet, NOON), "blackout");
    let after = decided(&fleet, NOON).window.unwrap();
    assert_eq!(after.start, at("2026-06-16T13:00:00Z"), "it goes on after the blackout");
    let spec = json!({ "name": "cve", "passesBlackouts": true });
    let mut fleet = emergency(json!({ "all": true }), spec);
    fleet.put(Kind::Blackout, "b", json!({ "all": true }), closed);
    assert_eq!(decided(&fleet, NOON).verdict, Verdict::Activate);
}

#[test]
fn s4_an_emergency_reaches_no_further_than_its_target() {
    let elsewhere = emergency(json!({ "site": "site-b" }), json!({ "name": "cve" }));
    assert_eq!(reason(&elsewhere, NOON), "outside-window");
    let other_os = json!({ "all": true, "osProfile": "other" });
    assert_eq!(reason(&emergency(other_os, json!({ "name": "cve" })), NOON), "outside-window");
}

#[test]
fn c2_an_unknown_emergency_and_one_without_an_end_pass_nothing() {
    let mut fleet = for_all();
    fleet.make_unknown(Kind::Emergency, "e");
    assert_eq!(reason(&fleet, NOON), "outside-window");
    let mut fleet = for_all();
    fleet.newest(Kind::Emergency, "e").until = None;
    assert_eq!(reason(&fleet, NOON), "outside-window");
    let mut fleet = for_all();
    fleet.newest(Kind::Emergency, "e").gone = true;
    assert_eq!(reason(&fleet, NOON), "outside-window");
}

#[test]
fn q7_hosts_spread_their_start_in_an_emergency_too() {
    let mut fleet = for_all();
    let spread = with(latest(), "spreadSeconds", json!(3600));
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "site": "site-a" }), spread);
    let start = decided(&fleet, NOON).start_at.unwrap();
    assert!(start >= at("2026-06-16T10:00:00Z") && start < at("2026-06-16T11:00:00Z"));
    let early = decided(&fleet, "2026-06-16T10:00:00Z");
    assert_eq!(early.start_at, Some(start));
    let waits = start > at("2026-06-16T10:00:00Z");
    assert_eq!(early.verdict == Verdict::Wait, waits);
}

#[test]
fn q6_an_emergency_must_hold_over_the_whole_width_of_now() {
    let fleet = for_all();
    let wide = Now::reading(at("2026-06-16T10:00:30Z"), 60_000);
    assert_ne!(fleet.decide_at(&wide).verdict, Verdict::Activate);
}
