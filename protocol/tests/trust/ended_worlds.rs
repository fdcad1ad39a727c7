//! Every small world in which a key ends: each set of a few honest statements, each way of ending a
//! key, each list held or missing, each thing that the thief of the ended key adds. The judgement is
//! compared with a model that shares no code with it, and with what must hold in all of them
//! (RULES R5, R6, C1, C2, C4, I6, I11; N1).

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::Digest;
use daymark_protocol::trust::{DigestList, Floors, HeldLists, RootChain, Void, VoidId};

use crate::support::{Policy, fleet, key_id, next_root, signed};
use crate::worlds::{Said, Says, Signed, TOP, goes, said, subsets};

/// Two of A, B, C make a policy.
const OF_TWO: [Said; 6] = [
    said('a', 1, "AB", Says::Go),
    said('b', 2, "AC", Says::Stop),
    said('c', 2, "BC", Says::Stop),
    said('d', 3, "BC", Says::Go),
    said('e', 1, "A", Says::Halt),
    said('f', 1, "AB", Says::Lift("e")),
];

/// One of A, B, C makes a policy.
const OF_ONE: [Said; 6] = [
    said('a', 1, "A", Says::Go),
    said('b', 2, "A", Says::Stop),
    said('c', 2, "B", Says::Stop),
    said('d', 3, "B", Says::Go),
    said('e', 1, "A", Says::Halt),
    said('f', 1, "A", Says::Lift("e")),
];

/// What the thief of A signs once it ended.
const THIEF: [Said; 6] = [
    said('t', 1, "A", Says::Halt),
    said('u', TOP, "A", Says::Halt),
    said('v', 1, "A", Says::Lift("e")),
    said('w', TOP, "A", Says::Go),
    said('x', TOP, "A", Says::Stop),
    said('y', 2, "A", Says::Go),
];

/// How the second root, of B, C and D, ends A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It does not: there is only the first root, of A, B and C.
    Stays,
    /// A list of all that was honestly signed, held or missing.
    Retired { listed: bool, held: bool },
    /// Likewise.
    Revoked { listed: bool, held: bool },
}

const ENDS: [End; 7] = [
    End::Stays,
    End::Retired { listed: true, held: true },
    End::Retired { listed: true, held: false },
    End::Retired { listed: false, held: true },
    End::Revoked { listed: true, held: true },
    End::Revoked { listed: true, held: false },
    End::Revoked { listed: false, held: true },
];

/// How a statement stands in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    Valid,
    /// Fallen, or perhaps so.
    Closed,
    Not,
}

/// The rules as a table of who signed what, with no cryptography and no shared code.
struct Model<'a> {
    end: End,
    threshold: usize,
    listed: &'a BTreeSet<Said>,
    void: &'a BTreeSet<Said>,
    counts_from: u64,
}

impl Model<'_> {
    fn stands(&self, said: &Said) -> Stands {
        if self.void.contains(said) {
            return Stands::Not;
        }
        let need = if said.says == Says::Halt { 1 } else { self.threshold };
        let met = |keys: &str| said.by.chars().filter(|by| keys.contains(*by)).count() >= need;
        let is_listed = said.by.contains('A') && self.listed.contains(said);
        match self.end {
            End::Stays if met("ABC") => Stands::Valid,
            End::Stays => Stands::Not,
            _ if met("BCD") => Stands::Valid,
            End::Retired { listed, held } if met("ABC") => {
                if listed && held && is_listed {
                    Stands::Valid
                } else {
                    Stands::Closed
                }
            }
            End::Revoked { listed, held } if met("ABC") => {
                // A list of nothing is none, and cannot be missing.
                let missing = !held && self.listed.iter().any(|said| said.by.contains('A'));
                let perhaps = listed && (missing || is_listed);
                // B and C alone would do: met above, since both stay.
                if perhaps { Stands::Closed } else { Stands::Not }
            }
            End::Retired { .. } | End::Revoked { .. } => Stands::Not,
        }
    }

    fn goes(&self, world: &BTreeSet<Said>) -> bool {
        let lifted = |halt: &Said| {
            world.iter().any(|lift| match lift.says {
                Says::Lift(names) => {
                    self.stands(lift) == Stands::Valid && names.contains(halt.name)
                }
                Says::Go | Says::Stop | Says::Halt => false,
            })
        };
        let halted = |said: &&Said| {
            said.says == Says::Halt && self.stands(said) != Stands::Not && !lifted(said)
        };
        if world.iter().any(|said| halted(&said)) {
            return false;
        }
        let counting = world.iter().filter(|said| {
            matches!(said.says, Says::Go | Says::Stop)
                && self.stands(said) != Stands::Not
                && said.version >= self.counts_from
        });
        let Some(top) = counting.clone().map(|said| said.version).max() else { return false };
        let at_top: Vec<&Said> = counting.filter(|said| said.version == top).collect();
        at_top.iter().all(|said| said.says == Says::Go)
            && at_top.iter().any(|said| self.stands(said) == Stands::Valid)
    }
}

/// The same world, signed.
struct Bench {
    first: RootChain,
    threshold: u32,
    signed: Signed,
}

impl Bench {
    fn new(honest: &[Said], threshold: u32) -> Self {
        let first = fleet(&[("ABC", threshold)]);
        let signed = Signed::new(&first, honest.iter().chain(&THIEF).copied());
        Self { first, threshold, signed }
    }

    /// The chain of an ending, with the lists that are held. What A signed of `listed` is listed.
    fn chain(
        &self,
        end: End,
        listed: &BTreeSet<Said>,
        void: &BTreeSet<Said>,
        counts_from: u64,
    ) -> (RootChain, HeldLists) {
        let mut chain = self.first.clone();
        let by_a = listed.iter().filter(|said| said.by.contains('A'));
        let digests: BTreeSet<Digest> =
            by_a.map(|said| self.signed.of(said).statement.digest()).collect();
        let lists = DigestList::of(&digests);
        let next = next_root(self.first.newest().unwrap());
        let mut draft = match end {
            End::Stays if void.is_empty() => return (chain, HeldLists::new()),
            End::Stays => next,
            End::Retired { listed, .. } => {
                let lists = if listed { lists.as_slice() } else { &[] };
                next.policy("BCD", self.threshold).retire(key_id('A'), lists)
            }
            End::Revoked { listed, .. } => {
                let lists = if listed { lists.as_slice() } else { &[] };
                next.policy("BCD", self.threshold).revoke(key_id('A'), lists)
            }
        };
        for said in void {
            let statement = &self.signed.of(said).statement;
            let resource = &statement.payload().resources[0];
            let (kind, id, digest) =
                (resource.kind.clone(), resource.id.clone(), resource.digest());
            let ids = if said.says == Says::Halt {
                vec![]
            } else {
                vec![VoidId { kind, id, digest, counts_from }]
            };
            draft = draft.void(Void { statement: statement.digest(), ids });
        }
        chain.accept(&signed(&draft, "R").0).unwrap();
        assert!(chain.wait().is_none());
        let held = match end {
            End::Retired { held, .. } | End::Revoked { held, .. } => held,
            End::Stays => true,
        };
        let lists = lists.into_iter().filter(|_| held).map(|list| (list.digest(), list));
        (chain, lists.collect())
    }

    fn goes(&self, (chain, lists): &(RootChain, HeldLists), world: &BTreeSet<Said>) -> bool {
        goes(&self.signed.judge(chain, lists, &self.signed.set(world), &Floors::default()))
    }
}

fn every_world(honest: &[Said], threshold: u32) {
    let bench = Bench::new(honest, threshold);
    let none = BTreeSet::new();
    for world in subsets(honest, u32::MAX) {
        let mut alone: BTreeMap<String, bool> = BTreeMap::new();
        for end in ENDS {
            let chain = bench.chain(end, &world, &none, 0);
            let model = Model {
                end,
                threshold: threshold as usize,
                listed: &world,
                void: &none,
                counts_from: 0,
            };
            let go = bench.goes(&chain, &world);
            assert_eq!(go, model.goes(&world), "{world:?} under {end:?}");
            alone.insert(format!("{end:?}"), go);
            for added in THIEF {
                let mut more = world.clone();
                more.insert(added);
                let after = bench.goes(&chain, &more);
                assert_eq!(after, model.goes(&more), "{added:?} in {world:?} under {end:?}");
                // A single stolen key of two opens nothing, whatever becomes of it.
                if threshold > 1 {
                    assert!(go || !after, "{added:?} opened {world:?} under {end:?}");
                }
                // N1: once it is revoked, and its list is here, it changes nothing at all.
                if matches!(end, End::Revoked { held: true, .. }) {
                    assert_eq!(after, go, "{added:?} moved {world:?} under {end:?}");
                }
            }
        }
        let went = |end: End| alone[&format!("{end:?}")];
        for end in ENDS {
            if let End::Retired { .. } = end {
                assert!(went(End::Stays) || !went(end), "{end:?} opened {world:?}");
            }
        }
        let kept = End::Retired { listed: true, held: true };
        assert_eq!(went(kept), went(End::Stays), "retiring with a whole list changes nothing");
        for (missing, held) in [
            (End::Retired { listed: true, held: false }, kept),
            (End::Revoked { listed: true, held: false }, End::Revoked { listed: true, held: true }),
        ] {
            assert!(went(held) || !went(missing), "a missing list opened {world:?}");
        }
        // Revoking with a whole list opens nothing: what counted closes still.
        let revoked = End::Revoked { listed: true, held: true };
        assert!(went(End::Stays) || !went(revoked), "revoking opened {world:?}");
    }
}

#[test]
fn n1_r5_no_ended_key_of_a_fleet_that_one_key_steers_matters_once_revoked() {
    every_world(&OF_ONE, 1);
}

#[test]
fn n1_r5_no_ended_key_of_two_opens_anything_and_none_matters_once_revoked() {
    every_world(&OF_TWO, 2);
}

/// Whatever one stolen key stops, while it still speaks, a root lifts by naming it.
#[test]
fn r6_i11_root_can_always_lift_what_a_stolen_key_stopped() {
    for (honest, threshold) in [(&OF_ONE, 1), (&OF_TWO, 2)] {
        let bench = Bench::new(honest, threshold);
        let none = BTreeSet::new();
        for world in subsets(honest, u32::MAX) {
            let before = bench.goes(&bench.chain(End::Stays, &world, &none, 0), &world);
            let top = world.iter().filter(|said| matches!(said.says, Says::Go | Says::Stop));
            let top = top.map(|said| said.version).max().unwrap_or(1);
            for added in THIEF {
                let mut more = world.clone();
                more.insert(added);
                let void = BTreeSet::from([added]);
                let chain = bench.chain(End::Stays, &world, &void, top);
                let model = Model {
                    end: End::Stays,
                    threshold: threshold as usize,
                    listed: &none,
                    void: &void,
                    counts_from: if added.says == Says::Halt { 0 } else { top },
                };
                let after = bench.goes(&chain, &more);
                assert_eq!(after, model.goes(&more), "{added:?} void in {world:?}");
                if !matches!(added.says, Says::Lift(_)) {
                    assert_eq!(after, before, "{added:?} void in {world:?}");
                }
            }
        }
    }
}
