//! Who is heard and served (RULES A1, A2).

use daymark_core::effect::{Admission, Verdict};
use daymark_protocol::wire::{GossipMessage, SyncMessage};

use crate::support::{Fleet, Rig, entries, key, start};

/// What a node grants a new connection of `peer`, made as a stranger.
fn granted(rig: &mut Rig, seed: u8) -> Admission {
    rig.connect(key(seed).public().id(), Admission::Stranger)
        .admitted()
        .unwrap_or(Admission::Stranger)
}

#[test]
fn a2_strangers_members_and_the_removed() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let ended = fleet.draft().until(start()).resource(fleet.host(&key(12), 1, "berlin"));
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.submit(entries(fleet.signed(&ended)));
    rig.submit(entries(fleet.enroll(&key(13), "berlin")));
    rig.submit(entries(fleet.remove(&key(13), "berlin")));
    assert_eq!(granted(&mut rig, 11), Admission::Member);
    assert_eq!(granted(&mut rig, 12), Admission::Authority, "enrolled once, not now");
    assert_eq!(granted(&mut rig, 13), Admission::Stranger, "removed");
    assert_eq!(granted(&mut rig, 14), Admission::Stranger, "never enrolled");
}

#[test]
fn a2_a_stranger_hears_nothing_over_sync_and_its_gossip_is_ignored() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let stranger = key(14).public().id();
    let before = rig.node.status().counters.taken;
    rig.connect(stranger, Admission::Member);
    let asked = rig.receive(stranger, &SyncMessage::WantRoots { first: 1, last: 1 });
    assert!(asked.sends().is_empty());
    let message = GossipMessage::Entries(fleet.enroll(&key(11), "berlin").to_vec());
    assert_eq!(rig.gossip(stranger, message.encode()).verdict(), Verdict::Ignore);
    assert_eq!(rig.node.status().counters.unadmitted, 2);
    assert_eq!(rig.node.status().counters.taken, before, "it took something");
}

#[test]
fn a2_a_removal_closes_what_was_open() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.connect(key(11).public().id(), Admission::Member);
    let removed = rig.submit(entries(fleet.remove(&key(11), "berlin")));
    assert_eq!(removed.admitted(), Some(Admission::Stranger));
}

#[test]
fn a2_authority_is_served_statements_but_no_reports() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let ended = fleet.draft().until(start()).resource(fleet.host(&key(12), 1, "berlin"));
    rig.submit(entries(fleet.signed(&ended)));
    let peer = key(12).public().id();
    rig.connect(peer, Admission::Authority);
    let roots = rig.receive(peer, &SyncMessage::WantRoots { first: 1, last: 1 });
    assert_eq!(roots.sends().len(), 1);
    let wanted =
        daymark_protocol::wire::WantedReports { host: rig.id(), generation: 0, from_count: 1 };
    assert!(rig.receive(peer, &SyncMessage::WantReports(vec![wanted])).sends().is_empty());
}
