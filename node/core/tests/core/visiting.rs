//! Laptops that show a role key in the join exchange, and what does not open the door to them.

use daymark_core::Event;
use daymark_core::conduct::Fault;
use daymark_core::effect::{Admission, Channel, ItemOutcome, Reply};
use daymark_core::event::RequestId;
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Role, Scope};
use daymark_protocol::trust::{Context, Delegation, RoleKeys, RootDraft, SigningKey};
use daymark_protocol::wire::{Challenge, JoinMessage};

use crate::support::{Asked, Fleet, Rig, entries, key, start};

/// The peer key of a laptop.
const LAPTOP: KeyId = KeyId([0x1a; 32]);

/// A fleet with a key that only reads (40), one that halts (41), one that policy of one site was
/// given to for an hour (42), and a member of it.
fn fleet() -> (Fleet, Rig) {
    let mut fleet = Fleet::new(1, 1);
    let first = fleet.read_root(&fleet.roots[0]);
    let given = Delegation {
        role: Role::Policy,
        speakers: RoleKeys { threshold: 1, keys: [key(42).public().id()].into() },
        scope: Scope::Site("berlin".parse().unwrap()),
        until: start().plus_ms(3_600_000),
    };
    let everyone = fleet.key.public().id();
    let draft = RootDraft::after(&first, start(), daymark_protocol::time::WallTime::MAX)
        .key(key(40).public(), "auditor")
        .key(key(41).public(), "shift leader")
        .key(key(42).public(), "berlin")
        .role(Role::View, 1, [key(40).public().id(), everyone])
        .role(Role::Halt, 1, [key(41).public().id(), everyone])
        .delegate("berlin", given);
    fleet.roots.push(fleet.sign_root(&draft));
    let mut node = Rig::member(&fleet, 10);
    node.submit(fleet.roots.iter().cloned().map(daymark_core::event::Carried::Root).collect());
    assert_eq!(node.node.status().root_version, 2);
    (fleet, node)
}

/// A root after the newest one.
fn next(fleet: &Fleet, change: impl FnOnce(RootDraft) -> RootDraft) -> Vec<u8> {
    let newest = fleet.read_root(fleet.roots.last().unwrap());
    let draft = RootDraft::after(&newest, start(), daymark_protocol::time::WallTime::MAX);
    fleet.sign_root(&change(draft))
}

fn say(node: &mut Rig, from: KeyId, message: &JoinMessage) -> Asked {
    let (channel, bytes) = (Channel::Join, message.encode());
    node.step(Event::Received { peer: from, channel, bytes })
}

fn said(asked: &Asked, to: KeyId) -> Vec<JoinMessage> {
    let join = asked.sends().into_iter();
    join.filter(|(peer, channel, _)| *peer == to && *channel == Channel::Join)
        .map(|(_, _, bytes)| JoinMessage::decode(&bytes).unwrap())
        .collect()
}

fn challenge(node: &mut Rig, laptop: KeyId) -> Challenge {
    match said(&say(node, laptop, &JoinMessage::Visit), laptop)[..] {
        [JoinMessage::Challenge(challenge)] => challenge,
        ref other => panic!("no challenge: {other:?}"),
    }
}

fn proof(fleet: &Fleet, by: &SigningKey, from: KeyId, to: KeyId, answer: Challenge) -> JoinMessage {
    let payload = answer.payload(&fleet.id, &from, &to);
    let signature = by.sign(Context::Visit, &payload);
    JoinMessage::Proof { key: by.public().id(), signature }
}

/// Connects a laptop and shows a right proof.
fn visit(fleet: &Fleet, node: &mut Rig, by: &SigningKey, laptop: KeyId) -> Asked {
    node.connect(laptop, Admission::Stranger);
    let answer = challenge(node, laptop);
    let shown = proof(fleet, by, laptop, node.id(), answer);
    say(node, laptop, &shown)
}

fn hand_in(node: &mut Rig, laptop: KeyId, items: [Vec<u8>; 2]) -> Reply {
    let (request, items) = (RequestId(9), entries(items));
    node.step(Event::Submit { request, items, visitor: Some(laptop) }).reply()
}

fn turned_away(asked: &Asked, laptop: KeyId) -> String {
    assert_eq!(asked.admitted(), None, "it is let in");
    match &said(asked, laptop)[..] {
        [JoinMessage::TurnedAway { why }] => why.clone(),
        other => panic!("not turned away: {other:?}"),
    }
}

#[test]
fn a_role_key_lets_its_laptop_in_and_what_it_hands_in_is_taken() {
    let (fleet, mut node) = fleet();
    let shown = visit(&fleet, &mut node, &key(41), LAPTOP);
    assert_eq!(said(&shown, LAPTOP), [JoinMessage::Welcome { may_submit: true }]);
    assert_eq!(shown.admitted(), Some(Admission::Visitor), "the connection is made anew (A1)");
    node.step(Event::Disconnected { peer: LAPTOP });
    assert_eq!(node.connect(LAPTOP, Admission::Visitor).admitted(), None);
    let again = say(&mut node, LAPTOP, &JoinMessage::Visit);
    assert_eq!(said(&again, LAPTOP), [JoinMessage::Welcome { may_submit: true }]);
    let enrolled = fleet.enroll(&key(11), "berlin");
    let new = Reply::Submitted(vec![ItemOutcome::New; 2]);
    assert_eq!(hand_in(&mut node, LAPTOP, enrolled), new);
    let peers = node.node.status().peers;
    assert_eq!(peers[0].name.as_deref(), Some("laptop of shift leader"));
    // The door that it opens is that of the control channel: nothing of the mesh.
    let hello = node.told_when_asked(LAPTOP);
    assert!(hello.is_empty(), "{hello:?}");
}

#[test]
fn the_role_view_reads_and_hands_nothing_in() {
    let (fleet, mut node) = fleet();
    let shown = visit(&fleet, &mut node, &key(40), LAPTOP);
    assert_eq!(said(&shown, LAPTOP), [JoinMessage::Welcome { may_submit: false }]);
    assert_eq!(shown.admitted(), Some(Admission::Visitor));
    let before = node.node.counters().taken;
    let Reply::Refused(why) = hand_in(&mut node, LAPTOP, fleet.enroll(&key(11), "berlin")) else {
        panic!("it was taken");
    };
    assert!(why.contains("`view` reads only"), "{why}");
    assert_eq!(node.node.counters().taken, before);
}

#[test]
fn a_proof_of_another_connection_node_challenge_fleet_or_kind_opens_nothing() {
    let (fleet, mut node) = fleet();
    let by = key(41);
    let other = Fleet::new(2, 1);
    node.connect(LAPTOP, Admission::Stranger);
    let thief = KeyId([0x1b; 32]);
    for (peer, wrong) in (1..).zip(["connection", "node", "challenge", "fleet", "kind"]) {
        // A stranger each time, so that none is dropped before it is heard.
        let peer = KeyId([peer; 32]);
        node.connect(peer, Admission::Stranger);
        let drawn = challenge(&mut node, peer);
        let shown = match wrong {
            "connection" => proof(&fleet, &by, thief, node.id(), drawn),
            "node" => proof(&fleet, &by, peer, key(12).public().id(), drawn),
            "challenge" => proof(&fleet, &by, peer, node.id(), Challenge([9; 32])),
            "fleet" => proof(&other, &by, peer, node.id(), drawn),
            _ => {
                let payload = drawn.payload(&fleet.id, &peer, &node.id());
                let signature = by.sign(Context::Statement, &payload);
                JoinMessage::Proof { key: by.public().id(), signature }
            }
        };
        let why = turned_away(&say(&mut node, peer, &shown), peer);
        assert!(why.contains("does not verify"), "{wrong}: {why}");
        let shown = node.node.status().conduct;
        let shown = shown.iter().find(|one| one.host == peer).unwrap();
        assert_eq!(shown.faults[&Fault::WrongProof], 1);
    }
}

#[test]
fn a_proof_counts_once_and_none_counts_without_a_challenge() {
    let (fleet, mut node) = fleet();
    node.connect(LAPTOP, Admission::Stranger);
    let unasked = proof(&fleet, &key(41), LAPTOP, node.id(), Challenge([0; 32]));
    let why = turned_away(&say(&mut node, LAPTOP, &unasked), LAPTOP);
    assert!(why.contains("waits for no proof"), "{why}");
    let drawn = challenge(&mut node, LAPTOP);
    let right = proof(&fleet, &key(41), LAPTOP, node.id(), drawn);
    assert_eq!(say(&mut node, LAPTOP, &right).admitted(), Some(Admission::Visitor));
    // Whoever recorded it shows it again, over the same peer key and over another.
    turned_away(&say(&mut node, LAPTOP, &right), LAPTOP);
    let thief = KeyId([0x1b; 32]);
    node.connect(thief, Admission::Stranger);
    assert_ne!(challenge(&mut node, thief), drawn);
    let why = turned_away(&say(&mut node, thief, &right), thief);
    assert!(why.contains("does not verify"), "{why}");
}

#[test]
fn keys_that_the_newest_root_gives_no_role_open_nothing() {
    let (mut fleet, mut node) = fleet();
    let retired = next(&fleet, |draft| {
        draft.retire(key(40).public().id(), &[]).revoke(key(41).public().id(), &[])
    });
    fleet.roots.push(retired.clone());
    for (place, by) in [40, 41, 99].into_iter().enumerate() {
        let laptop = KeyId([u8::try_from(place).unwrap() + 60; 32]);
        if by != 99 {
            let shown = visit(&fleet, &mut node, &key(by), laptop);
            assert_eq!(shown.admitted(), Some(Admission::Visitor), "{by} has a role before");
        }
    }
    let told = node.submit(vec![daymark_core::event::Carried::Root(retired)]);
    assert_eq!(node.node.status().root_version, 3);
    // Those that are there are disconnected by the root that takes their keys out.
    let closed = told.immediate.iter().filter(|effect| {
        let stranger = Admission::Stranger;
        matches!(effect, daymark_core::effect::Effect::Admit { admission, .. } if *admission == stranger)
    });
    assert_eq!(closed.count(), 2);
    let Reply::Refused(_) = hand_in(&mut node, KeyId([61; 32]), fleet.enroll(&key(11), "berlin"))
    else {
        panic!("its session goes on");
    };
    for by in [40, 41, 99] {
        let laptop = KeyId([by + 100; 32]);
        let why = turned_away(&visit(&fleet, &mut node, &key(by), laptop), laptop);
        assert!(why.contains("root 3") && why.contains("no role"), "{why}");
    }
}

#[test]
fn r7_a_delegated_key_lets_its_laptop_in_until_the_delegation_ends() {
    let (fleet, mut node) = fleet();
    let shown = visit(&fleet, &mut node, &key(42), LAPTOP);
    assert_eq!(said(&shown, LAPTOP), [JoinMessage::Welcome { may_submit: true }]);
    node.connect(LAPTOP, Admission::Visitor);
    node.now_ms += 2 * 3_600_000;
    let mut ended = false;
    for _ in 0..100 {
        ended |= node.wait(1_000).admitted() == Some(Admission::Stranger);
    }
    assert!(ended, "nobody looked again");
}

#[test]
fn i9_a_stranger_that_goes_on_guessing_is_dropped_and_shown() {
    let (fleet, mut node) = fleet();
    node.connect(LAPTOP, Admission::Stranger);
    let mut judged = 0;
    for _ in 0..50 {
        let asked = say(&mut node, LAPTOP, &JoinMessage::Visit);
        let Some(JoinMessage::Challenge(_)) = said(&asked, LAPTOP).pop() else { break };
        judged += 1;
        let guess = proof(&fleet, &key(99), LAPTOP, node.id(), Challenge([1; 32]));
        say(&mut node, LAPTOP, &guess);
    }
    assert_eq!(judged, 4);
    let conduct = node.node.status().conduct.pop().unwrap();
    assert_eq!((conduct.host, conduct.score), (LAPTOP, daymark_core::conduct::POINTS_MAX));
    assert_eq!(conduct.faults[&Fault::WrongProof], 4);
    assert!(conduct.dropped_until.is_some_and(|until| until > start()));
}

#[test]
fn a_host_that_is_enrolled_gains_nothing_by_a_role_key() {
    let (fleet, mut node) = fleet();
    let member = key(11).public().id();
    node.submit(entries(fleet.enroll(&key(11), "berlin")));
    node.connect(member, Admission::Member);
    let answer = challenge(&mut node, member);
    let shown = proof(&fleet, &key(41), member, node.id(), answer);
    assert_eq!(say(&mut node, member, &shown).admitted(), None, "it stays a member");
}
