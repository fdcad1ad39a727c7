//! Gaps between reports (RULES D4).

use daymark_core::Event;
use daymark_core::effect::{Admission, Verdict};
use daymark_protocol::document::{Facts, ReportWriter};
use daymark_protocol::wire::{GossipMessage, SyncMessage};

use crate::support::{Fleet, Rig, entries, key};

/// Reports of one host, in order.
fn reports(fleet: &Fleet, seed: u8, count: i64) -> Vec<Vec<u8>> {
    let host = key(seed);
    let mut writer = ReportWriter::new(fleet.id, host.public().id(), 1, None);
    let said = (0..count).flat_map(|step| {
        let mut facts = Facts::default();
        facts.set_integer(&["facts", "step"], step);
        writer.write(&host, &facts).unwrap().reports
    });
    said.map(|report| report.bytes().to_vec()).collect()
}

#[test]
fn d4_the_gap_before_a_held_report_is_pulled_from_whoever_brought_it() {
    let fleet = Fleet::new(1, 1);
    let peer = key(11).public().id();
    let said = reports(&fleet, 12, 5);
    for gossiped in [true, false] {
        let mut rig = Rig::member(&fleet, 10);
        rig.submit(entries(fleet.enroll(&key(11), "berlin")));
        rig.submit(entries(fleet.enroll(&key(12), "berlin")));
        rig.connect(peer, Admission::Member);
        rig.receive(peer, &SyncMessage::Reports(said[..1].to_vec()));
        let late = said[3..4].to_vec();
        let asked = if gossiped {
            let asked = rig.gossip(peer, GossipMessage::Reports(late).encode());
            assert_eq!(asked.verdict(), Verdict::Ignore, "what cannot be judged is not passed on");
            asked
        } else {
            rig.receive(peer, &SyncMessage::Reports(late))
        };
        let wanted = match asked.told(peer).as_slice() {
            [SyncMessage::WantReports(wanted)] => wanted.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((wanted[0].generation, wanted[0].from_count), (1, 2));
        // While the answer is under way, it is not asked for again.
        let again = rig.receive(peer, &SyncMessage::Reports(said[4..].to_vec()));
        assert!(again.told(peer).is_empty());
        rig.receive(peer, &SyncMessage::Reports(said[1..3].to_vec()));
        let head = rig.node.replica().unwrap().head(&key(12).public().id()).unwrap();
        assert_eq!(head.count, 5, "what was held follows");
        rig.step(Event::Wake);
    }
}
