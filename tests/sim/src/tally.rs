//! What a run counts as it goes.

use serde::{Deserialize, Serialize};

/// Counts of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Messages of gossip that nodes published.
    pub published: u64,
    /// Copies of them that arrived.
    pub copies: u64,
    /// First copies, which a node handled.
    pub first_copies: u64,
    /// Hops of those, summed.
    pub hops: u64,
    /// Time that those took since their message was published, summed, ms.
    pub first_copies_ms: u64,
    /// Messages that were asked for after word of them.
    pub wished: u64,
    /// Chunks that were written.
    pub chunks: u64,
    /// Image bytes from peers.
    pub peer_bytes: u64,
    /// Image bytes from the release service.
    pub origin_bytes: u64,
    /// Restarts that agents ordered.
    pub reboots: u64,
    /// Durable writes.
    pub writes: u64,
}
