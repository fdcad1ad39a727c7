//! What is kept is a function of the set, and nobody crowds out what others finished
//! (RULES D3, C4, Q12).

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::retention::{Candidate, RetainedResource, Standing, retain};
use daymark_protocol::document::{DocumentId, Outcome};
use daymark_protocol::id::{Digest, KeyId, ResourceId};
use daymark_protocol::limits;
use daymark_protocol::resource::{Kind, Scope};
use daymark_protocol::trust::Statement;
use proptest::prelude::*;

use crate::support::{
    Choices, Fleet, accept, contents, entry_of, key, repair, signature_of, signed,
};

/// One signature of one statement: what travels, as far as retention cares.
type Pair = (Said, u8);
/// Kind, id, version and what distinguishes equal ones.
type Said = (&'static str, u8, u64, u64);

const THRESHOLD: usize = 2;

fn signer(name: u8) -> KeyId {
    KeyId([name; 32])
}

fn digest_of(said: &Said) -> Digest {
    Digest::of(format!("{said:?}").as_bytes())
}

fn signers_of(pairs: &BTreeSet<Pair>) -> BTreeMap<Said, BTreeSet<u8>> {
    let mut of = BTreeMap::<Said, BTreeSet<u8>>::new();
    for (said, by) in pairs {
        of.entry(*said).or_default().insert(*by);
    }
    of
}

fn is_finished(said: &Said, by: &BTreeSet<u8>) -> bool {
    by.len() >= if said.0 == "Halt" { 1 } else { THRESHOLD }
}

/// What a replica that holds `pairs` keeps.
fn keep(pairs: &BTreeSet<Pair>) -> BTreeSet<Pair> {
    let mut candidates = BTreeMap::new();
    let mut saids = BTreeMap::new();
    for (said, by) in signers_of(pairs) {
        let signers: BTreeSet<KeyId> = by.iter().copied().map(signer).collect();
        let standing = match said.0 {
            "Halt" => Standing::Halt { by: signers.clone(), lifted: false, until: None },
            _ if is_finished(&said, &by) => Standing::Finished(signers.clone()),
            _ => Standing::Draft,
        };
        let resource = RetainedResource {
            kind: said.0.into(),
            id: format!("id-{}", said.1).parse().unwrap(),
            version: said.2,
            gone: false,
        };
        saids.insert(digest_of(&said), said);
        candidates
            .insert(digest_of(&said), Candidate { resources: vec![resource], signers, standing });
    }
    retain(&candidates)
        .into_iter()
        .flat_map(|(digest, by)| by.into_iter().map(move |by| (digest, by.0[0])))
        .map(|(digest, by)| (saids[&digest], by))
        .collect()
}

fn history(choices: &mut Choices) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for _ in 0..60 {
        let kind = ["Site", "Site", "Halt"][choices.below(3)];
        let id = [0, 1][choices.below(2)];
        let said = (kind, id, 1 + choices.next() % 9, choices.next() % 100);
        let mut signers = [b'A', b'B', b'C'];
        choices.shuffle(&mut signers);
        let count = 1 + choices.below(3);
        pairs.extend(signers.into_iter().take(count).map(|by| (said, by)));
    }
    // C is stolen: it signs far more than its room holds, all of the highest versions.
    for _ in 0..100 {
        let said =
            ("Site", [0, 1][choices.below(2)], u64::MAX - choices.next() % 4, choices.next());
        pairs.push((said, b'C'));
    }
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// As in the experiment that led to the rule: five replicas, entries that reach some of them
    /// one by one in some order, then pairwise exchange. All end equal, and no statement that was
    /// the highest finished one of its id on any of them is missing anywhere.
    #[test]
    fn d3_b3_i10_replicas_converge_and_a_flood_loses_nothing_finished(seed: u64) {
        let mut choices = Choices(seed);
        let mut arrivals = history(&mut choices);
        choices.shuffle(&mut arrivals);
        let mut replicas = vec![BTreeSet::new(); 5];
        let mut finished = BTreeSet::new();
        for pair in arrivals {
            let mut order = [0, 1, 2, 3, 4];
            choices.shuffle(&mut order);
            for at in order.into_iter().take(1 + choices.below(3)) {
                replicas[at].insert(pair);
                replicas[at] = keep(&replicas[at]);
                note_finished(&replicas[at], &mut finished);
            }
        }
        for _ in 0..60 {
            let (from, to) = (choices.below(5), choices.below(5));
            let both = replicas[from].union(&replicas[to]).copied().collect();
            replicas[to] = keep(&both);
            note_finished(&replicas[to], &mut finished);
        }
        for _ in 0..2 {
            for to in 0..5 {
                let all: BTreeSet<Pair> = replicas.iter().flatten().copied().collect();
                replicas[to] = keep(&all);
            }
        }
        let highest: BTreeMap<(&str, u8), Said> =
            finished.iter().map(|said: &Said| ((said.0, said.1), *said)).fold(
                BTreeMap::new(),
                |mut highest, (id, said)| {
                    let held = highest.entry(id).or_insert(said);
                    if (said.2, digest_of(&said)) > (held.2, digest_of(held)) {
                        *held = said;
                    }
                    highest
                },
            );
        for replica in &replicas {
            prop_assert_eq!(replica, &replicas[0]);
            let held = signers_of(replica);
            for said in highest.values().filter(|said| said.0 != "Halt") {
                prop_assert!(held.get(said).is_some_and(|by| is_finished(said, by)), "{:?}", said);
            }
            let halts = finished.iter().filter(|said| said.0 == "Halt");
            for halt in halts {
                prop_assert!(held.contains_key(halt), "a halt was lost");
            }
        }
    }

    #[test]
    fn d3_keeping_twice_keeps_the_same(seed: u64) {
        let pairs: BTreeSet<Pair> = history(&mut Choices(seed)).into_iter().collect();
        let once = keep(&pairs);
        prop_assert!(once.is_subset(&pairs));
        prop_assert_eq!(keep(&once), once);
    }
}

fn note_finished(replica: &BTreeSet<Pair>, finished: &mut BTreeSet<Said>) {
    let done = signers_of(replica).into_iter().filter(|(said, by)| is_finished(said, by));
    finished.extend(done.map(|(said, _)| said));
}

fn finished(id: &str, kind: &str, version: u64, gone: bool, by: &[u8]) -> Candidate {
    let by: BTreeSet<KeyId> = by.iter().copied().map(signer).collect();
    Candidate {
        resources: vec![RetainedResource {
            kind: kind.into(),
            id: id.parse::<ResourceId>().unwrap(),
            version,
            gone,
        }],
        signers: by.clone(),
        standing: Standing::Finished(by),
    }
}

fn numbered(candidates: Vec<Candidate>) -> BTreeMap<Digest, Candidate> {
    candidates
        .into_iter()
        .enumerate()
        .map(|(number, candidate)| (Digest::of(&number.to_be_bytes()), candidate))
        .collect()
}

#[test]
fn rt_n12_ids_have_room_per_key_and_kind_and_others_ids_stay() {
    let mut all: Vec<Candidate> = (0..3_000)
        .map(|number| finished(&format!("stolen-{number}"), "Site", 1, false, b"E"))
        .collect();
    // The thief also signs what an honest key signed, so as to draw it into its own full room.
    all.extend((0..50).map(|number| {
        finished(
            &format!("honest-{number}"),
            "Site",
            1,
            false,
            if number % 2 == 0 { b"EF" } else { b"F" },
        )
    }));
    // Hosts, tombstones and other kinds have rooms of their own.
    all.extend((0..20).map(|number| finished(&format!("h-{number}"), "Host", 1, false, b"E")));
    all.extend((0..20).map(|number| finished(&format!("t-{number}"), "Site", 2, true, b"E")));
    let all = numbered(all);
    let kept = retain(&all);
    let kept_of = |prefix: &str| {
        kept.keys()
            .filter(|digest| all[*digest].resources[0].id.as_str().starts_with(prefix))
            .count()
    };
    assert_eq!(kept_of("honest-"), 50);
    assert_eq!(kept_of("h-"), 20);
    assert_eq!(kept_of("t-"), 20);
    let stolen = kept_of("stolen-");
    assert!((999..=1_024).contains(&stolen), "{stolen}");
}

#[test]
fn rt_n12_made_up_kinds_share_one_room() {
    let made_up =
        (0..2_000).map(|number| finished("x-1", &format!("Kind{number}"), 1, false, b"E"));
    assert_eq!(retain(&numbered(made_up.collect())).len(), 1_024);
}

#[test]
fn d3_the_four_highest_versions_of_an_id_are_kept_with_the_whole_change_set() {
    let mut all: Vec<Candidate> =
        (1..=9).map(|version| finished("a", "Site", version, false, b"AB")).collect();
    // The lowest of them also holds the newest of another id: a change set stays whole.
    all[0].resources.push(RetainedResource {
        kind: "Site".into(),
        id: "b".parse().unwrap(),
        version: 1,
        gone: false,
    });
    let all = numbered(all);
    let kept: BTreeSet<u64> =
        retain(&all).keys().map(|digest| all[digest].resources[0].version).collect();
    assert_eq!(kept, [1, 6, 7, 8, 9].into());
}

#[test]
fn c4_n13_of_a_keys_standing_halts_the_65_lowest_stay_and_lifted_ones_take_no_room() {
    let halt = |lifted| {
        let by = BTreeSet::from([signer(b'H')]);
        let resources = finished("h", "Halt", 1, false, b"H").resources;
        let standing = Standing::Halt { by: by.clone(), lifted, until: None };
        Candidate { resources, signers: by, standing }
    };
    let all = numbered((0..300).map(|number| halt(number % 3 == 0)).collect());
    let kept = retain(&all);
    let standing: Vec<&Digest> = all
        .iter()
        .filter(|(_, c)| matches!(c.standing, Standing::Halt { lifted: false, .. }))
        .map(|(digest, _)| digest)
        .collect();
    for (place, digest) in standing.iter().enumerate() {
        assert_eq!(kept.contains_key(*digest), place < 65, "{place}");
    }
}

#[test]
fn d3_i11_a_halt_fits_however_much_a_stolen_key_signs() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let flood: Vec<Vec<u8>> = (0..200)
        .flat_map(|number| {
            let draft = fleet.site(&format!("flood-{number}"), 1 << 60, "flood");
            signed(&draft, &[&key(1)])
        })
        .collect();
    let (outcomes, changes) = accept(&mut replica, &flood);
    let kept = outcomes.iter().filter(|outcome| **outcome == Outcome::New).count();
    assert_eq!(kept, 2 * 64);
    assert_eq!(changes.puts.len(), 2 * 64);
    let halt = signed(&fleet.halt("stop"), &[&key(1)]);
    let (outcomes, _) = accept(&mut replica, &halt);
    assert_eq!(outcomes, [Outcome::New, Outcome::New]);
    assert_eq!(replica.standing().halts.len(), 1);
    let finished = signed(&fleet.site("berlin", 1, "Berlin"), &[&key(2), &key(3)]);
    let (outcomes, _) = accept(&mut replica, &finished);
    assert_eq!(outcomes, [Outcome::New, Outcome::New, Outcome::New]);
}

fn statements(fleet: &Fleet) -> Vec<(Statement, Vec<u8>)> {
    let mut all: Vec<(Statement, Vec<u8>)> = Vec::new();
    for version in 1..=6 {
        all.push((fleet.site("berlin", version, "Berlin"), vec![1, 2]));
        all.push((fleet.site("munich", version, &format!("Munich {version}")), vec![2, 3]));
        all.push((fleet.site("berlin", version, "Other"), vec![3]));
    }
    let halts = [fleet.halt("one"), fleet.halt("two")];
    all.push((fleet.resume(&[&halts[0]]), vec![1, 3]));
    all.extend(halts.into_iter().map(|halt| (halt, vec![4])));
    all.push((fleet.host(&key(50), 1, "berlin"), vec![5]));
    all.push((fleet.host(&key(51), 1, "munich"), vec![6, 5]));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The same through replicas, with real signatures: whatever the order and whoever repairs
    /// from whom, all hold the same entries and heads (M1: not the same saved bytes).
    #[test]
    fn i10_m1_replicas_hold_the_same_entries_and_heads(seed: u64) {
        let fleet = Fleet::new();
        let mut choices = Choices(seed);
        let mut groups: Vec<Vec<Vec<u8>>> = statements(&fleet)
            .iter()
            .map(|(statement, keys)| {
                let keys = keys.iter().map(|seed| signature_of(statement, &key(*seed)));
                [entry_of(statement)].into_iter().chain(keys).collect()
            })
            .collect();
        let mut replicas = vec![fleet.replica(), fleet.replica(), fleet.replica()];
        let mut entries: Vec<Vec<u8>> = groups.concat();
        for replica in &mut replicas {
            choices.shuffle(&mut entries);
            for entry in &entries {
                if choices.below(4) > 0 {
                    replica.accept_entry(entry);
                }
            }
        }
        // Whatever got lost on the way, someone has each statement with all its signatures.
        choices.shuffle(&mut groups);
        for group in &mut groups {
            choices.shuffle(group);
            let at = choices.below(3);
            for entry in group.iter() {
                replicas[at].accept_entry(entry);
            }
        }
        for _ in 0..2 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (0, 2), (2, 1)] {
                let source = replicas[from].clone();
                repair(&source, &mut replicas[to]);
            }
        }
        for replica in &replicas {
            prop_assert_eq!(contents(replica), contents(&replicas[0]));
            for document in replica.documents() {
                let heads = |of: &daymark_protocol::document::Replica| of.export(document).unwrap().heads;
                prop_assert_eq!(heads(replica), heads(&replicas[0]));
            }
            prop_assert_eq!(replica.standing().halts.len(), 1);
            prop_assert!(replica.hashes(&DocumentId::Fleet).count() > 0);
        }
    }
}

#[test]
fn i9_sites_that_nobody_declared_are_bounded_and_crowd_out_none_that_is() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let scope = Scope::Site(daymark_protocol::trust::named_id(
        Kind::Site,
        &fleet.id(),
        &Scope::Fleet,
        "berlin",
    ));
    let berlin = fleet.site_in(scope, "press hall", 1, "in Berlin");
    accept(&mut replica, &signed(&fleet.site("berlin", 1, "Berlin"), &[&key(1), &key(2)]));
    accept(&mut replica, &signed(&berlin, &[&key(1), &key(2)]));
    let flood: Vec<Vec<u8>> = (0..limits::SITE_DOCUMENTS_MAX + 50)
        .flat_map(|number| {
            let site = Scope::Site(format!("made-up-{number}").parse().unwrap());
            signed(&fleet.site_in(site, "x", 1, "x"), &[&key(1)])
        })
        .collect();
    accept(&mut replica, &flood);
    assert_eq!(replica.documents().count(), 1 + limits::SITE_DOCUMENTS_MAX);
    assert!(replica.statement(&berlin.digest()).is_some());
}
