//! What hosts say of where they are: newest-only, and whom it makes a node dial (RULES A1, D7).

use daymark_core::effect::{Admission, Effect, Verdict};
use daymark_protocol::id::KeyId;
use daymark_protocol::wire::{GossipMessage, Liveness};

use crate::support::{Asked, Fleet, Rig, entries, key, start};

/// The gossip of host `seed`, at an address of its own for each count.
fn said(fleet: &Fleet, seed: u8, generation: u64, count: u64) -> Vec<u8> {
    let liveness = Liveness {
        fleet: fleet.id,
        key: key(seed).public(),
        generation,
        count,
        wall: start(),
        synchronised: true,
        addresses: vec![address(generation, count)],
        fetching: None,
    };
    GossipMessage::Liveness(liveness.sign(&key(seed))).encode()
}

fn address(generation: u64, count: u64) -> String {
    format!("/ip4/10.0.{generation}.{count}/tcp/1")
}

/// A member with one connected neighbour, which passes on what others say, and host 12 enrolled.
fn listening(fleet: &Fleet) -> (Rig, KeyId) {
    let mut rig = Rig::member(fleet, 10);
    for host in [11, 12] {
        rig.submit(entries(fleet.enroll(&key(host), "berlin")));
    }
    let neighbour = key(11).public().id();
    rig.connect(neighbour, Admission::Member);
    (rig, neighbour)
}

fn dialled(asked: &Asked) -> Vec<(KeyId, Vec<String>)> {
    let dials = asked.immediate.iter().chain(&asked.deferred).filter_map(|effect| match effect {
        Effect::Dial { peer, addresses } => Some((*peer, addresses.clone())),
        _ => None,
    });
    dials.collect()
}

#[test]
fn d7_only_the_newest_liveness_is_kept_and_a_replayed_one_is_ignored() {
    let fleet = Fleet::new(1, 1);
    let (mut rig, neighbour) = listening(&fleet);
    let kept = |rig: &Rig| {
        let all: Vec<_> = rig.node.liveness().collect();
        assert!(all.len() <= 1);
        all.first().map(|(_, said)| (said.generation, said.count))
    };
    for (generation, count, verdict, newest) in [
        (3, 5, Verdict::Accept, (3, 5)),
        (3, 5, Verdict::Ignore, (3, 5)),
        (3, 4, Verdict::Ignore, (3, 5)),
        (2, 9, Verdict::Ignore, (3, 5)),
        (3, 6, Verdict::Accept, (3, 6)),
        (4, 1, Verdict::Accept, (4, 1)),
        (3, 7, Verdict::Ignore, (4, 1)),
    ] {
        let asked = rig.gossip(neighbour, said(&fleet, 12, generation, count));
        assert_eq!(asked.verdict(), verdict, "{generation}/{count}");
        assert_eq!(kept(&rig), Some(newest));
        let stored = asked.writes.iter().any(|write| format!("{write:?}").contains("10.0."));
        assert!(!stored, "it stands beside the documents");
    }
    let told = Vec::from_iter(dialled(&rig.wait(60_000)));
    assert_eq!(told, [(key(12).public().id(), vec![address(4, 1)])]);
}

#[test]
fn a1_only_hosts_with_a_statement_are_dialled_where_they_say_they_are() {
    let fleet = Fleet::new(1, 1);
    let (mut rig, neighbour) = listening(&fleet);
    let stranger = rig.gossip(neighbour, said(&fleet, 14, 1, 1));
    assert_eq!(stranger.verdict(), Verdict::Ignore);
    let asked = rig.gossip(neighbour, said(&fleet, 12, 1, 1));
    assert_eq!(asked.verdict(), Verdict::Accept);
    let mut all = dialled(&asked);
    all.extend((0..60).flat_map(|_| dialled(&rig.wait(60_000))));
    assert!(all.iter().all(|dial| *dial == (key(12).public().id(), vec![address(1, 1)])));
    assert!(all.len() > 2, "it is tried again: {}", all.len());
    rig.submit(entries(fleet.remove(&key(12), "berlin")));
    let after: usize = (0..60).map(|_| dialled(&rig.wait(60_000)).len()).sum();
    assert_eq!(after, 0, "a removed host is dialled");
}
