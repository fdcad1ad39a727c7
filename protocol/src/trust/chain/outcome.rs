//! What may come of offering a root, and why a chain may have to wait.

use crate::id::Digest;
use crate::trust::envelope::EnvelopeError;
use crate::trust::root::RefusedRoot;

/// Why a root was not taken into the chain.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Not an envelope.
    #[error("a root's envelope was refused")]
    Envelope(#[source] EnvelopeError),
    /// An envelope of something else.
    #[error("the envelope does not hold a root")]
    NotARoot,
    /// Not a root.
    #[error("a root was refused")]
    Root(#[source] RefusedRoot),
    /// At or below the pinned version, and not the one that the pin leads to.
    #[error("root {version} ({}) is not of the chain that this machine took", digest.short())]
    NotInChain {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// A root next to it is needed first; offered again later it may be taken.
    #[error("root {version} cannot be placed before root {needs} is held")]
    NotYet {
        /// Its version.
        version: u64,
        /// The version that is needed first.
        needs: u64,
    },
    /// Its signatures do not meet a threshold of role `root`.
    #[error("root {version} has {have} of {need} signatures that root {by} demands")]
    TooFewSignatures {
        /// Its version.
        version: u64,
        /// The version of the root whose threshold is not met.
        by: u64,
        /// Distinct valid keys.
        have: usize,
        /// How many are needed.
        need: u32,
    },
    /// [`crate::limits::RIVAL_ROOTS_MAX`] others of its version are held.
    #[error("too many rival roots of version {0}")]
    TooManyRivals(u64),
}

/// What became of a root that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is new.
    New {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// It was held, and signatures of it are new.
    Signatures {
        /// Its version.
        version: u64,
        /// Its digest.
        digest: Digest,
    },
    /// Nothing about it is new.
    Known,
}

/// Why nothing can be judged under a chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainWait {
    /// Roots are missing (RULES R2).
    #[error("roots {first} to {last} of the chain are not held")]
    Missing {
        /// The lowest of the gap, or of the part of it that one message can bring.
        first: u64,
        /// The highest of the gap.
        last: u64,
    },
    /// A root uses what this version does not know.
    #[error("root {version} says what this version of the agent cannot read: {what}")]
    Unread {
        /// Its version.
        version: u64,
        /// What is not understood.
        what: String,
    },
    /// Two valid roots of one version, and no higher one that meets the thresholds of both
    /// (RULES R4).
    #[error(
        "there are rival roots of version {version}; a higher one signed by both must settle it"
    )]
    Rivals {
        /// Their version.
        version: u64,
    },
}
