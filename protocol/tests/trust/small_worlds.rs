//! Every small world: each set of a few honest statements, each chain of roots, each choice of
//! what the thief of one key adds. The judgement is compared with a model that shares no code with
//! it, and with what must hold in all of them (I6, I11, RULES C1, C2, C4).

use std::collections::BTreeSet;
use std::sync::Arc;

use daymark_protocol::id::Digest;
use daymark_protocol::trust::{Floors, HeldLists, Judgement, RootChain};

use crate::support::{HeldSet, fleet, floors_of, halt, key_id, policy, resume, say, sign};
use crate::worlds::{Said, Says, Signed, TOP, goes, said, subsets};

const HONEST: [Said; 8] = [
    said('a', 1, "AB", Says::Go),
    said('b', 2, "AC", Says::Stop),
    said('c', 2, "BC", Says::Stop),
    said('d', 3, "AB", Says::Go),
    said('e', 1, "A", Says::Halt),
    said('f', 2, "B", Says::Halt),
    said('g', 1, "BC", Says::Lift("e")),
    said('h', 2, "AB", Says::Go),
];

const CHAINS: [&[(&str, u32)]; 4] = [
    &[("ABC", 2)],
    &[("ABC", 2), ("ABD", 2)],
    &[("ABC", 2), ("BCD", 2)],
    &[("ABC", 2), ("ABD", 2), ("BDE", 2)],
];

fn thief(key: &'static str) -> [Said; 5] {
    [
        said('t', 1, key, Says::Halt),
        said('u', TOP, key, Says::Halt),
        said('v', 1, key, Says::Lift("ef")),
        said('w', TOP, key, Says::Go),
        said('x', 2, key, Says::Go),
    ]
}

/// The rules as a table of who signed what, with no cryptography and no shared code.
fn model_goes(world: &BTreeSet<Said>, roots: &[(&str, u32)]) -> bool {
    let met = |said: &Said, (keys, threshold): &(&str, u32)| {
        let need = if said.says == Says::Halt { 1 } else { *threshold as usize };
        said.by.chars().filter(|by| keys.contains(*by)).count() >= need
    };
    let (newest, earlier) = roots.split_last().unwrap();
    let now = |said: &Said| met(said, newest);
    let ever = |said: &Said| now(said) || earlier.iter().any(|root| met(said, root));
    let lifted = |halt: &Said| {
        world.iter().any(|lift| match lift.says {
            Says::Lift(names) => now(lift) && names.contains(halt.name),
            Says::Go | Says::Stop | Says::Halt => false,
        })
    };
    if world.iter().any(|said| said.says == Says::Halt && ever(said) && !lifted(said)) {
        return false;
    }
    let policies = || world.iter().filter(|s| matches!(s.says, Says::Go | Says::Stop) && ever(s));
    let Some(top) = policies().map(|said| said.version).max() else { return false };
    let mut at_top = policies().filter(|said| said.version == top);
    at_top.clone().all(|said| said.says == Says::Go) && at_top.any(now)
}

/// The same world, signed.
struct Bench {
    chains: Vec<RootChain>,
    signed: Signed,
}

impl Bench {
    fn new() -> Self {
        let chains: Vec<RootChain> = CHAINS.iter().map(|policies| fleet(policies)).collect();
        assert!(chains.iter().all(|other| other.fleet() == chains[0].fleet()));
        let everything = HONEST.into_iter().chain(["A", "B", "C"].into_iter().flat_map(thief));
        let signed = Signed::new(&chains[0], everything);
        Self { chains, signed }
    }

    fn held(&self, world: &BTreeSet<Said>) -> HeldSet {
        self.signed.set(world)
    }

    fn judge(&self, chain: usize, held: &HeldSet, floors: &Floors) -> Judgement {
        self.signed.judge(&self.chains[chain], &HeldLists::new(), held, floors)
    }
}

#[test]
fn rt_b4_one_stolen_key_turns_no_wait_into_go_and_the_model_agrees() {
    let bench = Bench::new();
    let mut worlds = 0;
    for honest in subsets(&HONEST, 8) {
        for (chain, roots) in CHAINS.iter().enumerate() {
            let before = model_goes(&honest, roots);
            let alone = bench.held(&honest);
            assert_eq!(goes(&bench.judge(chain, &alone, &Floors::default())), before, "{honest:?}");
            for stolen in ["A", "B", "C"] {
                for added in subsets(&thief(stolen), 2) {
                    let world: BTreeSet<Said> = honest.union(&added).copied().collect();
                    let held = bench.held(&world);
                    let after = goes(&bench.judge(chain, &held, &Floors::default()));
                    assert!(before || !after, "{added:?} opened {honest:?} under {roots:?}");
                    assert_eq!(after, model_goes(&world, roots), "{world:?} under {roots:?}");
                    worlds += 1;
                }
            }
        }
    }
    assert_eq!(worlds, 256 * 4 * 3 * 16);
}

#[test]
fn i6_a_rotation_alone_turns_no_wait_into_go() {
    let bench = Bench::new();
    for world in subsets(&HONEST, 8) {
        let held = bench.held(&world);
        let go = [0, 1, 2, 3].map(|chain| goes(&bench.judge(chain, &held, &Floors::default())));
        for (earlier, later) in [(0, 1), (0, 2), (1, 3)] {
            assert!(go[earlier] || !go[later], "{world:?}: {earlier} to {later}");
        }
    }
}

/// Halts and resumes are in the journal whole, so what can be lost is the rest: any statement, or
/// any one signature.
#[test]
fn c6_losing_a_statement_or_a_signature_turns_no_wait_into_go() {
    let bench = Bench::new();
    for world in subsets(&HONEST, 5) {
        for chain in 0..CHAINS.len() {
            let held = bench.held(&world);
            let whole = bench.judge(chain, &held, &Floors::default());
            let floors = floors_of(whole.raised.clone());
            let policies: Vec<Digest> =
                held.keys().filter(|digest| !whole.whole.contains(digest)).copied().collect();
            for digest in &policies {
                let mut without = held.clone();
                without.remove(digest);
                let after = goes(&bench.judge(chain, &without, &floors));
                assert!(goes(&whole) || !after, "{world:?} under {chain}");
                for key in ['A', 'B', 'C'].map(key_id) {
                    let mut without = held.clone();
                    let signatures = &mut without.get_mut(digest).unwrap().signatures;
                    let lost = Arc::make_mut(signatures).remove(&key);
                    let after = goes(&bench.judge(chain, &without, &floors));
                    assert!(lost.is_none() || goes(&whole) || !after, "{world:?} under {chain}");
                }
            }
        }
    }
}

#[test]
fn rt_b4_there_is_always_a_way_out_for_the_threshold() {
    let bench = Bench::new();
    let chain = &bench.chains[0];
    let stolen = sign(&say(chain, halt("h", TOP)), "C");
    let go = sign(&say(chain, policy("p", 1, "go")), "AB");
    let lift = sign(&say(chain, resume("r", &[stolen.statement.digest()])), "AB");
    assert!(!goes(&crate::support::fresh(chain, [go.clone(), stolen.clone()])));
    assert!(goes(&crate::support::fresh(chain, [go, stolen, lift])));
}
