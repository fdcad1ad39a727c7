//! Each gate alone holds the host back, and its cure releases it.

use serde_json::json;
use std::sync::Arc;

use super::fleet::*;
use crate::decide::{Activity, Gate, PlatformKind, Quarantined, Verdict};
use crate::resource::{Kind, Scope};
use crate::time::Now;
use crate::trust::{Seen, UnknownKindLine};

/// A gate, the word it answers with, and what breaks it in a fleet that is ready.
type Case = (Gate, &'static str, fn(&mut Fleet));

const CASES: &[Case] = &[
    (Gate::Enrolled, "not-provisioned", |f| f.forget(Kind::Host, &HOST.to_string())),
    (Gate::Enrolled, "host-untrusted", |f| {
        // Where it last was, so that its policy and window still reach it.
        let host = HOST.to_string();
        f.make_unknown(Kind::Host, &host);
    }),
    (Gate::Enrolled, "place-unknown", |f| f.forget(Kind::Region, "region-a")),
    (Gate::Enrolled, "place-unknown", |f| {
        let spec = json!({ "name": "a", "parent": "region-a" });
        f.supersede(Kind::Region, "region-a", json!(null), spec);
    }),
    (Gate::Enrolled, "host-untrusted", |f| {
        f.newest(Kind::Host, &HOST.to_string()).until = Some(at(NOW));
    }),
    (Gate::Authority, "root-expired", |f| {
        f.standing.root.as_mut().unwrap().expires = at(NOW);
    }),
    (Gate::Halted, "halted", |f| {
        f.halt(json!({ "all": true }), json!({ "name": "stop" }));
    }),
    (Gate::Halted, "held", |f| {
        f.put(Kind::Hold, "hold", json!({ "labels": { "line": "3" } }), json!({ "name": "pin" }));
    }),
    (Gate::Halted, "unknown-closing", |f| {
        let version = version(Kind::Hold, 1, json!({ "all": true }), json!({ "name": "x" }));
        let line = UnknownKindLine {
            kind: "Freeze".into(),
            id: id("f"),
            closes: true,
            version: Arc::new(version),
        };
        f.standing.unknown_kinds.push(line);
    }),
    (Gate::Sees, "missing", |f| {
        let scope = Scope::Site(id("site-a"));
        let seen = Seen(scope, "Blackout".into(), id("blackout-1"), 4);
        f.newest(Kind::OsUpdatePolicy, "policy").sees.push(seen);
    }),
    (Gate::Policy, "policy-conflict", |f| {
        f.put(Kind::OsUpdatePolicy, "other", json!({ "site": "site-a" }), latest());
    }),
    (Gate::Target, "target-missing", |f| f.forget(Kind::OsProfile, "os-2")),
    (Gate::Compatible, "architecture-mismatch", |f| f.machine.architecture = "aarch64".into()),
    (Gate::Compatible, "no-backend", |f| f.machine.platform = PlatformKind::None),
    (Gate::Newer, "below-minimum", |f| {
        let spec = with(profile_spec("microvisor", "1.0.0"), "minimumVersion", json!("3.1.0"));
        f.put(Kind::OsProfile, "os-0", json!(null), spec);
    }),
    (Gate::Newer, "installed-unknown", |f| {
        f.machine.installed.as_mut().unwrap().version = None;
    }),
    (Gate::Quarantine, "quarantined", |f| {
        f.machine.quarantine.push(Quarantined {
            profile: crate::id::Digest([5; 32]),
            index_digest: index_of(SECOND),
            attempt: 3,
            reason: "did not boot".into(),
        });
    }),
    (Gate::SoleUpdater, "other-updater", |f| f.machine.other_updaters.push("rauc".into())),
    (Gate::Inhibited, "inhibited", |f| f.machine.inhibitors.push("backup runs".into())),
    (Gate::Turn, "not-my-turn", |f| {
        let spec = with(latest(), "spreadSeconds", json!(86_400));
        // The spread begins when the policy does: at most an instant of it is over.
        f.put(Kind::OsUpdatePolicy, "policy", json!({ "site": "site-a" }), spec).issued = at(NOW);
    }),
    (Gate::Window, "blackout", |f| {
        let spec = blackout("2026-06-16T00:00:00Z", "2026-06-17T00:00:00Z");
        f.put(Kind::Blackout, "xmas", json!({ "region": "region-a" }), spec);
    }),
    (Gate::Window, "no-window", |f| f.forget(Kind::RepeatedSchedule, "nightly")),
    (Gate::Window, "too-little-left", |f| f.machine.activation_ms = Some(90 * 60_000 + 1)),
    (Gate::Slot, "slot-busy", |f| f.machine.slot_busy = Some("not confirmed".into())),
];

#[test]
fn all_gates_pass_in_a_fleet_that_is_ready() {
    let decision = Fleet::ready().decide();
    assert_eq!(failing(&decision), [], "{decision:#?}");
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Activate, "staged-and-open"));
    let gates: Vec<Gate> = decision.gates.iter().map(|answer| answer.gate).collect();
    assert_eq!(gates, Gate::ALL, "in evidence order (RULES Q11)");
    assert!(decision.gates.iter().all(|answer| !answer.message.is_empty()));
}

#[test]
fn each_gate_alone_holds_back() {
    for (gate, reason, break_it) in CASES {
        let mut fleet = Fleet::ready();
        break_it(&mut fleet);
        let decision = fleet.decide();
        let context = format!("{gate:?} {reason}: {decision:#?}");
        assert!(decision.gates.iter().map(|answer| answer.gate).is_sorted(), "{context}");
        assert_eq!(word(&decision, *gate), *reason, "{context}");
        assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, *reason), "{context}");
        if *reason != "not-provisioned" {
            assert_eq!(failing(&decision), [*gate], "{context}");
        }
    }
}

#[test]
fn what_is_not_staged_is_staged_first() {
    let mut fleet = Fleet::ready();
    fleet.machine.staged = None;
    let decision = fleet.decide();
    assert_eq!(failing(&decision), [Gate::Staged]);
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Stage, "newer"));
}

#[test]
fn r1_an_expired_root_hides_no_halt() {
    let mut fleet = Fleet::ready();
    fleet.standing.root.as_mut().unwrap().expires = at(NOW);
    fleet.halt(json!({ "all": true }), json!({ "name": "stop" }));
    let decision = fleet.decide();
    assert_eq!(failing(&decision), [Gate::Authority, Gate::Halted]);
    assert_eq!(decision.verdict, Verdict::Wait);
}

#[test]
fn k2_without_a_clock_it_waits_and_times_are_not_judged() {
    let unknown = Now { known: false, ..now() };
    let decision = Fleet::ready().decide_at(&unknown);
    assert_eq!(failing(&decision), [Gate::Clock]);
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "clock-unknown"));
    let absent = [Gate::Turn, Gate::Window].map(|gate| word(&decision, gate));
    assert_eq!(absent, ["", ""]);
}

#[test]
fn r2_without_the_whole_chain_nothing_but_that_is_said() {
    let mut fleet = Fleet::ready();
    fleet.standing.root = None;
    let decision = fleet.decide();
    assert_eq!(failing(&decision), [Gate::Authority]);
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "root-incomplete"));
}

#[test]
fn while_activating_nothing_new_is_decided() {
    let mut fleet = Fleet::ready();
    fleet.machine.activity = Activity::Activating;
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "activating"));
    assert_eq!(failing(&decision), [Gate::Slot]);
}

#[test]
fn a_removed_host_waits_and_is_told_why() {
    let mut fleet = Fleet::ready();
    fleet.supersede(Kind::Host, &HOST.to_string(), json!(null), json!(null));
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "host-untrusted"));
}

/// The wanted image failed here, and a retry names its first three attempts.
fn failed(attempt: u64) -> Fleet {
    let mut fleet = Fleet::ready();
    let profile = fleet.digest_of(Kind::OsProfile, "os-2");
    let (index_digest, reason) = (index_of(SECOND), "did not boot".into());
    fleet.machine.quarantine.push(Quarantined { profile, index_digest, attempt, reason });
    let spec = json!({ "name": "again", "profile": profile, "attempt": 3 });
    fleet.put(Kind::Retry, "retry", json!({ "hosts": [HOST] }), spec);
    fleet
}

#[test]
fn s5_what_the_signers_of_a_retry_saw_must_be_held_where_it_lifts_something() {
    let seen = || Seen(Scope::Fleet, "Hold".into(), id("hold-1"), 1);
    let mut fleet = failed(3);
    fleet.newest(Kind::Retry, "retry").sees.push(seen());
    let decision = fleet.decide();
    assert_eq!(failing(&decision), [Gate::Sees]);
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "missing"));

    let mut held = fleet.clone();
    held.standing.held.insert(("Hold".into(), id("hold-1")), 1);
    assert_eq!(held.decide().verdict, Verdict::Activate);

    let mut other = fleet.clone();
    let spec = json!({ "name": "again", "profile": other.digest_of(Kind::OsProfile, "os-2"),
        "attempt": 3 });
    other.put(Kind::Retry, "second", json!({ "all": true }), spec);
    assert_eq!(other.decide().verdict, Verdict::Activate, "one that saw nothing is enough");

    fleet.machine.quarantine.clear();
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "it lifts nothing here");
}

#[test]
fn q3_a_retry_lifts_the_quarantine_of_the_attempts_it_names() {
    assert_eq!(failed(3).decide().verdict, Verdict::Activate);
    assert_eq!(&*failed(4).decide().reason, "quarantined");
    let mut elsewhere = failed(3);
    elsewhere.newest(Kind::Retry, "retry").target = Some(crate::resource::Target::default());
    assert_eq!(&*elsewhere.decide().reason, "quarantined");
}

#[test]
fn a_mutable_host_without_a_backend_waits_and_never_fails() {
    let mut fleet = Fleet::ready();
    fleet.machine.os_type = crate::resource::OsType::Mutable;
    fleet.machine.platform = PlatformKind::None;
    let spec = json!({ "name": "p", "updatePolicy": "TARGET", "updatePackages": "curl" });
    fleet.put(Kind::OsUpdatePolicy, "policy", json!({ "site": "site-a" }), spec);
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Wait, "no-backend"));
    assert_eq!(decision.message, "no apt backend");
    assert_eq!(word(&decision, Gate::Window), "window-open");
}
