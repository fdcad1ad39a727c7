//! Replicas that hold in common what they hold alike do and say the same as those that do not.

use daymark_protocol::document::{
    Interest, Replica, Shared, SignedReport, Stored, StoredEntry, StoredReport,
};
use daymark_protocol::trust::Floors;
use proptest::prelude::*;

use crate::incremental::{some_entries, statements};
use crate::support::{Choices, Fleet, accept, contents, facts, id_of, key, signed};

fn reports(fleet: &Fleet, choices: &mut Choices) -> Vec<Vec<u8>> {
    let mut all: Vec<SignedReport> = Vec::new();
    // The second writer of generation 1 forks it.
    for (generation, said) in [(1, "a"), (1, "b"), (2, "c")] {
        let mut writer = fleet.writer(&key(20), generation);
        for step in 0..6 {
            let said = if step < 2 { "same" } else { said };
            let facts = facts(&[(&["said"], said), (&["step"], &step.to_string())]);
            all.extend(writer.write(&key(20), &facts).unwrap().reports);
        }
    }
    let mut some = Vec::new();
    for _ in 0..=choices.below(5) {
        let mut bytes = all[choices.below(all.len())].bytes().to_vec();
        if choices.below(8) == 0 {
            let at = choices.below(bytes.len());
            bytes[at] ^= 1;
        }
        some.push(bytes);
    }
    some
}

/// What a replica's store holds, of which a byte of a report may have changed.
fn stored(replica: &Replica, choices: &mut Choices) -> Stored {
    let entries = replica.documents().flat_map(|document| {
        let entries = replica.entries(document);
        entries.map(|(hash, bytes)| StoredEntry { document: document.clone(), hash, bytes })
    });
    let chain = replica.host_chain(&id_of(&key(20)));
    let links = chain.into_iter().flat_map(|chain| chain.evidence());
    let mut reports: Vec<StoredReport> = links
        .map(|link| StoredReport {
            host: id_of(&key(20)),
            generation: link.generation(),
            count: link.count(),
            bytes: link.bytes().to_vec(),
        })
        .collect();
    if choices.below(3) == 0 && !reports.is_empty() {
        let which = choices.below(reports.len());
        let at = choices.below(reports[which].bytes.len());
        reports[which].bytes[at] ^= 1;
    }
    Stored { entries: entries.collect(), reports, blobs: vec![] }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i8_sharing_changes_nothing(seed: u64) {
        let mut choices = Choices(seed);
        let fleet = Fleet::new();
        let statements = statements(&fleet);
        let shared = Shared::pool();
        let replica = |shared: &Shared| {
            let (floors, interest) = (Floors::default(), Interest::default());
            Replica::sharing(shared.chain(fleet.chain()), floors, interest, shared.clone())
        };
        let mut sharing = [replica(&shared), replica(&shared)];
        let mut alone = [replica(&Shared::default()), replica(&Shared::default())];
        let host = signed(&fleet.host(&key(20), 1, "berlin"), &[&key(5)]);
        for replica in sharing.iter_mut().chain(&mut alone) {
            accept(replica, &host);
        }
        for _ in 0..30 {
            let which = choices.below(2);
            let (sharing, alone) = (&mut sharing[which], &mut alone[which]);
            if choices.below(2) == 0 {
                let entries = some_entries(&mut choices, &statements);
                prop_assert_eq!(accept(sharing, &entries).0, accept(alone, &entries).0);
            } else {
                let reports = reports(&fleet, &mut choices);
                let reports: Vec<&[u8]> = reports.iter().map(Vec::as_slice).collect();
                let (outcomes, changes) = sharing.accept_reports(&reports);
                let (others, other) = alone.accept_reports(&reports);
                prop_assert_eq!(outcomes, others);
                prop_assert_eq!(changes.reports, other.reports);
            }
            prop_assert_eq!(contents(sharing), contents(alone));
            prop_assert_eq!(sharing.judgement(), alone.judgement());
            let host = id_of(&key(20));
            prop_assert_eq!(sharing.head(&host), alone.head(&host));
            prop_assert_eq!(sharing.host_view(&host), alone.host_view(&host));
            prop_assert_eq!(
                sharing.reports(&host).collect::<Vec<_>>(),
                alone.reports(&host).collect::<Vec<_>>()
            );
            // A start takes what others hold of the same bytes, and nothing else.
            let stored = stored(sharing, &mut choices);
            let [loaded, other] =
                [&shared, &Shared::default()].map(|shared| replica(shared).loaded(&stored));
            prop_assert_eq!(contents(&loaded.replica), contents(&other.replica));
            prop_assert_eq!(loaded.replica.head(&host), other.replica.head(&host));
            prop_assert_eq!(loaded.replica.host_view(&host), other.replica.host_view(&host));
            prop_assert_eq!(loaded.corrupt, other.corrupt);
            prop_assert_eq!(loaded.changes.dropped_reports, other.changes.dropped_reports);
        }
    }
}
