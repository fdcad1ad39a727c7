//! Floors: what may never be undercut again (RULES C6, I4).

use crate::id::{Digest, ResourceId};

/// One line of the floor journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FloorRecord {
    /// This version of an id counted.
    Version {
        /// Kind as written.
        kind: String,
        /// Id.
        id: ResourceId,
        /// Version.
        version: u64,
        /// Resource digest.
        digest: Digest,
    },
    /// An entry that is held whole: halts and resumes, statement and signatures alike.
    Whole(Vec<u8>),
}
