//! What a root says besides keys and roles: lists, void entries, delegations (RULES R5 to R7).

use std::collections::BTreeSet;

use daymark_protocol::id::Digest;
use daymark_protocol::limits;
use daymark_protocol::resource::{Role, Scope};
use daymark_protocol::trust::{
    Delegation, DigestList, EndedKey, Freshness, KeyEnd, LIST_BYTES_MAX, RefusedList, RefusedRoot,
    RoleKeys, Root, RootDraft, Void, VoidId,
};

use crate::support::{Policy, day, first_root, id, ids, key, key_id, next_root};

fn digests(n: usize) -> BTreeSet<Digest> {
    (0..n).map(|n| Digest::of(&n.to_be_bytes())).collect()
}

fn berlin(role: Role, letters: &str, threshold: u32) -> Delegation {
    Delegation {
        role,
        speakers: RoleKeys { threshold, keys: ids(letters).into_iter().collect() },
        scope: Scope::Site(id("site-berlin")),
        until: day(30),
    }
}

fn whole() -> RootDraft {
    let ids = vec![VoidId {
        kind: "OsUpdatePolicy".into(),
        id: id("p"),
        digest: Digest([3; 32]),
        counts_from: 7,
    }];
    first_root("ABC", 2)
        .key(key('D').public(), "stand-in")
        .retire(key_id('C'), &DigestList::of(&digests(3)))
        .revoke(key_id('X'), &[])
        .keep([Digest([1; 32])])
        .void(Void { statement: Digest([2; 32]), ids })
        .delegate("berlin", berlin(Role::Policy, "D", 1))
        .freshness(Freshness { alarm_seconds: Some(60), stop_seconds: None })
}

#[test]
fn r5_a_root_that_ends_keys_is_read_as_it_was_written() {
    let draft = whole();
    let (payload, root) = draft.finish().unwrap();
    assert_eq!(root.lists, draft.lists);
    assert_eq!(root.lists[&key_id('C')].end, KeyEnd::Retired);
    assert!(
        !root.keys.contains_key(&key_id('C'))
            && !root.roles[&Role::Policy].keys.contains(&key_id('C'))
    );
    assert_eq!((root.kept.clone(), root.void.clone()), (draft.kept.clone(), draft.void.clone()));
    assert_eq!(root.delegations, draft.delegations);
    assert_eq!(root.freshness, draft.freshness);
    assert_eq!(Root::parse(&payload).unwrap().digest, root.digest);
}

#[test]
fn r5_the_next_root_repeats_what_is_kept_and_not_what_holds_for_good() {
    let (_, root) = whole().finish().unwrap();
    let next = next_root(&root);
    assert_eq!(next.lists.keys().collect::<Vec<_>>(), [&key_id('C')]);
    assert_eq!((next.kept, next.void.len()), (root.kept, 0));
    assert_eq!(next.delegations, root.delegations);
}

#[test]
fn r5_a_root_lets_no_key_speak_that_it_revokes_and_meets_its_thresholds() {
    let revoked = first_root("ABC", 2).revoke(key_id('C'), &[]);
    assert!(revoked.finish().is_ok());
    let again = revoked.policy("ABC", 2);
    assert!(matches!(again.finish(), Err(RefusedRoot::RevokedSpeaks(key)) if key == key_id('C')));
    let delegate = first_root("AB", 1).delegate("x", berlin(Role::Policy, "B", 1));
    let mut ended = delegate.finish().unwrap().1;
    ended.lists.insert(key_id('B'), EndedKey { end: KeyEnd::Revoked, digests: BTreeSet::new() });
    let mut draft = delegate;
    draft.lists = ended.lists;
    assert!(matches!(draft.finish(), Err(RefusedRoot::RevokedSpeaks(_))));
    let two_left = first_root("AB", 2).retire(key_id('A'), &[]);
    assert!(matches!(two_left.finish(), Err(RefusedRoot::Role(role)) if role == "role policy"));
}

#[test]
fn r7_a_delegation_has_keys_of_its_own_that_meet_its_threshold() {
    let with = |delegation| first_root("AB", 1).delegate("x", delegation).finish();
    assert!(with(berlin(Role::Enroll, "B", 1)).is_ok());
    for (letters, threshold) in [("B", 2), ("B", 0), ("Z", 1)] {
        let refused = with(berlin(Role::Enroll, letters, threshold));
        assert!(matches!(refused, Err(RefusedRoot::Role(role)) if role == "delegation x"));
    }
}

/// A newer agent may let other roles be delegated: this one waits, and does not refuse.
#[test]
fn r7_a_delegation_of_a_role_that_cannot_be_delegated_is_not_read() {
    for role in [Role::Root, Role::Heartbeat, Role::View] {
        let draft = first_root("AB", 1).delegate("x", berlin(role, "B", 1));
        let (_, root) = draft.finish().unwrap();
        assert!(root.delegations.is_empty() && !root.unread.is_empty(), "{role}");
    }
    let (_, nested) = {
        let (payload, _) =
            first_root("AB", 1).delegate("x", berlin(Role::Policy, "B", 1)).finish().unwrap();
        let text = String::from_utf8(payload).unwrap();
        let deeper = text.replacen(
            r#""threshold":1,"until""#,
            r#""delegations":{},"threshold":1,"until""#,
            1,
        );
        assert_ne!(deeper, text);
        ((), Root::parse(deeper.as_bytes()).unwrap())
    };
    assert!(!nested.unread.is_empty(), "no nesting");
}

#[test]
fn r5_a_list_is_a_sorted_blob_of_bounded_size() {
    let lists = DigestList::of(&digests(70_000));
    assert_eq!(lists.len(), 2);
    for list in &lists {
        assert_eq!(&DigestList::decode(list.bytes()).unwrap(), list);
        assert_eq!(list.digest(), Digest::of(list.bytes()));
    }
    let all: BTreeSet<Digest> = lists.iter().flat_map(DigestList::digests).copied().collect();
    assert_eq!(all, digests(70_000));
    assert_eq!(lists[0].bytes().len(), LIST_BYTES_MAX);
    assert!(DigestList::of(&BTreeSet::new()).is_empty());
}

#[test]
fn i9_a_list_that_is_too_long_unsorted_or_torn_is_refused() {
    let list = &DigestList::of(&digests(3))[0];
    let decode = |bytes: &[u8]| DigestList::decode(bytes);
    let long = vec![0; LIST_BYTES_MAX + 1];
    assert!(matches!(decode(&long), Err(RefusedList::TooLong(_))));
    for cut in 0..list.bytes().len() {
        assert!(matches!(decode(&list.bytes()[..cut]), Err(RefusedList::Malformed(_))));
    }
    let mut swapped = list.bytes().to_vec();
    swapped[5..69].rotate_left(32);
    assert!(matches!(decode(&swapped), Err(RefusedList::NotSorted)));
    let mut twice = list.bytes().to_vec();
    twice.copy_within(5..37, 37);
    assert!(matches!(decode(&twice), Err(RefusedList::NotSorted)));
    let mut claims = list.bytes().to_vec();
    claims[1..5].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(decode(&claims), Err(RefusedList::Malformed(_))));
    let mut trailing = list.bytes().to_vec();
    trailing.push(0);
    assert!(matches!(decode(&trailing), Err(RefusedList::Malformed(_))));
}

#[test]
fn i9_a_root_names_a_bounded_number_of_lists() {
    let mut draft = first_root("A", 1);
    let many = EndedKey { end: KeyEnd::Retired, digests: digests(limits::LISTS_PER_ROOT_MAX) };
    draft.lists.insert(key_id('X'), many.clone());
    assert!(draft.finish().is_ok());
    draft.lists.insert(key_id('Y'), EndedKey { digests: digests(1), ..many });
    assert!(matches!(draft.finish(), Err(RefusedRoot::TooMuch)));
}
