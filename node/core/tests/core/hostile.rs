//! Whatever comes over the network, nothing panics, and what a message can cause is bounded (I9).

use daymark_core::Event;
use daymark_core::effect::{Admission, Channel, Effect};
use daymark_protocol::limits;
use daymark_protocol::wire::GossipMessage;
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
    let wanted = daymark_protocol::wire::SyncMessage::WantRoots { first: 1, last: 2 };
    let served: usize = (0..5_000).map(|_| rig.receive(peer, &wanted).sends().len()).sum();
    assert!(served <= 1_100, "{served} answers");
    assert!(rig.node.status().counters.over_budget >= 3_900);
}
