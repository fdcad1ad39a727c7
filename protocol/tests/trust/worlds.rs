//! What the tests of small worlds share: statements in a line each, signed, and what follows for
//! the one policy that they are about.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{Kind, Scope, Spec};
use daymark_protocol::trust::{
    Draft, Floors, Held, HeldLists, Judgement, RootChain, State, Verified, judge,
};

use crate::support::{HeldSet, day, fleet_id, halt, id, policy, resume, sign};

/// The highest version that a thief may choose.
pub(crate) const TOP: u64 = (1 << 63) - 1;

/// What a statement says: of the policy, or to halt, or which halts it lifts, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Says {
    Go,
    Stop,
    Halt,
    Lift(&'static str),
}

/// Where it says so: each has a policy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    Fleet,
    Berlin,
}

impl At {
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::Fleet => Scope::Fleet,
            Self::Berlin => Scope::Site(id("berlin")),
        }
    }

    pub(crate) fn policy(self) -> &'static str {
        match self {
            Self::Fleet => "p",
            Self::Berlin => "q",
        }
    }
}

/// A statement of a model. Names are single letters; the signers' keys are capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    pub(crate) name: char,
    pub(crate) version: u64,
    pub(crate) by: &'static str,
    pub(crate) at: At,
    pub(crate) says: Says,
}

/// A statement about the fleet.
pub(crate) const fn said(name: char, version: u64, by: &'static str, says: Says) -> Said {
    Said { name, version, by, at: At::Fleet, says }
}

/// A statement about one site.
pub(crate) const fn said_of_berlin(name: char, version: u64, by: &'static str, says: Says) -> Said {
    Said { name, version, by, at: At::Berlin, says }
}

/// All subsets of at most so many.
pub(crate) fn subsets(of: &[Said], at_most: u32) -> Vec<BTreeSet<Said>> {
    (0u32..1 << of.len())
        .filter(|mask| mask.count_ones() <= at_most)
        .map(|mask| {
            let chosen = of.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
            chosen.map(|(_, said)| *said).collect()
        })
        .collect()
}

/// Statements, signed, with a memory of their signatures. What a resume lifts comes before it.
pub(crate) struct Signed {
    held: BTreeMap<Said, Held>,
    memory: Verified,
}

impl Signed {
    pub(crate) fn new(chain: &RootChain, all: impl IntoIterator<Item = Said>) -> Self {
        let mut digests: BTreeMap<char, Digest> = BTreeMap::new();
        let mut held = BTreeMap::new();
        for said in all {
            let name = format!("{}{}", said.name, said.by.to_lowercase());
            let resource = match said.says {
                Says::Go => policy(said.at.policy(), said.version, "go"),
                Says::Stop => policy(said.at.policy(), said.version, "stop"),
                Says::Halt => halt("h", said.version),
                Says::Lift(names) => {
                    let halts: Vec<Digest> = names.chars().map(|name| digests[&name]).collect();
                    resume(&name, &halts)
                }
            };
            // Each is a statement of its own, whoever else says the same.
            let draft = Draft::new(fleet_id(chain), said.at.scope(), day(0)).ticket(&name);
            let statement = draft.resource(resource).finish().unwrap();
            digests.insert(said.name, statement.digest());
            held.insert(said, sign(&statement, said.by));
        }
        let mut signed = Self { held, memory: Verified::default() };
        let all = signed.set(&signed.held.keys().copied().collect());
        let (lists, floors) = (HeldLists::new(), Floors::default());
        judge(chain, &lists, &all, &floors, &|_| true, &mut signed.memory);
        signed
    }

    pub(crate) fn of(&self, said: &Said) -> &Held {
        &self.held[said]
    }

    pub(crate) fn set(&self, world: &BTreeSet<Said>) -> HeldSet {
        let held = world.iter().map(|said| &self.held[said]);
        held.map(|held| (held.statement.digest(), held.clone())).collect()
    }

    /// Judged with the memory of all worlds at once, which must not matter.
    pub(crate) fn judge(
        &self,
        chain: &RootChain,
        lists: &HeldLists,
        held: &HeldSet,
        floors: &Floors,
    ) -> Judgement {
        judge(chain, lists, held, floors, &|_| true, &mut self.memory.clone())
    }
}

/// Whether the fleet's policy counts and says go, and no halt stands.
pub(crate) fn goes(judgement: &Judgement) -> bool {
    let line = judgement.standing.lines.get(&(Kind::OsUpdatePolicy, id("p")));
    let go = line.is_some_and(|line| {
        let spec = line.versions.first().map(|top| &top.spec);
        let go = matches!(spec, Some(Ok(Some(Spec::OsUpdatePolicy(spec)))) if spec.name == "go");
        line.state == State::Counts && go
    });
    go && judgement.standing.halts.is_empty()
}
