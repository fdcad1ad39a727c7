use std::sync::Arc;

use std::collections::BTreeSet;

use daymark_protocol::resource::{Kind, Role, Scope};
use daymark_protocol::trust::{
    Context, Draft, Floors, Held, HeldLists, Judgement, Line, ResourceDraft, RootChain, Seen,
    Signature, Stance, State, Statement, Validity, Verified, judge,
};

use crate::support::{
    blackout, day, draft, fleet, fleet_id, floors_of, fresh, halt, hold, host, id, ids, judged,
    key, key_id, line, policy, raw, say, sign,
};

fn policy_line(judgement: &Judgement) -> Line {
    line(judgement, Kind::OsUpdatePolicy, "p")
}

fn unknown(line: &Line) -> &str {
    match &line.state {
        State::Unknown(why) => why,
        State::Counts => panic!("{line:?} counts"),
    }
}

fn say_until(chain: &RootChain, until: i64, resource: ResourceDraft) -> Statement {
    draft(chain).until(day(until)).resource(resource).finish().unwrap()
}

#[test]
fn c1_a_statement_counts_when_its_threshold_is_met() {
    let chain = fleet(&[("ABC", 2)]);
    let statement = say(&chain, policy("p", 1, "go"));
    let judgement = fresh(&chain, [sign(&statement, "A")]);
    assert!(judgement.standing.lines.is_empty() && judgement.raised.is_empty());
    let (digest, pending) = judgement.pending().next().unwrap();
    assert_eq!(*digest, statement.digest());
    assert_eq!(pending.role, Role::Policy);
    assert_eq!((pending.quorum.have.len(), pending.quorum.need), (1, 2));
    assert_eq!(pending.may_sign, ids("BC").into_iter().collect::<BTreeSet<_>>());
    let judgement = fresh(&chain, [sign(&statement, "AB")]);
    assert_eq!(policy_line(&judgement).state, State::Counts);
    assert_eq!(policy_line(&judgement).versions[0].signers.len(), 2);
}

#[test]
fn c5_keys_of_other_roles_and_bad_signatures_do_not_count() {
    let chain = fleet(&[("ABC", 2)]);
    let statement = say(&chain, policy("p", 1, "go"));
    assert_eq!(fresh(&chain, [sign(&statement, "AEHLMRZ")]).pending().count(), 1);
    let mut held = sign(&statement, "A");
    Arc::make_mut(&mut held.signatures).insert(key_id('B'), Signature([0; 64]));
    let others = key('A').sign(Context::Statement, statement.bytes());
    Arc::make_mut(&mut held.signatures).insert(key_id('C'), others);
    let report = key('B').sign(Context::Report, statement.bytes());
    assert_eq!(fresh(&chain, [held.clone()]).pending().count(), 1);
    Arc::make_mut(&mut held.signatures).insert(key_id('B'), report);
    assert_eq!(fresh(&chain, [held]).pending().count(), 1);
}

#[test]
fn s1_a_statement_for_another_fleet_never_counts() {
    let chain = fleet(&[("A", 1)]);
    let other = fleet(&[("AB", 1)]);
    let statement = say(&other, policy("p", 1, "go"));
    let judgement = fresh(&chain, [sign(&statement, "A")]);
    assert!(matches!(&judgement.stances[&statement.digest()], Stance::Never(_)));
    assert!(judgement.standing.lines.is_empty());
}

#[test]
fn c1_the_highest_version_counts_and_lower_ones_stay_below_it() {
    let chain = fleet(&[("A", 1)]);
    let held = [3, 1, 2].map(|version| sign(&say(&chain, policy("p", version, "go")), "A"));
    let versions = policy_line(&fresh(&chain, held)).versions;
    assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), [3, 2, 1]);
}

#[test]
fn rt_b4_what_lost_its_signers_makes_its_id_unknown_and_uncovers_nothing() {
    let chain = fleet(&[("ABC", 2), ("ABD", 2)]);
    let go = sign(&say(&chain, policy("p", 1, "go")), "AB");
    let stop = sign(&say(&chain, policy("p", 2, "stop")), "AC");
    let judgement = fresh(&chain, [go.clone(), stop.clone()]);
    let line = policy_line(&judgement);
    assert_eq!(line.versions[0].validity, Validity::Fallen);
    assert!(unknown(&line).contains("lost its signatures"));
    let again = sign(&say(&chain, policy("p", 3, "go")), "AD");
    assert_eq!(policy_line(&fresh(&chain, [go, stop, again])).state, State::Counts);
}

#[test]
fn rt_b4_two_that_differ_under_one_version_make_it_unknown_until_a_higher_one() {
    let chain = fleet(&[("ABC", 2)]);
    let go = sign(&say(&chain, policy("p", 1, "go")), "AB");
    let left = sign(&say(&chain, policy("p", 2, "stop")), "AB");
    let right = sign(&say(&chain, policy("p", 2, "halt")), "BC");
    let judgement = fresh(&chain, [go.clone(), left.clone(), right.clone()]);
    assert!(unknown(&policy_line(&judgement)).contains("share version 2"));
    // A contradiction suspends nobody (S7): the same keys settle it.
    let third = sign(&say(&chain, policy("p", 3, "go")), "AB");
    assert_eq!(policy_line(&fresh(&chain, [go, left, right, third])).state, State::Counts);
}

#[test]
fn c2_one_valid_and_one_fallen_of_a_version_contradict_each_other() {
    let chain = fleet(&[("ABC", 2), ("ABD", 2)]);
    let go = sign(&say(&chain, policy("p", 1, "go")), "AB");
    let stop = sign(&say(&chain, policy("p", 1, "stop")), "AC");
    assert!(unknown(&policy_line(&fresh(&chain, [go, stop]))).contains("share version 1"));
}

#[test]
fn rt_n11_two_laptops_that_say_the_same_agree_and_the_earlier_end_counts() {
    let chain = fleet(&[("ABC", 2)]);
    let left = sign(&say_until(&chain, 90, policy("p", 1, "go")), "AB");
    let right = sign(&say_until(&chain, 80, policy("p", 1, "go")), "BC");
    let open_ended = sign(&say(&chain, policy("p", 1, "go")), "AC");
    let line = policy_line(&fresh(&chain, [left.clone(), right.clone(), open_ended]));
    assert_eq!((line.state, line.versions.len()), (State::Counts, 1));
    assert_eq!(line.versions[0].until, Some(day(80)));
    // A copy that fell still ends what opens: losing signers prolongs nothing.
    let chain = fleet(&[("ABC", 2), ("ABD", 2)]);
    let line = policy_line(&fresh(&chain, [left, right]));
    // (The fleet is the same: both chains begin with the same root.)
    assert_eq!((line.state, line.versions[0].until), (State::Counts, Some(day(80))));
}

#[test]
fn c2_departed_signers_cannot_end_a_closing_early() {
    let chain = fleet(&[("ABC", 2), ("ABD", 2)]);
    let stays = sign(&say_until(&chain, 90, blackout("b", 1)), "AB");
    let early = sign(&say_until(&chain, -1, blackout("b", 1)), "AC");
    let line = line(&fresh(&chain, [stays, early]), Kind::Blackout, "b");
    assert_eq!((line.state, line.versions[0].until), (State::Counts, Some(day(90))));
}

#[test]
fn s5_what_either_copy_saw_must_be_there() {
    let chain = fleet(&[("AB", 1)]);
    let seen = |n| Seen(Scope::Fleet, "Blackout".into(), id("b"), n);
    let with = |n| draft(&chain).sees([seen(n)]).resource(policy("p", 1, "go")).finish().unwrap();
    let line = policy_line(&fresh(&chain, [sign(&with(4), "A"), sign(&with(5), "B")]));
    assert_eq!(line.versions[0].sees, [seen(4), seen(5)]);
}

#[test]
fn s5_a_draft_does_not_stand_in_for_a_closing_that_is_missing() {
    let chain = fleet(&[("ABC", 2)]);
    let thief = sign(&say(&chain, blackout("b", 9)), "A");
    let key = ("Blackout".to_owned(), id("b"));
    assert!(!fresh(&chain, [thief.clone()]).standing.held.contains_key(&key));
    let real = sign(&say(&chain, blackout("b", 4)), "AB");
    let site = sign(&say(&chain, host('K', 7, "site-a")), "E");
    let held = fresh(&chain, [thief, real, site]).standing.held;
    assert_eq!(held.into_iter().collect::<Vec<_>>(), [(key, 4)]);
}

#[test]
fn rt_n4_an_ended_statement_is_known_and_still_the_highest() {
    let chain = fleet(&[("A", 1)]);
    let old = sign(&say(&chain, policy("p", 1, "go")), "A");
    let ended = sign(&say_until(&chain, -30, policy("p", 2, "go")), "A");
    let line = policy_line(&fresh(&chain, [old, ended]));
    assert_eq!((line.state, line.versions[0].version), (State::Counts, 2));
}

#[test]
fn rt_n17_an_unreadable_schema_makes_the_id_unknown_and_keeps_its_place() {
    let chain = fleet(&[("A", 1)]);
    let known = sign(&say(&chain, policy("p", 1, "go")), "A");
    let newer = sign(&say(&chain, policy("p", 2, "go").schema(9)), "A");
    let line = policy_line(&fresh(&chain, [known, newer]));
    assert!(unknown(&line).contains("schema 9"));
    assert_eq!(line.versions[0].target, Some(crate::support::everyone()));
}

fn frob(version: u64, label: &str) -> ResourceDraft {
    ResourceDraft::of_kind("Frob", id("f"), version, Some(raw(&format!(r#"{{"x":"{label}"}}"#))))
        .target(crate::support::everyone())
}

fn closes(judgement: &Judgement) -> Vec<(u64, bool)> {
    let kinds = &judgement.standing.unknown_kinds;
    kinds.iter().map(|line| (line.version.version, line.closes)).collect()
}

#[test]
fn rt_n17_an_unknown_kind_counts_at_the_policy_threshold_only() {
    let chain = fleet(&[("ABC", 2)]);
    let statement = say(&chain, frob(1, "x").closing());
    assert_eq!(closes(&fresh(&chain, [sign(&statement, "AELHMR")])), []);
    assert_eq!(closes(&fresh(&chain, [sign(&statement, "AB")])), [(1, true)]);
    let ignorable = say(&chain, frob(1, "x"));
    assert_eq!(closes(&fresh(&chain, [sign(&ignorable, "AB")])), [(1, false)]);
}

#[test]
fn s3_an_unknown_kind_closes_until_a_higher_version_does_not() {
    let chain = fleet(&[("AB", 1), ("BC", 1)]);
    let on = sign(&say(&chain, frob(1, "on").closing()), "B");
    let off = |by| sign(&say(&chain, frob(2, "off")), by);
    let gone = sign(&say(&chain, ResourceDraft::of_kind("Frob", id("f"), 3, None)), "B");
    assert_eq!(closes(&fresh(&chain, [on.clone(), off("B")])), [(2, false)]);
    assert_eq!(closes(&fresh(&chain, [on.clone(), off("A")])), [(2, false), (1, true)]);
    assert_eq!(closes(&fresh(&chain, [on, off("A"), gone])), []);
}

#[test]
fn c6_an_unknown_kind_that_closed_and_is_lost_still_closes() {
    let chain = fleet(&[("A", 1)]);
    let on = sign(&say(&chain, frob(1, "on").closing()), "A");
    let floors = floors_of(fresh(&chain, [on.clone()]).raised);
    assert_eq!(closes(&judged(&chain, &hold([]), &floors)), [(1, true)]);
    assert_eq!(closes(&judged(&chain, &hold([on]), &floors)), [(1, true)]);
    let harmless = fresh(&chain, [sign(&say(&chain, frob(1, "x")), "A")]);
    assert!(harmless.raised.is_empty());
}

#[test]
fn c6_a_floor_whose_version_is_not_held_makes_the_id_unknown() {
    let chain = fleet(&[("A", 1)]);
    let go = sign(&say(&chain, policy("p", 1, "go")), "A");
    let stop = sign(&say(&chain, policy("p", 2, "stop")), "A");
    let all = hold([go.clone(), stop]);
    let first = judged(&chain, &all, &Floors::default());
    assert_eq!(first.raised.len(), 1);
    let floors = floors_of(first.raised);
    assert!(judged(&chain, &all, &floors).raised.is_empty());
    assert!(unknown(&policy_line(&judged(&chain, &hold([go]), &floors))).contains("not held"));
    let nothing = policy_line(&judged(&chain, &hold([]), &floors));
    assert!(nothing.versions.is_empty() && unknown(&nothing).contains("version 2"));
    // Another version 2, were it ever signed, is not the one that counted.
    let other = sign(&say(&chain, policy("p", 2, "go")), "A");
    assert!(unknown(&policy_line(&judged(&chain, &hold([other]), &floors))).contains("not held"));
}

#[test]
fn c6_a_floor_that_was_contradicted_stays_so_when_one_side_is_lost() {
    let chain = fleet(&[("A", 1)]);
    let [go, stop] = ["go", "stop"].map(|name| sign(&say(&chain, policy("p", 1, name)), "A"));
    let floors = floors_of(fresh(&chain, [go.clone(), stop]).raised);
    let line = policy_line(&judged(&chain, &hold([go]), &floors));
    assert!(unknown(&line).contains("not held"));
}

#[test]
fn s4_scope_is_part_of_the_identity() {
    let chain = fleet(&[("A", 1)]);
    let wide = sign(&say(&chain, policy("p", 1, "go")), "A");
    let narrow = Draft::new(fleet_id(&chain), Scope::Site(id("site-b")), day(0));
    let narrow = sign(&narrow.resource(policy("p", 2, "stop")).finish().unwrap(), "A");
    assert!(unknown(&policy_line(&fresh(&chain, [wide, narrow]))).contains("scopes"));
}

#[test]
fn rt_n18_only_a_host_may_move_between_sites() {
    let chain = fleet(&[("A", 1)]);
    let enrol = |version, site: &str| {
        let draft = Draft::new(fleet_id(&chain), Scope::Site(id(site)), day(0));
        sign(&draft.resource(host('K', version, site)).finish().unwrap(), "E")
    };
    let judgement = fresh(&chain, [enrol(1, "site-a"), enrol(2, "site-b")]);
    let line = line(&judgement, Kind::Host, &key_id('K').to_string());
    assert_eq!((line.state, line.versions[0].site.clone()), (State::Counts, Some(id("site-b"))));
}

#[test]
fn s3_a_host_with_another_key_is_unknown_and_admits_nobody() {
    let chain = fleet(&[("A", 1)]);
    let spec = format!(r#"{{"name":"x","publicKey":"{}"}}"#, key('L').public());
    let stolen = ResourceDraft::of_kind("Host", key_id('K').into(), 1, Some(raw(&spec)));
    let judgement = fresh(&chain, [sign(&say(&chain, stolen), "E")]);
    unknown(&line(&judgement, Kind::Host, &key_id('K').to_string()));
}

#[test]
fn rt_b3_whether_a_key_may_sign_is_judged_anew_when_a_root_arrives() {
    let before = fleet(&[("A", 1)]);
    let after = fleet(&[("A", 1), ("AN", 1)]);
    let statement = sign(&say(&before, policy("p", 1, "go")), "N");
    assert_eq!(fresh(&before, [statement.clone()]).pending().count(), 1);
    assert_eq!(policy_line(&fresh(&after, [statement])).state, State::Counts);
}

#[test]
fn rt_b5_a_host_signed_by_a_departed_key_is_told_from_a_stranger() {
    let chain = fleet(&[("A", 1)]);
    let enrolled = sign(&say(&chain, host('K', 1, "site-a")), "E");
    let newest = chain.newest().unwrap();
    let rotated = crate::support::with_keys(crate::support::next_root(newest), "F");
    let rotated = rotated.role(Role::Enroll, 1, ids("F"));
    let mut chain = chain;
    chain.accept(&crate::support::signed(&rotated, "R").0).unwrap();
    let judgement = fresh(&chain, [enrolled]);
    let line = line(&judgement, Kind::Host, &key_id('K').to_string());
    assert_eq!(line.versions[0].validity, Validity::Fallen);
    unknown(&line);
}

#[test]
fn c5_remembered_checks_change_no_result() {
    let chain = fleet(&[("ABC", 2)]);
    let rotated = fleet(&[("ABC", 2), ("ABD", 2)]);
    let mut held = hold([
        sign(&say(&chain, policy("p", 1, "go")), "AB"),
        sign(&say(&chain, policy("p", 2, "stop")), "AC"),
        sign(&say(&chain, halt("h", 1)), "C"),
    ]);
    let mut memory = Verified::default();
    for chain in [&chain, &rotated, &chain] {
        let warm =
            judge(chain, &HeldLists::new(), &held, &Floors::default(), &|_| true, &mut memory);
        let cold = judged(chain, &held, &Floors::default());
        assert_eq!(format!("{warm:?}"), format!("{cold:?}"));
    }
    for held in held.values_mut() {
        corrupt(held);
    }
    let warm = judge(&chain, &HeldLists::new(), &held, &Floors::default(), &|_| true, &mut memory);
    assert!(warm.standing.lines.is_empty() && warm.standing.halts.is_empty());
}

fn corrupt(held: &mut Held) {
    for signature in Arc::make_mut(&mut held.signatures).values_mut() {
        signature.0[0] ^= 1;
    }
}
