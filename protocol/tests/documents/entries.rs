//! What is accepted, held and refused (RULES D2, D3, Q2, R2).

use std::collections::BTreeMap;

use daymark_protocol::document::{
    DocumentId, Entry, Interest, Outcome, Replica, Sites, documents_of, signature_entry,
    site_document,
};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::{Kind, Scope, Spec, TokenSpec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Context, Floors, ResourceDraft, RootChain, Signature};

use crate::support::{
    Fleet, accept, contents, entry_of, id_of, key, resource_id, signature_of, signed,
};

#[test]
fn d2_statement_and_signature_are_kept_only_together_in_either_order() {
    let fleet = Fleet::new();
    let statement = fleet.site("berlin", 1, "Berlin");
    let parts = [entry_of(&statement), signature_of(&statement, &key(1))];
    for (first, second) in [(0, 1), (1, 0)] {
        let mut replica = fleet.replica();
        let (outcome, changes) = replica.accept_entry(&parts[first]);
        assert!(matches!(outcome, Outcome::Held(_)), "{outcome:?}");
        assert!(changes.is_empty());
        let (outcome, changes) = replica.accept_entry(&parts[second]);
        assert_eq!(outcome, Outcome::New);
        assert_eq!(changes.puts.len(), 2);
        assert_eq!(changes.fresh.len(), 2);
        assert_eq!(replica.accept_entry(&parts[first]).0, Outcome::Known);
        assert_eq!(replica.waiting(), 0);
    }
}

#[test]
fn d3_an_unknown_key_is_held_until_a_root_names_it() {
    let mut fleet = Fleet::new();
    let mut replica = fleet.replica();
    let statement = fleet.site("berlin", 1, "Berlin");
    let entries = signed(&statement, &[&key(20)]);
    let (outcomes, changes) = accept(&mut replica, &entries);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Held(_))), "{outcomes:?}");
    assert!(changes.is_empty());
    fleet.add_policy_key(20);
    let (outcome, changes) = replica.accept_root(&fleet.envelopes[1]);
    assert_eq!(outcome, Outcome::New);
    assert_eq!(changes.roots.len(), 1);
    assert_eq!(changes.puts.len(), 2);
    assert_eq!(replica.waiting(), 0);
}

#[test]
fn rt_b3_arrival_before_or_after_the_root_makes_no_difference() {
    let mut fleet = Fleet::new();
    fleet.add_policy_key(20);
    let statement = fleet.site("berlin", 1, "Berlin");
    let entries = signed(&statement, &[&key(1), &key(20)]);
    let mut early = Replica::new(
        {
            let mut chain = RootChain::new(fleet.pin());
            chain.accept(&fleet.envelopes[0]).unwrap();
            chain
        },
        Floors::default(),
        Interest::default(),
    );
    accept(&mut early, &entries);
    early.accept_root(&fleet.envelopes[1]);
    let mut late = fleet.replica();
    accept(&mut late, &entries);
    assert_eq!(contents(&early), contents(&late));
    assert_eq!(late.standing().lines.len(), 1);
    assert_eq!(early.standing().lines.len(), 1);
}

#[test]
fn r2_nothing_is_judged_before_all_roots_are_held() {
    let fleet = Fleet::new();
    let chain = RootChain::new(fleet.pin());
    let mut replica = Replica::new(chain, Floors::default(), Interest::default());
    let entries = signed(&fleet.site("berlin", 1, "Berlin"), &[&key(1), &key(2)]);
    let (outcomes, changes) = accept(&mut replica, &entries);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Held(_))));
    assert!(changes.is_empty());
    let (_, changes) = replica.accept_root(&fleet.envelopes[0]);
    assert_eq!(changes.puts.len(), 3);
    assert_eq!(replica.standing().lines.len(), 1);
}

#[test]
fn rt_s6_a_signature_that_does_not_verify_is_refused_and_leaves_nothing() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let statement = fleet.site("berlin", 1, "Berlin");
    let garbage = signature_entry(&statement.digest(), &id_of(&key(2)), &Signature([7; 64]));
    let entries = [entry_of(&statement), garbage.clone(), signature_of(&statement, &key(2))];
    let (outcomes, _) = accept(&mut replica, &entries);
    assert_eq!(outcomes[0], Outcome::New);
    assert!(matches!(outcomes[1], Outcome::Refused(_)), "{outcomes:?}");
    assert_eq!(outcomes[2], Outcome::New);
    assert_eq!(replica.hashes(&DocumentId::Fleet).count(), 2);
    assert!(!replica.has(&DocumentId::Fleet, &Digest::of(&garbage)));
}

#[test]
fn rt_s6_a_signature_of_another_kind_of_thing_does_not_count() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let statement = fleet.site("berlin", 1, "Berlin");
    let other = key(1).sign(Context::Report, statement.bytes());
    let entry = signature_entry(&statement.digest(), &id_of(&key(1)), &other);
    let (outcomes, _) = accept(&mut replica, &[entry_of(&statement), entry]);
    assert!(matches!(outcomes[0], Outcome::Held(_)));
    assert!(matches!(outcomes[1], Outcome::Refused(_)));
}

#[test]
fn rt_s6_a_statement_of_another_fleet_is_refused() {
    let fleet = Fleet::new();
    let mut other = Fleet::new();
    other.roots[0].digest = Digest([3; 32]);
    let statement = other.site("berlin", 1, "Berlin");
    let outcome = fleet.replica().accept_entry(&entry_of(&statement)).0;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[test]
fn q2_hosts_live_with_their_site_and_moves_and_ends_everywhere_that_matters() {
    let fleet = Fleet::new();
    let host = key(50);
    let berlin = DocumentId::Site(resource_id("berlin"));
    let munich = DocumentId::Site(resource_id("munich"));
    let documents = |draft: ResourceDraft| {
        let scope = Scope::Site(resource_id("munich"));
        let statement = fleet.draft(scope).resource(draft).finish().unwrap();
        documents_of(&statement).into_iter().collect::<Vec<_>>()
    };
    let plain = fleet.host_draft(&host, 1, "munich");
    assert_eq!(documents(plain.clone()), vec![munich.clone()]);
    let moved = plain.moved_from(Some(resource_id("berlin")));
    assert_eq!(documents(moved), [DocumentId::Fleet, berlin, munich.clone()]);
    let gone = ResourceDraft::tombstone(Kind::Host, id_of(&host).into(), 2);
    assert_eq!(
        documents(gone.clone().site(Some(resource_id("munich")))),
        [DocumentId::Fleet, munich]
    );
    assert_eq!(documents(gone), [DocumentId::Fleet, site_document(None)]);
}

#[test]
fn q2_m3_statements_live_where_their_scope_says_and_hosts_without_a_site_in_none() {
    let fleet = Fleet::new();
    let site = resource_id("berlin");
    let at = |scope| documents_of(&fleet.site_in(scope, "x", 1, "x")).into_iter().next();
    assert_eq!(at(Scope::Fleet), Some(DocumentId::Fleet));
    assert_eq!(at(Scope::Region(resource_id("region-1"))), Some(DocumentId::Fleet));
    assert_eq!(at(Scope::Site(site.clone())), Some(DocumentId::Site(site)));
    let draft = fleet.host_draft(&key(50), 1, "x").site(None);
    let homeless = fleet.draft(Scope::Fleet).resource(draft).finish().unwrap();
    let none = DocumentId::Site(resource_id("none"));
    assert_eq!(documents_of(&homeless).into_iter().collect::<Vec<_>>(), [none]);
}

#[test]
fn s9_a_token_of_a_site_lives_where_machines_that_are_not_enrolled_find_it() {
    let fleet = Fleet::new();
    let spec = Spec::Token(TokenSpec {
        name: "line 3".into(),
        public_key: key(51).public().to_string(),
        site: Some(resource_id("berlin")),
        labels: BTreeMap::new(),
        uses: 1,
    });
    let token = ResourceDraft::new(resource_id("token-1"), 1, &spec);
    let draft = fleet.draft(Scope::Site(resource_id("berlin")));
    let statement = draft.until(WallTime::MAX).resource(token).finish().unwrap();
    assert_eq!(documents_of(&statement).into_iter().collect::<Vec<_>>(), [DocumentId::Fleet]);
}

#[test]
fn s4_a_moved_host_is_known_better_wherever_the_old_version_is_shown() {
    let fleet = Fleet::new();
    let host = key(50);
    let interest =
        Interest { sites: Sites::Only([resource_id("berlin")].into()), ..Interest::default() };
    let mut replica = Replica::new(fleet.chain(), Floors::default(), interest);
    accept(&mut replica, &signed(&fleet.host(&host, 1, "berlin"), &[&key(5)]));
    let moved = fleet.host_draft(&host, 2, "munich").moved_from(Some(resource_id("berlin")));
    let moved = fleet.draft(Scope::Site(resource_id("munich"))).resource(moved).finish().unwrap();
    let (outcomes, changes) = accept(&mut replica, &signed(&moved, &[&key(5)]));
    assert_eq!(outcomes, [Outcome::New, Outcome::New]);
    let documents: Vec<String> = replica.documents().map(ToString::to_string).collect();
    assert_eq!(documents, ["fleet", "site/berlin"], "{changes:?}");
    let elsewhere = fleet.host(&key(51), 1, "munich");
    let (outcomes, _) = accept(&mut replica, &signed(&elsewhere, &[&key(5)]));
    assert!(matches!(outcomes[0], Outcome::NotKept(_)));
}

#[test]
fn q2_what_is_no_longer_of_interest_is_dropped() {
    let fleet = Fleet::new();
    let host = key(50);
    let mut replica = fleet.replica_with(&host);
    let report = fleet.writer(&host, 1).write(&host, &crate::support::facts(&[(&["a"], "b")]));
    replica.accept_report(report.unwrap().reports[0].bytes());
    assert!(replica.host_view(&id_of(&host)).is_some());
    let changes = replica.set_interest(Interest {
        sites: Sites::Only([resource_id("munich")].into()),
        ..Interest::default()
    });
    assert_eq!(changes.drops.len(), 2);
    assert_eq!(changes.dropped_reports, [(id_of(&host), u64::MAX)]);
    assert_eq!(replica.documents().count(), 0);
    assert_eq!(replica.statements().count(), 0);
    assert!(replica.host_view(&id_of(&host)).is_none());
}

#[test]
fn rt_n6_an_unknown_kind_is_kept_like_any_other() {
    let fleet = Fleet::new();
    let mut replica = fleet.replica();
    let spec = serde_json::value::to_raw_value(&serde_json::json!({"any": [1, "x"]})).unwrap();
    let draft = ResourceDraft::of_kind("Wormhole", resource_id("w-1"), 1, Some(spec));
    let statement = fleet.draft(Scope::Fleet).resource(draft.schema(9)).finish().unwrap();
    let (outcomes, _) = accept(&mut replica, &signed(&statement, &[&key(1), &key(2)]));
    assert_eq!(outcomes, [Outcome::New, Outcome::New, Outcome::New]);
}

#[test]
fn d2_entries_have_one_form() {
    let fleet = Fleet::new();
    let statement = fleet.site("berlin", 1, "Berlin");
    for entry in signed(&statement, &[&key(1)]) {
        let read = Entry::decode(&entry).unwrap();
        assert_eq!(read.encode(), entry);
        assert_eq!(read.hash(), Digest::of(&entry));
        let mut longer = entry.clone();
        longer.push(0);
        assert!(Entry::decode(&longer).is_err());
    }
}
