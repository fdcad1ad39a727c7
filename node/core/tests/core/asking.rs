//! What one request may draw, and which are refused (I9).

use daymark_core::effect::Admission;
use daymark_core::event::Carried;
use daymark_protocol::document::{DocumentId, Facts, ReportWriter};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::{CustomConfigSpec, Kind, Scope, Spec};
use daymark_protocol::trust::{ResourceDraft, named_id};
use daymark_protocol::wire::{Mark, Session, SyncMessage, WantedReports};

use crate::support::{Asked, Fleet, Rig, entries, everyone, key};

const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A member with a neighbour, and the hashes of more entries than one answer brings.
fn laden(fleet: &Fleet) -> (Rig, KeyId, Vec<Digest>) {
    let mut rig = Rig::member(fleet, 10);
    let mut items = Vec::new();
    for number in 0..80 {
        let name = format!("config-{number}");
        let id = named_id(Kind::CustomConfig, &fleet.id, &Scope::Fleet, &name);
        let config = "x".repeat(16_000);
        let spec = CustomConfigSpec { name, config, description: String::new() };
        let resource = ResourceDraft::new(id, 1, &Spec::CustomConfig(spec)).target(everyone());
        items.extend(fleet.signed(&fleet.draft().resource(resource)));
    }
    let hashes = items.iter().map(|entry| Digest::of(entry)).collect();
    rig.submit(entries(items));
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    let peer = key(11).public().id();
    rig.connect(peer, Admission::Member);
    (rig, peer, hashes)
}

fn drawn(asked: &Asked, peer: KeyId) -> usize {
    let items = asked.told(peer).into_iter().map(|message| match message {
        SyncMessage::Entries(items) | SyncMessage::Reports(items) => {
            items.iter().map(Vec::len).sum()
        }
        _ => 0,
    });
    items.sum()
}

#[test]
fn i9_one_request_draws_a_bounded_answer_and_the_rest_is_asked_for_again() {
    let fleet = Fleet::new(1, 1);
    let (mut rig, peer, hashes) = laden(&fleet);
    let document = DocumentId::Fleet;
    let session = Session::default();
    let marks = |hashes: &[Digest]| -> Vec<Mark> {
        hashes.iter().map(|hash| session.key().mark_of_entry(hash)).collect()
    };
    let ask = SyncMessage::WantEntries { document, session, marks: marks(&hashes) };
    let bytes = drawn(&rig.receive(peer, &ask), peer);
    assert!((ANSWER_BYTES_MAX / 2..=ANSWER_BYTES_MAX).contains(&bytes), "{bytes} B of entries");
    let (document, rest) = (DocumentId::Fleet, marks(&hashes[hashes.len() - 8..]));
    let ask = SyncMessage::WantEntries { document, session, marks: rest };
    assert!(drawn(&rig.receive(peer, &ask), peer) > 0);
}

#[test]
fn i9_reports_of_many_hosts_are_bounded_likewise() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let mut wanted = Vec::new();
    for seed in 20..45 {
        let host = key(seed);
        rig.submit(entries(fleet.enroll(&host, "berlin")));
        let mut writer = ReportWriter::new(fleet.id, host.public().id(), 1, None);
        for text in ["x", "y"] {
            let mut facts = Facts::default();
            for number in 0..24 {
                facts.set_text(&["facts", &format!("fact-{number}")], &text.repeat(1_000));
            }
            let reports = writer.write(&host, &facts).unwrap().reports;
            let reports = reports.iter().map(|report| Carried::Report(report.bytes().to_vec()));
            rig.submit(reports.collect());
        }
        wanted.push(WantedReports { host: host.public().id(), generation: 1, from_count: 1 });
    }
    let peer = key(20).public().id();
    rig.connect(peer, Admission::Member);
    let bytes = drawn(&rig.receive(peer, &SyncMessage::WantReports(wanted)), peer);
    assert!((ANSWER_BYTES_MAX / 2..=ANSWER_BYTES_MAX).contains(&bytes), "{bytes} B of reports");
}

#[test]
fn i9_a_request_that_repeats_itself_is_refused() {
    let fleet = Fleet::new(1, 1);
    let (mut rig, peer, _) = laden(&fleet);
    let (document, session, mark) = (DocumentId::Fleet, Session::default(), Mark::default());
    let want = WantedReports { host: rig.id(), generation: 1, from_count: 1 };
    let repeats = [
        SyncMessage::WantEntries { document, session, marks: vec![mark; 2] },
        SyncMessage::WantMarked { session, wanted: vec![(mark, 1), (mark, 2)] },
        SyncMessage::WantReports(vec![want, WantedReports { from_count: 2, ..want }]),
    ];
    for (number, repeat) in (1..).zip(repeats) {
        assert!(rig.receive(peer, &repeat).sends().is_empty());
        assert_eq!(rig.node.status().counters.malformed, number);
    }
}
