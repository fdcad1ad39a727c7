use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{
    Accepted, ChainWait, Envelope, MoveError, Pin, RefusedRoot, Root, RootChain, RootDraft,
    RootError, Signature,
};

use crate::support::{
    Policy, day, first_root, fresh, ids, key, next_root, pin, policy, say, seal, sign, signed,
    with_keys,
};

/// Roots 1 to `n`, each signed by `R`.
fn line_of(n: usize) -> Vec<(Vec<u8>, Root)> {
    let mut roots = vec![signed(&first_root("ABC", 2), "R")];
    while roots.len() < n {
        let next = signed(&next_root(&roots[roots.len() - 1].1), "R");
        roots.push(next);
    }
    roots
}

fn chain_from(pinned: &Root, roots: &[&[u8]]) -> RootChain {
    let mut chain = RootChain::new(pin(pinned));
    for result in chain.accept_all(roots.iter().copied()) {
        result.unwrap();
    }
    chain
}

#[test]
fn r1_the_next_root_needs_the_thresholds_of_both() {
    let draft = with_keys(RootDraft::first("acme", day(0), day(9)), "ABCDE");
    let (one, first) = signed(&draft.role(Role::Root, 2, ids("ABC")), "AB");
    let second = RootDraft::after(&first, day(1), day(99)).role(Role::Root, 2, ids("CDE"));
    let offered = |signers: &str| {
        let mut chain = chain_from(&first, &[&one]);
        chain.accept(&signed(&second, signers).0)
    };
    assert!(matches!(offered("AB"), Err(RootError::TooFewSignatures { by: 2, have: 0, .. })));
    assert!(matches!(offered("DE"), Err(RootError::TooFewSignatures { by: 1, have: 0, .. })));
    assert!(matches!(offered("CD"), Err(RootError::TooFewSignatures { by: 1, have: 1, .. })));
    assert!(matches!(offered("ACD"), Ok(Accepted::New { version: 2, .. })));
}

#[test]
fn r1_the_first_root_is_signed_by_its_own_threshold() {
    let (payload, first) = first_root("A", 1).finish().unwrap();
    let mut chain = RootChain::new(pin(&first));
    let refused = chain.accept(&seal(payload, "AB"));
    assert!(matches!(refused, Err(RootError::TooFewSignatures { version: 1, .. })));
}

#[test]
fn r1_expiry_is_judged_at_the_end_of_the_walk() {
    let mut draft = first_root("A", 1);
    draft.expires = day(-9);
    let (one, first) = signed(&draft, "R");
    let (two, _) = signed(&next_root(&first), "R");
    let chain = chain_from(&first, &[&one, &two]);
    assert_eq!(chain.newest().unwrap().expires, day(400));
}

#[test]
fn r2_nothing_is_judged_before_the_whole_chain_is_held() {
    let roots = line_of(70);
    let newest = &roots[69].1;
    let mut chain = RootChain::new(pin(newest));
    assert_eq!(chain.missing(), Some(7..=70));
    let part: Vec<&[u8]> = roots[6..].iter().map(|(bytes, _)| bytes.as_slice()).collect();
    assert!(chain.accept_all(part).iter().all(Result::is_ok));
    assert_eq!(chain.missing(), Some(1..=6));
    assert!(chain.newest().is_none() && !chain.is_whole() && chain.fleet().is_none());
    let rest: Vec<&[u8]> = roots[..6].iter().map(|(bytes, _)| bytes.as_slice()).collect();
    assert!(chain.accept_all(rest).iter().all(Result::is_ok));
    assert!(chain.is_whole() && chain.missing().is_none());
    assert_eq!(chain.newest_version(), 70);
    assert_eq!(chain.fleet().unwrap().0, roots[0].1.digest.0);
}

#[test]
fn rt_n2_a_newcomer_pinned_at_the_newest_judges_like_those_who_saw_all() {
    let (one, first) = signed(&first_root("ABC", 2), "R");
    let (two, second) = signed(&next_root(&first).policy("ABD", 2), "R");
    let old_hand = chain_from(&first, &[&one, &two]);
    let newcomer = chain_from(&second, &[&one, &two]);
    let go = sign(&say(&old_hand, policy("p", 1, "go")), "AB");
    let stop = sign(&say(&old_hand, policy("p", 2, "stop")), "AC");
    let states = [old_hand, newcomer].map(|chain| {
        let judgement = fresh(&chain, [go.clone(), stop.clone()]);
        format!("{:?}", judgement.standing.lines)
    });
    assert_eq!(states[0], states[1]);
    let early = RootChain::new(pin(&second));
    let judgement = fresh(&early, [go]);
    assert!(judgement.standing.wait.is_some() && judgement.standing.lines.is_empty());
}

#[test]
fn rt_n2_earlier_roots_count_by_the_digests_that_later_ones_name() {
    let roots = line_of(3);
    let mut chain = RootChain::new(pin(&roots[2].1));
    chain.accept(&roots[2].0).unwrap();
    // Another root 2 that the same keys signed.
    let (forged, _) = signed(&next_root(&roots[0].1).policy("XYZ", 1), "R");
    assert!(matches!(chain.accept(&forged), Err(RootError::NotInChain { version: 2, .. })));
    assert!(matches!(chain.accept(&roots[0].0), Err(RootError::NotYet { version: 1, needs: 2 })));
}

#[test]
fn rt_s8_a_root_of_other_keys_cannot_replace_the_pinned_one() {
    let (_, ours) = signed(&first_root("A", 1), "R");
    let (theirs, _) = signed(&first_root("B", 1), "R");
    let mut chain = RootChain::new(pin(&ours));
    assert!(matches!(chain.accept(&theirs), Err(RootError::NotInChain { .. })));
}

#[test]
fn r3_the_chain_can_be_rebuilt_from_what_it_stored() {
    let roots = line_of(5);
    let all: Vec<&[u8]> = roots.iter().map(|(bytes, _)| bytes.as_slice()).collect();
    let chain = chain_from(&roots[2].1, &all);
    let stored: Vec<Vec<u8>> = chain.roots().map(|(_, bytes)| bytes.to_vec()).collect();
    let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
    let rebuilt = chain_from(&roots[2].1, &stored);
    assert_eq!(rebuilt.newest_pin(), chain.newest_pin());
    assert!(rebuilt.roots().eq(chain.roots()));
    // And by someone who took the fleet at its first root, by thresholds.
    assert_eq!(chain_from(&roots[0].1, &stored).newest_pin(), chain.newest_pin());
}

#[test]
fn r3_signatures_that_were_kept_back_can_be_added_later() {
    let draft = with_keys(RootDraft::first("acme", day(0), day(9)), "AB");
    let (one, first) = signed(&draft.role(Role::Root, 1, ids("A")), "A");
    let second = RootDraft::after(&first, day(1), day(99)).role(Role::Root, 1, ids("B"));
    let (whole, root) = signed(&second, "AB");
    let (stripped, _) = signed(&second, "B");
    let mut chain = chain_from(&root, &[&stripped, &one]);
    assert!(matches!(chain.accept(&whole), Ok(Accepted::Signatures { version: 2, .. })));
    assert_eq!(chain.accept(&stripped).unwrap(), Accepted::Known);
    let passed_on: Vec<&[u8]> = chain.roots().map(|(_, bytes)| bytes).collect();
    assert_eq!(chain_from(&first, &passed_on).newest_version(), 2);
}

/// A root at or below the pin may come with signatures under keys that nobody has, as many as an
/// envelope holds, before the keys are known that really signed it.
#[test]
fn r3_made_up_signatures_never_keep_the_true_ones_out() {
    let draft = with_keys(RootDraft::first("acme", day(0), day(9)), "AB");
    let (one, first) = signed(&draft.role(Role::Root, 1, ids("A")), "A");
    let mut second = RootDraft::after(&first, day(1), day(99)).role(Role::Root, 1, ids("B"));
    let gone = key('A').public().id();
    second.keys.remove(&gone);
    second.roles.values_mut().for_each(|role| role.keys.retain(|key| *key != gone));
    let (whole, root) = signed(&second, "AB");
    let (stripped, _) = signed(&second, "B");
    let mut stuffed = Envelope::parse(&stripped).unwrap();
    let made_up = (0_u8..).map(|n| (KeyId([n; 32]), Signature([n; 64])));
    stuffed.signatures.extend(made_up.take(limits::SIGNATURES_MAX - 1));
    let stuffed = stuffed.to_json();
    let orders: [&[&[u8]]; 4] = [
        &[&stuffed, &one, &whole],
        &[&stuffed, &whole, &one],
        &[&whole, &stuffed, &one],
        &[&one, &stuffed, &whole],
    ];
    for (number, order) in orders.iter().enumerate() {
        let check = |chain: &RootChain| {
            let passed_on: Vec<&[u8]> = chain.roots().map(|(_, bytes)| bytes).collect();
            assert_eq!(chain_from(&first, &passed_on).newest_version(), 2, "order {number}");
            let signatures = Envelope::parse(passed_on[1]).unwrap().signatures;
            assert_eq!(signatures.len(), 2, "order {number}: made-up ones stay");
        };
        check(&chain_from(&root, order));
        // One after the other, as often as a peer offers them again.
        let mut chain = RootChain::new(pin(&root));
        for bytes in order.iter().chain(*order).copied() {
            chain.accept(bytes).ok();
        }
        check(&chain);
    }
}

#[test]
fn r3_a_pin_is_read_as_people_type_it() {
    let (_, root) = signed(&first_root("A", 1), "R");
    let fingerprint = pin(&root).to_string();
    assert!(fingerprint.starts_with("1-") && fingerprint.len() == 2 + 64 + 7, "{fingerprint}");
    let loud = fingerprint.to_uppercase();
    let bare = format!("1-{}", root.digest);
    for text in [&fingerprint, &loud, &bare, &format!(" {bare}\n")] {
        assert_eq!(text.parse::<Pin>().unwrap(), pin(&root), "{text}");
    }
    for text in ["", "1", "1-", "-1", &bare[1..], &format!("0{}", &bare[1..]), &format!("+{bare}")]
    {
        assert!(text.parse::<Pin>().is_err(), "{text}");
    }
    assert!(fingerprint[..fingerprint.len() - 1].parse::<Pin>().is_err());
}

/// Two laptops write root 2; what settles it.
struct Fork {
    one: (Vec<u8>, Root),
    left: (Vec<u8>, Root),
    right: (Vec<u8>, Root),
}

impl Fork {
    fn new() -> Self {
        let draft = with_keys(RootDraft::first("acme", day(0), day(9)), "ABC");
        let one = signed(&draft.role(Role::Root, 1, ids("AB")), "A");
        let after = |letter: &str| {
            let draft = RootDraft::after(&one.1, day(1), day(99)).role(Role::Root, 1, ids(letter));
            signed(&draft, &format!("A{letter}"))
        };
        Self { left: after("B"), right: after("C"), one }
    }
}

#[test]
fn r4_rival_roots_wait_until_one_meets_the_thresholds_of_both() {
    let Fork { one, left, right } = Fork::new();
    let mut chain = chain_from(&one.1, &[&one.0, &left.0]);
    assert!(chain.newest().is_some());
    assert!(matches!(chain.accept(&right.0), Ok(Accepted::New { version: 2, .. })));
    assert_eq!(chain.wait(), Some(&ChainWait::Rivals { version: 2 }));
    assert!(chain.newest().is_none() && chain.is_whole());
    let mut third = RootDraft::after(&left.1, day(2), day(99));
    let one_sided = signed(&third, "B").0;
    chain.accept(&one_sided).unwrap();
    assert_eq!(chain.wait(), Some(&ChainWait::Rivals { version: 2 }));
    third.previous.insert(right.1.digest);
    let (both, settled) = signed(&third, "BC");
    let mut chain = chain_from(&one.1, &[&one.0, &left.0, &right.0]);
    assert!(matches!(
        chain.accept(&signed(&third, "B").0),
        Err(RootError::TooFewSignatures { by: 2, .. })
    ));
    chain.accept(&both).unwrap();
    assert_eq!(chain.newest_pin(), Some(pin(&settled)));
    assert_eq!(chain.earlier().count(), 3);
}

#[test]
fn r4_the_chain_is_the_same_whatever_order_the_roots_come_in() {
    let Fork { one, left, right } = Fork::new();
    let mut third = RootDraft::after(&left.1, day(2), day(99));
    third.previous.insert(right.1.digest);
    let (both, settled) = signed(&third, "BC");
    let all = [&one.0, &left.0, &right.0, &both];
    for shift in 0..4 {
        let mut order: Vec<&[u8]> = all.iter().map(|bytes| bytes.as_slice()).collect();
        order.rotate_left(shift);
        for pinned in [&one.1, &settled] {
            let chain = chain_from(pinned, &order);
            assert_eq!(chain.newest_pin(), Some(pin(&settled)));
            assert_eq!(chain.roots().count(), 4);
        }
    }
}

/// A machine took its fleet with the fingerprint of one of them.
#[test]
fn r4_a_machine_pinned_at_one_rival_takes_the_root_that_settles_both() {
    let Fork { one, left, right } = Fork::new();
    let mut third = RootDraft::settling(&[&left.1, &right.1], day(2), day(99)).unwrap();
    let (both, settled) = signed(&third, "BC");
    let mut chain = chain_from(&left.1, &[&one.0, &left.0]);
    assert!(matches!(chain.accept(&right.0), Err(RootError::NotInChain { version: 2, .. })));
    chain.accept(&both).unwrap();
    assert_eq!(chain.missing(), Some(1..=2), "what it settles is not held yet");
    chain.accept(&right.0).unwrap();
    assert_eq!(chain.newest_pin(), Some(pin(&settled)));
    // One that names both and is signed by the keys of one settles nothing.
    third.issued = day(3);
    let mut chain = chain_from(&left.1, &[&one.0, &left.0]);
    chain.accept(&signed(&third, "B").0).unwrap();
    chain.accept(&right.0).unwrap();
    assert_eq!(chain.wait(), Some(&ChainWait::Rivals { version: 2 }));
}

#[test]
fn r4_rivals_are_stored_in_one_piece() {
    let Fork { one, left, right } = Fork::new();
    let chain = chain_from(&one.1, &[&one.0, &left.0, &right.0]);
    let files: Vec<(u64, Vec<u8>)> = chain.files().collect();
    assert_eq!(files.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2]);
    let stored: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let again = chain_from(&one.1, &stored);
    assert_eq!(again.wait(), Some(&ChainWait::Rivals { version: 2 }));
    assert!(again.files().eq(chain.files()));
    assert_ne!(chain.newest_digest(), chain_from(&one.1, &[&one.0, &left.0]).newest_digest());
}

#[test]
fn r2_a_chain_that_lost_its_newest_root_waits_for_it() {
    let roots = line_of(3);
    let all: Vec<&[u8]> = roots.iter().map(|(bytes, _)| bytes.as_slice()).collect();
    let mut chain = chain_from(&roots[0].1, &all[..2]);
    assert!(chain.wait().is_none());
    chain.raise_floor(3);
    assert_eq!(chain.missing(), Some(3..=3));
    chain.accept(all[2]).unwrap();
    assert!(chain.wait().is_none());
}

#[test]
fn r5_what_this_version_cannot_read_of_a_root_makes_it_wait() {
    let (payload, first) = first_root("A", 1).finish().unwrap();
    let text = String::from_utf8(payload).unwrap();
    let with = |field: &str| {
        let payload = text.replacen('{', &format!("{{{field},"), 1).into_bytes();
        let root = Root::parse(&payload).unwrap();
        let chain = chain_from(&root, &[&seal(payload, "R")]);
        chain.wait().cloned()
    };
    assert_eq!(with(r#""lists":[],"void":{},"delegations":[]"#), None);
    for field in [r#""lists":["x"]"#, r#""void":[{"digest":"y"}]"#, r#""delegations":{"a":1}"#] {
        assert!(matches!(with(field), Some(ChainWait::Unread { version: 1, .. })), "{field}");
    }
    assert!(matches!(with(r#""quorum":[]"#), Some(ChainWait::Unread { .. })));
    // And it still waits when a later root says nothing of it.
    let unread = text.replacen('{', r#"{"void":[1],"#, 1).into_bytes();
    let root = Root::parse(&unread).unwrap();
    let (two, _) = signed(&next_root(&root), "R");
    let chain = chain_from(&root, &[&seal(unread, "R"), &two]);
    assert!(matches!(chain.wait(), Some(ChainWait::Unread { version: 1, .. })));
    assert!(first.unread.is_empty());
}

#[test]
fn r2_a_chain_has_at_most_1024_roots_of_which_64_are_asked_for_at_a_time() {
    let (payload, first) = first_root("A", 1).finish().unwrap();
    let text = String::from_utf8(payload).unwrap();
    let numbered = |version: u64| {
        let version = format!(r#""version":{version}"#);
        Root::parse(text.replacen(r#""version":1"#, &version, 1).as_bytes())
    };
    assert!(matches!(numbered(1_025), Err(RefusedRoot::Version(1_025))));
    assert!(matches!(numbered(1_024), Err(RefusedRoot::Previous { version: 1_024, .. })));
    let last = Pin { version: 1_024, digest: first.digest };
    assert_eq!(RootChain::new(last).missing(), Some(961..=1_024));
}

#[test]
fn r1_roots_that_make_no_sense_are_refused() {
    let (payload, first) = first_root("A", 1).finish().unwrap();
    let text = String::from_utf8(payload).unwrap();
    let parse = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Root::parse(text.replacen(from, to, 1).as_bytes())
    };
    assert!(matches!(parse(r#""threshold":1"#, r#""threshold":0"#), Err(RefusedRoot::Role(_))));
    assert!(matches!(parse(r#""threshold":1"#, r#""threshold":2"#), Err(RefusedRoot::Role(_))));
    assert!(matches!(parse(r#""root":"#, r#""toor":"#), Err(RefusedRoot::NoRootRole)));
    assert!(matches!(parse(r#""version":1"#, r#""version":0"#), Err(RefusedRoot::Version(0))));
    let second = parse(r#""version":1"#, r#""version":2"#);
    assert!(matches!(second, Err(RefusedRoot::Previous { version: 2, named: 0 })));
    let twice = parse(r#""version":1"#, r#""version":1,"version":1"#);
    assert!(matches!(twice, Err(RefusedRoot::NotReadable(_))));
    let other = key('Z').public().to_string();
    let mine = first.keys.values().next().unwrap().public.to_string();
    assert!(matches!(parse(&mine, &other), Err(RefusedRoot::KeyMismatch(_))));
    let unnamed = first_root("A", 1).role(Role::View, 1, ids("Z"));
    assert!(matches!(unnamed.finish(), Err(RefusedRoot::Role(role)) if role == "role view"));
    let long = vec![b' '; limits::ROOT_PAYLOAD_BYTES_MAX + 1];
    assert!(matches!(Root::parse(&long), Err(RefusedRoot::TooLong(_))));
    let orphan = RootDraft { previous: [Digest([1; 32])].into(), ..first_root("A", 1) };
    assert!(matches!(orphan.finish(), Err(RefusedRoot::Previous { .. })));
}

/// Decision 0017: whoever holds the keys of an old root at their threshold writes a rival of what
/// followed it; whoever took the fleet at that root waits until a person names a newer one.
#[test]
fn r3_a_pin_moves_forward_along_the_chain_that_is_held_and_settles_rivals() {
    let (one, first) = signed(&first_root("ABC", 2), "R");
    let (two, second) = signed(&next_root(&first).policy("ABD", 2), "R");
    let (three, third) = signed(&next_root(&second).policy("AB", 2), "R");
    let (rival, other) = signed(&next_root(&first).policy("XYZ", 1), "R");
    let (above, other_third) = signed(&next_root(&other).policy("XY", 1), "R");
    let all = [&one, &two, &three, &rival, &above];
    let all: Vec<&[u8]> = all.iter().map(|bytes| bytes.as_slice()).collect();
    let waiting = chain_from(&first, &all);
    assert_eq!(waiting.wait(), Some(&ChainWait::Rivals { version: 3 }));
    for newer in [&second, &third] {
        let moved = waiting.moved_to(pin(newer)).unwrap();
        assert_eq!((moved.wait(), moved.newest_pin()), (None, Some(pin(&third))));
        assert_eq!(moved.fleet(), waiting.fleet());
        assert!(!moved.holds(2, &other.digest) && !moved.holds(3, &other_third.digest));
        // What it stores leads to the same again.
        let files: Vec<Vec<u8>> = moved.files().map(|(_, bytes)| bytes).collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        assert_eq!(chain_from(newer, &files).newest_pin(), Some(pin(&third)));
    }
    let moved = waiting.moved_to(pin(&second)).unwrap();
    let refused = |chain: &RootChain, to| chain.moved_to(to).err();
    let (pinned, asked) = (2, 1);
    assert_eq!(refused(&moved, pin(&first)), Some(MoveError::Backward { pinned, asked }));
    assert_eq!(refused(&moved, pin(&other)), Some(MoveError::NotHeld(2)));
    let unheld = Pin { version: 4, ..pin(&first) };
    assert_eq!(refused(&waiting, unheld), Some(MoveError::NotHeld(4)));
    // Pinned at one rival, what follows the other is no way forward.
    let rivals = chain_from(&second, &[&one, &two, &three]);
    assert_eq!(refused(&rivals, pin(&other_third)), Some(MoveError::NotHeld(3)));
}
