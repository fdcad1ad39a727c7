//! The fleet as a machine takes it: once, with the newest root's version and digest (RULES R3).

use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// Pins the newest root, and through the digests that a root names, all roots before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// Version of the newest root.
    pub version: u64,
    /// SHA-256 of its payload.
    pub digest: Digest,
}
