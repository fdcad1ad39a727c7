//! Keys by letter, roots and statements in few words.

use std::collections::BTreeMap;

use daymark_protocol::id::{Digest, FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{Kind, Role, Scope, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Draft, Envelope, FloorRecord, Floors, Held, HeldLists, Judgement, Line, Pin,
    ResourceDraft, Root, RootChain, RootDraft, SigningKey, Statement, Verified, judge,
};
use serde_json::value::RawValue;

pub(crate) const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) fn day(days: i64) -> WallTime {
    WallTime::from_seconds(1_795_000_000).plus_ms(days * DAY_MS)
}

pub(crate) fn key(letter: char) -> SigningKey {
    SigningKey::from_seed([letter as u8; 32])
}

pub(crate) fn key_id(letter: char) -> KeyId {
    key(letter).public().id()
}

pub(crate) fn ids(letters: &str) -> Vec<KeyId> {
    letters.chars().map(key_id).collect()
}

pub(crate) fn id(text: &str) -> ResourceId {
    text.parse().unwrap()
}

pub(crate) fn everyone() -> Target {
    Target { all: true, ..Target::default() }
}

/// A draft with all the letters' keys named, so that roles may use any.
pub(crate) fn with_keys(mut draft: RootDraft, letters: &str) -> RootDraft {
    for letter in letters.chars() {
        draft = draft.key(key(letter).public(), &format!("holder {letter}"));
    }
    draft
}

/// Root keys `R`; enroll `E`, release `L`, halt `H`, emergency `M`, each alone; policy as given.
pub(crate) fn first_root(policy: &str, threshold: u32) -> RootDraft {
    with_keys(RootDraft::first("acme", day(-10), day(365)), "RELHM")
        .role(Role::Root, 1, ids("R"))
        .role(Role::Enroll, 1, ids("E"))
        .role(Role::Release, 1, ids("L"))
        .role(Role::Halt, 1, ids("H"))
        .role(Role::Emergency, 1, ids("M"))
        .policy(policy, threshold)
}

pub(crate) trait Policy {
    fn policy(self, letters: &str, threshold: u32) -> Self;
}

impl Policy for RootDraft {
    fn policy(self, letters: &str, threshold: u32) -> Self {
        with_keys(self, letters).role(Role::Policy, threshold, ids(letters))
    }
}

pub(crate) fn next_root(root: &Root) -> RootDraft {
    RootDraft::after(root, day(-5), day(400))
}

/// The envelope of a root, signed by the letters.
pub(crate) fn signed(draft: &RootDraft, signers: &str) -> (Vec<u8>, Root) {
    let (payload, root) = draft.finish().unwrap();
    (seal(payload, signers), root)
}

pub(crate) fn seal(payload: Vec<u8>, signers: &str) -> Vec<u8> {
    let keys: Vec<SigningKey> = signers.chars().map(key).collect();
    Envelope::signed(Context::Root, payload, &keys).to_json()
}

pub(crate) fn pin(root: &Root) -> Pin {
    Pin { version: root.version, digest: root.digest }
}

/// A fleet whose roots differ in who speaks for `policy`: (letters, threshold) for each version.
pub(crate) fn fleet(policies: &[(&str, u32)]) -> RootChain {
    let (bytes, mut root) = signed(&first_root(policies[0].0, policies[0].1), "R");
    let mut chain = RootChain::new(pin(&root));
    chain.accept(&bytes).unwrap();
    for (letters, threshold) in &policies[1..] {
        let (bytes, next) = signed(&next_root(&root).policy(letters, *threshold), "R");
        chain.accept(&bytes).unwrap();
        root = next;
    }
    chain
}

pub(crate) fn fleet_id(chain: &RootChain) -> FleetId {
    chain.fleet().unwrap()
}

pub(crate) fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// A LATEST policy for everyone; the name tells specs apart.
pub(crate) fn policy(policy_id: &str, version: u64, name: &str) -> ResourceDraft {
    let spec = format!(r#"{{"name":"{name}","updatePolicy":"LATEST"}}"#);
    ResourceDraft::of_kind("OsUpdatePolicy", id(policy_id), version, Some(raw(&spec)))
        .target(everyone())
}

pub(crate) fn blackout(blackout_id: &str, version: u64) -> ResourceDraft {
    let (from, to) = (day(1), day(2));
    let spec = format!(r#"{{"name":"b","from":"{from}","to":"{to}"}}"#);
    ResourceDraft::of_kind("Blackout", id(blackout_id), version, Some(raw(&spec)))
        .target(everyone())
}

pub(crate) fn halt(halt_id: &str, version: u64) -> ResourceDraft {
    ResourceDraft::of_kind("Halt", id(halt_id), version, Some(raw(r#"{"name":"h"}"#)))
        .target(everyone())
}

pub(crate) fn resume(resume_id: &str, halts: &[Digest]) -> ResourceDraft {
    let halts: Vec<String> = halts.iter().map(|digest| format!("\"{digest}\"")).collect();
    let spec = format!(r#"{{"name":"r","halts":[{}]}}"#, halts.join(","));
    ResourceDraft::of_kind("Resume", id(resume_id), 1, Some(raw(&spec)))
}

pub(crate) fn host(letter: char, version: u64, site: &str) -> ResourceDraft {
    let spec = format!(r#"{{"name":"press","publicKey":"{}"}}"#, key(letter).public());
    ResourceDraft::of_kind("Host", key_id(letter).into(), version, Some(raw(&spec)))
        .site(Some(id(site)))
}

/// A statement of one resource in the scope `fleet`.
pub(crate) fn say(chain: &RootChain, resource: ResourceDraft) -> Statement {
    draft(chain).resource(resource).finish().unwrap()
}

pub(crate) fn draft(chain: &RootChain) -> Draft {
    Draft::new(fleet_id(chain), Scope::Fleet, day(0))
}

pub(crate) fn sign(statement: &Statement, signers: &str) -> Held {
    let signature = |letter| {
        let key = key(letter);
        (key.public().id(), key.sign(Context::Statement, statement.bytes()))
    };
    let signatures: BTreeMap<_, _> = signers.chars().map(signature).collect();
    Held { statement: statement.clone(), signatures: signatures.into() }
}

pub(crate) type HeldSet = BTreeMap<Digest, Held>;

pub(crate) fn hold(items: impl IntoIterator<Item = Held>) -> HeldSet {
    items.into_iter().map(|held| (held.statement.digest(), held)).collect()
}

pub(crate) fn judged(chain: &RootChain, held: &HeldSet, floors: &Floors) -> Judgement {
    judge(chain, &HeldLists::new(), held, floors, &|_| true, &mut Verified::default())
}

/// Judged without floors.
pub(crate) fn fresh(chain: &RootChain, held: impl IntoIterator<Item = Held>) -> Judgement {
    judged(chain, &hold(held), &Floors::default())
}

pub(crate) fn floors_of(raised: impl IntoIterator<Item = FloorRecord>) -> Floors {
    let mut floors = Floors::default();
    for record in raised {
        floors.apply(record);
    }
    floors
}

pub(crate) fn line(judgement: &Judgement, kind: Kind, of: &str) -> Line {
    judgement.standing.lines[&(kind, id(of))].clone()
}
