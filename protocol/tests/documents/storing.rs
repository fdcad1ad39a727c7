//! Storing and loading: nothing stored is trusted, and losing its tail opens nothing
//! (RULES C6, D5, S11).

use std::collections::BTreeMap;

use daymark_protocol::document::{Changes, Interest, Replica, Stored, StoredEntry, StoredReport};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Context, Envelope, FloorRecord, Floors, RootDraft, State};

use crate::support::{
    Fleet, NOW, accept, contents, entry_of, facts, id_of, key, repair, signature_of, signed,
};

/// A store that does what changes say.
#[derive(Default)]
struct Store {
    entries: BTreeMap<(String, [u8; 32]), StoredEntry>,
    reports: BTreeMap<([u8; 32], u64, u64), StoredReport>,
    blobs: BTreeMap<[u8; 32], Vec<u8>>,
    floors: Vec<FloorRecord>,
}

impl Store {
    fn apply(&mut self, changes: &Changes) {
        for put in &changes.puts {
            self.entries.insert((put.document.to_string(), put.hash.0), put.clone());
        }
        for (document, hash) in &changes.drops {
            assert!(self.entries.remove(&(document.to_string(), hash.0)).is_some());
        }
        for (host, below) in &changes.dropped_reports {
            self.reports.retain(|(of, generation, _), _| *of != host.0 || generation >= below);
        }
        for report in &changes.reports {
            let place = (report.host.0, report.generation, report.count);
            self.reports.insert(place, report.clone());
        }
        for (digest, bytes) in &changes.blobs {
            self.blobs.insert(digest.0, bytes.clone());
        }
        for digest in &changes.dropped_blobs {
            self.blobs.remove(&digest.0);
        }
        self.floors.extend(changes.floors.iter().cloned());
    }

    fn stored(&self) -> Stored {
        Stored {
            entries: self.entries.values().cloned().collect(),
            reports: self.reports.values().cloned().collect(),
            blobs: self
                .blobs
                .values()
                .map(|bytes| (daymark_protocol::id::Digest::of(bytes), bytes.clone()))
                .collect(),
        }
    }

    fn floors(&self) -> Floors {
        let mut floors = Floors::default();
        for record in &self.floors {
            floors.apply(record.clone());
        }
        floors
    }
}

fn filled(fleet: &Fleet) -> (Replica, Store) {
    let host = key(50);
    let mut replica = fleet.replica();
    let mut store = Store::default();
    let statements = [
        signed(&fleet.host(&host, 1, "berlin"), &[&key(5)]),
        signed(&fleet.site("berlin", 1, "Berlin"), &[&key(1), &key(2)]),
        signed(&fleet.site("berlin", 2, "Berlin!"), &[&key(1), &key(2)]),
        signed(&fleet.halt("stop"), &[&key(4)]),
    ];
    for entries in &statements {
        store.apply(&accept(&mut replica, entries).1);
    }
    let mut writer = fleet.writer(&host, 1);
    for step in 0..70 {
        let written = writer.write(&host, &facts(&[(&["step"], &step.to_string())])).unwrap();
        for report in &written.reports {
            store.apply(&replica.accept_report(report.bytes()).1);
        }
        if let Some(closed) = written.closed {
            store.apply(&replica.accept_blob(&closed.bytes).1);
        }
    }
    (replica, store)
}

#[test]
fn d5_what_was_stored_loads_to_the_same_replica_and_changes_nothing() {
    let fleet = Fleet::new();
    let (replica, store) = filled(&fleet);
    let loaded = Replica::load(fleet.chain(), store.floors(), Interest::default(), &store.stored());
    assert_eq!(contents(&loaded.replica), contents(&replica));
    assert_eq!(loaded.replica.heads().collect::<Vec<_>>(), replica.heads().collect::<Vec<_>>());
    assert_eq!(loaded.replica.blobs().count(), 1);
    assert_eq!(loaded.replica.standing().halts.len(), 1);
    assert!(loaded.corrupt.is_empty(), "{:?}", loaded.corrupt);
    let changes = Changes { standing_changed: false, ..loaded.changes };
    assert!(changes.is_empty(), "{changes:?}");
}

/// Two roots of version 2, and one above that settles them.
fn rivals_and_settling(fleet: &Fleet) -> ([Vec<u8>; 2], Vec<u8>) {
    let sign = |draft: &RootDraft| {
        let (payload, root) = draft.finish().unwrap();
        (Envelope::signed(Context::Root, payload, [&key(9)]).to_json(), root)
    };
    let rival = |ms| sign(&RootDraft::after(&fleet.roots[0], NOW.plus_ms(ms), WallTime::MAX));
    let ([left, right], (first, second)) = {
        let ((left, first), (right, second)) = (rival(1_000), rival(2_000));
        ([left, right], (first, second))
    };
    let third = RootDraft::settling(&[&first, &second], NOW, WallTime::MAX).unwrap();
    ([left, right], sign(&third).0)
}

#[test]
fn r4_d3_a_start_while_rivals_wait_erases_nothing_and_their_end_gives_all_of_it_back() {
    let fleet = Fleet::new();
    let (mut replica, mut store) = filled(&fleet);
    // More than may wait in memory of what peers send.
    for number in 0..600 {
        let site = fleet.site(&format!("site-{number}"), 1, "somewhere");
        store.apply(&accept(&mut replica, &signed(&site, &[&key(1), &key(2)])).1);
    }
    let (rivals, third) = rivals_and_settling(&fleet);
    let mut chain = fleet.chain();
    for root in &rivals {
        chain.accept(root).unwrap();
    }
    let mut loaded = Replica::load(chain, store.floors(), Interest::default(), &store.stored());
    assert!(loaded.replica.chain().wait().is_some());
    assert!(loaded.corrupt.is_empty(), "{:?}", loaded.corrupt);
    let changes = Changes { standing_changed: false, ..loaded.changes };
    assert!(changes.is_empty(), "{changes:?}");
    // What peers send meanwhile is not lost on the stored either.
    let late = fleet.site("late", 1, "somewhere");
    let late = signed(&late, &[&key(1), &key(2)]);
    store.apply(&accept(&mut loaded.replica, &late).1);
    store.apply(&loaded.replica.accept_root(&third).1);
    store.apply(&replica.accept_roots(&rivals.iter().map(Vec::as_slice).collect::<Vec<_>>()).1);
    replica.accept_root(&third);
    accept(&mut replica, &late);
    assert_eq!(contents(&loaded.replica), contents(&replica));
    assert_eq!(loaded.replica.heads().collect::<Vec<_>>(), replica.heads().collect::<Vec<_>>());
    assert_eq!(loaded.replica.blobs().count(), 1);
    assert_eq!(loaded.replica.standing(), replica.standing());
    assert_eq!(loaded.replica.compact_floors(), replica.compact_floors());
    // And the store is equal to it.
    let again = loaded.replica.chain().clone();
    let again = Replica::load(again, store.floors(), Interest::default(), &store.stored());
    assert_eq!(contents(&again.replica), contents(&replica));
    let changes = Changes { standing_changed: false, ..again.changes };
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn r2_d3_a_store_whose_newest_root_is_lost_is_kept_until_the_root_is_back() {
    let mut fleet = Fleet::new();
    let (replica, store) = filled(&fleet);
    let mut chain = fleet.chain();
    chain.raise_floor(2);
    let loaded = Replica::load(chain, store.floors(), Interest::default(), &store.stored());
    let changes = Changes { standing_changed: false, ..loaded.changes };
    assert!(changes.is_empty(), "{changes:?}");
    fleet.add_policy_key(8);
    let mut back = loaded.replica;
    back.accept_root(&fleet.envelopes[1]);
    assert_eq!(contents(&back), contents(&replica));
    assert_eq!(back.heads().collect::<Vec<_>>(), replica.heads().collect::<Vec<_>>());
}

#[test]
fn d5_damage_is_reported_dropped_and_costs_only_itself() {
    let fleet = Fleet::new();
    let (replica, store) = filled(&fleet);
    for damaged in 0..store.entries.len() {
        let mut stored = store.stored();
        let bytes = &mut stored.entries[damaged].bytes;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        stored.reports[2].bytes[1] ^= 1;
        stored.blobs[0].1[7] ^= 1;
        let loaded = Replica::load(fleet.chain(), store.floors(), Interest::default(), &stored);
        assert!(loaded.corrupt.len() >= 3, "{:?}", loaded.corrupt);
        // Floors hold the halt whole; the host's own statement takes its reports with it.
        assert_eq!(loaded.replica.standing().halts.len(), 1);
        let entries: usize = contents(&loaded.replica).values().map(Vec::len).sum();
        // A damaged statement takes its two signatures along.
        assert!(entries + 3 >= contents(&replica).values().map(Vec::len).sum());
        let mut repaired = loaded.replica.clone();
        repair(&replica, &mut repaired);
        assert_eq!(contents(&repaired), contents(&replica));
        assert_eq!(repaired.head(&id_of(&key(50))), replica.head(&id_of(&key(50))));
    }
}

#[test]
fn rt_s11_c6_a_lost_store_keeps_halts_and_makes_the_rest_unknown() {
    let fleet = Fleet::new();
    let (replica, store) = filled(&fleet);
    let empty = Stored::default();
    let loaded = Replica::load(fleet.chain(), store.floors(), Interest::default(), &empty);
    assert_eq!(loaded.replica.standing().halts.len(), replica.standing().halts.len());
    assert!(!loaded.replica.standing().lines.is_empty());
    for line in loaded.replica.standing().lines.values() {
        assert!(matches!(line.state, State::Unknown(_)));
    }
    assert!(!loaded.changes.puts.is_empty(), "the halt goes back into the store");
}

#[test]
fn c4_a_lifted_halt_stays_lifted_when_it_is_replayed() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let halt = fleet.halt("stop");
    let (_, changes) = accept(&mut replica, &signed(&halt, &[&key(4)]));
    assert!(changes.floors.iter().any(|record| matches!(record, FloorRecord::Whole(_))));
    accept(&mut replica, &signed(&fleet.resume(&[&halt]), &[&key(1), &key(2)]));
    assert!(replica.standing().halts.is_empty());
    accept(&mut replica, &[entry_of(&halt), signature_of(&halt, &key(4))]);
    assert!(replica.standing().halts.is_empty());
    let records = replica.compact_floors();
    let whole = records.iter().filter(|record| matches!(record, FloorRecord::Whole(_))).count();
    assert_eq!(whole, 3, "the resume and its two signatures");
}

#[test]
fn i9_c4_a_stolen_halt_key_fills_neither_memory_nor_journal() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    // The worst order: each new halt has a lower digest and pushes an older one out.
    let mut halts: Vec<_> = (0..200).map(|number| fleet.halt(&format!("flood-{number}"))).collect();
    halts.sort_by_key(|halt| std::cmp::Reverse(halt.digest()));
    for halt in &halts {
        accept(&mut replica, &signed(halt, &[&key(4)]));
    }
    let records = replica.compact_floors();
    let whole = records.iter().filter(|record| matches!(record, FloorRecord::Whole(_))).count();
    assert_eq!(whole, 2 * 65, "the 65 lowest halts, each with its signature");
}

#[test]
fn c4_i11_a_halt_stands_beside_65_ended_ones_in_any_order_and_after_a_restart() {
    let fleet = Fleet::new();
    let ended = |number| fleet.halt_draft(&format!("ended-{number}")).until(NOW);
    let mut halts: Vec<_> = (0..65).map(|number| ended(number).finish().unwrap()).collect();
    // The worst: by digest alone it would be the first to go.
    let open = (0..).map(|number| fleet.halt(&format!("open-{number}")));
    let open = open.filter(|open| halts.iter().all(|ended| ended.digest() < open.digest()));
    let open = open.take(1).next().unwrap();
    let stands = |replica: &Replica| {
        replica.standing().halts.iter().any(|halt| halt.version.statement == open.digest())
    };
    for place in [0, 1, 32, 64, 65] {
        let mut replica = fleet.replica();
        halts.insert(place, open.clone());
        for halt in &halts {
            accept(&mut replica, &signed(halt, &[&key(4)]));
        }
        halts.remove(place);
        assert!(stands(&replica), "it came as number {place}");
        let mut floors = Floors::default();
        for record in replica.compact_floors() {
            floors.apply(record);
        }
        // Also when all but the floors is lost.
        let restarted =
            Replica::load(fleet.chain(), floors, Interest::default(), &Stored::default());
        assert!(stands(&restarted.replica));
        let mut other = fleet.replica();
        repair(&replica, &mut other);
        assert!(stands(&other) && contents(&other) == contents(&replica));
    }
}

#[test]
fn c6_the_floor_rises_in_the_changes_that_store_what_counts() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let statement = fleet.site("berlin", 1, "Berlin");
    let (_, changes) = accept(&mut replica, &signed(&statement, &[&key(1)]));
    assert!(changes.floors.is_empty());
    let (_, changes) = replica.accept_entry(&signature_of(&statement, &key(2)));
    assert_eq!(changes.puts.len(), 1);
    assert_eq!(changes.floors.len(), 1);
    assert!(changes.standing_changed);
}
