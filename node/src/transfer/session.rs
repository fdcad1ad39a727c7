//! What a source of chunks tells the stager, whatever kind it is.

use daymark_core::fetch::FetchSource;
use daymark_protocol::image::ChunkSet;
use tokio::sync::mpsc;

use crate::slots::VerifiedChunk;

/// Something that a session with a source brought.
#[derive(Debug)]
pub(super) enum SessionEvent {
    /// The source is ready and has these.
    Has(ChunkSet),
    /// Runs (first, count) that it has as well: chunks of the image that were not told before.
    HasMore(Vec<(u32, u32)>),
    /// A chunk, proven.
    Chunk {
        /// The chunk.
        chunk: VerifiedChunk,
        /// How many bytes it took on the way.
        stored_bytes: u64,
    },
    /// Bytes that are not the chunk they were sent for.
    Wrong(u32),
    /// The source cannot serve this chunk now.
    Busy(u32),
    /// The source does not have this chunk.
    Gone(u32),
    /// The session is over.
    Ended(Ended),
}

/// Why a session is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// The source does not have the image, yet.
    NotThere,
    /// Something failed.
    Failed(String),
}

/// A session's way to the stager.
#[derive(Clone, Debug)]
pub(super) struct SessionEvents {
    pub(super) source: FetchSource,
    /// Tells this session from an earlier one with the same source.
    pub(super) session: u64,
    pub(super) sender: mpsc::Sender<(FetchSource, u64, SessionEvent)>,
}

impl SessionEvents {
    /// Whether the stager still listens.
    pub(super) async fn send(&self, event: SessionEvent) -> bool {
        self.sender.send((self.source, self.session, event)).await.is_ok()
    }
}
