//! What ends, and what follows for admission, lists, heartbeats and clones (RULES A2, R5, K1, D6,
//! S4, S9).

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, ItemOutcome, Reply, Write};
use daymark_core::event::{Carried, RequestId};
use daymark_core::{Event, Node};
use daymark_protocol::document::{Facts, ReportWriter, signature_entry, statement_entry};
use daymark_protocol::id::KeyId;
use daymark_protocol::resource::{Role, Scope, Spec, TokenSpec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, DigestList, Draft, EndedKey, Envelope, Heartbeat, KeyEnd, Replaced, ResourceDraft,
    RootDraft, SigningKey, Statement, Void, join_by_token,
};
use daymark_protocol::wire::SyncMessage;

use crate::support::{Disk, Fleet, Rig, entries, inspection, key, start, talk};

fn members(fleet: &Fleet) -> [Rig; 2] {
    let mut rigs = [10, 11].map(|seed| Rig::member(fleet, seed));
    for rig in &mut rigs {
        for other in [10, 11] {
            rig.submit(entries(fleet.enroll(&key(other), "berlin")));
        }
    }
    rigs
}

/// Root 2, in which another key enrols, with a list of what the first one enrolled.
fn rotated(fleet: &Fleet, replica: &Node) -> (Vec<u8>, DigestList) {
    let lists = replica.replica().unwrap().lists_of(&fleet.key.public().id());
    let list = lists[0].clone();
    let mut draft = RootDraft::after(&fleet.read_root(&fleet.roots[0]), start(), WallTime::MAX);
    let other = key(77);
    draft = draft.key(other.public(), "new").role(Role::Enroll, 1, [other.public().id()]);
    let digests = [list.digest()].into();
    draft.lists.insert(fleet.key.public().id(), EndedKey { end: KeyEnd::Retired, digests });
    (fleet.sign_root(&draft), list)
}

#[test]
fn b5_r5_a_site_whose_only_enroll_key_went_is_healed_by_one_list_that_spreads() {
    let fleet = Fleet::new(1, 1);
    let [mut east, mut west] = members(&fleet);
    let (root, list) = rotated(&fleet, &east.node);
    for rig in [&mut east, &mut west] {
        rig.submit(vec![Carried::Root(root.clone())]);
        let problems = rig.node.status().problems;
        assert!(problems.iter().any(|said| said.contains("lists")), "{problems:?}");
    }
    // Nobody is evicted: whoever was enrolled once is served authority data, lists included.
    assert_eq!(east.connect(west.id(), Admission::Member).admitted(), Some(Admission::Authority));
    let asked = east.submit(vec![Carried::Blob(list.bytes().to_vec())]);
    let stored =
        |write: &Write| matches!(write, Write::PutBlob { digest, .. } if *digest == list.digest());
    assert!(asked.writes.iter().any(stored));
    assert!(east.node.status().problems.is_empty());
    talk(&mut east, &mut west, Admission::Authority);
    assert!(west.node.replica().unwrap().missing_lists().is_empty());
    assert_eq!(west.connect(east.id(), Admission::Authority).admitted(), Some(Admission::Member));
}

#[test]
fn r5_a_list_is_pulled_in_pieces_and_kept_over_a_restart() {
    let fleet = Fleet::new(1, 1);
    let [mut east, mut west] = members(&fleet);
    let digests = (0..5_000_u32).map(|n| daymark_protocol::id::Digest::of(&n.to_be_bytes()));
    let list = DigestList::of(&digests.collect()).remove(0);
    let mut draft = RootDraft::after(&fleet.read_root(&fleet.roots[0]), start(), WallTime::MAX);
    draft = draft.revoke(KeyId([5; 32]), std::slice::from_ref(&list));
    let root = fleet.sign_root(&draft);
    east.submit(vec![Carried::Root(root), Carried::Blob(list.bytes().to_vec())]);
    talk(&mut east, &mut west, Admission::Member);
    talk(&mut east, &mut west, Admission::Member);
    let replica = west.node.replica().unwrap();
    assert!(replica.missing_lists().is_empty() && replica.list(&list.digest()).is_some());
    let again = Rig::on(11, west.disk.clone());
    assert!(again.node.replica().unwrap().missing_lists().is_empty());
}

fn signed(statement: &Statement, keys: &[&SigningKey]) -> Vec<Vec<u8>> {
    let mut all = vec![statement_entry(statement.bytes())];
    all.extend(keys.iter().map(|key| {
        let signature = key.sign(Context::Statement, statement.bytes());
        signature_entry(&statement.digest(), &key.public().id(), &signature)
    }));
    all
}

#[test]
fn a2_s4_a_machine_in_anothers_place_ends_it_at_other_sites_too() {
    let fleet = Fleet::new(1, 1);
    // Of another site: it knows press-07 only by what press-07 showed it.
    let mut elsewhere = Rig::new(12);
    let mut items = vec![Carried::Root(fleet.roots[0].clone())];
    items.extend(entries(fleet.enroll(&elsewhere.key, "munich")));
    elsewhere.join(fleet.pin(), items);
    let (old, new) = (key(20), key(21));
    elsewhere.connect(old.public().id(), Admission::Stranger);
    let shown = elsewhere.submit(entries(fleet.enroll(&old, "berlin")));
    assert_eq!(shown.admitted(), Some(Admission::Member));
    let replaced =
        Replaced { host: old.public().id(), version: 2, site: Some("berlin".parse().unwrap()) };
    let host = fleet.host(&new, 1, "berlin").replaces(replaced);
    let statement = fleet.draft().resource(host).finish().unwrap();
    let asked = elsewhere.submit(entries(signed(&statement, &[&fleet.key])));
    assert_eq!(asked.admitted(), Some(Admission::Stranger), "the old key is dead here too");
    let mut kept = elsewhere.submit(entries(fleet.enroll(&old, "berlin")));
    assert!(kept.reply() != Reply::Done && kept.immediate.pop().is_none());
}

fn beat(fleet: &Fleet, days: i64, newest: Vec<daymark_protocol::trust::Seen>) -> Vec<u8> {
    let time = start().plus_ms(days * 24 * 3_600_000);
    let said = Heartbeat { fleet: fleet.id, scope: Scope::Fleet, time, newest };
    let payload = said.write().unwrap();
    Envelope::signed(Context::Heartbeat, payload, [&fleet.key]).to_json()
}

#[test]
fn k1_d7_a_heartbeat_is_carried_handed_on_and_newest_only() {
    let fleet = Fleet::new(1, 1);
    let [mut east, mut west] = members(&fleet);
    let (old, new) = (beat(&fleet, -2, vec![]), beat(&fleet, -1, vec![]));
    east.submit(vec![Carried::Blob(old.clone())]);
    talk(&mut east, &mut west, Admission::Member);
    let times = |rig: &Rig| -> Vec<WallTime> {
        rig.node.replica().unwrap().heartbeats().map(|beat| beat.heartbeat().time).collect()
    };
    assert_eq!(times(&west), times(&east));
    let sent = east.submit(vec![Carried::Blob(new)]).sends();
    let to_west = sent.iter().filter(|(to, ..)| *to == west.id());
    let beats: Vec<&Vec<u8>> = to_west.map(|(_, _, bytes)| bytes).collect();
    assert!(beats.iter().any(|bytes| {
        matches!(SyncMessage::decode(bytes), Ok(SyncMessage::Heartbeats(beats)) if beats.len() == 1)
    }), "handed on at once");
    east.submit(vec![Carried::Blob(old)]);
    assert_eq!(times(&east), [start().plus_ms(-24 * 3_600_000)]);
    assert_eq!(east.node.durable().heartbeat.unwrap().0, times(&east)[0]);
}

/// I9: what is held already costs no check of signatures, and who sends a signature by a known key
/// that does not verify is charged for it.
#[test]
fn i9_d7_a_heartbeat_whose_signature_is_made_up_is_refused_and_one_that_is_held_is_known() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let forge = |bytes: &[u8], key: &SigningKey| {
        let mut envelope = Envelope::parse(bytes).unwrap();
        let mut bad = envelope.signatures[0].1;
        bad.0[3] ^= 1;
        envelope.signatures = vec![(key.public().id(), bad)];
        envelope.to_json()
    };
    let mut outcome = |blob: Vec<u8>| match rig.submit(vec![Carried::Blob(blob)]).reply() {
        Reply::Submitted(mut outcomes) => outcomes.remove(0),
        other => panic!("{other:?}"),
    };
    let (held, newer) = (beat(&fleet, -2, vec![]), beat(&fleet, -1, vec![]));
    assert_eq!(outcome(held.clone()), ItemOutcome::New);
    assert_eq!(outcome(forge(&held, &fleet.key)), ItemOutcome::Known);
    assert!(matches!(outcome(forge(&newer, &fleet.key)), ItemOutcome::Refused(_)));
    assert!(matches!(outcome(forge(&newer, &key(99))), ItemOutcome::NotKept(_)));
    assert_eq!(outcome(newer), ItemOutcome::New);
}

#[test]
fn k1_r6_a_heartbeat_from_the_future_stops_the_clock_until_a_root_takes_it_back() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    assert!(rig.node.now().known);
    let forged = beat(&fleet, 90, vec![]);
    rig.submit(vec![Carried::Blob(forged.clone())]);
    rig.wait(1_000);
    assert!(!rig.node.now().known, "the clock reads less than what was signed");
    // It outlasts a restart that lost the heartbeat itself.
    let durable: DurableState = rig.node.durable().clone();
    let again = Rig::on(10, Disk::of(durable, &fleet.roots));
    assert!(!again.node.now().known);
    let payload = Envelope::parse(&forged).unwrap().payload;
    let void = Void { statement: Heartbeat::digest_of(&payload), ids: vec![] };
    let draft = RootDraft::after(&fleet.read_root(&fleet.roots[0]), start(), WallTime::MAX);
    rig.submit(vec![Carried::Root(fleet.sign_root(&draft.void(void)))]);
    rig.wait(1_000);
    assert!(rig.node.now().known && rig.node.durable().heartbeat.is_none());
    rig.submit(vec![Carried::Blob(forged)]);
    rig.wait(1_000);
    assert!(rig.node.now().known, "it does not come back");
}

#[test]
fn s9_a_machine_joins_by_a_token_is_served_and_counts_for_nobody() {
    let fleet = Fleet::new(1, 1);
    let mut member = Rig::member(&fleet, 10);
    let (token_key, machine) = (key(30), key(31));
    let token = TokenSpec {
        name: "line 3".into(),
        public_key: token_key.public().to_string(),
        site: Some("berlin".parse().unwrap()),
        labels: [("line".to_owned(), "3".to_owned())].into(),
        uses: 1,
    };
    let resource = ResourceDraft::new("token-1".parse().unwrap(), 1, &Spec::Token(token.clone()));
    let draft = Draft::new(fleet.id, Scope::Fleet, start()).until(WallTime::MAX);
    let by_enroll = signed(&draft.resource(resource).finish().unwrap(), &[&fleet.key]);
    let join = |machine: &SigningKey| {
        let joined = join_by_token(fleet.id, start(), "press", &token, &token_key, machine);
        let (statement, _) = joined.unwrap();
        signed(&statement, &[&token_key, machine])
    };
    // The Host came before the token that lets it in.
    member.connect(machine.public().id(), Admission::Stranger);
    member.submit(entries(join(&machine)));
    let admitted = member.submit(entries(by_enroll));
    assert_eq!(admitted.admitted(), Some(Admission::Member));
    assert!(member.node.status().problems.is_empty());
    member.submit(entries(join(&key(32))));
    let problems = member.node.status().problems;
    assert!(problems.iter().any(|said| said.contains("which is for 1")), "{problems:?}");
    let standing = member.node.replica().unwrap().standing();
    assert_eq!(standing.tokens().values().next().unwrap().1.len(), 2, "nobody is displaced");
}

#[test]
fn d6_a_machine_that_is_cloned_waits_over_a_restart_until_a_person_rebinds_it() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.wait(30_000);
    let peer = key(11).public().id();
    rig.connect(peer, Admission::Member);
    for generation in [9, 20] {
        let mut facts = Facts::default();
        facts.set_text(&["facts", "said"], "elsewhere");
        let mut writer = ReportWriter::new(fleet.id, rig.id(), generation, None);
        let written = writer.write(&rig.key, &facts).unwrap();
        let reports = written.reports.iter().map(|report| report.bytes().to_vec()).collect();
        rig.receive(peer, &SyncMessage::Reports(reports));
        rig.wait(30_000);
    }
    assert!(rig.node.durable().cloned);
    let met = |rig: &Rig| rig.node.replica().unwrap().head(&rig.id()).unwrap().generation;
    assert!(met(&rig) > 20, "its last word: the other one learns of it too");
    let mut said = Facts::default();
    said.set_text(&["facts", "said"], "elsewhere");
    let mut writer = ReportWriter::new(fleet.id, rig.id(), 40, None);
    let written = writer.write(&rig.key, &said).unwrap();
    let reports = written.reports.iter().map(|report| report.bytes().to_vec()).collect();
    rig.receive(peer, &SyncMessage::Reports(reports));
    rig.wait(30_000);
    assert_eq!(met(&rig), 40, "it rises no more");
    let durable = rig.node.durable().clone();
    let mut rig = Rig::on(10, Disk::of(durable, &fleet.roots));
    rig.step(Event::Inspected(Box::new(inspection())));
    let machine = rig.node.machine().unwrap();
    assert!(machine.inhibitors.iter().any(|why| why.contains("rebind")), "it waits");
    assert!(!rig.node.status().problems.is_empty());
    let asked = rig.step(Event::Rebind { request: RequestId(9) });
    assert_eq!(asked.reply(), Reply::Done);
    assert!(!rig.node.durable().cloned && rig.node.machine().unwrap().inhibitors.is_empty());
}

#[test]
fn d6_a_copied_disk_says_so_once_and_starts_nothing_until_a_person_rebinds_it() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    rig.wait(30_000);
    let written = |rig: &Rig| {
        let head = rig.node.replica().unwrap().head(&rig.id()).unwrap();
        (head.generation, head.count)
    };
    let moved = Some("this board has another serial number".to_owned());
    rig.step(Event::Bound { moved: moved.clone() });
    rig.step(Event::Inspected(Box::new(inspection())));
    rig.wait(30_000);
    let told = written(&rig);
    assert!(rig.node.status().rebind.iter().any(|why| why.contains("another serial number")));
    assert!(rig.node.status().problems.iter().any(|why| why.contains("daymark-node rebind")));
    assert!(rig.node.machine().unwrap().inhibitors.iter().any(|why| why.contains("copy")));

    // Neither new facts nor reports of the machine it was copied from make it say more.
    let mut other = inspection();
    other.facts.push(("kernel".into(), "7.0".into()));
    rig.step(Event::Inspected(Box::new(other)));
    rig.wait(60_000);
    assert_eq!(written(&rig), told, "it reports on");
    let peer = key(11).public().id();
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.connect(peer, Admission::Member);
    let mut said = Facts::default();
    said.set_text(&["facts", "said"], "by the machine it was copied from");
    let reports = ReportWriter::new(fleet.id, rig.id(), 40, None).write(&rig.key, &said).unwrap();
    let reports = reports.reports.iter().map(|report| report.bytes().to_vec()).collect();
    rig.receive(peer, &SyncMessage::Reports(reports));
    rig.wait(30_000);
    assert_eq!(written(&rig), (40, 1), "it rose above the machine it was copied from");

    // Over a restart too; then the board is said to be the right one.
    let durable = rig.node.durable().clone();
    assert_eq!(durable.moved, moved);
    let restarted = Rig::on(10, Disk::of(durable, &fleet.roots));
    assert!(!restarted.node.status().rebind.is_empty());
    let asked = rig.step(Event::Rebind { request: RequestId(9) });
    assert_eq!(asked.reply(), Reply::Done);
    assert!(rig.node.durable().moved.is_none() && rig.node.status().rebind.is_empty());
    rig.wait(60_000);
    assert!(written(&rig).0 > 40, "it reports again, above what was met");

    // Back on its own board nobody needs to be asked.
    rig.step(Event::Bound { moved });
    assert!(!rig.node.status().rebind.is_empty());
    rig.step(Event::Bound { moved: None });
    assert!(rig.node.status().rebind.is_empty() && rig.node.durable().moved.is_none());
}
