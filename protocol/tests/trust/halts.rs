use daymark_protocol::resource::{Kind, Scope};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Draft, Floors, Judgement, ResourceDraft, RootChain, Statement};

use crate::support::{
    day, draft, fleet, fleet_id, fresh, halt, hold, id, judged, resume, say, sign,
};

fn standing(judgement: &Judgement) -> usize {
    judgement.standing.halts.len()
}

fn in_site(chain: &RootChain, site: &str, resource: ResourceDraft) -> Statement {
    let draft = Draft::new(fleet_id(chain), Scope::Site(id(site)), day(0));
    draft.resource(resource).finish().unwrap()
}

#[test]
fn i11_any_one_key_of_halt_or_policy_halts_and_no_other() {
    let chain = fleet(&[("ABC", 2)]);
    let statement = say(&chain, halt("h", 1));
    for by in ["A", "H"] {
        assert_eq!(standing(&fresh(&chain, [sign(&statement, by)])), 1, "{by}");
    }
    assert_eq!(standing(&fresh(&chain, [sign(&statement, "ELMRZ")])), 0);
}

#[test]
fn c4_a_resume_lifts_by_name_at_the_policy_threshold() {
    let chain = fleet(&[("ABC", 2)]);
    let [one, two] = ["g", "h"].map(|name| say(&chain, halt(name, 1)));
    let lift = say(&chain, resume("r", &[one.digest()]));
    let halts = [sign(&one, "A"), sign(&two, "H")];
    let with = |by| fresh(&chain, halts.iter().cloned().chain([sign(&lift, by)]));
    assert_eq!(standing(&with("A")), 2);
    assert_eq!(standing(&with("HA")), 2);
    let lifted = with("AB");
    assert_eq!(lifted.standing.halts[0].version.statement, two.digest());
    assert_eq!(standing(&lifted), 1);
}

#[test]
fn rt_b4_a_halt_is_not_undone_by_another_under_its_id_nor_by_a_tombstone() {
    let chain = fleet(&[("ABC", 2)]);
    let ours = sign(&say(&chain, halt("h", 1)), "A");
    let theirs = [1, 2, (1 << 63) - 1].map(|version| {
        let statement = draft(&chain).reason("another").resource(halt("h", version));
        sign(&statement.finish().unwrap(), "C")
    });
    let gone = sign(&say(&chain, ResourceDraft::tombstone(Kind::Halt, id("h"), 9)), "ABC");
    assert_eq!(standing(&fresh(&chain, [gone.clone()])), 0);
    let held = [ours.clone(), gone].into_iter().chain(theirs);
    let judgement = fresh(&chain, held);
    assert_eq!(standing(&judgement), 4);
    let digest = ours.statement.digest();
    assert!(judgement.standing.halts.iter().any(|halt| halt.version.statement == digest));
}

#[test]
fn s5_a_halt_is_named_by_its_id_and_satisfies_what_saw_it_when_lifted_too() {
    let chain = fleet(&[("ABC", 2)]);
    let halt = say(&chain, halt("h", 1));
    let lift = sign(&say(&chain, resume("r", &[halt.digest()])), "AB");
    let standing = fresh(&chain, [sign(&halt, "H")]).standing;
    assert_eq!(standing.halts[0].id, id("h"));
    let seen = [(("Halt".to_owned(), id("h")), 1)];
    assert_eq!(standing.held.into_iter().collect::<Vec<_>>(), seen);
    let lifted = fresh(&chain, [sign(&halt, "H"), lift]).standing;
    assert_eq!(lifted.halts, []);
    assert_eq!(lifted.held.into_iter().collect::<Vec<_>>(), seen);
}

#[test]
fn rt_b4_a_halt_stands_when_its_key_is_rotated_out() {
    let chain = fleet(&[("ABC", 2), ("BCD", 2)]);
    assert_eq!(standing(&fresh(&chain, [sign(&say(&chain, halt("h", 1)), "A")])), 1);
}

#[test]
fn c4_a_resume_that_lost_its_signatures_lifts_nothing() {
    let before = fleet(&[("ABC", 2)]);
    let after = fleet(&[("ABC", 2), ("CDE", 2)]);
    let stop = say(&before, halt("h", 1));
    let held = [sign(&stop, "H"), sign(&say(&before, resume("r", &[stop.digest()])), "AB")];
    assert_eq!(standing(&fresh(&before, held.clone())), 0);
    assert_eq!(standing(&fresh(&after, held)), 1);
}

#[test]
fn rt_n13_a_halt_replayed_after_its_resume_stays_lifted() {
    let chain = fleet(&[("A", 1)]);
    let stop = sign(&say(&chain, halt("h", 1)), "A");
    let lift = sign(&say(&chain, resume("r", &[stop.statement.digest()])), "A");
    let second = sign(&say(&chain, resume("r", &[])), "A");
    let gone = sign(&say(&chain, ResourceDraft::tombstone(Kind::Resume, id("r"), 2)), "A");
    assert_eq!(standing(&fresh(&chain, [lift.clone()])), 0);
    assert_eq!(standing(&fresh(&chain, [lift, second, gone, stop])), 0);
}

#[test]
fn rt_n13_a_resume_of_one_site_does_not_lift_a_halt_of_the_fleet() {
    let chain = fleet(&[("A", 1)]);
    let wide = say(&chain, halt("h", 1));
    let local = in_site(&chain, "site-b", halt("i", 1));
    let names = [wide.digest(), local.digest()];
    let held = |lift: Statement| [sign(&wide, "A"), sign(&local, "A"), sign(&lift, "A")];
    assert_eq!(standing(&fresh(&chain, held(in_site(&chain, "site-b", resume("r", &names))))), 1);
    assert_eq!(standing(&fresh(&chain, held(in_site(&chain, "site-c", resume("r", &names))))), 2);
    assert_eq!(standing(&fresh(&chain, held(say(&chain, resume("r", &names))))), 0);
}

#[test]
fn rt_n13_a_key_with_more_than_64_standing_halts_floods_and_65_are_kept() {
    let chain = fleet(&[("A", 1)]);
    let halts: Vec<_> = (0..70).map(|n| say(&chain, halt(&format!("h{n}"), 1))).collect();
    let by_halt_key = |n: usize| halts[..n].iter().map(|halt| sign(halt, "H"));
    let calm = fresh(&chain, by_halt_key(64));
    assert!(standing(&calm) == 64 && calm.standing.halts.iter().all(|halt| halt.flood.is_none()));
    let other = sign(&say(&chain, halt("mine", 1)), "A");
    let flood = fresh(&chain, by_halt_key(70).chain([other.clone()]));
    assert_eq!(standing(&flood), 66);
    let mut lowest: Vec<_> = halts.iter().map(Statement::digest).collect();
    lowest.sort();
    for line in &flood.standing.halts {
        let mine = line.version.statement == other.statement.digest();
        assert!(mine || lowest[..65].contains(&line.version.statement));
        assert_eq!(line.flood, (!mine).then_some(WallTime::MAX));
    }
    // Resumes bring it below.
    let lift = sign(&say(&chain, resume("r", &lowest[..10])), "A");
    let lifted = fresh(&chain, by_halt_key(70).chain([lift]));
    assert!(
        standing(&lifted) == 60 && lifted.standing.halts.iter().all(|halt| halt.flood.is_none())
    );
}

#[test]
fn c4_halts_that_end_crowd_out_none_that_stands_longer() {
    let chain = fleet(&[("A", 1)]);
    let ending = |name: String, until| {
        let halt = draft(&chain).until(day(until)).resource(halt(&name, 1));
        sign(&halt.finish().unwrap(), "H")
    };
    let flood: Vec<_> = (0..200).map(|n| ending(format!("h{n}"), 1)).collect();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let open = sign(&say(&chain, halt(name, 1)), "H");
        let later = ending(name.into(), 2);
        let longer = [open.statement.digest(), later.statement.digest()];
        let judgement = fresh(&chain, flood.iter().cloned().chain([open, later]));
        assert_eq!(standing(&judgement), 65);
        for digest in longer {
            let line = judgement.standing.halts.iter().find(|h| h.version.statement == digest);
            assert_eq!(line.expect("it stands longest").flood, Some(day(1)));
            assert!(judgement.whole.contains(&digest));
        }
    }
}

#[test]
fn c6_standing_halts_and_resumes_are_held_whole() {
    let chain = fleet(&[("A", 1)]);
    let [stands, lifted] = ["g", "h"].map(|name| sign(&say(&chain, halt(name, 1)), "A"));
    let lift = sign(&say(&chain, resume("r", &[lifted.statement.digest()])), "A");
    let expected = [&stands, &lift].map(|held| held.statement.digest());
    let judgement = judged(&chain, &hold([stands, lifted, lift]), &Floors::default());
    assert_eq!(judgement.whole, expected.into_iter().collect());
    assert!(judgement.raised.is_empty());
}

#[test]
fn s3_a_halt_that_cannot_be_read_stands() {
    let chain = fleet(&[("A", 1)]);
    let newer = draft(&chain).resource(halt("h", 1).schema(7)).finish().unwrap();
    let judgement = fresh(&chain, [sign(&newer, "H")]);
    assert!(standing(&judgement) == 1 && judgement.standing.halts[0].version.spec.is_err());
}
