//! Taking a fleet, and its roots (RULES R2, R3).

use daymark_core::Event;
use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Reply, Write};
use daymark_core::event::Carried;

use daymark_protocol::document::signature_entry;
use daymark_protocol::trust::{Context, SigningKey};

use crate::support::{Disk, Fleet, Rig, entries, key, talk};

#[test]
fn r3_a_machine_takes_its_fleet_once() {
    let (ours, other) = (Fleet::new(1, 1), Fleet::new(2, 1));
    let mut rig = Rig::new(10);
    let taken = rig.join(ours.pin(), vec![Carried::Root(ours.roots[0].clone())]);
    assert_eq!(taken.reply(), Reply::Done);
    assert!(taken.writes.iter().any(|write| matches!(write, Write::PutRoot { version: 1, .. })));
    let pinned = |write: &Write| matches!(write, Write::PutState(state) if state.pin.is_some());
    assert!(taken.writes.iter().any(pinned));
    let again = rig.join(other.pin(), vec![Carried::Root(other.roots[0].clone())]);
    assert!(matches!(again.reply(), Reply::Refused(_)) && again.writes.is_empty());
    assert_eq!(rig.node.durable().pin, Some(ours.pin()));
    assert_eq!(rig.join(ours.pin(), vec![]).reply(), Reply::Done, "the same pin is harmless");
}

#[test]
fn r3_a_root_that_is_not_the_pinned_one_is_not_believed() {
    let (ours, other) = (Fleet::new(1, 1), Fleet::new(2, 1));
    let mut rig = Rig::new(10);
    let mut items = vec![Carried::Root(other.roots[0].clone())];
    items.extend(entries(other.enroll(&rig.key, "berlin")));
    rig.join(ours.pin(), items);
    assert!(rig.node.replica().is_none() && rig.node.durable().pin.is_none());
    rig.join(ours.pin(), vec![Carried::Root(ours.roots[0].clone())]);
    assert_eq!(rig.node.status().root_version, 1);
}

#[test]
fn r2_a_machine_that_brought_only_the_pinned_root_pulls_the_chain_from_a_stranger() {
    let fleet = Fleet::new(1, 70);
    let mut member = Rig::member(&fleet, 10);
    let mut newcomer = Rig::new(11);
    let newest = fleet.roots.last().unwrap().clone();
    newcomer.join(fleet.pin(), vec![Carried::Root(newest)]);
    assert!(newcomer.node.replica().unwrap().chain().wait().is_some());
    talk(&mut member, &mut newcomer, Admission::Stranger);
    let held = newcomer.node.replica().unwrap().chain();
    assert_eq!((held.newest_version(), held.roots().count()), (70, 70));
    assert!(held.wait().is_none());
}

#[test]
fn r2_newer_roots_come_before_anything_else_is_compared() {
    let fleet = Fleet::new(1, 3);
    let mut member = Rig::member(&fleet, 10);
    let mut behind = Rig::new(11);
    let mut items = vec![Carried::Root(fleet.roots[0].clone())];
    items.extend(entries(fleet.enroll(&behind.key, "berlin")));
    items.extend(entries(fleet.enroll(&member.key, "berlin")));
    behind.join(fleet.pins[0], items);
    member.submit(entries(fleet.enroll(&behind.key, "berlin")));
    assert_eq!(behind.node.status().root_version, 1);
    talk(&mut member, &mut behind, Admission::Member);
    assert_eq!(behind.node.status().root_version, 3);
}

#[test]
fn r2_a_stranger_many_roots_behind_gets_them_from_a_member_that_was_restarted() {
    let fleet = Fleet::with_idle_keys(1, 12, 40);
    let newer_bytes: usize = fleet.roots[1..].iter().map(Vec::len).sum();
    assert!(newer_bytes > 100 * 1024, "they fit one message: {newer_bytes} bytes");
    // A member that took its fleet at the newest root.
    let durable = DurableState { pin: Some(fleet.pin()), ..DurableState::default() };
    let mut member = Rig::on(10, Disk::of(durable, &fleet.roots));
    let mut behind = Rig::new(11);
    behind.join(fleet.pins[0], vec![Carried::Root(fleet.roots[0].clone())]);
    let enrolled = [&member.key, &behind.key].map(|key| entries(fleet.enroll(key, "berlin")));
    for host in enrolled {
        member.submit(host);
    }
    talk(&mut member, &mut behind, Admission::Stranger);
    assert_eq!(behind.node.status().root_version, 12);
    assert!(behind.node.status().name.is_some(), "it heard that it is enrolled");
}

#[test]
fn a2_who_was_removed_and_cannot_know_hears_of_it_from_whoever_it_meets() {
    let fleet = Fleet::new(1, 1);
    let (mut member, mut removed) = (Rig::member(&fleet, 10), Rig::member(&fleet, 11));
    for rig in [&mut member, &mut removed] {
        rig.submit(entries(fleet.enroll(&key(10), "berlin")));
        rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    }
    member.submit(entries(fleet.remove(&key(11), "berlin")));
    // It believes itself a member, and asks nothing; what it says is not heard.
    removed.connect(member.id(), Admission::Member);
    let (from, knows) = (member.id(), |rig: &Rig| {
        let replica = rig.node.replica().unwrap();
        replica.statements().any(|(_, held)| held.statement.payload().resources[0].gone)
    });
    assert!(!knows(&removed));
    for (_, channel, bytes) in member.connect(removed.id(), Admission::Stranger).sends() {
        removed.step(Event::Received { peer: from, channel, bytes });
    }
    assert!(knows(&removed));
}

/// A2: what one key below the threshold drafts of a host never crowds out what counts.
#[test]
fn a2_the_answer_to_a_stranger_has_what_counts_first_however_many_drafts_there_are() {
    let second = key(3);
    let fleet = Fleet::with_two_who_enrol(1, &second);
    let enroll = |host: &SigningKey| {
        let draft = fleet.draft().resource(fleet.host(host, 1, "berlin"));
        let statement = draft.finish().unwrap();
        let by_second = second.sign(Context::Statement, statement.bytes());
        let mut signed = fleet.signed(&draft).to_vec();
        let id = second.public().id();
        signed.push(signature_entry(&statement.digest(), &id, &by_second));
        entries(signed)
    };
    let mut member = Rig::new(10);
    member.join(fleet.pin(), vec![Carried::Root(fleet.roots[0].clone())]);
    member.submit([enroll(&key(10)), enroll(&key(11))].concat());
    for version in 2..80 {
        let draft = fleet.draft().resource(fleet.host(&key(11), version, "berlin"));
        member.submit(entries(fleet.signed(&draft)));
    }
    let mut newcomer = Rig::new(11);
    newcomer.join(fleet.pin(), vec![Carried::Root(fleet.roots[0].clone())]);
    talk(&mut member, &mut newcomer, Admission::Stranger);
    assert!(newcomer.node.status().name.is_some(), "it heard that it is enrolled");
}
