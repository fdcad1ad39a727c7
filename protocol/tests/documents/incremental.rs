//! What a replica keeps and judges after each of many small changes is what one makes of all of it
//! at once, and what it says of changes to the store adds up to what it holds.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::{Changes, DocumentId, Interest, Replica, Sites, Stored};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::Scope;
use daymark_protocol::trust::{Floors, HeldLists, Statement, Verified, judge};
use proptest::prelude::*;

use crate::support::{
    Choices, Fleet, accept, contents, entry_of, id_of, key, resource_id, signature_of,
};

type Store = BTreeMap<(DocumentId, Digest), Vec<u8>>;

pub(crate) fn statements(fleet: &Fleet) -> Vec<Statement> {
    let mut all = Vec::new();
    for version in 1..8 {
        all.extend(["a", "b"].map(|said| fleet.site("berlin", version, said)));
        let scope = Scope::Site(resource_id("munich"));
        all.push(fleet.site_in(scope, "hall", version, "hall"));
    }
    let halts = ["one", "two", "three"].map(|name| fleet.halt(name));
    all.push(fleet.resume(&[&halts[0]]));
    all.push(fleet.resume(&[&halts[0], &halts[1]]));
    all.extend(halts);
    for host in 20..24 {
        for (version, site) in [(1, "berlin"), (2, "munich")] {
            all.push(fleet.host(&key(host), version, site));
        }
        let moved =
            fleet.host_draft(&key(host), 3, "berlin").moved_from(Some(resource_id("munich")));
        let scope = Scope::Site(resource_id("berlin"));
        all.push(fleet.draft(scope).resource(moved).finish().unwrap());
    }
    // Drafts, more than one key has room for.
    all.extend((100..170).map(|version| fleet.site("berlin", version, "draft")));
    all
}

fn interest(choices: &mut Choices) -> Interest {
    let sites = match choices.below(4) {
        0 => Sites::All,
        1 => Sites::Only(BTreeSet::from([resource_id("berlin")])),
        2 => Sites::Only(BTreeSet::from([resource_id("munich")])),
        _ => Sites::Only(BTreeSet::new()),
    };
    let hosts = [20, 21, 22].into_iter().filter(|_| choices.below(2) == 0);
    Interest { sites, own_host: None, hosts: hosts.map(|seed| id_of(&key(seed))).collect() }
}

pub(crate) fn some_entries(choices: &mut Choices, statements: &[Statement]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for _ in 0..=choices.below(12) {
        let statement = &statements[choices.below(statements.len())];
        if choices.below(5) > 0 {
            entries.push(entry_of(statement));
        }
        // Key 8 is one that only the second root names.
        let mut signers = [1, 2, 3, 4, 5, 6, 8];
        choices.shuffle(&mut signers);
        let count = choices.below(4);
        entries.extend(signers[..count].iter().map(|seed| signature_of(statement, &key(*seed))));
    }
    choices.shuffle(&mut entries);
    entries
}

/// Does to a store what the changes say.
fn store_changes(store: &mut Store, changes: &Changes) {
    for (document, hash) in &changes.drops {
        store.remove(&(document.clone(), *hash));
    }
    for put in &changes.puts {
        store.insert((put.document.clone(), put.hash), put.bytes.clone());
    }
}

fn held(replica: &Replica) -> Store {
    let of = |document: &DocumentId| {
        let document = document.clone();
        let entries: Vec<_> = replica.entries(&document).collect();
        entries.into_iter().map(move |(hash, bytes)| ((document.clone(), hash), bytes))
    };
    replica.documents().flat_map(of).collect()
}

fn stored(store: &Store) -> Stored {
    let entry = |((document, hash), bytes): (&(DocumentId, Digest), &Vec<u8>)| {
        daymark_protocol::document::StoredEntry {
            document: document.clone(),
            hash: *hash,
            bytes: bytes.clone(),
        }
    };
    Stored { entries: store.iter().map(entry).collect(), ..Stored::default() }
}

fn check(replica: &Replica, interest: &Interest, store: &Store) -> Result<(), TestCaseError> {
    prop_assert_eq!(&held(replica), store);
    let keeps = |document: &DocumentId| match (document, &interest.sites) {
        (DocumentId::Fleet, _) | (DocumentId::Site(_), Sites::All) => true,
        (DocumentId::Site(site), Sites::Only(sites)) => sites.contains(site),
        (DocumentId::Host(_), _) => false,
    };
    let statements = replica.statements().map(|(digest, held)| (*digest, held.clone())).collect();
    let (chain, floors) = (replica.chain(), replica.floors());
    let all =
        judge(chain, &HeldLists::new(), &statements, floors, &keeps, &mut Verified::default());
    prop_assert_eq!(replica.judgement(), &all);
    let (chain, floors) = (chain.clone(), floors.clone());
    let loaded = Replica::load(chain, floors, interest.clone(), &stored(store));
    prop_assert_eq!(contents(&loaded.replica), contents(replica));
    prop_assert_eq!(loaded.replica.judgement(), &all);
    prop_assert_eq!(&loaded.replica.floors(), &replica.floors());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i10_many_small_changes_come_to_what_everything_at_once_does(seed: u64) {
        let mut choices = Choices(seed);
        let mut fleet = Fleet::new();
        let statements = statements(&fleet);
        let mut kept = Interest::default();
        let mut replica = Replica::new(fleet.chain(), Floors::default(), kept.clone());
        let mut store = Store::new();
        fleet.add_policy_key(8);
        for _ in 0..25 {
            let changes = match choices.below(12) {
                0 => {
                    kept = interest(&mut choices);
                    replica.set_interest(kept.clone())
                }
                1 => {
                    kept.hosts = interest(&mut choices).hosts;
                    replica.set_interest(kept.clone())
                }
                2 => replica.accept_root(&fleet.envelopes[1]).1,
                _ => accept(&mut replica, &some_entries(&mut choices, &statements)).1,
            };
            store_changes(&mut store, &changes);
            check(&replica, &kept, &store)?;
        }
    }
}
