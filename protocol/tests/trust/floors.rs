use daymark_protocol::document::DocumentId;
use daymark_protocol::id::Digest;
use daymark_protocol::trust::{BadLine, FloorRecord, Floors};
use proptest::prelude::*;

use crate::support::{floors_of, id};

fn record(of: &str, version: u64, said: u8) -> FloorRecord {
    let (kind, id, digest) = ("Blackout".into(), id(of), Digest([said; 32]));
    let (document, gone) = (DocumentId::Fleet, false);
    FloorRecord::Version { kind, id, version, digest, document, gone }
}

fn any_record() -> impl Strategy<Value = FloorRecord> {
    prop_oneof![
        ("[a-c]", 1..4u64, 1..4u8).prop_map(|(of, version, said)| record(&of, version, said)),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(FloorRecord::Whole),
    ]
}

fn journal(records: &[FloorRecord]) -> Vec<u8> {
    records.iter().flat_map(FloorRecord::encode).collect()
}

#[test]
fn c6_floors_never_go_down() {
    let mut floors = Floors::default();
    assert!(floors.apply(record("a", 5, 1)));
    assert!(!floors.apply(record("a", 4, 2)) && !floors.apply(record("a", 5, 1)));
    assert_eq!(floors.get("Blackout", &id("a")).unwrap().version, 5);
    assert!(floors.apply(record("a", 5, 2)));
    assert!(!floors.apply(record("a", 5, 3)), "a third says no more than two");
    assert!(floors.apply(record("a", 6, 3)));
    assert_eq!(floors.get("Blackout", &id("a")).unwrap().digests, [Digest([3; 32])]);
    assert!(floors.get("Hold", &id("a")).is_none());
}

#[test]
fn c6_what_was_lifted_need_not_be_held_whole_any_more() {
    let mut floors = floors_of([FloorRecord::Whole(vec![1]), FloorRecord::Whole(vec![2])]);
    floors.retain_whole(|entry| entry == [2]);
    assert_eq!(floors.whole().collect::<Vec<_>>(), [[2]]);
}

proptest! {
    #[test]
    fn q12_the_rewritten_journal_says_the_same(records in prop::collection::vec(any_record(), 0..30)) {
        let read = Floors::read_journal(&journal(&records));
        prop_assert_eq!((read.damaged_lines, read.complete_bytes), (0, journal(&records).len()));
        let rewritten: Vec<FloorRecord> = read.floors.records().collect();
        prop_assert_eq!(Floors::read_journal(&journal(&rewritten)).floors, read.floors);
    }

    #[test]
    fn rt_s11_a_torn_tail_costs_one_record(
        records in prop::collection::vec(any_record(), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = journal(&records);
        let kept = cut.index(whole.len());
        let ends: Vec<usize> = (0..=records.len()).map(|n| journal(&records[..n]).len()).collect();
        let complete = ends.iter().rposition(|end| *end <= kept).unwrap();
        let read = Floors::read_journal(&whole[..kept]);
        prop_assert_eq!(read.complete_bytes, ends[complete]);
        prop_assert_eq!(read.damaged_lines, usize::from(ends[complete] != kept));
        prop_assert_eq!(read.floors, floors_of(records[..complete].iter().cloned()));
    }

    #[test]
    fn rt_s11_a_damaged_line_is_noticed_and_costs_no_other(
        before in any_record(),
        damaged in any_record(),
        after in any_record(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut line = damaged.encode();
        let at = at.index(line.len() - 1);
        line[at] ^= flip;
        prop_assume!(line[at] != b'\n');
        prop_assert_eq!(FloorRecord::decode(&line[..line.len() - 1]), Err(BadLine));
        let read = Floors::read_journal(&[before.encode(), line, after.encode()].concat());
        prop_assert_eq!(read.damaged_lines, 1);
        prop_assert_eq!(read.floors, floors_of([before, after]));
    }

    #[test]
    fn i9_noise_is_no_floor(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(Floors::read_journal(&noise).floors, Floors::default());
    }
}
