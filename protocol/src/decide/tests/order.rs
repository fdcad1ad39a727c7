//! Which policy a host follows (RULES Q10, C3, S6, S7).

use serde_json::{Value, json};

use super::fleet::*;
use crate::decide::{Decision, Gate, Verdict};
use crate::resource::{Kind, OsType};
use crate::time::Now;
use crate::trust::{Line, State};

const POLICY: Kind = Kind::OsUpdatePolicy;

fn named(name: &str) -> Value {
    with(latest(), "name", json!(name))
}

/// The name of the policy that is followed.
fn followed(decision: &Decision) -> String {
    let answer = decision.gates.iter().find(|answer| answer.gate == Gate::Policy).unwrap();
    assert!(answer.pass, "{answer:?}");
    answer.evidence[0].1.split(' ').next().unwrap().to_owned()
}

fn in_order() -> [(&'static str, Value); 7] {
    [
        ("hosts", json!({ "hosts": [HOST] })),
        ("site-labels", json!({ "site": "site-a", "labels": { "line": "3" } })),
        ("site", json!({ "site": "site-a" })),
        ("region-labels", json!({ "region": "region-a", "labels": { "line": "3" } })),
        ("region", json!({ "region": "region-a" })),
        ("labels", json!({ "labels": { "line": "3" } })),
        ("all", json!({ "all": true })),
    ]
}

#[test]
fn q10_the_nearest_policy_is_followed_and_then_the_next() {
    let mut fleet = Fleet::ready();
    fleet.forget(POLICY, "policy");
    for (name, target) in in_order() {
        fleet.put(POLICY, name, target, named(name));
    }
    for (name, _) in in_order() {
        assert_eq!(followed(&fleet.decide()), name);
        fleet.forget(POLICY, name);
    }
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Nothing, "no-policy"));
}

#[test]
fn q10_priority_then_conflict() {
    let mut fleet = Fleet::ready();
    fleet.put(POLICY, "a", json!({ "site": "site-a" }), with(named("a"), "priority", json!(5)));
    assert_eq!(followed(&fleet.decide()), "a");
    fleet.put(POLICY, "b", json!({ "site": "site-a" }), with(named("b"), "priority", json!(5)));
    assert_eq!(&*fleet.decide().reason, "policy-conflict");
    fleet.put(POLICY, "c", json!({ "hosts": [HOST] }), named("c"));
    assert_eq!(followed(&fleet.decide()), "c", "a nearer one settles it");
}

#[test]
fn c3_an_unknown_policy_keeps_its_place() {
    for (name, target) in in_order() {
        let mut fleet = Fleet::ready();
        fleet.forget(POLICY, "policy");
        fleet.put(POLICY, "unknown", target, named("unknown"));
        fleet.make_unknown(POLICY, "unknown");
        fleet.put(POLICY, "wide", json!({ "all": true }), named("wide"));
        let decision = fleet.decide();
        assert_eq!(
            (decision.verdict, &*decision.reason),
            (Verdict::Wait, "policy-unknown"),
            "{name}"
        );
        if name != "hosts" {
            fleet.put(POLICY, "near", json!({ "hosts": [HOST] }), named("near"));
            assert_eq!(followed(&fleet.decide()), "near", "one above {name} still updates");
        }
    }
}

#[test]
fn c3_any_held_version_of_an_unknown_policy_keeps_its_place() {
    let mut fleet = Fleet::ready();
    fleet.forget(POLICY, "policy");
    fleet.put(POLICY, "unknown", json!({ "site": "site-a" }), named("unknown"));
    fleet.supersede(POLICY, "unknown", json!({ "site": "site-b" }), named("unknown"));
    fleet.put(POLICY, "wide", json!({ "all": true }), named("wide"));
    assert_eq!(followed(&fleet.decide()), "wide", "its newest version is for others");
    fleet.make_unknown(POLICY, "unknown");
    assert_eq!(&*fleet.decide().reason, "policy-unknown");
}

#[test]
fn i6_a_policy_of_which_only_a_floor_is_left_comes_first() {
    let mut fleet = Fleet::ready();
    let state = State::Unknown("version 2 is not held".into());
    fleet.standing.lines.insert((POLICY, id("lost")), Line { state, versions: Vec::new() });
    assert_eq!(&*fleet.decide().reason, "policy-unknown");
}

#[test]
fn s6_an_ended_policy_is_no_candidate_and_does_not_return() {
    let mut fleet = Fleet::ready();
    fleet.put(POLICY, "wide", json!({ "all": true }), named("wide"));
    fleet.supersede(POLICY, "policy", json!({ "site": "site-a" }), named("policy")).until =
        Some(at("2026-06-16T02:29:00Z"));
    assert_eq!(followed(&fleet.decide()), "wide");
    fleet.forget(POLICY, "wide");
    assert_eq!(&*fleet.decide().reason, "no-policy");
}

#[test]
fn s6_between_the_two_ends_of_now_it_waits() {
    let mut fleet = Fleet::ready();
    fleet.newest(POLICY, "policy").until = Some(at(NOW));
    fleet.put(POLICY, "wide", json!({ "all": true }), named("wide"));
    let decision = fleet.decide_at(&Now::reading(at(NOW), 60_000));
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "policy-unsure"));
    assert_eq!(decision.next_look, Some(at("2026-06-16T02:31:00Z")));
}

#[test]
fn s7_a_policy_from_the_future_is_held() {
    let mut fleet = Fleet::ready();
    fleet.newest(POLICY, "policy").issued = at("2026-06-17T02:30:00Z");
    assert_eq!(followed(&fleet.decide()), "latest", "a day ahead is borne");
    fleet.newest(POLICY, "policy").issued = at("2026-06-17T02:30:01Z");
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "policy-held"));
    assert_eq!(decision.next_look, Some(at("2026-06-16T02:30:01Z")));
}

#[test]
fn q10_a_misfit_is_no_candidate() {
    let mut fleet = Fleet::ready();
    let packages = json!({ "name": "p", "updatePolicy": "TARGET", "updatePackages": "curl" });
    fleet.put(POLICY, "packages", json!({ "hosts": [HOST] }), packages);
    assert_eq!(followed(&fleet.decide()), "latest");
    fleet.forget(POLICY, "policy");
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "policy-kind-mismatch"));
    fleet.machine.os_type = OsType::Mutable;
    assert_eq!(followed(&fleet.decide()), "p");
}

#[test]
fn q10_the_os_profile_filters_and_does_not_rank() {
    let mut fleet = Fleet::ready();
    let target = |profile: &str| json!({ "hosts": [HOST], "osProfile": profile });
    fleet.put(POLICY, "other", target("ubuntu"), named("other"));
    assert_eq!(followed(&fleet.decide()), "latest");
    fleet.put(POLICY, "own", target("microvisor"), named("own"));
    assert_eq!(followed(&fleet.decide()), "own");
    fleet.machine.installed = None;
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "installed-unknown"));
}

#[test]
fn a_policy_without_a_target_reaches_nobody() {
    let mut fleet = Fleet::ready();
    fleet.put(POLICY, "policy", json!({}), latest());
    assert_eq!(&*fleet.decide().reason, "no-policy");
}

#[test]
fn s4_a_policy_reaches_no_further_than_its_scope() {
    let mut fleet = Fleet::ready();
    fleet.put(POLICY, "policy", json!({ "all": true }), latest()).scope =
        crate::resource::Scope::Site(id("site-b"));
    assert_eq!(&*fleet.decide().reason, "no-policy");
}

#[test]
fn an_unreadable_policy_is_unknown() {
    let mut fleet = Fleet::ready();
    fleet.newest(POLICY, "policy").spec = Err("schema 2".into());
    assert_eq!(&*fleet.decide().reason, "policy-unknown");
}
