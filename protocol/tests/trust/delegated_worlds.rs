//! Every small world with a delegation: each set of a few honest statements of the fleet and of one
//! site, under each chain of roots that delegates, takes back, hands on or ends a key, with
//! everything that keys below every threshold can add. The whole effective set, of two policies and
//! all halts, is compared with a model that shares no code with the judgement (I8, I11; RULES R5 to
//! R7, C1, C2, C4, C5).
//!
//! Bounds: 8 honest statements, 8 chains of at most 2 roots, 3 sets of stolen keys, and 8 statements
//! of which the thief of two keys adds at most 2 and that of one key 1; 2 of 3 keys speak for the
//! fleet and 2 of 2 for the site. After each that changes anything a root more takes it back.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{Kind, Role, Spec};
use daymark_protocol::trust::{
    Delegation, DigestList, Floors, HeldLists, Judgement, RoleKeys, Root, RootChain, RootDraft,
    State, Void, VoidId,
};

use crate::support::{
    HeldSet, Policy, day, first_root, id, ids, key_id, next_root, pin, signed, with_keys,
};
use crate::worlds::{At, Said, Says, Signed, TOP, said, said_of_berlin, subsets};

const HONEST: [Said; 8] = [
    said('a', 1, "AB", Says::Go),
    said('b', 2, "AC", Says::Stop),
    said('c', 1, "A", Says::Halt),
    said_of_berlin('d', 1, "AD", Says::Go),
    said_of_berlin('e', 1, "BC", Says::Stop),
    said_of_berlin('f', 1, "D", Says::Halt),
    said('g', 1, "AB", Says::Lift("cf")),
    said_of_berlin('h', 1, "AD", Says::Lift("cf")),
];

/// Keys that are below every threshold of every root here, also together, and how many statements
/// their thief adds.
const STOLEN: [(&str, u32); 3] = [("A", 1), ("BD", 2), ("D", 1)];

fn thief(keys: &'static str) -> [Said; 8] {
    [
        said('s', TOP, keys, Says::Halt),
        said_of_berlin('t', TOP, keys, Says::Halt),
        said('u', 1, keys, Says::Lift("cf")),
        said_of_berlin('v', 1, keys, Says::Lift("cf")),
        said('w', TOP, keys, Says::Go),
        said_of_berlin('x', TOP, keys, Says::Go),
        said_of_berlin('y', TOP, keys, Says::Stop),
        said('z', 2, keys, Says::Go),
    ]
}

/// What the second root does to key A, with what it signed of the honest statements listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Retired,
    Revoked { list_held: bool },
}

/// A root: who speaks for the fleet, who for the site, and what becomes of A.
#[derive(Clone, Copy, Debug)]
struct RootSays {
    policy: &'static str,
    given: Option<&'static str>,
    end: Option<End>,
}

const fn root(policy: &'static str, given: Option<&'static str>) -> RootSays {
    RootSays { policy, given, end: None }
}

const fn ending(end: End) -> RootSays {
    RootSays { policy: "BCE", given: Some("DF"), end: Some(end) }
}

const CHAINS: [&[RootSays]; 8] = [
    &[root("ABC", None)],
    &[root("ABC", Some("AD"))],
    &[root("ABC", Some("AD")), root("ABC", None)],
    &[root("ABC", None), root("ABC", Some("AD"))],
    &[root("ABC", Some("AD")), root("ACE", Some("DF"))],
    &[root("ABC", Some("AD")), ending(End::Retired)],
    &[root("ABC", Some("AD")), ending(End::Revoked { list_held: true })],
    &[root("ABC", Some("AD")), ending(End::Revoked { list_held: false })],
];

/// What a policy comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Absent,
    Unknown,
    Counts { version: u64, go: bool },
}

/// What a world comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Effective {
    fleet: Line,
    berlin: Line,
    halts: BTreeSet<Said>,
}

impl Effective {
    /// Whether machines elsewhere, and those in Berlin, may start: there the narrower policy rules.
    fn go(&self) -> [bool; 2] {
        let says_go = |line: Line| matches!(line, Line::Counts { go: true, .. });
        let of_fleet = self.halts.iter().any(|halt| halt.at == At::Fleet);
        let berlin = if self.berlin == Line::Absent { self.fleet } else { self.berlin };
        [says_go(self.fleet) && !of_fleet, says_go(berlin) && self.halts.is_empty()]
    }
}

/// The rules as a table of who signed what.
struct Model<'a> {
    roots: &'a [RootSays],
    /// What lists and void entries are made from.
    listed: &'a BTreeSet<Said>,
    void: &'a BTreeSet<Said>,
}

/// How far the word of those who signed goes, and whether it still counts.
type Stands = Option<(At, bool)>;

impl Model<'_> {
    fn voice(root: &RootSays, said: &Said, by: &str) -> Option<At> {
        let need = if said.says == Says::Halt { 1 } else { 2 };
        let met = |keys: &str| by.chars().filter(|key| keys.contains(*key)).count() >= need;
        if met(root.policy) {
            return Some(At::Fleet);
        }
        (said.at == At::Berlin && root.given.is_some_and(met)).then_some(At::Berlin)
    }

    fn stands(&self, said: &Said) -> Stands {
        if self.void.contains(said) {
            return None;
        }
        let end = self.roots.iter().find_map(|root| root.end);
        let without_a: String = said.by.chars().filter(|key| *key != 'A').collect();
        let is_listed = said.by.contains('A') && self.listed.contains(said);
        let has_list = self.listed.iter().any(|said| said.by.contains('A'));
        let (now, once) = match end {
            None | Some(End::Retired) => (said.by, said.by),
            Some(End::Revoked { list_held: true }) if is_listed => (without_a.as_str(), said.by),
            Some(End::Revoked { list_held: false }) if has_list => (without_a.as_str(), said.by),
            Some(End::Revoked { .. }) => (without_a.as_str(), without_a.as_str()),
        };
        let (newest, earlier) = self.roots.split_last()?;
        if let Some(scope) = Self::voice(newest, said, now) {
            return Some((scope, true));
        }
        let scope = earlier.iter().find_map(|root| Self::voice(root, said, once))?;
        Some((scope, end == Some(End::Retired) && is_listed))
    }

    fn line(&self, world: &BTreeSet<Said>, at: At) -> Line {
        let said: Vec<(&Said, bool)> = world
            .iter()
            .filter(|said| said.at == at && matches!(said.says, Says::Go | Says::Stop))
            .filter_map(|said| Some((said, self.stands(said)?.1)))
            .collect();
        let Some(version) = said.iter().map(|(said, _)| said.version).max() else {
            return Line::Absent;
        };
        let top: Vec<_> = said.iter().filter(|(said, _)| said.version == version).collect();
        let go = top[0].0.says == Says::Go;
        let agree = top.iter().all(|(said, _)| (said.says == Says::Go) == go);
        if agree && top.iter().any(|(_, valid)| *valid) {
            Line::Counts { version, go }
        } else {
            Line::Unknown
        }
    }

    fn effective(&self, world: &BTreeSet<Said>) -> Effective {
        let reaches = |scope: At, halt: &Said| scope == At::Fleet || scope == halt.at;
        let lifts = |lift: &Said, halt: &Said| match (lift.says, self.stands(lift)) {
            (Says::Lift(names), Some((scope, true))) => {
                names.contains(halt.name) && reaches(scope, halt) && reaches(lift.at, halt)
            }
            _ => false,
        };
        let stands = |halt: &&Said| {
            halt.says == Says::Halt
                && self.stands(halt).is_some()
                && !world.iter().any(|lift| lifts(lift, halt))
        };
        Effective {
            fleet: self.line(world, At::Fleet),
            berlin: self.line(world, At::Berlin),
            halts: world.iter().filter(stands).copied().collect(),
        }
    }
}

/// The same worlds, signed.
struct Bench {
    first: Root,
    signed: Signed,
    names: BTreeMap<Digest, Said>,
}

impl Bench {
    fn new() -> Self {
        let first = signed(&given(first_root("ABC", 2), None), "R").1;
        let mut chain = RootChain::new(pin(&first));
        chain.accept(&signed(&given(first_root("ABC", 2), None), "R").0).unwrap();
        let all = HONEST.into_iter().chain(STOLEN.into_iter().flat_map(|(keys, _)| thief(keys)));
        let all: Vec<Said> = all.collect();
        let signed = Signed::new(&chain, all.iter().copied());
        let named = all.iter().map(|said| (signed.of(said).statement.digest(), *said));
        Self { first, names: named.collect(), signed }
    }

    /// The roots of a chain, the first of all with nothing delegated, so that all are one fleet.
    fn chain(&self, roots: &[RootSays], listed: &BTreeSet<Said>) -> (RootChain, HeldLists) {
        let mut chain = RootChain::new(pin(&self.first));
        chain.accept(&signed(&given(first_root("ABC", 2), None), "R").0).unwrap();
        let mut held = HeldLists::new();
        let by_a = listed.iter().filter(|said| said.by.contains('A'));
        let by_a = by_a.map(|said| self.signed.of(said).statement.digest()).collect();
        for root in roots {
            let next = next_root(chain.newest().unwrap()).policy(root.policy, 2);
            let mut draft = given(next, root.given);
            let lists = DigestList::of(&by_a);
            draft = match root.end {
                None => draft,
                Some(End::Retired) => draft.retire(key_id('A'), &lists),
                Some(End::Revoked { .. }) => draft.revoke(key_id('A'), &lists),
            };
            chain.accept(&signed(&draft, "R").0).unwrap();
            if root.end != Some(End::Revoked { list_held: false }) && root.end.is_some() {
                held.extend(lists.into_iter().map(|list| (list.digest(), list)));
            }
        }
        assert!(chain.wait().is_none());
        (chain, held)
    }

    /// One root more, which takes these back.
    fn voiding(&self, chain: &RootChain, void: &BTreeSet<Said>) -> RootChain {
        let mut draft = next_root(chain.newest().unwrap());
        for said in void {
            let statement = &self.signed.of(said).statement;
            let resource = &statement.payload().resources[0];
            let (kind, id, digest) =
                (resource.kind.clone(), resource.id.clone(), resource.digest());
            // Nothing that it stands beside is to lose its effect.
            let ids = vec![VoidId { kind, id, digest, counts_from: 1 }];
            draft = draft.void(Void { statement: statement.digest(), ids });
        }
        let mut chain = chain.clone();
        chain.accept(&signed(&draft, "R").0).unwrap();
        chain
    }

    fn effective(&self, chain: &RootChain, lists: &HeldLists, held: &HeldSet) -> Effective {
        let judgement = self.signed.judge(chain, lists, held, &Floors::default());
        let halts = judgement.standing.halts.iter().filter(|halt| halt.lifted_until.is_none());
        Effective {
            fleet: line(&judgement, At::Fleet),
            berlin: line(&judgement, At::Berlin),
            halts: halts.map(|halt| self.names[&halt.version.statement]).collect(),
        }
    }
}

fn given(draft: RootDraft, keys: Option<&str>) -> RootDraft {
    let Some(keys) = keys else { return draft.undelegate("berlin") };
    let speakers = RoleKeys { threshold: 2, keys: ids(keys).into_iter().collect() };
    let scope = At::Berlin.scope();
    let given = Delegation { role: Role::Policy, speakers, scope, until: day(300) };
    with_keys(draft, keys).delegate("berlin", given)
}

fn line(judgement: &Judgement, at: At) -> Line {
    let of = (Kind::OsUpdatePolicy, id(at.policy()));
    let Some(line) = judgement.standing.lines.get(&of) else { return Line::Absent };
    match (&line.state, line.versions.first()) {
        (State::Counts, Some(top)) => match &top.spec {
            Ok(Some(Spec::OsUpdatePolicy(spec))) => {
                Line::Counts { version: top.version, go: spec.name == "go" }
            }
            other => panic!("{other:?}"),
        },
        (State::Counts, None) | (State::Unknown(_), _) => Line::Unknown,
    }
}

/// Judges every world under these chains. Returns how many they were.
fn every_world(chains: &[&[RootSays]]) -> u64 {
    let bench = Bench::new();
    let (none, mut cases) = (BTreeSet::new(), 0);
    for world in subsets(&HONEST, u32::MAX) {
        for roots in chains {
            let (chain, lists) = bench.chain(roots, &world);
            let model = Model { roots, listed: &world, void: &none };
            let alone = bench.effective(&chain, &lists, &bench.signed.set(&world));
            assert_eq!(alone, model.effective(&world), "{world:?} under {roots:?}");
            cases += 1;
            for added in STOLEN.into_iter().flat_map(|(keys, most)| subsets(&thief(keys), most)) {
                if added.is_empty() {
                    continue;
                }
                let more: BTreeSet<Said> = world.union(&added).copied().collect();
                let held = bench.signed.set(&more);
                let after = bench.effective(&chain, &lists, &held);
                assert_eq!(after, model.effective(&more), "{more:?} under {roots:?}");
                for (before, after) in alone.go().into_iter().zip(after.go()) {
                    assert!(before || !after, "{added:?} opened {world:?} under {roots:?}");
                }
                cases += 1;
                if after != alone {
                    let lifted = bench.voiding(&chain, &added);
                    assert_eq!(
                        bench.effective(&lifted, &lists, &held),
                        alone,
                        "{added:?} in {world:?}"
                    );
                    cases += 1;
                }
            }
        }
    }
    cases
}

#[test]
fn r7_i8_i11_every_world_with_a_delegation_is_as_the_model_says() {
    assert_eq!(every_world(&CHAINS[..5]), 90_624);
}

#[test]
fn r5_r7_i11_so_it_is_where_a_key_of_it_ends() {
    assert_eq!(every_world(&CHAINS[5..]), 54_008);
}

/// That the worlds would notice: with any of these rules removed from the judge they go red.
#[cfg(feature = "removable-rules")]
#[test]
fn with_a_rule_removed_the_worlds_go_red() {
    let rules = [
        "R5Kept",
        "R5Revoked",
        "R6Void",
        "R7Scope",
        "C1Fallen",
        "C2Conflict",
        "C4Resume",
        "C5Threshold",
    ];
    for rule in rules {
        assert!(daymark_protocol::rules::remove(rule), "there is no rule {rule}");
        let went = std::panic::catch_unwind(|| every_world(&CHAINS));
        assert!(went.is_err(), "nothing noticed that {rule} was removed");
    }
}
