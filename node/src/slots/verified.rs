//! Bytes that are proven to be a chunk of an image: only these are written, served or copied.

use daymark_protocol::id::ChunkHash;
use daymark_protocol::image::Index;
use daymark_protocol::rules::{Rule, holds};

/// Bytes that are not the chunk they were given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes given for chunk {chunk} are not that chunk")]
pub struct WrongBytes {
    /// The chunk's number.
    pub chunk: u32,
}

/// A chunk whose bytes have its hash in the signed index.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedChunk {
    number: u32,
    hash: ChunkHash,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for VerifiedChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedChunk({}, {} bytes)", self.number, self.bytes.len())
    }
}

impl VerifiedChunk {
    /// Checks `bytes` against chunk `number` of `index` by length and BLAKE3.
    ///
    /// # Errors
    /// If they are not that chunk.
    pub fn check(index: &Index, number: u32, bytes: Vec<u8>) -> Result<Self, WrongBytes> {
        let wrong = WrongBytes { chunk: number };
        let chunk = index.chunk(number).ok_or(wrong)?;
        let is_chunk = bytes.len() == chunk.bytes as usize && ChunkHash::of(&bytes) == chunk.hash;
        if !is_chunk && holds(Rule::I1Chunks) {
            return Err(wrong);
        }
        Ok(Self { number, hash: chunk.hash, bytes })
    }

    /// Its number in the index.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// BLAKE3 of its bytes.
    pub fn hash(&self) -> ChunkHash {
        self.hash
    }

    /// Its bytes, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
