//! Which rules hold: all of them. Under the feature `removable-rules`, which only the conformance
//! suite's matrix switches on, one can be removed for the whole process, so that the suite shows
//! which of its cases notice. A normal build has nothing to remove: [`holds`] is always true.

/// A check that can be removed. Its number is that of the rule (RULES) or invariant it enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// R1: the threshold of the root before.
    R1OldSigners,
    /// R1: a root's own threshold.
    R1OwnSigners,
    /// R1: an expired root starts nothing.
    R1Expiry,
    /// R2: nothing is judged before the chain is whole.
    R2WholeChain,
    /// R3: a fleet is taken once.
    R3FleetOnce,
    /// R4: rival roots mean wait.
    R4Rivals,
    /// R5: what a retired key is listed with stays valid.
    R5Kept,
    /// R5: what a revoked key is not listed with does not count.
    R5Revoked,
    /// R6: void statements do not count.
    R6Void,
    /// R6: below the version that a void entry names nothing returns.
    R6NothingReturns,
    /// R7: a delegation speaks within its scope.
    R7Scope,
    /// R7: a delegation ends.
    R7End,
    /// S1: signatures verify.
    S1Signature,
    /// S2: one statement speaks under one role.
    S2OneRole,
    /// S3: an unknown kind that closes, closes.
    S3UnknownKinds,
    /// S4: a statement reaches its scope.
    S4Scope,
    /// S5: what signers saw is there.
    S5Sees,
    /// S6: ends are ends.
    S6Until,
    /// S7: what is issued too far ahead is held.
    S7Ahead,
    /// S8: an order names the profile by its digest.
    S8Digest,
    /// S9: a token signs version 1 only.
    S9FirstVersion,
    /// C1: what lost its signatures is no longer valid.
    C1Fallen,
    /// C2: two different statements of one version are a conflict.
    C2Conflict,
    /// C2: an id whose floor names what is not held is unknown.
    C2Lost,
    /// C3: an unknown policy keeps its place.
    C3Place,
    /// C4: halts stand.
    C4Halts,
    /// C4: a resume reaches no further than its signers.
    C4Resume,
    /// C5: thresholds are met.
    C5Threshold,
    /// C6: floors are durable.
    C6Floors,
    /// D3: each key has a room of its own for drafts.
    D3Room,
    /// D4: a report is its host's.
    D4Signature,
    /// D6: a machine that is met twice waits.
    D6Clone,
    /// A2: reports and images are for members.
    A2Members,
    /// K1: a clock below the floor does not count.
    K1Floor,
    /// K2: somebody vouches for the clock.
    K2Vouched,
    /// K2: the root's expiry is the ceiling.
    K2Ceiling,
    /// I1: a chunk is what the signed index says.
    I1Chunks,
    /// I2: nothing activates outside a window.
    I2Window,
    /// I4: nobody goes below the signed minimum.
    I4Minimum,
    /// I4: nobody goes back unless that is permitted.
    I4Older,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 40] = [
        Self::R1OldSigners,
        Self::R1OwnSigners,
        Self::R1Expiry,
        Self::R2WholeChain,
        Self::R3FleetOnce,
        Self::R4Rivals,
        Self::R5Kept,
        Self::R5Revoked,
        Self::R6Void,
        Self::R6NothingReturns,
        Self::R7Scope,
        Self::R7End,
        Self::S1Signature,
        Self::S2OneRole,
        Self::S3UnknownKinds,
        Self::S4Scope,
        Self::S5Sees,
        Self::S6Until,
        Self::S7Ahead,
        Self::S8Digest,
        Self::S9FirstVersion,
        Self::C1Fallen,
        Self::C2Conflict,
        Self::C2Lost,
        Self::C3Place,
        Self::C4Halts,
        Self::C4Resume,
        Self::C5Threshold,
        Self::C6Floors,
        Self::D3Room,
        Self::D4Signature,
        Self::D6Clone,
        Self::A2Members,
        Self::K1Floor,
        Self::K2Vouched,
        Self::K2Ceiling,
        Self::I1Chunks,
        Self::I2Window,
        Self::I4Minimum,
        Self::I4Older,
    ];
}

/// Whether a rule holds.
#[cfg(not(feature = "removable-rules"))]
#[inline]
pub const fn holds(_: Rule) -> bool {
    true
}

#[cfg(feature = "removable-rules")]
pub use self::removable::{holds, remove};

#[cfg(feature = "removable-rules")]
mod removable {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Rule;

    const NONE: u8 = u8::MAX;
    /// One for the process: the rules are asked for everywhere, and nothing else differs by it.
    static REMOVED: AtomicU8 = AtomicU8::new(NONE);

    /// Whether a rule holds.
    pub fn holds(rule: Rule) -> bool {
        REMOVED.load(Ordering::Relaxed) != rule as u8
    }

    /// Removes a rule by its name, for this process and for good. `false`: there is none of that
    /// name.
    pub fn remove(name: &str) -> bool {
        let found = Rule::ALL.iter().find(|rule| format!("{rule:?}") == name);
        if let Some(rule) = found {
            REMOVED.store(*rule as u8, Ordering::Relaxed);
        }
        found.is_some()
    }
}
