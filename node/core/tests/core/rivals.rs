//! Two roots of one version: everyone keeps both and waits until one settles them (RULES R2, R4).

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Channel, ItemOutcome, Reply, Write};
use daymark_core::event::Carried;
use daymark_protocol::document::{StoredEntry, StoredReport};
use daymark_protocol::trust::{ChainWait, FloorRecord, Floors, RootDraft};

use crate::support::{Asked, Disk, Fleet, Rig, carry, entries, inspection, start, talk};

/// A member of root 1 that got one of the rivals.
fn member(fleet: &Fleet, seed: u8, rival: &[u8]) -> (Rig, Asked) {
    let mut rig = Rig::member(fleet, seed);
    for other in [10, 11] {
        rig.submit(entries(fleet.enroll(&crate::support::key(other), "berlin")));
    }
    let asked = rig.submit(vec![Carried::Root(rival.to_vec())]);
    assert_eq!(asked.reply(), Reply::Submitted(vec![ItemOutcome::New]));
    (rig, asked)
}

fn rivals(rig: &Rig) -> bool {
    rig.node.replica().unwrap().chain().wait() == Some(&ChainWait::Rivals { version: 2 })
}

fn stored(rig: &Rig) -> Vec<Vec<u8>> {
    rig.node.replica().unwrap().chain().files().map(|(_, bytes)| bytes).collect()
}

#[test]
fn r4_rivals_meet_stop_both_sides_outlast_a_restart_and_are_settled_by_one_above_both() {
    let fleet = Fleet::new(1, 1);
    let (left, right) = (fleet.second_root(1), fleet.second_root(2));
    let (mut east, _) = member(&fleet, 10, &left);
    let (mut west, _) = member(&fleet, 11, &right);
    assert!(!rivals(&east) && !rivals(&west));
    talk(&mut east, &mut west, Admission::Member);
    assert!(rivals(&east) || rivals(&west));
    // Nothing can be judged there, so they are strangers, and roots go by the join exchange.
    talk(&mut east, &mut west, Admission::Stranger);
    assert!(rivals(&east) && rivals(&west));
    for rig in [&mut east, &mut west] {
        rig.wait(1_000);
        assert_eq!(rig.node.decision().unwrap().reason, "root-incomplete");
        assert!(rig.node.status().problems.iter().any(|said| said.contains("rival roots")));
    }
    // What is on disk says so too, whichever of them the machine held first.
    let durable = east.node.durable().clone();
    assert_eq!(durable.pin, Some(fleet.pin()), "the pin stays as it was taken");
    let mut east = Rig::on(10, Disk::of(durable, &stored(&east)));
    east.step(daymark_core::Event::Inspected(Box::new(inspection())));
    assert!(rivals(&east));
    let roots = [left, right].map(|root| fleet.read_root(&root));
    let third = RootDraft::settling(&[&roots[0], &roots[1]], start(), roots[0].expires).unwrap();
    east.submit(vec![Carried::Root(fleet.sign_root(&third))]);
    let asked = west.wait(31_000).sends();
    let asks = |(to, channel, _): &(_, Channel, _)| *to == east.id() && *channel == Channel::Join;
    assert!(asked.iter().any(asks), "a machine that waits for roots goes on asking");
    talk(&mut east, &mut west, Admission::Stranger);
    for rig in [&east, &west] {
        let chain = rig.node.replica().unwrap().chain();
        assert_eq!((chain.wait(), chain.newest_version()), (None, 3));
    }
}

/// The halts that stand, and everything on disk but what the machine says of itself.
fn held(rig: &Rig) -> (usize, Vec<StoredEntry>, Vec<StoredReport>, Vec<FloorRecord>) {
    let (mut entries, mut reports) = (rig.disk.entries.clone(), rig.disk.reports.clone());
    entries.sort();
    reports.sort();
    reports.retain(|report| report.host != rig.id());
    let mut floors = rig.node.compact_floors().unwrap();
    floors.sort_by_key(FloorRecord::encode);
    (rig.node.replica().unwrap().standing().halts.len(), entries, reports, floors)
}

#[test]
fn i11_c4_d3_a_halt_of_the_own_site_and_all_that_it_holds_outlast_rivals_and_a_restart_among_them()
{
    let fleet = Fleet::new(1, 1);
    let (left, right) = (fleet.second_root(1), fleet.second_root(2));
    let roots = [&left, &right].map(|root| fleet.read_root(root));
    let third = RootDraft::settling(&[&roots[0], &roots[1]], start(), roots[0].expires).unwrap();
    let third = fleet.sign_root(&third);
    for restarts in [false, true] {
        let (mut rig, _) = member(&fleet, 10, &left);
        let (_, items) = fleet.order("2.0.0");
        rig.submit(items);
        rig.submit(entries(fleet.halt_berlin()));
        let mut neighbour = Rig::member(&fleet, 11);
        neighbour.wait(30_000);
        let reports = neighbour.disk.reports.iter();
        rig.submit(reports.map(|held| Carried::Report(held.bytes.clone())).collect());
        let before = held(&rig);
        assert_eq!(before.0, 1);
        assert!(before.2.iter().any(|report| report.host == neighbour.id()));
        rig.submit(vec![Carried::Root(right.clone())]);
        assert!(rivals(&rig));
        rig.wait(1_000);
        if restarts {
            rig = Rig::restarted(10, rig.disk.clone());
            assert!(rivals(&rig));
        }
        // A neighbour of another site comes by meanwhile.
        rig.connect(crate::support::key(12).public().id(), Admission::Stranger);
        rig.wait(1_000);
        rig.submit(vec![Carried::Root(third.clone())]);
        assert_eq!(rig.node.replica().unwrap().chain().wait(), None);
        assert!(held(&rig) == before, "{restarts}: {:?}\n{before:?}", held(&rig));
        // The journal rewritten still has the halt, also without the store.
        let mut floors = Floors::default();
        for floor in rig.node.compact_floors().unwrap() {
            floors.apply(floor);
        }
        let disk = Disk { floors, entries: vec![], ..rig.disk.clone() };
        let mut rig = Rig::restarted(10, disk);
        rig.submit(entries(fleet.enroll(&crate::support::key(10), "berlin")));
        assert_eq!(held(&rig).0, 1);
    }
}

#[test]
fn r4_a_machine_that_holds_one_rival_and_asks_nobody_is_told_of_the_other() {
    let fleet = Fleet::new(1, 1);
    let (left, right) = (fleet.second_root(1), fleet.second_root(2));
    let (mut east, _) = member(&fleet, 10, &left);
    let (mut west, _) = member(&fleet, 11, &right);
    east.submit(vec![Carried::Root(right)]);
    // What they said when they met was lost: to east, who can judge nothing, west is a stranger.
    east.connect(west.id(), Admission::Stranger);
    west.connect(east.id(), Admission::Member);
    assert!(rivals(&east) && !rivals(&west));
    let mut asked = east.wait(31_000).sends();
    asked.retain(|(_, channel, _)| *channel == Channel::Join);
    assert!(!asked.is_empty());
    carry(&mut east, &mut west, asked);
    assert!(rivals(&west));
}

/// Nothing can be judged under rivals, so what comes then waits: it counts once they are settled.
#[test]
fn i11_r4_a_halt_that_comes_among_rivals_stands_once_they_are_settled() {
    let fleet = Fleet::new(1, 1);
    let (left, right) = (fleet.second_root(1), fleet.second_root(2));
    let roots = [&left, &right].map(|root| fleet.read_root(root));
    let third = RootDraft::settling(&[&roots[0], &roots[1]], start(), roots[0].expires).unwrap();
    let (mut rig, _) = member(&fleet, 10, &left);
    rig.submit(vec![Carried::Root(right)]);
    assert!(rivals(&rig));
    let asked = rig.submit(entries(fleet.halt_berlin()));
    let Reply::Submitted(told) = asked.reply() else { panic!("it is not refused") };
    assert!(told.iter().all(|told| matches!(told, ItemOutcome::Held(_))), "{told:?}");
    rig.submit(vec![Carried::Root(fleet.sign_root(&third))]);
    assert_eq!(held(&rig).0, 1);
}

#[test]
fn r2_a_node_that_lost_the_file_of_its_newest_root_waits_for_it() {
    let fleet = Fleet::new(1, 1);
    let second = fleet.second_root(1);
    let (rig, asked) = member(&fleet, 10, &second);
    assert_eq!(rig.node.durable().root_floor, 2);
    let saved = |write: &Write| matches!(write, Write::PutState(state) if state.root_floor == 2);
    assert!(asked.writes.iter().any(saved));
    let durable: DurableState = rig.node.durable().clone();
    let mut rig = Rig::on(10, Disk::of(durable, &fleet.roots));
    let missing = Some(ChainWait::Missing { first: 2, last: 2 });
    assert_eq!(rig.node.replica().unwrap().chain().wait().cloned(), missing);
    rig.submit(vec![Carried::Root(second)]);
    assert_eq!(rig.node.replica().unwrap().chain().wait(), None);
}
