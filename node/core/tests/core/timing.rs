//! Whose clocks count (RULES K1, K2): those of direct, enrolled neighbours, one reading each.

use daymark_core::effect::{Admission, Verdict};
use daymark_core::event::Reading;
use daymark_core::{ClockTrust, CoreConfig, Event, Node};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::wire::{GossipMessage, Hello, Liveness, Nonce, SyncMessage, Tag};
use proptest::prelude::*;

use crate::support::{Fleet, Rig, entries, key, start};

/// Whether a machine belongs to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enrolment {
    Never,
    /// It is still served authority data, and compares.
    Ended,
    Now,
}

/// What each of four machines does in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbour {
    enrolment: Enrolment,
    /// How often it says itself what its clock reads.
    hellos: usize,
    /// Whether another passes on what it says of itself.
    relayed: bool,
}

/// A member that nobody vouches for, one minute after `start`.
fn unsynchronised(fleet: &Fleet) -> Rig {
    let mut rig = Rig::member(fleet, 10);
    rig.synchronised = false;
    rig.wait(1);
    assert!(!rig.node.now().known);
    rig
}

fn wall(rig: &Rig) -> WallTime {
    start().plus_ms(i64::try_from(rig.now_ms).unwrap() + 60_000)
}

fn hello(rig: &Rig) -> SyncMessage {
    SyncMessage::Hello(Hello {
        root_version: 1,
        nonce: Nonce::default(),
        root: Tag::default(),
        fleet: Tag::default(),
        site: [0; 8],
        site_entries: Tag::default(),
        heads: Tag::default(),
        wall: wall(rig),
        synchronised: true,
    })
}

fn liveness(fleet: &Fleet, seed: u8, rig: &Rig, count: u64) -> Vec<u8> {
    let said = Liveness {
        fleet: fleet.id,
        key: key(seed).public(),
        generation: 1,
        count,
        wall: wall(rig),
        synchronised: true,
        addresses: vec![],
        fetching: None,
    };
    GossipMessage::Liveness(said.sign(&key(seed))).encode()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn k2_three_enrolled_neighbours_vouch_by_what_they_say_themselves(
        neighbours in prop::collection::vec(
            (
                prop::sample::select(vec![Enrolment::Never, Enrolment::Ended, Enrolment::Now]),
                0..4_usize,
                any::<bool>(),
            )
                .prop_map(|(enrolment, hellos, relayed)| Neighbour { enrolment, hellos, relayed }),
            4,
        ),
    ) {
        let fleet = Fleet::new(1, 1);
        let mut rig = unsynchronised(&fleet);
        let carrier = key(30).public().id();
        rig.submit(entries(fleet.enroll(&key(30), "berlin")));
        rig.connect(carrier, Admission::Member);
        for (seed, neighbour) in (20..).zip(&neighbours) {
            let enrolled = fleet.draft().resource(fleet.host(&key(seed), 1, "berlin"));
            match neighbour.enrolment {
                Enrolment::Never => {}
                Enrolment::Ended => drop(rig.submit(entries(fleet.signed(&enrolled.until(start()))))),
                Enrolment::Now => drop(rig.submit(entries(fleet.signed(&enrolled)))),
            }
            let peer = key(seed).public().id();
            rig.connect(peer, Admission::Member);
            for _ in 0..neighbour.hellos {
                let hello = hello(&rig);
                rig.receive(peer, &hello);
            }
            if neighbour.relayed {
                let said = liveness(&fleet, seed, &rig, 1);
                let now = neighbour.enrolment == Enrolment::Now;
                let expected = if now { Verdict::Accept } else { Verdict::Ignore };
                prop_assert_eq!(rig.gossip(carrier, said).verdict(), expected);
            }
        }
        rig.wait(1);
        let vouching = neighbours
            .iter()
            .filter(|said| said.enrolment == Enrolment::Now && said.hellos > 0)
            .count();
        prop_assert_eq!(rig.node.now().known, vouching >= 3, "{}", rig.node.status().clock);
    }
}

#[test]
fn k2_the_reading_of_a_machine_that_was_removed_is_forgotten() {
    let fleet = Fleet::new(1, 1);
    let mut rig = unsynchronised(&fleet);
    let peers: Vec<KeyId> = (20..23).map(|seed| key(seed).public().id()).collect();
    for (seed, peer) in (20..).zip(&peers) {
        rig.submit(entries(fleet.enroll(&key(seed), "berlin")));
        rig.connect(*peer, Admission::Member);
        let hello = hello(&rig);
        rig.receive(*peer, &hello);
    }
    assert!(rig.node.now().known);
    rig.submit(entries(fleet.remove(&key(20), "berlin")));
    rig.wait(1);
    assert!(!rig.node.now().known);
}

#[test]
fn d7_a_liveness_that_is_known_is_not_passed_on() {
    let fleet = Fleet::new(1, 1);
    let mut rig = unsynchronised(&fleet);
    let carrier = key(20).public().id();
    rig.submit(entries(fleet.enroll(&key(20), "berlin")));
    rig.connect(carrier, Admission::Member);
    let [first, second] = [1, 2].map(|count| liveness(&fleet, 20, &rig, count));
    assert_eq!(rig.gossip(carrier, second.clone()).verdict(), Verdict::Accept);
    assert_eq!(rig.gossip(carrier, second).verdict(), Verdict::Ignore);
    assert_eq!(rig.gossip(carrier, first).verdict(), Verdict::Ignore, "it is older");
}

/// K2: where hosts are enrolled until some day, as by a delegation, an unknown clock must not make
/// everybody's word void: then nobody could ever vouch.
#[test]
fn k2_neighbours_whose_enrolment_will_end_vouch_for_a_clock_that_nobody_knows() {
    let fleet = Fleet::new(1, 1);
    let mut rig = unsynchronised(&fleet);
    let until = start().plus_ms(24 * 3_600_000);
    for seed in 20..23 {
        let host = fleet.draft().resource(fleet.host(&key(seed), 1, "berlin")).until(until);
        rig.submit(entries(fleet.signed(&host)));
        let peer = key(seed).public().id();
        rig.connect(peer, Admission::Member);
        let hello = hello(&rig);
        rig.receive(peer, &hello);
    }
    rig.wait(1);
    assert!(rig.node.now().known, "{}", rig.node.status().clock);
    // Another statement comes, and who is connected is looked at again.
    rig.synchronised = false;
    rig.submit(entries(fleet.enroll(&key(40), "berlin")));
    assert!(rig.node.now().known);
}

/// Q6: what reads impossible at the start is no measure for jumps; the clock may be put right once.
#[test]
fn q6_a_real_time_clock_that_was_wrong_at_the_start_is_put_right_once() {
    let fleet = Fleet::new(1, 1);
    let mut disk = Rig::member(&fleet, 10).disk;
    // What only a heartbeat says is no floor of its own.
    disk.durable.heartbeat = Some((start().plus_ms(48 * 3_600_000), Digest([1; 32])));
    let config = CoreConfig::new(ClockTrust::Rtc, WallTime::EPOCH, 8).unwrap();
    let reading =
        |mono: u64, wall: WallTime| Reading { mono: MonoTime(mono), wall, synchronised: false };
    let early = start().plus_ms(24 * 3_600_000);
    let (mut node, _) = Node::new(config, disk.start(key(10)), reading(0, early));
    assert!(!node.now().known, "the heartbeat is of a later day");
    drop(node.step(reading(1_000, start().plus_ms(72 * 3_600_000)), Event::Wake));
    assert!(node.now().known, "{}", node.status().clock);
}
