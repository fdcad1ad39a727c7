//! A machine that is enrolled while it runs (RULES A1, A2).

use daymark_core::Event;
use daymark_core::effect::{Admission, Channel, ItemOutcome, Reply, Write};
use daymark_core::event::Carried;

use crate::support::{Fleet, Rig, entries, inspection, key, talk};

/// A machine that took the fleet and that nobody enrolled.
fn newcomer(fleet: &Fleet, seed: u8) -> Rig {
    let mut rig = Rig::new(seed);
    let roots = fleet.roots.iter().cloned().map(Carried::Root).collect();
    rig.join(fleet.pin(), roots);
    rig.step(Event::Inspected(Box::new(inspection())));
    rig
}

/// Closes their connections and makes one that lets through what each wants of the other.
fn redial(a: &mut Rig, b: &mut Rig, admission: Admission) {
    let (of_a, of_b) = (a.id(), b.id());
    a.step(Event::Disconnected { peer: of_b });
    b.step(Event::Disconnected { peer: of_a });
    talk(a, b, admission);
}

#[test]
fn a2_a_machine_enrolled_while_connected_learns_it_when_its_neighbour_redials() {
    let fleet = Fleet::new(1, 1);
    let mut member = Rig::member(&fleet, 10);
    let mut newcomer = newcomer(&fleet, 11);
    talk(&mut member, &mut newcomer, Admission::Stranger);
    // It knows the member by now, and its own end of the connection is a member's.
    redial(&mut member, &mut newcomer, Admission::Stranger);
    assert_eq!(newcomer.node.status().name, None);
    let told = member.submit(entries(fleet.enroll(&newcomer.key, "berlin")));
    assert_eq!(told.admitted(), Some(Admission::Member), "the neighbour closes and redials (A1)");
    redial(&mut member, &mut newcomer, Admission::Member);
    assert_eq!(newcomer.node.status().name.as_deref(), Some("press"));
    let [entry, _] = fleet.enroll(&key(12), "berlin");
    member.submit(entries(fleet.enroll(&key(12), "berlin")));
    let compared = newcomer.wait(1_000);
    assert!(!compared.told(member.id()).is_empty(), "it compares its new site at once");
    let hash = daymark_protocol::id::Digest::of(&entry);
    let mut queue: Vec<_> = compared.sends();
    while let Some((to, channel, bytes)) = queue.pop() {
        let (from, to) = if to == member.id() {
            (newcomer.id(), &mut member)
        } else {
            (member.id(), &mut newcomer)
        };
        queue.extend(to.step(Event::Received { peer: from, channel, bytes }).sends());
    }
    let site = daymark_protocol::document::site_document(Some(&"berlin".parse().unwrap()));
    assert!(newcomer.node.replica().unwrap().has(&site, &hash));
}

#[test]
fn a2_a_machine_that_is_not_enrolled_asks_again_for_as_long_as_it_is_not() {
    let fleet = Fleet::new(1, 1);
    let member = Rig::member(&fleet, 10);
    let mut newcomer = newcomer(&fleet, 11);
    newcomer.connect(member.id(), Admission::Stranger);
    let asks = |rig: &mut Rig| {
        let steps = (0..600).map(|_| rig.wait(1_000));
        let joins = steps.flat_map(|asked| asked.sends());
        joins.filter(|(_, channel, _)| *channel == Channel::Join).count()
    };
    let asked = asks(&mut newcomer);
    assert!((20..=60).contains(&asked), "{asked} times in ten minutes");
    newcomer.submit(entries(fleet.enroll(&newcomer.key, "berlin")));
    assert_eq!(asks(&mut newcomer), 0, "it knows");
}

/// D5: a machine that took its fleet before it was enrolled reports when it is, also alone.
#[test]
fn d5_a_machine_that_is_enrolled_later_and_meets_nobody_opens_its_generation() {
    let fleet = Fleet::new(1, 1);
    let mut rig = newcomer(&fleet, 11);
    rig.wait(60_000);
    assert_eq!(rig.node.status().generation, 0);
    rig.submit(entries(fleet.enroll(&rig.key, "berlin")));
    rig.wait(1_000);
    assert_eq!(rig.node.status().generation, 1);
}

/// A stick brings a machine its own enrolment together with what is said of its site, in any
/// order: nothing of it is lost for want of knowing the site.
#[test]
fn q2_what_is_handed_in_with_the_own_enrolment_is_kept() {
    let fleet = Fleet::new(1, 1);
    let neighbour = fleet.enroll(&key(12), "berlin");
    let elsewhere = fleet.enroll(&key(13), "munich");
    let hash = daymark_protocol::id::Digest::of(&neighbour[0]);
    let site = daymark_protocol::document::site_document(Some(&"berlin".parse().unwrap()));
    for own_first in [false, true] {
        let mut rig = newcomer(&fleet, 11);
        let own = fleet.enroll(&rig.key, "berlin");
        let others = [neighbour.clone(), elsewhere.clone()].concat();
        let items = if own_first {
            [own.to_vec(), others].concat()
        } else {
            [others, own.to_vec()].concat()
        };
        let asked = rig.submit(entries(items.clone()));
        let Reply::Submitted(told) = asked.reply() else { panic!("it was taken") };
        for (item, outcome) in items.iter().zip(&told) {
            let kept = matches!(outcome, ItemOutcome::New | ItemOutcome::Known);
            assert_eq!(kept, !elsewhere.contains(item), "own first: {own_first}: {outcome:?}");
        }
        assert!(rig.node.replica().unwrap().has(&site, &hash));
        let stored =
            |write: &Write| matches!(write, Write::PutEntry { hash: put, .. } if *put == hash);
        assert!(asked.writes.iter().any(stored), "it is durable with the answer");
    }
}
