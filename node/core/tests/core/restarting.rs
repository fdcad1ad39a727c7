//! Generations of reports across restarts (RULES D5, Q15).

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Write};
use daymark_core::event::Carried;
use daymark_protocol::document::{Facts, ReportWriter};
use daymark_protocol::id::Digest;
use daymark_protocol::limits::RUNS_KEPT;
use daymark_protocol::status::UpdateStatus;
use daymark_protocol::wire::SyncMessage;
use proptest::prelude::*;

use crate::support::{Disk, Fleet, Rig, entries, inspection, key, start, talk};

fn restarted(fleet: &Fleet, generation: u64) -> Rig {
    let durable = DurableState { pin: Some(fleet.pin()), generation, ..DurableState::default() };
    let mut rig = Rig::on(10, Disk::of(durable, &fleet.roots));
    rig.submit(entries(fleet.enroll(&key(10), "berlin")));
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.step(daymark_core::Event::Inspected(Box::new(inspection())));
    rig
}

fn own_reports(fleet: &Fleet, generation: u64) -> Vec<Vec<u8>> {
    let own = key(10);
    let mut facts = Facts::default();
    facts.set_text(&["facts", "said"], "before");
    let mut writer = ReportWriter::new(fleet.id, own.public().id(), generation, None);
    let written = writer.write(&own, &facts).unwrap();
    written.reports.iter().map(|report| report.bytes().to_vec()).collect()
}

#[test]
fn q15_a_starting_node_waits_for_its_own_reports_and_opens_above_them() {
    let fleet = Fleet::new(1, 1);
    let mut alone = restarted(&fleet, 3);
    alone.wait(29_000);
    assert_eq!(alone.node.status().generation, 0, "it waits");
    alone.wait(1_000);
    assert_eq!(alone.node.status().generation, 4);
    let mut told = restarted(&fleet, 3);
    let peer = key(11).public().id();
    told.connect(peer, Admission::Member);
    told.receive(peer, &SyncMessage::Reports(own_reports(&fleet, 7)));
    told.wait(30_000);
    assert_eq!(told.node.status().generation, 8);
    assert_eq!(told.node.durable().generation, 8, "durable before its first report leaves");
}

/// A member's disk after each of its first `starts` starts, with what it had reported by then.
fn history(fleet: &Fleet, starts: usize) -> Vec<Disk> {
    let mut rig = Rig::member(fleet, 10);
    for seed in [11, 12] {
        rig.submit(entries(fleet.enroll(&key(seed), "berlin")));
    }
    let mut disks = Vec::new();
    for _ in 0..starts {
        rig.wait(30_000);
        assert_eq!(rig.node.status().generation, disks.len() as u64 + 1);
        disks.push(rig.disk.clone());
        rig = Rig::restarted(10, rig.disk.clone());
    }
    disks
}

/// A neighbour that holds what the first member had reported with this disk.
fn neighbour(fleet: &Fleet, seed: u8, disk: &Disk) -> Rig {
    let mut rig = Rig::member(fleet, seed);
    for seed in [10, 11, 12] {
        rig.submit(entries(fleet.enroll(&key(seed), "berlin")));
    }
    rig.submit(disk.reports.iter().map(|held| Carried::Report(held.bytes.clone())).collect());
    rig
}

#[test]
fn q15_two_neighbours_that_hold_nothing_newer_end_the_wait_and_one_shortens_it() {
    let fleet = Fleet::new(1, 1);
    let disks = history(&fleet, 2);
    let mut rig = Rig::restarted(10, disks[1].clone());
    talk(&mut rig, &mut neighbour(&fleet, 11, &disks[1]), Admission::Member);
    assert_eq!(rig.node.status().generation, 0);
    talk(&mut rig, &mut neighbour(&fleet, 12, &disks[1]), Admission::Member);
    assert_eq!(rig.node.status().generation, 3, "at once");

    let mut rig = Rig::restarted(10, disks[1].clone());
    talk(&mut rig, &mut neighbour(&fleet, 11, &disks[1]), Admission::Member);
    rig.wait(4_999);
    assert_eq!(rig.node.status().generation, 0, "another may contradict it");
    rig.wait(1);
    assert_eq!(rig.node.status().generation, 3);
}

#[test]
fn q15_neighbours_that_hold_less_end_no_wait() {
    let fleet = Fleet::new(1, 1);
    let disks = history(&fleet, 2);
    let mut rig = Rig::restarted(10, disks[1].clone());
    talk(&mut rig, &mut neighbour(&fleet, 11, &disks[0]), Admission::Member);
    talk(&mut rig, &mut neighbour(&fleet, 12, &Disk::default()), Admission::Member);
    rig.wait(29_000);
    assert_eq!(rig.node.status().generation, 0);
    rig.wait(1_000);
    assert_eq!(rig.node.status().generation, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// D5: whichever old disk a machine is restored from, and whatever each of two neighbours missed,
    /// it goes on above all that either holds, and is not taken for a clone.
    #[test]
    fn q15_a_restored_machine_goes_on_above_what_its_neighbours_hold(
        restored in 0..4_usize, one in 0..4_usize, other in 0..4_usize,
    ) {
        let fleet = Fleet::new(1, 1);
        let disks = history(&fleet, 4);
        let mut rig = Rig::restarted(10, disks[restored].clone());
        talk(&mut rig, &mut neighbour(&fleet, 11, &disks[one]), Admission::Member);
        talk(&mut rig, &mut neighbour(&fleet, 12, &disks[other]), Admission::Member);
        rig.wait(30_000);
        let newest = 1 + restored.max(one).max(other) as u64;
        prop_assert_eq!(rig.node.status().generation, newest + 1);
        prop_assert_eq!(rig.disk.durable.generation, newest + 1);
        prop_assert!(rig.node.status().problems.is_empty());
    }
}

#[test]
fn q15_d6_a_running_node_rises_above_what_it_did_not_write_once() {
    let fleet = Fleet::new(1, 1);
    let mut rig = restarted(&fleet, 0);
    rig.wait(30_000);
    assert_eq!(rig.node.status().generation, 1);
    let peer = key(11).public().id();
    rig.connect(peer, Admission::Member);
    rig.receive(peer, &SyncMessage::Reports(own_reports(&fleet, 9)));
    rig.wait(30_000);
    assert_eq!(rig.node.status().generation, 10);
    assert!(rig.node.status().problems.is_empty());
    rig.receive(peer, &SyncMessage::Reports(own_reports(&fleet, 20)));
    assert!(rig.node.status().problems.iter().any(|problem| problem.contains("another machine")));
}

#[test]
fn q15_own_reports_that_are_handed_in_locally_do_not_silence_a_restored_machine() {
    let fleet = Fleet::new(1, 1);
    let mut rig = restarted(&fleet, 3);
    rig.wait(30_000);
    assert_eq!(rig.node.status().generation, 4, "the disk is older than its reports");
    let newer = own_reports(&fleet, 9).into_iter().map(Carried::Report).collect();
    let asked = rig.submit(newer);
    let own = |write: &Write| match write {
        Write::PutReport { host, generation, .. } if *host == rig.id() => Some(*generation),
        _ => None,
    };
    let highest = asked.writes.iter().filter_map(own).max();
    assert_eq!(highest, Some(10), "what it says now lies below what others hold of it");
    assert!(rig.node.status().problems.is_empty());
}

#[test]
fn k1_the_clocks_floor_outlasts_a_restart() {
    const DAY_MS: u64 = 24 * 3_600_000;
    let fleet = Fleet::new(1, 1);
    let mut rigs: Vec<Rig> = (10..14).map(|seed| Rig::member(&fleet, seed)).collect();
    for rig in &mut rigs {
        for seed in 10..14 {
            rig.submit(entries(fleet.enroll(&key(seed), "berlin")));
        }
        rig.wait(10 * DAY_MS);
    }
    let (rig, peers) = rigs.split_first_mut().unwrap();
    for peer in peers {
        talk(rig, peer, Admission::Member);
    }
    rig.wait(1_000);
    let floor = rig.node.durable().clock_floor.expect("three neighbours agree");
    assert!(floor > start().plus_ms(i64::try_from(9 * DAY_MS).unwrap()));
    // After the restart the battery is empty: the clock reads ten days less.
    let durable = rig.node.durable().clone();
    let restarted = Rig::on(10, Disk::of(durable, &fleet.roots));
    let now = restarted.node.now();
    assert!(!now.known && now.earliest >= floor, "{now:?}");
}

/// The state of a machine that updated itself so many times.
fn updated(state: &DurableState, runs: u64) -> DurableState {
    let digest = Digest([7; 32]);
    let run = |number: u64| {
        let target = serde_json::json!({
            "policy": "policy", "policyVersion": 1, "osProfile": "os", "digest": digest,
            "profile": "edge", "version": "1.0.0", "indexDigest": digest, "indexBytes": 1_000,
        });
        let attempt = serde_json::json!({
            "number": number, "target": target, "fromVersion": null, "started": start(),
            "fromSlot": "a", "activated": start(), "peerSeen": false, "window": null,
            "progress": {
                "totalBytes": 0, "verifiedBytes": 0, "ownBytes": 0, "originBytes": 0,
                "peerBytes": {}, "refused": {},
            },
            "failure": null,
        });
        let run = serde_json::json!({
            "attempt": attempt, "status": "UPDATED", "detail": "", "ended": start(),
        });
        serde_json::from_value(run).unwrap()
    };
    let first = (runs + 1).saturating_sub(RUNS_KEPT as u64).max(1);
    let finished = (first..=runs).map(run).collect();
    DurableState { attempt: runs, finished, ..state.clone() }
}

/// I12: each update is told once as UPDATED, the thirtieth and later ones too, and not again after
/// a restart.
#[test]
fn i12_updated_is_told_once_for_every_run_however_many_there_were() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.wait(1_000);
    let status = |rig: &Rig| {
        let view = rig.node.replica().unwrap().host_view(&rig.id()).unwrap();
        view.facts().update_status().unwrap().status
    };
    let (told, after) = (UpdateStatus::Updated.text(), UpdateStatus::UpToDate.text());
    for runs in [1, 29, 30, 31, 32] {
        let disk = Disk { durable: updated(&rig.disk.durable, runs), ..rig.disk.clone() };
        rig = Rig::restarted(10, disk);
        rig.wait(30_000);
        assert_eq!(status(&rig), told, "run {runs}");
        rig.wait(60_000);
        assert_eq!(status(&rig), after, "run {runs}");
        rig = Rig::restarted(10, rig.disk.clone());
        rig.wait(30_000);
        assert_eq!(status(&rig), after, "run {runs} was told before the restart");
    }
}
