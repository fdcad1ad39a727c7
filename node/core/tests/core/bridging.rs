//! Peers of other sites to whom gossip always goes on (decision 26).

use std::collections::BTreeSet;

use daymark_core::Event;
use daymark_core::effect::{Admission, Effect};
use daymark_protocol::id::KeyId;

use crate::support::{Asked, Fleet, Rig, entries, key};

fn bridged(asked: &[Asked]) -> BTreeSet<KeyId> {
    let mut bridges = BTreeSet::new();
    for effect in asked.iter().flat_map(|asked| &asked.immediate) {
        match effect {
            Effect::Bridge { peer, open: true } => drop(bridges.insert(*peer)),
            Effect::Bridge { peer, open: false } => drop(bridges.remove(peer)),
            _ => {}
        }
    }
    bridges
}

#[test]
fn two_members_of_each_other_site_are_bridges_and_no_neighbour_is() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.submit(entries(fleet.enroll(&key(10), "berlin")));
    let hosts = |seeds: std::ops::Range<u8>| seeds.map(|seed| key(seed).public().id());
    let mut asked = vec![];
    for (seeds, site) in [(11..14, "berlin"), (20..24, "bonn"), (30..31, "ulm")] {
        // Statements of other sites' machines are kept while they are connected.
        asked.extend(hosts(seeds.clone()).map(|peer| rig.connect(peer, Admission::Stranger)));
        asked.push(rig.submit(entries(seeds.clone().flat_map(|it| fleet.enroll(&key(it), site)))));
        asked.extend(hosts(seeds).map(|peer| rig.connect(peer, Admission::Member)));
    }
    let bridges = bridged(&asked);
    let of = |seeds| hosts(seeds).filter(|peer| bridges.contains(peer)).collect::<Vec<_>>();
    assert_eq!((of(11..14).len(), of(20..24).len(), of(30..31).len()), (0, 2, 1));

    // Another one takes the place of one that goes, and one that moves here is one no longer.
    let gone = of(20..24)[0];
    asked.push(rig.step(Event::Disconnected { peer: gone }));
    let moved = fleet.draft().resource(fleet.host(&key(30), 2, "berlin"));
    asked.push(rig.submit(entries(fleet.signed(&moved))));
    let bridges = bridged(&asked);
    let left: Vec<KeyId> = hosts(20..24).filter(|peer| bridges.contains(peer)).collect();
    assert_eq!((left.len(), bridges.len()), (2, 2), "{bridges:?}");
    assert!(!left.contains(&gone));
}

#[test]
fn a_peer_that_is_no_member_is_no_bridge() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let peer = key(20).public().id();
    let asked = rig.connect(peer, Admission::Member);
    assert_eq!(bridged(&[asked]), BTreeSet::new(), "nothing says that it is enrolled");
    rig.submit(entries(fleet.enroll(&key(20), "bonn")));
    let asked = rig.connect(peer, Admission::Authority);
    assert_eq!(bridged(&[asked]), BTreeSet::new(), "its connection lets no gossip through");
    let asked = rig.connect(peer, Admission::Member);
    assert_eq!(bridged(&[asked]), [peer].into());
}
