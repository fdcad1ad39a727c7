//! A machine that was away hears its neighbours before it switches (I11).

use daymark_core::durable::UpdateState;
use daymark_core::effect::Admission;
use daymark_protocol::decide::Gate;

use crate::support::{Disk, Fleet, Rig, entries, key, talk};

/// What a member's disk says after staging, with `hosts` enrolled beside it.
fn staged(fleet: &Fleet, beside: &[u8]) -> Disk {
    let mut rig = Rig::member(fleet, 10);
    for host in beside {
        rig.submit(entries(fleet.enroll(&key(*host), "berlin")));
    }
    rig.submit(fleet.order("2.0.0").1);
    let mut disk = rig.disk.clone();
    let UpdateState::Staging(attempt) = disk.durable.update.clone() else {
        panic!("it stages: {:?}", rig.node.decision())
    };
    disk.durable.update = UpdateState::Staged(attempt);
    disk
}

/// A machine beside it that holds the same statements.
fn neighbour(fleet: &Fleet) -> Rig {
    let mut rig = Rig::member(fleet, 11);
    rig.submit(entries(fleet.enroll(&key(10), "berlin")));
    rig.submit(fleet.order("2.0.0").1);
    rig
}

fn switches(rig: &Rig) -> bool {
    matches!(rig.node.durable().update, UpdateState::Activating(_))
}

#[test]
fn i11_a_machine_that_starts_with_an_image_staged_hears_of_a_halt_first() {
    let fleet = Fleet::new(1, 1);
    let disk = staged(&fleet, &[11]);
    let mut rig = Rig::restarted(10, disk);
    assert!(!switches(&rig));
    let gate = rig.gate(Gate::Inhibited);
    assert!(!gate.pass && gate.evidence.iter().any(|fact| fact.1.contains("hears")), "{gate:?}");
    let mut neighbour = neighbour(&fleet);
    neighbour.submit(entries(fleet.halt_berlin()));
    talk(&mut rig, &mut neighbour, Admission::Member);
    rig.wait(60_000);
    assert!(!switches(&rig) && !rig.gate(Gate::Halted).pass);
}

#[test]
fn a_neighbour_that_agrees_ends_the_wait_and_so_does_time_or_being_alone() {
    let fleet = Fleet::new(1, 1);
    let disk = staged(&fleet, &[11]);
    let mut rig = Rig::restarted(10, disk.clone());
    talk(&mut rig, &mut neighbour(&fleet), Admission::Member);
    assert!(switches(&rig), "it agreed");
    let mut cut_off = Rig::restarted(10, disk);
    cut_off.wait(19_999);
    assert!(!switches(&cut_off));
    cut_off.wait(1);
    assert!(switches(&cut_off));
    assert!(switches(&Rig::restarted(10, staged(&fleet, &[]))), "it is alone at its site");
}
