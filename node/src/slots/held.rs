//! An image in a slot, whole or growing: its verified chunks can be read while others are written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use daymark_protocol::image::{ChunkLookup, ChunkSet, Index};
use tokio::sync::watch;

use super::verified::VerifiedChunk;

/// A chunk that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadChunkError {
    /// The slot does not hold it, or not any longer.
    #[error("chunk {0} is not held")]
    NotHeld(u32),
    /// The slot's bytes have changed since they were verified.
    #[error("chunk {0} is damaged in its slot")]
    Rotten(u32),
    /// The slot could not be read.
    #[error("cannot read chunk {chunk} from its slot")]
    Io {
        /// The chunk.
        chunk: u32,
        /// Why.
        source: io::Error,
    },
}

/// An image of which at least some chunks are verified in a slot.
#[derive(Debug)]
pub struct HeldImage {
    slot: String,
    index: Arc<Index>,
    index_bytes: Arc<[u8]>,
    lookup: ChunkLookup,
    parts: Vec<File>,
    held: Mutex<ChunkSet>,
    growth: watch::Sender<u32>,
}

impl HeldImage {
    /// `parts` are open for reading, in the order of the index's parts.
    pub(super) fn new(
        slot: &str,
        index: Arc<Index>,
        index_bytes: Arc<[u8]>,
        parts: Vec<File>,
        held: ChunkSet,
    ) -> Self {
        let growth = watch::Sender::new(held.count());
        let lookup = ChunkLookup::new(&index);
        let held = Mutex::new(held);
        Self { slot: slot.to_owned(), index, index_bytes, lookup, parts, held, growth }
    }

    /// The slot.
    pub fn slot(&self) -> &str {
        &self.slot
    }

    /// The image's index.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The index as it is signed.
    pub fn index_bytes(&self) -> &Arc<[u8]> {
        &self.index_bytes
    }

    /// Where chunks lie by hash.
    pub fn lookup(&self) -> &ChunkLookup {
        &self.lookup
    }

    /// The chunks that are verified now.
    pub fn held(&self) -> ChunkSet {
        self.lock().clone()
    }

    /// Whether a chunk is verified now.
    pub fn holds(&self, chunk: u32) -> bool {
        self.lock().contains(chunk)
    }

    /// Changes whenever a chunk comes or goes; the value is the number held.
    pub fn growth(&self) -> watch::Receiver<u32> {
        self.growth.subscribe()
    }

    /// Reads a chunk and proves it again: a slot may rot, and an honest node never passes that on.
    /// A damaged chunk is no longer held from then on. Blocks on the disk.
    ///
    /// # Errors
    /// If it is not held, damaged, or cannot be read.
    pub fn read(&self, chunk: u32) -> Result<VerifiedChunk, ReadChunkError> {
        if !self.holds(chunk) {
            return Err(ReadChunkError::NotHeld(chunk));
        }
        let (Some(entry), Some(part)) = (self.index.chunk(chunk), self.part_file(chunk)) else {
            return Err(ReadChunkError::NotHeld(chunk));
        };
        let mut bytes = vec![0; entry.bytes as usize];
        match part.read_exact_at(&mut bytes, entry.offset) {
            Ok(()) => {}
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => bytes.clear(),
            Err(source) => return Err(ReadChunkError::Io { chunk, source }),
        }
        VerifiedChunk::check(&self.index, chunk, bytes).map_err(|_| {
            self.set(chunk, false);
            ReadChunkError::Rotten(chunk)
        })
    }

    /// Marks a chunk as verified or not.
    pub(super) fn set(&self, chunk: u32, verified: bool) {
        let mut held = self.lock();
        let changed = if verified { held.insert(chunk) } else { held.remove(chunk) };
        let count = held.count();
        drop(held);
        if changed {
            self.growth.send_replace(count);
        }
    }

    fn part_file(&self, chunk: u32) -> Option<&File> {
        let part = self.index.part_of(chunk)?;
        let at = self.index.parts().iter().position(|other| other.name == part.name)?;
        self.parts.get(at)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ChunkSet> {
        // The set is consistent between any two statements, so a panic elsewhere spoils nothing.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
