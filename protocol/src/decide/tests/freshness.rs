//! Heartbeats: how old the newest word of the fleet may be, and what it names (RULES K1, S5).

use super::fleet::*;
use crate::decide::{Gate, Verdict};
use crate::id::FleetId;
use crate::resource::Scope;
use crate::time::Now;
use crate::trust::{Freshness, Heartbeat, Seen};

fn fleet(freshness: Freshness) -> Fleet {
    let mut fleet = Fleet::ready();
    let root = fleet.standing.root.as_mut().unwrap();
    (root.freshness, root.issued) = (freshness, at("2026-06-10T02:30:00Z"));
    fleet
}

fn beat(fleet: &mut Fleet, scope: Scope, when: &str, newest: Vec<Seen>) {
    let beat = Heartbeat { fleet: FleetId([1; 32]), scope: scope.clone(), time: at(when), newest };
    fleet.standing.heartbeats.insert(scope, beat);
}

const DAY: u32 = 86_400;

fn after_days(alarm: Option<u32>, stop: Option<u32>) -> Freshness {
    let seconds = |days: Option<u32>| days.map(|days| days * DAY);
    Freshness { alarm_seconds: seconds(alarm), stop_seconds: seconds(stop) }
}

#[test]
fn k1_nothing_starts_past_the_age_that_the_root_sets_and_an_alarm_comes_first() {
    assert_eq!(fleet(Freshness::default()).decide().verdict, Verdict::Activate, "off by default");
    // The root itself is a word of the day on which it was written, six days ago.
    assert_eq!(fleet(after_days(None, Some(7))).decide().verdict, Verdict::Activate);
    let mut stale = fleet(after_days(Some(3), Some(6)));
    assert_eq!(word(&stale.decide(), Gate::Authority), "not-fresh");
    assert_eq!(stale.decide().verdict, Verdict::Wait);
    beat(&mut stale, Scope::Fleet, "2026-06-12T02:30:00Z", vec![]);
    let decision = stale.decide();
    assert_eq!(decision.verdict, Verdict::Activate);
    let answer = decision.gates.iter().find(|answer| answer.gate == Gate::Authority).unwrap();
    assert!(answer.evidence.iter().any(|fact| fact.0 == "stale"), "{answer:?}");
    assert_eq!(answer.changes_at, Some(at("2026-06-18T02:30:00Z")));
    beat(&mut stale, Scope::Fleet, "2026-06-16T02:00:00Z", vec![]);
    let decision = stale.decide();
    let answer = decision.gates.iter().find(|answer| answer.gate == Gate::Authority).unwrap();
    assert!(!answer.evidence.iter().any(|fact| fact.0 == "stale"));
}

#[test]
fn k1_a_heartbeat_of_another_site_says_nothing_here() {
    let mut stale = fleet(after_days(None, Some(6)));
    beat(&mut stale, Scope::Site(id("site-b")), NOW, vec![]);
    assert_eq!(word(&stale.decide(), Gate::Authority), "not-fresh");
    beat(&mut stale, Scope::Region(id("region-a")), NOW, vec![]);
    assert_eq!(stale.decide().verdict, Verdict::Activate);
}

#[test]
fn q6_the_age_counts_to_the_latest_possible_now() {
    let stale = fleet(after_days(None, Some(6)));
    let just = Now::reading(at("2026-06-16T02:29:30Z"), 60_000);
    assert_eq!(word(&stale.decide_at(&just), Gate::Authority), "not-fresh");
}

#[test]
fn s10_what_a_heartbeat_names_and_is_missing_here_is_waited_for() {
    let mut fleet = fleet(Freshness::default());
    let policy = |version| Seen(Scope::Fleet, "OsUpdatePolicy".into(), id("policy"), version);
    beat(&mut fleet, Scope::Fleet, NOW, vec![policy(1)]);
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
    beat(&mut fleet, Scope::Fleet, NOW, vec![policy(2)]);
    assert_eq!(word(&fleet.decide(), Gate::Sees), "missing");
    assert_eq!(fleet.decide().verdict, Verdict::Wait);
}
