//! The one function that counts keys against a threshold (RULES C5).

use std::collections::BTreeSet;

use crate::id::KeyId;
use crate::rules::{Rule, holds};

/// Who may speak under a role, and how many must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleKeys {
    /// How many distinct keys must sign; at least 1.
    pub threshold: u32,
    /// The keys that may.
    pub keys: BTreeSet<KeyId>,
}

/// How a set of signers stands against a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Signers that count.
    pub have: BTreeSet<KeyId>,
    /// How many are needed.
    pub need: u32,
}

impl Quorum {
    /// Whether enough signed.
    pub fn is_met(&self) -> bool {
        let need = if holds(Rule::C5Threshold) { self.need as usize } else { 1 };
        self.have.len() >= need
    }
}

impl RoleKeys {
    /// Counts those of `signers`, keys whose signatures verified, that may speak under this role.
    pub fn count(&self, signers: &BTreeSet<KeyId>) -> Quorum {
        Quorum { have: self.keys.intersection(signers).copied().collect(), need: self.threshold }
    }
}
