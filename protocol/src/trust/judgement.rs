//! What judging takes in and gives out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::resource::Role;
use crate::trust::{
    FloorRecord, Floors, HeldLists, Quorum, RootChain, Signature, Standing, Statement, Validity,
};

/// A statement with the signatures that came for it, at most one by each key, verified or not.
#[derive(Clone, Debug)]
pub struct Held {
    /// The statement.
    pub statement: Statement,
    /// Its signatures.
    pub signatures: Arc<BTreeMap<KeyId, Signature>>,
}

/// What is judged, and by what.
#[derive(Clone, Copy)]
pub struct Grounds<'a> {
    /// The roots held.
    pub chain: &'a RootChain,
    /// Lists that roots name, as far as they are held.
    pub lists: &'a HeldLists,
    /// The statements held, by digest.
    pub held: &'a BTreeMap<Digest, Held>,
    /// The floors ever reached.
    pub floors: &'a Floors,
    /// Of which documents everything is meant to be here: a floor in any other misses nothing.
    pub keeps: &'a dyn Fn(&DocumentId) -> bool,
}

impl fmt::Debug for Grounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grounds")
            .field("chain", self.chain)
            .field("held", self.held)
            .field("floors", self.floors)
            .finish_non_exhaustive()
    }
}

/// How a statement stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stance {
    /// It met its threshold, under the newest root or an earlier one.
    Counts(Validity),
    /// Signatures are missing under every held root.
    Pending(Pending),
    /// It can never count; why, for people.
    Never(String),
}

/// What a statement lacks under the newest root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The role that speaks for it.
    pub role: Role,
    /// Who signed, and how many must.
    pub quorum: Quorum,
    /// Who else may sign. With fewer of them than signatures are missing, it can never be met.
    pub may_sign: BTreeSet<KeyId>,
}

/// The result of judging.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// What counts.
    pub standing: Standing,
    /// Floors that rise. They go to the journal before anything relies on the standing (RULES C6);
    /// judging the same again raises nothing once they are in the [`Floors`].
    pub raised: Vec<FloorRecord>,
    /// Halts and resumes whose entries the journal must hold whole (RULES C6).
    pub whole: BTreeSet<Digest>,
    /// How each held statement stands.
    pub stances: BTreeMap<Digest, Stance>,
}

impl Judgement {
    /// The statements that wait for signatures: what `get approvals` shows.
    pub fn pending(&self) -> impl Iterator<Item = (&Digest, &Pending)> {
        self.stances.iter().filter_map(|(digest, stance)| match stance {
            Stance::Pending(pending) => Some((digest, pending)),
            Stance::Counts(_) | Stance::Never(_) => None,
        })
    }
}
