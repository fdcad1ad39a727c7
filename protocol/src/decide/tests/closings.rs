//! What closes, and what its loss must not open (RULES S3, S5 to S7, C2, C4).

use serde_json::json;
use std::sync::Arc;

use super::fleet::*;
use crate::decide::{Gate, Verdict};
use crate::resource::{Kind, Scope};
use crate::time::{Now, WallTime};
use crate::trust::{Line, Seen, State, UnknownKindLine};

fn all() -> serde_json::Value {
    json!({ "all": true })
}

fn closed_all_june() -> serde_json::Value {
    blackout("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z")
}

fn reason(fleet: &Fleet) -> String {
    fleet.decide().reason.to_string()
}

fn sees(fleet: &mut Fleet, scope: Scope, kind: &str) {
    let seen = Seen(scope, kind.into(), id("closing-1"), 4);
    fleet.newest(Kind::OsUpdatePolicy, "policy").sees = vec![seen];
}

#[test]
fn s5_hosts_outside_the_scope_skip_what_was_seen() {
    let mut fleet = Fleet::ready();
    sees(&mut fleet, Scope::Site(id("site-b")), "Blackout");
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
    sees(&mut fleet, Scope::Region(id("region-a")), "Blackout");
    let decision = fleet.decide();
    assert_eq!(&*decision.reason, "missing");
    let named = decision.gates.iter().find(|answer| answer.gate == Gate::Sees).unwrap();
    assert_eq!(named.evidence[0].1, "Blackout closing-1 v4 of region/region-a");
}

#[test]
fn s5_that_version_or_a_higher_one_in_whatever_state_satisfies() {
    for (held, is_enough) in [(3, false), (4, true), (9, true)] {
        let mut fleet = Fleet::ready();
        sees(&mut fleet, Scope::Fleet, "Blackout");
        // Pending, superseded, lifted or voided: it is not among what counts.
        fleet.standing.held.insert(("Blackout".into(), id("closing-1")), held);
        assert_eq!(fleet.decide().verdict == Verdict::Activate, is_enough, "version {held}");
    }
    let mut fleet = Fleet::ready();
    sees(&mut fleet, Scope::Fleet, "Freeze");
    assert_eq!(reason(&fleet), "missing");
    fleet.standing.held.insert(("Freeze".into(), id("closing-1")), 4);
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "also of a kind that is not known");
}

#[test]
fn s5_an_unknown_closing_satisfies_it_and_closes() {
    let mut fleet = Fleet::ready();
    sees(&mut fleet, Scope::Fleet, "Blackout");
    fleet.put(Kind::Blackout, "closing-1", all(), closed_all_june()).version = 4;
    fleet.make_unknown(Kind::Blackout, "closing-1");
    assert_eq!(reason(&fleet), "blackout");
}

#[test]
fn s5_counts_for_schedules_promotions_and_profiles_too() {
    let seen = || Seen(Scope::Fleet, "Hold".into(), id("hold-1"), 1);
    for (kind, name) in [
        (Kind::RepeatedSchedule, "nightly"),
        (Kind::Promotion, "promotion-2"),
        (Kind::OsProfile, "os-2"),
    ] {
        let mut fleet = Fleet::ready();
        fleet.newest(kind, name).sees.push(seen());
        assert_eq!(reason(&fleet), "missing", "{kind}");
    }
}

#[test]
fn c2_what_any_held_version_closes_stays_closed() {
    let mut fleet = Fleet::ready();
    fleet.put(Kind::Blackout, "b", all(), closed_all_june());
    fleet.supersede(Kind::Blackout, "b", all(), json!(null));
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "the tombstone lifts it");
    fleet.make_unknown(Kind::Blackout, "b");
    assert_eq!(reason(&fleet), "blackout");

    let mut fleet = Fleet::ready();
    fleet.put(Kind::Hold, "h", all(), json!({ "name": "pin" }));
    fleet.supersede(Kind::Hold, "h", json!({ "site": "site-b" }), json!({ "name": "pin" }));
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "it is for others now");
    fleet.make_unknown(Kind::Hold, "h");
    assert_eq!(reason(&fleet), "held");
}

#[test]
fn c2_what_an_unknown_id_opens_is_closed() {
    for (kind, name, reason_given) in [
        (Kind::RepeatedSchedule, "nightly", "no-window"),
        (Kind::Promotion, "promotion-2", "promotion-unknown"),
        (Kind::OsProfile, "os-2", "target-unknown"),
        (Kind::Site, "site-a", "place-unknown"),
    ] {
        let mut fleet = Fleet::ready();
        fleet.make_unknown(kind, name);
        assert_eq!(reason(&fleet), reason_given, "{kind}");
    }
}

#[test]
fn i6_a_closing_of_which_only_a_floor_is_left_closes() {
    for (kind, word) in [(Kind::Blackout, "blackout"), (Kind::Hold, "held")] {
        let mut fleet = Fleet::ready();
        let state = State::Unknown("version 1 is not held".into());
        fleet.standing.lines.insert((kind, id("lost")), Line { state, versions: Vec::new() });
        assert_eq!(reason(&fleet), word);
    }
}

#[test]
fn s3_an_unreadable_blackout_closes_at_all_times() {
    let mut fleet = Fleet::ready();
    let later = blackout("2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z");
    fleet.put(Kind::Blackout, "b", all(), later).spec = Err("schema 2".into());
    assert_eq!(reason(&fleet), "blackout");
}

#[test]
fn s6_an_end_that_opens_counts_from_the_earliest_now() {
    for (kind, spec) in
        [(Kind::Hold, json!({ "name": "pin" })), (Kind::Blackout, closed_all_june())]
    {
        let mut fleet = Fleet::ready();
        fleet.put(kind, "c", all(), spec).until = Some(at("2026-06-16T02:30:30Z"));
        let verdict = |seconds: i64, width_ms| {
            fleet.decide_at(&Now::reading(at(NOW).plus_ms(seconds * 1000), width_ms)).verdict
        };
        assert_eq!(verdict(29, 0), Verdict::Wait);
        assert_eq!(verdict(30, 0), Verdict::Activate);
        assert_eq!(verdict(30, 60_000), Verdict::Wait, "{kind}: between the two");
        assert_eq!(verdict(90, 60_000), Verdict::Activate);
    }
}

#[test]
fn s7_what_closes_counts_whatever_its_issued_time() {
    let future = at("2031-01-01T00:00:00Z");
    let mut fleet = Fleet::ready();
    fleet.put(Kind::Hold, "h", all(), json!({ "name": "pin" })).issued = future;
    assert_eq!(reason(&fleet), "held");

    let mut fleet = Fleet::ready();
    Arc::make_mut(&mut fleet.halt(all(), json!({ "name": "stop" })).version).issued = future;
    assert_eq!(reason(&fleet), "halted");

    // A tombstone of what closes opens: from the future it is held.
    let mut fleet = Fleet::ready();
    fleet.put(Kind::Blackout, "b", all(), closed_all_june());
    fleet.supersede(Kind::Blackout, "b", all(), json!(null)).issued = future;
    assert_eq!(reason(&fleet), "blackout");
    fleet.newest(Kind::Blackout, "b").issued = at("2026-06-10T00:00:00Z");
    assert_eq!(fleet.decide().verdict, Verdict::Activate);
}

#[test]
fn c4_halts_reach_by_target_scope_and_policy() {
    let halted = |target, spec| {
        let mut fleet = Fleet::ready();
        fleet.halt(target, spec);
        fleet.decide().verdict == Verdict::Wait
    };
    let name = json!({ "name": "stop" });
    assert!(halted(json!({ "site": "site-a" }), name.clone()));
    assert!(!halted(json!({ "site": "site-b" }), name.clone()));
    assert!(halted(all(), with(name.clone(), "policy", json!("policy"))));
    assert!(!halted(all(), with(name, "policy", json!("another"))));
}

#[test]
fn c4_a_key_that_floods_halts_all_that_it_may() {
    let mut fleet = Fleet::ready();
    let elsewhere = json!({ "name": "stop", "policy": "another" });
    fleet.halt(json!({ "site": "site-b" }), elsewhere).flood = Some(WallTime::MAX);
    assert_eq!(reason(&fleet), "halted");
    Arc::make_mut(&mut fleet.standing.halts[0].version).scope = Scope::Site(id("site-b"));
    assert_eq!(fleet.decide().verdict, Verdict::Activate, "its scope is another site");
}

#[test]
fn c4_a_flood_ends_with_its_halts_and_one_that_stands_longer_goes_on() {
    let mut fleet = Fleet::ready();
    let until = at("2026-06-16T02:40:00Z");
    let verdict = |fleet: &Fleet, now| fleet.decide_at(&Now::reading(now, 0)).verdict;
    // Its own end is earlier: as long as the key floods, that does not matter.
    let halt = fleet.halt(json!({ "site": "site-b" }), json!({ "name": "stop" }));
    Arc::make_mut(&mut halt.version).until = Some(at(NOW));
    halt.flood = Some(until);
    assert_eq!(verdict(&fleet, until.plus_ms(-1)), Verdict::Wait);
    assert_eq!(verdict(&fleet, until), Verdict::Activate);
    fleet.halt(all(), json!({ "name": "longer" })).flood = Some(until);
    assert_eq!(verdict(&fleet, until), Verdict::Wait);
}

#[test]
fn c4_several_halts_stand_until_the_last_ends() {
    let mut fleet = Fleet::ready();
    let until = at("2026-06-16T02:40:00Z");
    Arc::make_mut(&mut fleet.halt(all(), json!({ "name": "one" })).version).until = Some(until);
    fleet.halt(all(), json!({ "name": "two" }));
    assert_eq!(fleet.decide_at(&Now::reading(until, 0)).verdict, Verdict::Wait);
    fleet.standing.halts.pop();
    assert_eq!(fleet.decide_at(&Now::reading(until.plus_ms(-1), 0)).verdict, Verdict::Wait);
    assert_eq!(fleet.decide_at(&Now::reading(until, 0)).verdict, Verdict::Activate);
}

#[test]
fn s3_an_unknown_kind_closes_only_with_closes_and_for_its_targets() {
    let decided = |closes, target| {
        let mut fleet = Fleet::ready();
        let version = version(Kind::Hold, 1, target, json!({ "name": "x" }));
        let line = UnknownKindLine {
            kind: "Freeze".into(),
            id: id("f"),
            closes,
            version: Arc::new(version),
        };
        fleet.standing.unknown_kinds.push(line);
        fleet.decide().verdict
    };
    assert_eq!(decided(true, all()), Verdict::Wait);
    assert_eq!(decided(false, all()), Verdict::Activate);
    assert_eq!(decided(true, json!({ "site": "site-b" })), Verdict::Activate);
}

#[test]
fn a_host_that_is_there_already_waits_for_nothing() {
    let mut fleet = Fleet::ready();
    fleet.machine.installed.as_mut().unwrap().index_digest = Some(index_of(SECOND));
    fleet.put(Kind::Hold, "h", all(), json!({ "name": "pin" }));
    let decision = fleet.decide();
    assert_eq!((decision.verdict, &*decision.reason), (Verdict::Nothing, "already-there"));
    assert_eq!(word(&decision, Gate::Halted), "held");
}

#[test]
fn s5_a_tombstone_lifts_nothing_while_what_its_signers_saw_is_missing() {
    for (kind, spec) in
        [(Kind::Blackout, closed_all_june()), (Kind::Hold, json!({ "name": "closed" }))]
    {
        let seen = |scope| Seen(scope, "Blackout".into(), id("closing-b"), 1);
        let mut fleet = Fleet::ready();
        fleet.put(kind, "closing-a", all(), spec.clone());
        let gone = fleet.supersede(kind, "closing-a", json!(null), json!(null));
        (gone.gone, gone.sees) = (true, vec![seen(Scope::Site(id("site-a")))]);
        let decision = fleet.decide();
        assert_eq!(decision.verdict, Verdict::Wait, "{kind}");
        let told = format!("{:?}", decision.gates);
        assert!(told.contains("Blackout closing-b v1 of site/site-a"), "{told}");
        fleet.standing.held.insert(("Blackout".into(), id("closing-b")), 1);
        assert_eq!(fleet.decide().verdict, Verdict::Activate, "{kind}");
        fleet.standing.held.clear();
        fleet.newest(kind, "closing-a").sees = vec![seen(Scope::Site(id("site-b")))];
        assert_eq!(fleet.decide().verdict, Verdict::Activate, "{kind}: of another site");
        // So does a version that closes less.
        let less = fleet.supersede(kind, "closing-a", json!({ "site": "site-b" }), spec);
        less.sees = vec![seen(Scope::Fleet)];
        fleet.line(kind, "closing-a").versions.remove(1);
        assert_eq!(fleet.decide().verdict, Verdict::Wait, "{kind}: what it narrows still closes");
    }
}
