//! The canonical Automerge form: the same heads everywhere, a file that any tool opens
//! (RULES D1, D2, D4, M1, N7).

use std::collections::BTreeSet;

use automerge::{AutoCommit, ROOT, ReadDoc};
use daymark_protocol::document::{
    DocumentId, Facts, SignedReport, Value, document_of_entries, document_of_reports,
};
use daymark_protocol::id::Digest;
use proptest::prelude::*;

use crate::support::{Choices, Fleet, accept, facts, id_of, key, signed};

fn heads_of(saved: &[u8]) -> Vec<[u8; 32]> {
    let mut heads: Vec<[u8; 32]> =
        AutoCommit::load(saved).unwrap().get_heads().iter().map(|head| head.0).collect();
    heads.sort_unstable();
    heads
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn d2_b1_any_order_of_entries_gives_the_same_heads(seed: u64) {
        let mut choices = Choices(seed);
        let mut entries: Vec<Vec<u8>> =
            (0..30).map(|_| choices.next().to_be_bytes().to_vec()).collect();
        let build = |entries: &[Vec<u8>]| {
            document_of_entries(entries.iter().map(Vec::as_slice)).unwrap()
        };
        let one = build(&entries);
        choices.shuffle(&mut entries);
        let other = build(&entries);
        prop_assert_eq!(&one.heads, &other.heads);
        prop_assert_eq!(one.heads.len(), 30);
        prop_assert_eq!(heads_of(&one.saved), one.heads);
        // Any subset is a document of its own.
        prop_assert_eq!(build(&entries[..7]).heads.len(), 7);
    }

    /// Reports over few names, so that values are put twice, deleted when absent, and whole maps
    /// come and go: each is exactly one change, and the document says what the fold says.
    #[test]
    fn d4_n7_each_report_is_one_change_and_the_document_says_what_the_view_says(seed: u64) {
        let (fleet, host) = (Fleet::new(), key(50));
        let mut choices = Choices(seed);
        let mut writer = fleet.writer(&host, 1);
        let mut replica = fleet.replica_with(&host);
        let names = ["a", "b", "\0", "häß"];
        while replica.reports(&id_of(&host)).count() < 25 {
            let mut desired = Facts::default();
            for _ in 0..choices.below(6) {
                let path: Vec<&str> =
                    (0..1 + choices.below(3)).map(|_| names[choices.below(4)]).collect();
                desired.set_integer(&path, i64::try_from(choices.next() % 3).unwrap());
            }
            for report in writer.write(&host, &desired).unwrap().reports {
                replica.accept_report(report.bytes());
            }
        }
        let built = replica.export(&DocumentId::Host(id_of(&host))).unwrap();
        prop_assert_eq!(heads_of(&built.saved), built.heads);
        let mut document = AutoCommit::load(&built.saved).unwrap();
        let count = replica.reports(&id_of(&host)).count();
        prop_assert_eq!(document.get_changes(&[]).len(), count);
        prop_assert!(document.get_changes(&[]).iter().all(|change| change.timestamp() == 0));
        let facts = replica.host_view(&id_of(&host)).unwrap().facts().clone();
        for (path, value) in facts.iter() {
            prop_assert_eq!(read(&document, path.names()), Some(value.clone()));
        }
    }
}

fn read(document: &AutoCommit, path: &[String]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    let mut map = ROOT;
    for name in above {
        map = document.get(&map, name.as_str()).unwrap()?.1;
    }
    let (value, _) = document.get(&map, last.as_str()).unwrap()?;
    value.as_i64().map(Value::Integer).or_else(|| value.as_str().map(|t| Value::Text(t.into())))
}

#[test]
fn d4_a_report_that_changes_nothing_is_still_one_change() {
    let (fleet, host) = (Fleet::new(), key(50));
    let report = fleet.writer(&host, 1).write(&host, &facts(&[(&["a"], "b")])).unwrap();
    let mut reports = report.reports;
    let first = reports[0].report().clone();
    for count in 2..=4 {
        let mut again = first.clone();
        again.count = count;
        again.previous = reports.last().map(SignedReport::hash).unwrap();
        reports.push(again.sign(&host).unwrap());
    }
    let built = document_of_reports(&reports).unwrap();
    assert_eq!(AutoCommit::load(&built.saved).unwrap().get_changes(&[]).len(), 4);
}

#[test]
fn d2_an_exported_document_holds_every_entry_under_its_hash() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let entries = signed(&fleet.site("berlin", 1, "Berlin"), &[&key(1), &key(2)]);
    accept(&mut replica, &entries);
    let built = replica.export(&DocumentId::Fleet).unwrap();
    let document = AutoCommit::load(&built.saved).unwrap();
    for entry in &entries {
        let (value, _) = document.get(ROOT, Digest::of(entry).to_string()).unwrap().unwrap();
        assert_eq!(value.as_bytes(), Some(entry.as_slice()));
    }
}

/// Automerge draws an actor for each document it begins. None of those is in what is built: two
/// builds are one file, and its actors are those that the entries and the generation give.
#[test]
fn d2_d4_no_actor_that_automerge_drew_is_in_a_document() {
    let entries = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
    let of_entries = || document_of_entries(entries.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(of_entries(), of_entries());
    let mut document = AutoCommit::load(&of_entries().saved).unwrap();
    let changes = document.get_changes(&[]);
    let actors: BTreeSet<Vec<u8>> =
        changes.iter().map(|change| change.actor_id().to_bytes().to_vec()).collect();
    let named: BTreeSet<Vec<u8>> =
        entries.iter().map(|entry| Digest::of(entry).as_bytes()[..16].to_vec()).collect();
    assert_eq!(actors, named);

    let (fleet, host) = (Fleet::new(), key(50));
    let mut writer = fleet.writer(&host, 1);
    let mut reports = writer.write(&host, &facts(&[(&["a"], "b")])).unwrap().reports;
    reports.extend(writer.write(&host, &facts(&[(&["a"], "c")])).unwrap().reports);
    let of_reports = || document_of_reports(&reports).unwrap();
    assert_eq!(of_reports(), of_reports());
    let mut document = AutoCommit::load(&of_reports().saved).unwrap();
    let changes = document.get_changes(&[]);
    let actors: BTreeSet<&[u8]> =
        changes.iter().map(|change| change.actor_id().to_bytes()).collect();
    assert_eq!((changes.len(), actors.len()), (2, 1));
}

/// Not a check but a figure: what documents weigh.
#[test]
fn sizes_are_printed() {
    let fleet = Fleet::new();
    let entries: Vec<Vec<u8>> = (0..1_000_u32)
        .flat_map(|number| {
            let host =
                daymark_protocol::trust::SigningKey::from_seed(Digest::of(&number.to_be_bytes()).0);
            signed(&fleet.host(&host, 1, "berlin"), &[&key(5)])
        })
        .collect();
    let raw: usize = entries.iter().map(Vec::len).sum();
    let built = document_of_entries(entries.iter().map(Vec::as_slice)).unwrap();
    println!(
        "1,000 Host statements with a signature each: {raw} B of entries, {} B saved",
        built.saved.len()
    );
    let host = key(50);
    let mut writer = fleet.writer(&host, 1);
    let mut reports = Vec::new();
    for step in 0..20 {
        let mut desired =
            facts(&[(&["facts", "hostname"], "press-01"), (&["facts", "arch"], "x86_64")]);
        desired.set_integer(&["update", "time"], 1_790_000_000 + step);
        reports.extend(writer.write(&host, &desired).unwrap().reports);
    }
    let wire: usize = reports.iter().map(|report| report.bytes().len()).sum();
    let saved = document_of_reports(&reports).unwrap().saved.len();
    println!("20 reports of a host: {wire} B on the wire, {saved} B saved");
    assert!(saved < wire);
}
