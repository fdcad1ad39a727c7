//! What is handed in and what gossip brings: outcomes, verdicts, and what waits for the save.

use daymark_core::Event;
use daymark_core::effect::{Admission, Effect, ItemOutcome, Reply, Verdict, Write};
use daymark_core::event::Carried;
use daymark_protocol::wire::GossipMessage;

use crate::support::{Asked, Fleet, Rig, entries, inspection, key};

fn outcomes(reply: Reply) -> Vec<ItemOutcome> {
    match reply {
        Reply::Submitted(outcomes) => outcomes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn c6_every_item_is_answered_in_order_and_floors_are_in_the_same_save() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let [statement, signature] = fleet.enroll(&key(11), "berlin");
    let [_, lonely] = fleet.enroll(&key(12), "berlin");
    let items = entries([b"garbage".to_vec(), signature.clone(), lonely, statement.clone()]);
    let asked = rig.submit(items);
    let told = outcomes(asked.reply());
    assert!(matches!(told[0], ItemOutcome::Refused(_)), "{told:?}");
    assert_eq!((&told[1], &told[3]), (&ItemOutcome::New, &ItemOutcome::New));
    assert!(matches!(told[2], ItemOutcome::Held(_)), "{told:?}");
    assert!(asked.writes.iter().any(|write| matches!(write, Write::AppendFloor(_))));
    let again = rig.submit(entries([statement, signature]));
    assert_eq!(outcomes(again.reply()), [ItemOutcome::Known, ItemOutcome::Known]);
}

#[test]
fn s1_what_is_of_another_fleet_is_refused() {
    let (fleet, other) = (Fleet::new(1, 1), Fleet::new(2, 1));
    let mut rig = Rig::member(&fleet, 10);
    let [statement, _] = other.enroll(&key(11), "berlin");
    let told = outcomes(rig.submit(vec![Carried::Entry(statement)]).reply());
    assert!(matches!(told[0], ItemOutcome::Refused(_)), "{told:?}");
}

#[test]
fn r3_without_a_fleet_nothing_is_taken() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::new(10);
    let asked = rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    assert!(matches!(asked.reply(), Reply::Refused(_)) && asked.writes.is_empty());
}

#[test]
fn gossip_is_judged_in_its_step() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let peer = key(11).public().id();
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.connect(peer, Admission::Member);
    let [statement, signature] = fleet.enroll(&key(12), "berlin");
    let carrying = |items: &[&Vec<u8>]| {
        GossipMessage::Entries(items.iter().map(|item| (*item).clone()).collect()).encode()
    };
    assert_eq!(rig.gossip(peer, carrying(&[&statement])).verdict(), Verdict::Ignore);
    let whole = carrying(&[&statement, &signature]);
    assert_eq!(rig.gossip(peer, whole.clone()).verdict(), Verdict::Accept);
    assert_eq!(rig.gossip(peer, whole).verdict(), Verdict::Ignore, "known is not passed on again");
    assert_eq!(rig.gossip(peer, b"garbage".to_vec()).verdict(), Verdict::Reject);
    let spoilt = carrying(&[&statement, &signature, &b"garbage".to_vec()]);
    assert_eq!(rig.gossip(peer, spoilt).verdict(), Verdict::Reject);
}

#[test]
fn an_own_report_is_published_only_when_it_is_durable() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.wait(60_000);
    let mut changed = inspection();
    changed.facts.push(("kernel".into(), "6.12".into()));
    let first = rig.step(Event::Inspected(Box::new(changed)));
    let mut steps = std::iter::once(first).chain((0..20).map(|_| rig.wait(1_000)));
    let reports = |asked: &Asked| asked.writes.iter().any(|w| matches!(w, Write::PutReport { .. }));
    let asked = steps.find(reports).expect("changed facts are reported within seconds");
    assert!(!asked.immediate.iter().any(|effect| matches!(effect, Effect::Publish { .. })));
    assert!(asked.deferred.iter().any(|effect| matches!(effect, Effect::Publish { .. })));
}
