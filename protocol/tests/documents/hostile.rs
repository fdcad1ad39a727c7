//! Bytes from anyone: nothing panics, nothing grows without bound (RULES D1, D3, B2, I9).

use daymark_protocol::document::{
    ChainLink, ClosedGeneration, Entry, FactPath, HostChain, InvalidPath, RefusedReport, Report,
    SignedReport, Value, document_of_reports, signature_entry,
};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits;
use daymark_protocol::trust::Signature;
use proptest::prelude::*;

use crate::support::{Choices, Fleet, accept, entry_of, facts, id_of, key, signed};

fn sample_report() -> (Fleet, Vec<u8>) {
    let fleet = Fleet::new();
    let host = key(50);
    let desired = facts(&[(&["a"], "b"), (&["c", "d"], "e"), (&["c", "f", "g"], "h")]);
    let report = fleet.writer(&host, 1).write(&host, &desired).unwrap().reports.remove(0);
    (fleet, report.bytes().to_vec())
}

fn mutated(bytes: &[u8], choices: &mut Choices) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + choices.below(4) {
        let at = choices.below(bytes.len());
        match choices.below(4) {
            0 => bytes[at] ^= 1 << choices.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0xff][choices.below(4)],
            2 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, 0xff),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn rt_b2_random_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Entry::decode(&bytes);
        let _ = SignedReport::decode(&bytes);
        let _ = ClosedGeneration::reports(&bytes);
        let framed: Vec<u8> = [&[1, 2][..], &bytes].concat();
        let _ = Entry::decode(&framed);
    }

    #[test]
    fn rt_b2_a_mutated_report_is_refused_or_changes_nothing(seed: u64) {
        let (fleet, report) = sample_report();
        let bytes = mutated(&report, &mut Choices(seed));
        if bytes == report {
            return Ok(());
        }
        if let Ok(read) = SignedReport::decode(&bytes) {
            let refused = matches!(read.verify(), Err(RefusedReport::Signature | RefusedReport::Key));
            prop_assert!(refused);
            prop_assert_eq!(read.bytes(), bytes.as_slice());
        }
        let mut replica = fleet.replica_with(&key(50));
        let (_, changes) = replica.accept_report(&bytes);
        prop_assert!(changes.is_empty());
    }

    #[test]
    fn rt_b2_a_mutated_entry_keeps_nothing_but_what_is_signed(seed: u64) {
        let fleet = Fleet::new();
        let mut choices = Choices(seed);
        let entries = signed(&fleet.site("berlin", 1, "Berlin"), &[&key(1), &key(2)]);
        let bad: Vec<Vec<u8>> = entries.iter().map(|entry| mutated(entry, &mut choices)).collect();
        let mut replica = fleet.replica();
        accept(&mut replica, &bad);
        accept(&mut replica, &entries);
        let mut clean = fleet.replica();
        accept(&mut clean, &entries);
        prop_assert_eq!(crate::support::contents(&replica), crate::support::contents(&clean));
    }

    /// A host that signs whatever it likes: the chain takes it or not, and what it takes Automerge
    /// takes too, with the same view.
    #[test]
    fn rt_b2_d4_whatever_a_host_signs_is_taken_whole_or_not_at_all(seed: u64) {
        let (fleet, host) = (Fleet::new(), key(50));
        let mut choices = Choices(seed);
        let mut chain = HostChain::new(id_of(&host));
        for _ in 0..12 {
            let names = ["a", "b", "\u{0}", "\u{fffd}"];
            let mut path = || {
                let depth = 1 + choices.below(3);
                FactPath::new((0..depth).map(|_| names[choices.below(4)])).unwrap()
            };
            let deletes = (0..2).map(|_| path()).collect();
            let puts = (0..3).map(|_| (path(), Value::Integer(3))).collect();
            let report = Report {
                fleet: fleet.id(),
                host: id_of(&host),
                generation: 1,
                count: chain.reports().len() as u64 + 1,
                previous: chain.reports().last().map_or(Digest([0; 32]), ChainLink::hash),
                deletes,
                puts,
            };
            let before = chain.view().clone();
            let Ok(report) = report.sign(&host) else { continue };
            if let daymark_protocol::document::ChainOutcome::Refused(_) = chain.accept(report) {
                prop_assert_eq!(chain.view(), &before);
            }
        }
        let built = document_of_reports(&chain.decoded()).unwrap();
        let loaded = automerge::AutoCommit::load(&built.saved).unwrap().get_changes(&[]).len();
        prop_assert_eq!(loaded, chain.reports().len());
    }
}

#[test]
fn d3_what_waits_is_bounded_and_does_not_depend_on_order() {
    let fleet = Fleet::new();
    let mut choices = Choices(1);
    let mut flood: Vec<Vec<u8>> = (0..1_500_u32)
        .map(|number| {
            let stranger = KeyId(Digest::of(&number.to_be_bytes()).0);
            signature_entry(&Digest::of(&[1]), &stranger, &Signature([3; 64]))
        })
        .collect();
    flood.extend((0..700).map(|number| entry_of(&fleet.site(&format!("s{number}"), 1, "x"))));
    let mut replicas = [fleet.replica(), fleet.replica()];
    for replica in &mut replicas {
        choices.shuffle(&mut flood);
        for part in flood.chunks(100) {
            accept(replica, part);
            assert!(replica.waiting() <= limits::HELD_ENTRIES_MAX);
        }
    }
    let held = |replica: &daymark_protocol::document::Replica| {
        let mut again = replica.clone();
        accept(&mut again, &[]).0.len() + again.waiting()
    };
    assert_eq!(held(&replicas[0]), held(&replicas[1]));
    // A statement that comes with its signature gets past the crowd.
    let (outcomes, _) =
        accept(&mut replicas[0], &signed(&fleet.site("berlin", 1, "Berlin"), &[&key(1), &key(2)]));
    assert!(outcomes.iter().all(|outcome| *outcome == daymark_protocol::document::Outcome::New));
}

#[test]
fn rt_n12_of_many_signatures_by_one_key_one_is_kept() {
    use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
    let fleet = Fleet::new();
    let statement = fleet.site("berlin", 1, "Berlin");
    let signer = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let message = daymark_protocol::trust::pae(
        daymark_protocol::trust::Context::Statement,
        statement.bytes(),
    );
    let mut expanded = ExpandedSecretKey::from(&[1; 32]);
    let mut entries = vec![entry_of(&statement)];
    for nonce in 0..40 {
        expanded.hash_prefix = [nonce; 32];
        let signature = raw_sign::<sha2::Sha512>(&expanded, &message, &signer.verifying_key());
        let signature = Signature(signature.to_bytes());
        entries.push(signature_entry(&statement.digest(), &id_of(&key(1)), &signature));
    }
    let mut kept = Vec::new();
    for seed in 0..4 {
        Choices(seed).shuffle(&mut entries);
        let mut replica = fleet.replica();
        for entry in &entries {
            replica.accept_entry(entry);
        }
        kept.push(crate::support::contents(&replica));
        assert_eq!(kept[0], *kept.last().unwrap());
        assert_eq!(kept[0]["fleet"].len(), 2);
    }
}

#[test]
fn d4_paths_and_operations_are_bounded() {
    assert_eq!(FactPath::new(["a", "b", "c", "d"]), Err(InvalidPath::Depth(4)));
    assert_eq!(FactPath::new(["a", ""]), Err(InvalidPath::Name(0)));
    assert_eq!(FactPath::new(["x".repeat(65)]), Err(InvalidPath::Name(65)));
    assert_eq!(FactPath::new(Vec::<String>::new()), Err(InvalidPath::Depth(0)));
    let (_, report) = sample_report();
    let long = [report, vec![0; limits::REPORT_BYTES_MAX]].concat();
    assert!(matches!(SignedReport::decode(&long), Err(RefusedReport::TooLarge(_))));
}

#[test]
fn d4_no_value_stands_above_or_below_another() {
    let (fleet, host) = (Fleet::new(), key(50));
    let path = |names: &[&str]| FactPath::new(names.iter().copied()).unwrap();
    let report = |count, previous, puts: &[&[&str]]| Report {
        fleet: fleet.id(),
        host: id_of(&host),
        generation: 1,
        count,
        previous,
        deletes: Default::default(),
        puts: puts.iter().map(|names| (path(names), Value::Integer(1))).collect(),
    };
    let within = report(1, Digest([0; 32]), &[&["a"], &["a", "b"]]).sign(&host);
    assert!(matches!(within, Err(RefusedReport::Overlap(_))));
    let first = report(1, Digest([0; 32]), &[&["a", "b"]]).sign(&host).unwrap();
    let second = report(2, first.hash(), &[&["a"]]).sign(&host).unwrap();
    let mut chain = HostChain::new(id_of(&host));
    chain.accept(first);
    let outcome = chain.accept(second);
    let refused =
        daymark_protocol::document::ChainOutcome::Refused(RefusedReport::Overlap(path(&["a"])));
    assert_eq!(outcome, refused);
    assert_eq!(chain.reports().len(), 1);
}
