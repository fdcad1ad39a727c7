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
    /// R1: a root follows the one below it, and no other.
    R1Next,
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
    /// S1: a payload is strict JSON within bounds.
    S1Form,
    /// S2: one statement speaks under one role.
    S2OneRole,
    /// S2: a statement names an id once.
    S2Once,
    /// S3: an unknown kind that closes, closes.
    S3UnknownKinds,
    /// S3: a root that cannot be read means wait.
    S3UnreadRoot,
    /// S3: a spec beyond its limits is unknown.
    S3Limits,
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
    /// S9: the machine itself signs beside the token.
    S9Own,
    /// S9: site and labels are the token's.
    S9Fixed,
    /// S9: more machines than a token is for raise an alarm.
    S9Number,
    /// S9: what a token alone let in counts for nobody else.
    S9Provisional,
    /// S9: `enroll` outranks a token.
    S9Outranked,
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
    /// D1: an entry has the one form.
    D1Format,
    /// D2: a statement is kept with a signature that verifies.
    D2Pairs,
    /// D3: who signs is named by a root, a token or the statement itself.
    D3Named,
    /// D3: each key has a room of its own for drafts.
    D3Room,
    /// D4: a report is its host's.
    D4Signature,
    /// D6: a machine that is met twice waits.
    D6Clone,
    /// A1: who was removed is a stranger.
    A1Removed,
    /// A2: reports and images are for members.
    A2Members,
    /// K1: a clock below the floor does not count.
    K1Floor,
    /// K1: a reading that nobody vouches for raises no floor.
    K1Raise,
    /// K2: somebody vouches for the clock.
    K2Vouched,
    /// K2: the root's expiry is the ceiling.
    K2Ceiling,
    /// I1: the index has the digest that was signed for.
    I1Index,
    /// I1: no more is read than was signed for.
    I1Length,
    /// I1: what a service answers in refusal is no image.
    I1Status,
    /// I1: a chunk is what the signed index says.
    I1Chunks,
    /// I1: what does not come in time is asked of others.
    I1Stall,
    /// I2: nothing activates outside a window.
    I2Window,
    /// I4: nobody goes below the signed minimum.
    I4Minimum,
    /// I4: nobody goes back unless that is permitted.
    I4Older,
    /// I4: an image is for this architecture.
    I4Architecture,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 60] = [
        Self::R1OldSigners,
        Self::R1OwnSigners,
        Self::R1Expiry,
        Self::R1Next,
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
        Self::S1Form,
        Self::S2OneRole,
        Self::S2Once,
        Self::S3UnknownKinds,
        Self::S3UnreadRoot,
        Self::S3Limits,
        Self::S4Scope,
        Self::S5Sees,
        Self::S6Until,
        Self::S7Ahead,
        Self::S8Digest,
        Self::S9FirstVersion,
        Self::S9Own,
        Self::S9Fixed,
        Self::S9Number,
        Self::S9Provisional,
        Self::S9Outranked,
        Self::C1Fallen,
        Self::C2Conflict,
        Self::C2Lost,
        Self::C3Place,
        Self::C4Halts,
        Self::C4Resume,
        Self::C5Threshold,
        Self::C6Floors,
        Self::D1Format,
        Self::D2Pairs,
        Self::D3Named,
        Self::D3Room,
        Self::D4Signature,
        Self::D6Clone,
        Self::A1Removed,
        Self::A2Members,
        Self::K1Floor,
        Self::K1Raise,
        Self::K2Vouched,
        Self::K2Ceiling,
        Self::I1Index,
        Self::I1Length,
        Self::I1Status,
        Self::I1Chunks,
        Self::I1Stall,
        Self::I2Window,
        Self::I4Minimum,
        Self::I4Older,
        Self::I4Architecture,
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
