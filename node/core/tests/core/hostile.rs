//! Whatever comes over the network, nothing panics, and what a message can cause is bounded (I9).

use daymark_core::Event;
use daymark_core::effect::{Act, Admission, Channel, Effect, OpId, Verdict};
use daymark_core::event::StageProgress;
use daymark_protocol::limits;
use daymark_protocol::wire::{GossipMessage, SyncMessage};
use proptest::prelude::*;

use crate::support::{Asked, Fleet, Rig, entries, key};

/// A node with two neighbours, and messages that it and they really send.
fn world() -> (Rig, Vec<Vec<u8>>) {
    let fleet = Fleet::new(1, 2);
    let (mut rig, mut other) = (Rig::member(&fleet, 10), Rig::member(&fleet, 11));
    let mut real = Vec::new();
    for node in [&mut rig, &mut other] {
        for seed in [10, 11, 12] {
            let enrolled = fleet.enroll(&key(seed), "berlin");
            real.push(GossipMessage::Entries(enrolled.to_vec()).encode());
            node.submit(entries(enrolled));
        }
        node.wait(1_000);
    }
    for asked in [
        rig.connect(key(11).public().id(), Admission::Member),
        rig.connect(key(12).public().id(), Admission::Stranger),
        other.connect(key(10).public().id(), Admission::Member),
        other.connect(key(12).public().id(), Admission::Stranger),
    ] {
        real.extend(asked.sends().into_iter().map(|(_, _, bytes)| bytes));
    }
    (rig, real)
}

fn bounded(asked: &Asked) {
    assert!(
        asked.immediate.len() + asked.deferred.len() < 200,
        "{} effects",
        asked.immediate.len()
    );
    for effect in asked.immediate.iter().chain(&asked.deferred) {
        if let Effect::Send { bytes, .. } | Effect::Publish { bytes, .. } = effect {
            assert!(bytes.len() <= limits::MESSAGE_BYTES_MAX);
        }
    }
}

/// Hands bytes in everywhere, from a member, from a stranger and from someone not connected, twice.
fn everywhere(rig: &mut Rig, bytes: &[u8]) {
    for seed in [11, 12, 13, 11] {
        let peer = key(seed).public().id();
        for channel in [Channel::Join, Channel::Sync] {
            let bytes = bytes.to_vec();
            bounded(&rig.step(Event::Received { peer, channel, bytes }));
        }
        let judged = rig.gossip(peer, bytes.to_vec());
        judged.verdict();
        bounded(&judged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i9_noise_is_survived(noise in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..600), 1..12,
    )) {
        let (mut rig, _) = world();
        for bytes in noise {
            everywhere(&mut rig, &bytes);
            let framed: Vec<u8> = [1, bytes.first().copied().unwrap_or(1) % 14]
                .into_iter().chain(bytes).collect();
            everywhere(&mut rig, &framed);
        }
        prop_assert_eq!(rig.node.status().root_version, 2);
    }

    #[test]
    fn i9_damaged_messages_are_survived(damage in prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=255_u8, any::<bool>()),
        1..30,
    )) {
        let (mut rig, real) = world();
        for (which, place, flip, cut) in damage {
            let mut bytes = which.get(&real).clone();
            let at = place.index(bytes.len());
            bytes[at] ^= flip;
            if cut {
                bytes.truncate(at);
            }
            everywhere(&mut rig, &bytes);
        }
        prop_assert_eq!(rig.node.status().root_version, 2);
        prop_assert!(rig.node.status().name.is_some(), "it is still enrolled");
    }
}

#[test]
fn i9_a_peer_that_floods_is_not_served_beyond_its_budget() {
    let (mut rig, _) = world();
    let peer = key(11).public().id();
    let wanted = SyncMessage::WantRoots { first: 1, last: 2 };
    let served: usize = (0..5_000).map(|_| rig.receive(peer, &wanted).sends().len()).sum();
    assert!(served <= 1_100, "{served} answers");
    assert!(rig.node.status().counters.over_budget >= 3_900);
}

#[test]
fn i9_a_peer_that_sends_100_000_bad_signatures_is_shut_out_for_a_while() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let enrolled = fleet.draft().resource(fleet.host(&key(11), 1, "berlin"));
    rig.submit(entries(fleet.signed(&enrolled)));
    let peer = key(11).public().id();
    rig.connect(peer, Admission::Member);
    let forged = fleet.forged(&enrolled, 100);
    let bad = SyncMessage::Entries(forged.clone());
    assert_eq!(rig.receive(peer, &bad).admitted(), Some(Admission::Stranger));
    for _ in 0..500 {
        assert_eq!(rig.receive(peer, &bad).admitted(), None);
        let gossiped = rig.gossip(peer, GossipMessage::Entries(forged.clone()).encode());
        assert_eq!(gossiped.verdict(), Verdict::Ignore);
    }
    assert_eq!(rig.node.status().counters.refused, 100, "all others were not looked at");
    assert_eq!(rig.node.status().held_entries, 0);
    assert_eq!(rig.node.status().problems.len(), 1);
    // Nor does it help to come again.
    rig.step(Event::Disconnected { peer });
    assert_eq!(rig.connect(peer, Admission::Stranger).admitted(), None);
    let admitted: Vec<Admission> = (0..70).filter_map(|_| rig.wait(10_000).admitted()).collect();
    assert_eq!(admitted, [Admission::Member]);
    assert!(rig.node.status().problems.is_empty());
    let another = SyncMessage::Entries(fleet.enroll(&key(12), "berlin").to_vec());
    let taken = rig.node.status().counters.taken;
    rig.receive(peer, &another);
    assert!(rig.node.status().counters.taken >= taken + 2, "it is heard again");
}

/// What a peer did in a try that failed stays in the record of the run, also once it has ended.
#[test]
fn the_record_of_a_run_names_who_sent_wrong_chunks() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let peer = key(11).public().id();
    let staging = |asked: &Asked| -> Option<OpId> {
        asked.deferred.iter().find_map(|effect| match effect {
            Effect::Perform { op, act: Act::Stage { .. } } => Some(*op),
            _ => None,
        })
    };
    let progress = |chunks: u64| StageProgress {
        total_bytes: 1_000,
        refused: (chunks > 0).then_some((peer, chunks)).into_iter().collect(),
        ..StageProgress::default()
    };
    let op = staging(&rig.submit(fleet.order("2.0.0").1)).unwrap();
    rig.step(Event::Progress { op, progress: progress(5) });
    rig.step(Event::OpDone { op, result: Err("no source has it".into()) });
    let op = staging(&rig.wait(30_000)).unwrap();
    rig.step(Event::Progress { op, progress: progress(0) });
    rig.submit(entries(fleet.halt_berlin()));
    rig.wait(20_000);
    let runs = rig.node.replica().unwrap().host_view(&rig.id()).unwrap().facts().runs();
    assert_eq!(runs.len(), 1);
    assert!(runs[0].end.is_some(), "{runs:?}");
    assert_eq!(runs[0].blamed, [(peer, 5)].into());
}
