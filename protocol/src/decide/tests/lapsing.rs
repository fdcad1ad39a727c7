//! Delegations and tokens end: what their keys opened waits, what they closed stays closed
//! (RULES R7, S9, C3, I6).

use serde_json::json;

use super::fleet::*;
use crate::decide::{Gate, Verdict};
use crate::resource::Kind;
use crate::time::Now;

/// Over since yesterday.
const OVER: &str = "2026-06-15T00:00:00Z";

fn lapsed(fleet: &mut Fleet, kind: Kind, name: &str) {
    fleet.newest(kind, name).signers_until = Some(at(OVER));
}

#[test]
fn r7_a_policy_of_a_delegation_that_is_over_keeps_its_place_and_waits() {
    let mut fleet = Fleet::ready();
    fleet.put(Kind::OsUpdatePolicy, "wide", json!({ "all": true }), latest());
    fleet.newest(Kind::OsUpdatePolicy, "policy").signers_until = Some(at("2026-06-17T00:00:00Z"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "it is not over yet");
    lapsed(&mut fleet, Kind::OsUpdatePolicy, "policy");
    assert_eq!(&*fleet.decide().reason, "policy-lapsed");
}

#[test]
fn r7_promotions_profiles_and_schedules_of_a_delegation_that_is_over_open_nothing() {
    let mut fleet = Fleet::ready();
    lapsed(&mut fleet, Kind::Promotion, "promotion-2");
    assert_eq!(word(&fleet.decide(), Gate::Target), "promotion-lapsed");
    let mut fleet = Fleet::ready();
    lapsed(&mut fleet, Kind::OsProfile, "os-2");
    assert_eq!(fleet.decide().verdict, Verdict::Wait);
    let mut fleet = Fleet::ready();
    lapsed(&mut fleet, Kind::RepeatedSchedule, "nightly");
    assert_eq!(&*fleet.decide().reason, "no-window");
}

#[test]
fn s9_a_host_whose_token_is_over_waits_to_be_countersigned() {
    let mut fleet = Fleet::ready();
    let host = HOST.to_string();
    lapsed(&mut fleet, Kind::Host, &host);
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "host-lapsed"));
    assert!(decision.message.contains("countersigned"));
}

#[test]
fn i6_what_a_delegation_closed_stays_closed_when_it_is_over() {
    let mut fleet = Fleet::ready();
    fleet.put(Kind::Hold, "h", json!({ "all": true }), json!({ "name": "pin" }));
    lapsed(&mut fleet, Kind::Hold, "h");
    assert_eq!(&*fleet.decide().reason, "held");
    // And what it ended closes again.
    let mut fleet = Fleet::ready();
    fleet.put(Kind::Hold, "h", json!({ "all": true }), json!({ "name": "pin" }));
    let gone = fleet.supersede(Kind::Hold, "h", json!(null), json!(null));
    gone.signers_until = Some(at("2026-06-17T00:00:00Z"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
    lapsed(&mut fleet, Kind::Hold, "h");
    assert_eq!(&*fleet.decide().reason, "held");
}

#[test]
fn c4_a_halt_that_a_delegate_lifted_stands_again_when_the_delegation_is_over() {
    let mut fleet = Fleet::ready();
    fleet.halt(json!({ "all": true }), json!({ "name": "stop" })).lifted_until =
        Some(at("2026-06-17T00:00:00Z"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
    fleet.standing.halts[0].lifted_until = Some(at(NOW));
    assert_eq!(&*fleet.decide().reason, "halted");
}

#[test]
fn k2_without_a_clock_nobody_can_say_that_an_enrolment_has_lapsed() {
    let mut fleet = Fleet::ready();
    let host = HOST.to_string();
    let host = fleet.newest(Kind::Host, &host);
    (host.signers_until, host.until) = (Some(at("2026-09-01T00:00:00Z")), None);
    let root_ends = at("2030-01-01T00:00:00Z");
    let unknown = |from: &str| Now { earliest: at(from), latest: root_ends, known: false };
    let decision = fleet.decide_at(&unknown("2026-06-01T00:00:00Z"));
    assert_eq!(word(&decision, Gate::Enrolled), "enrolled");
    assert_eq!((&*decision.reason, decision.verdict), ("clock-unknown", Verdict::Wait));
    let decision = fleet.decide_at(&unknown("2026-09-01T00:00:00Z"));
    assert_eq!(word(&decision, Gate::Enrolled), "host-lapsed", "that much is certain");
}
