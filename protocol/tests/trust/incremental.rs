//! A judgement that is kept up to date is the same as one made of everything at once, whatever came,
//! changed and went, in whatever order (RULES C).

use std::collections::BTreeSet;
use std::sync::Arc;

use daymark_protocol::document::DocumentId;
use daymark_protocol::id::Digest;
use daymark_protocol::trust::{
    Context, Floors, Grounds, Held, HeldLists, Judge, Judgement, ResourceDraft, RootChain,
    Statement, Verified, judge,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{
    HeldSet, blackout, day, draft, everyone, fleet, halt, host, id, key, policy, raw, resume, say,
};

/// Chains of one fleet, each the beginning of the next.
const POLICIES: [(&str, u32); 4] = [("ABC", 2), ("ABD", 2), ("BDE", 2), ("ABC", 1)];
/// Keys that sign, among them one that no root names.
const SIGNERS: &str = "ABCDEHX";

fn unknown_kind(version: u64, closes: bool, gone: bool) -> ResourceDraft {
    let spec = (!gone).then(|| raw(r#"{"x":1}"#));
    let draft = ResourceDraft::of_kind("Freeze", id("freeze"), version, spec).target(everyone());
    if closes { draft.closing() } else { draft }
}

fn statements(chain: &RootChain) -> Vec<Statement> {
    let mut all: Vec<Statement> = Vec::new();
    for version in 1..4 {
        all.extend(["go", "other"].map(|name| say(chain, policy("p", version, name))));
        all.push(say(chain, blackout("b", version)));
        all.push(say(chain, unknown_kind(version, version == 1, version == 3)));
        all.push(say(chain, host('Y', version, if version == 2 { "munich" } else { "berlin" })));
        all.push(say(chain, halt("h", version)));
    }
    // The same said twice, once with an end.
    let again = draft(chain).until(day(9)).resource(policy("p", 2, "go"));
    all.push(again.finish().unwrap());
    let both = draft(chain).resource(policy("p", 3, "go")).resource(blackout("b", 3));
    all.push(both.finish().unwrap());
    let gone = ResourceDraft::of_kind("OsUpdatePolicy", id("p"), 4, None);
    all.push(say(chain, gone));
    let halts: Vec<Digest> = all
        .iter()
        .filter(|statement| statement.payload().resources[0].kind == "Halt")
        .map(Statement::digest)
        .collect();
    all.push(say(chain, resume("r", &halts[..1])));
    all.push(say(chain, resume("r", &halts[1..])));
    all
}

#[derive(Clone, Debug)]
enum Act {
    Sign {
        statement: Index,
        signer: Index,
        badly: bool,
    },
    Unsign {
        statement: Index,
        signer: Index,
    },
    Drop {
        statement: Index,
    },
    /// The floors that rose are in the journal.
    Raise,
    Root,
    /// The site of which everything is meant to be here, or none.
    Keep {
        site: Option<bool>,
    },
}

fn acts() -> impl Strategy<Value = Vec<Vec<Act>>> {
    let sign = (any::<Index>(), any::<Index>(), prop::bool::weighted(0.1))
        .prop_map(|(statement, signer, badly)| Act::Sign { statement, signer, badly });
    let unsign = (any::<Index>(), any::<Index>())
        .prop_map(|(statement, signer)| Act::Unsign { statement, signer });
    let act = prop_oneof![
        12 => sign,
        2 => unsign,
        2 => any::<Index>().prop_map(|statement| Act::Drop { statement }),
        3 => Just(Act::Raise),
        1 => Just(Act::Root),
        1 => any::<Option<bool>>().prop_map(|site| Act::Keep { site }),
    ];
    prop::collection::vec(prop::collection::vec(act, 1..5), 1..30)
}

/// A judge that is told of each change, and what it judges.
struct World {
    statements: Vec<Statement>,
    chains: Vec<RootChain>,
    chain: usize,
    held: HeldSet,
    floors: Floors,
    site: Option<bool>,
    judge: Judge,
    verified: Verified,
}

fn keeps(site: Option<bool>, document: &DocumentId) -> bool {
    let site = site.map(|berlin| if berlin { "site/berlin" } else { "site/munich" });
    *document == DocumentId::Fleet || Some(document.to_string().as_str()) == site
}

impl World {
    fn new() -> Self {
        let chains: Vec<RootChain> = (1..=POLICIES.len()).map(|n| fleet(&POLICIES[..n])).collect();
        let mut world = Self {
            statements: statements(&chains[0]),
            chains,
            chain: 0,
            held: HeldSet::new(),
            floors: Floors::default(),
            site: None,
            judge: Judge::default(),
            verified: Verified::default(),
        };
        world.judge_again(None);
        world
    }

    fn act(&mut self, act: &Act, touched: &mut BTreeSet<Digest>) -> bool {
        let signers: Vec<char> = SIGNERS.chars().collect();
        match act {
            Act::Sign { statement, signer, badly } => {
                let statement = statement.get(&self.statements);
                let key = key(*signer.get(&signers));
                let mut signature = key.sign(Context::Statement, statement.bytes());
                signature.0[0] ^= u8::from(*badly);
                let held = self.held.entry(statement.digest()).or_insert_with(|| Held {
                    statement: statement.clone(),
                    signatures: Default::default(),
                });
                Arc::make_mut(&mut held.signatures).insert(key.public().id(), signature);
                touched.insert(statement.digest());
            }
            Act::Unsign { statement, signer } => {
                let digest = statement.get(&self.statements).digest();
                if let Some(held) = self.held.get_mut(&digest) {
                    Arc::make_mut(&mut held.signatures)
                        .remove(&key(*signer.get(&signers)).public().id());
                    touched.insert(digest);
                }
            }
            Act::Drop { statement } => {
                let digest = statement.get(&self.statements).digest();
                touched.extend(self.held.remove(&digest).map(|_| digest));
            }
            Act::Raise => {
                for record in self.judge.take_raised() {
                    self.floors.apply(record);
                }
            }
            Act::Root => {
                self.chain = (self.chain + 1).min(self.chains.len() - 1);
                return true;
            }
            Act::Keep { site } => {
                self.site = *site;
                return true;
            }
        }
        false
    }

    fn judge_again(&mut self, touched: Option<&BTreeSet<Digest>>) {
        let site = self.site;
        let keeps = |document: &DocumentId| keeps(site, document);
        let chain = &self.chains[self.chain];
        let lists = HeldLists::new();
        let grounds =
            Grounds { chain, lists: &lists, held: &self.held, floors: &self.floors, keeps: &keeps };
        match touched {
            Some(touched) => drop(self.judge.again(touched, &grounds, &mut self.verified)),
            None => self.judge.anew(&grounds, &mut self.verified),
        }
    }

    fn kept_up_to_date(&self) -> Judgement {
        let raised = self.judge.clone().take_raised();
        Judgement { raised, ..self.judge.judgement().clone() }
    }

    fn made_at_once(&self) -> Judgement {
        let keeps = |document: &DocumentId| keeps(self.site, document);
        let (chain, mut verified) = (&self.chains[self.chain], Verified::default());
        judge(chain, &HeldLists::new(), &self.held, &self.floors, &keeps, &mut verified)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_judgement_kept_up_to_date_is_that_of_everything_at_once(steps in acts()) {
        let mut world = World::new();
        for step in steps {
            let mut touched = BTreeSet::new();
            let mut anew = false;
            for act in &step {
                // Floors are raised between steps only: what changed is judged first.
                if matches!(act, Act::Raise) && !touched.is_empty() {
                    continue;
                }
                anew |= world.act(act, &mut touched);
            }
            world.judge_again((!anew).then_some(&touched));
            prop_assert_eq!(world.kept_up_to_date(), world.made_at_once());
        }
    }
}
