//! The index of an image: the parts of a slot and the chunks of each, in order.
//!
//! Form, all numbers big-endian: the magic `DMIX`, format version (1 byte), chunker (1), number of
//! parts (2); per part, in ascending order of name: length of the name (1), name, bytes (8), number
//! of chunks (4); then all chunks in that order: BLAKE3 hash (32), bytes (4). One image has exactly
//! one such form, so the digest names the content.

use super::chunker::{CHUNK_BYTES_MIN, FASTCDC_64_KIB};
use super::reader::Reader;
use crate::id::{ChunkHash, Digest};
use crate::limits::{CHUNK_BYTES_MAX, INDEX_BYTES_MAX, PART_NAME_BYTES_MAX, PARTS_MAX};
use crate::rules::{Rule, holds};

const MAGIC: &[u8; 4] = b"DMIX";
const VERSION: u8 = 1;
/// Magic, version, chunker and number of parts.
const HEADER_BYTES: usize = 8;
/// Hash and length.
const CHUNK_ENTRY_BYTES: usize = 36;
/// Length of the name, bytes and number of chunks, without the name.
const PART_ENTRY_BYTES: usize = 13;

/// Bytes or parts that do not make an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum BadIndex {
    #[error("the index has {got} bytes; at most {INDEX_BYTES_MAX} are allowed")]
    TooLarge { got: usize },
    #[error("the index has digest {got}, not the signed {expected}")]
    OtherDigest { expected: Digest, got: Digest },
    #[error("this is not an image index")]
    NotAnIndex,
    #[error("the index has format version {0}; this program reads version {VERSION}")]
    UnknownVersion(u8),
    #[error("the index was made by chunker {0}; this program knows chunker {FASTCDC_64_KIB}")]
    UnknownChunker(u8),
    #[error("the index has {0} parts; 1 to {PARTS_MAX} are allowed")]
    PartCount(usize),
    #[error("{0:?} is not a part name: 1 to {PART_NAME_BYTES_MAX} of a-z, 0-9 and '-'")]
    PartName(String),
    #[error("part {0} is not in ascending order, or there twice")]
    PartOrder(String),
    #[error("part {part} has {bytes} bytes but its chunks add up to {sum}")]
    PartSize { part: String, bytes: u64, sum: u64 },
    #[error("part {0} is empty")]
    EmptyPart(String),
    #[error("a chunk of part {part} has {bytes} bytes, which its place does not allow")]
    ChunkSize { part: String, bytes: u32 },
    #[error("the index ends too early")]
    Truncated,
    #[error("bytes follow the end of the index")]
    Trailing,
}

/// A chunk and its place in its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// BLAKE3 of its bytes.
    pub hash: ChunkHash,
    /// Its length in bytes, 1 to [`CHUNK_BYTES_MAX`].
    pub bytes: u32,
    /// Where it starts, in bytes from the start of the part.
    pub offset: u64,
}

/// A part of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexPart {
    /// Its name, as in the profile's `parts`.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The number of its first chunk; chunks are numbered across parts.
    pub first_chunk: u32,
    /// How many chunks it has.
    pub chunks: u32,
}

impl IndexPart {
    /// The numbers of its chunks.
    pub fn chunk_numbers(&self) -> std::ops::Range<u32> {
        self.first_chunk..self.first_chunk + self.chunks
    }
}

/// A well-formed index.
#[derive(Clone, PartialEq, Eq)]
pub struct Index {
    parts: Vec<IndexPart>,
    chunks: Vec<Chunk>,
    digest: Digest,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Index({}, {} parts, {} chunks)",
            self.digest,
            self.parts.len(),
            self.chunks.len()
        )
    }
}

impl Index {
    /// Reads an index whose digest a profile signs for. The digest is checked before anything
    /// is parsed.
    ///
    /// # Errors
    /// If the bytes are too many, have another digest, or are not a well-formed index.
    pub fn open(bytes: &[u8], signed: &Digest) -> Result<Self, BadIndex> {
        if bytes.len() > INDEX_BYTES_MAX {
            return Err(BadIndex::TooLarge { got: bytes.len() });
        }
        let got = Digest::of(bytes);
        if got != *signed && holds(Rule::I1Index) {
            return Err(BadIndex::OtherDigest { expected: *signed, got });
        }
        Self::decode(bytes)
    }

    /// Reads an index from a place that is trusted, or that will be checked by digest.
    ///
    /// # Errors
    /// If the bytes are too many or not a well-formed index.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadIndex> {
        if bytes.len() > INDEX_BYTES_MAX {
            return Err(BadIndex::TooLarge { got: bytes.len() });
        }
        let mut reader = Reader(bytes);
        let heads = decode_heads(&mut reader)?;
        let mut builder = IndexBuilder::default();
        for (name, size, count) in heads {
            builder.begin_part(&name)?;
            for _ in 0..count {
                let hash = ChunkHash(reader.array().ok_or(BadIndex::Truncated)?);
                builder.push_chunk(hash, reader.u32().ok_or(BadIndex::Truncated)?)?;
            }
            let sum = builder.parts.last().map_or(0, |part| part.bytes);
            if sum != size {
                return Err(BadIndex::PartSize { part: name, bytes: size, sum });
            }
        }
        if !reader.0.is_empty() {
            return Err(BadIndex::Trailing);
        }
        let (parts, chunks) = builder.checked()?;
        Ok(Self { parts, chunks, digest: Digest::of(bytes) })
    }

    /// The one form of this index.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.parts, &self.chunks)
    }

    /// SHA-256 of [`Self::encode`].
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The parts, by ascending name.
    pub fn parts(&self) -> &[IndexPart] {
        &self.parts
    }

    /// The part of that name.
    pub fn part(&self, name: &str) -> Option<&IndexPart> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// All chunks by number.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.chunks.len()).expect("the bound on an index keeps its chunks below 2^32")
    }

    /// A chunk by number.
    pub fn chunk(&self, number: u32) -> Option<&Chunk> {
        self.chunks.get(number as usize)
    }

    /// The part that holds a chunk.
    pub fn part_of(&self, number: u32) -> Option<&IndexPart> {
        let after = self.parts.partition_point(|part| part.first_chunk <= number);
        let part = self.parts.get(after.checked_sub(1)?)?;
        part.chunk_numbers().contains(&number).then_some(part)
    }

    /// Bytes of all parts.
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// Reads the header and the parts' entries, and checks that exactly their chunks follow before
/// anything is allocated for them.
fn decode_heads(reader: &mut Reader<'_>) -> Result<Vec<(String, u64, u32)>, BadIndex> {
    if reader.take(MAGIC.len()) != Some(MAGIC) {
        return Err(BadIndex::NotAnIndex);
    }
    match reader.u8().ok_or(BadIndex::Truncated)? {
        VERSION => {}
        other => return Err(BadIndex::UnknownVersion(other)),
    }
    match reader.u8().ok_or(BadIndex::Truncated)? {
        FASTCDC_64_KIB => {}
        other => return Err(BadIndex::UnknownChunker(other)),
    }
    let count = usize::from(reader.u16().ok_or(BadIndex::Truncated)?);
    if count == 0 || count > PARTS_MAX {
        return Err(BadIndex::PartCount(count));
    }
    let mut heads = Vec::with_capacity(count);
    let mut chunks: u64 = 0;
    for _ in 0..count {
        let length = usize::from(reader.u8().ok_or(BadIndex::Truncated)?);
        let name = reader.take(length).ok_or(BadIndex::Truncated)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let size = reader.u64().ok_or(BadIndex::Truncated)?;
        let part_chunks = reader.u32().ok_or(BadIndex::Truncated)?;
        chunks += u64::from(part_chunks);
        heads.push((name, size, part_chunks));
    }
    match (reader.0.len() as u64).cmp(&(chunks * CHUNK_ENTRY_BYTES as u64)) {
        std::cmp::Ordering::Less => Err(BadIndex::Truncated),
        std::cmp::Ordering::Greater => Err(BadIndex::Trailing),
        std::cmp::Ordering::Equal => Ok(heads),
    }
}

fn encode(parts: &[IndexPart], chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_bytes(parts, chunks));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[VERSION, FASTCDC_64_KIB]);
    bytes.extend_from_slice(&u16::try_from(parts.len()).unwrap_or(u16::MAX).to_be_bytes());
    for part in parts {
        bytes.push(u8::try_from(part.name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(part.name.as_bytes());
        bytes.extend_from_slice(&part.bytes.to_be_bytes());
        bytes.extend_from_slice(&part.chunks.to_be_bytes());
    }
    for chunk in chunks {
        bytes.extend_from_slice(chunk.hash.as_bytes());
        bytes.extend_from_slice(&chunk.bytes.to_be_bytes());
    }
    bytes
}

fn encoded_bytes(parts: &[IndexPart], chunks: &[Chunk]) -> usize {
    let heads: usize = parts.iter().map(|part| PART_ENTRY_BYTES + part.name.len()).sum();
    HEADER_BYTES + heads + chunks.len() * CHUNK_ENTRY_BYTES
}

/// Whether `name` is a part name: 1 to 32 of `a`–`z`, `0`–`9` and `-`.
pub fn is_part_name(name: &str) -> bool {
    let clean = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    clean && !name.is_empty() && name.len() <= PART_NAME_BYTES_MAX
}

/// Builds an index part by part, in ascending order of their names.
#[derive(Debug, Default)]
pub struct IndexBuilder {
    parts: Vec<IndexPart>,
    chunks: Vec<Chunk>,
}

impl IndexBuilder {
    /// Begins a part.
    ///
    /// # Errors
    /// If the name is none, does not follow the last one, or there are too many parts.
    pub fn begin_part(&mut self, name: &str) -> Result<(), BadIndex> {
        if !is_part_name(name) {
            return Err(BadIndex::PartName(name.chars().take(80).collect()));
        }
        if self.parts.last().is_some_and(|last| last.name.as_str() >= name) {
            return Err(BadIndex::PartOrder(name.to_owned()));
        }
        if self.parts.len() == PARTS_MAX {
            return Err(BadIndex::PartCount(PARTS_MAX + 1));
        }
        let first_chunk = u32::try_from(self.chunks.len())
            .map_err(|_| BadIndex::TooLarge { got: self.chunks.len() })?;
        self.parts.push(IndexPart { name: name.to_owned(), bytes: 0, first_chunk, chunks: 0 });
        Ok(())
    }

    /// Appends a chunk to the part begun last.
    ///
    /// # Errors
    /// If no part was begun, or a chunk of this size cannot follow the one before.
    pub fn push_chunk(&mut self, hash: ChunkHash, bytes: u32) -> Result<(), BadIndex> {
        let too_large = encoded_bytes(&self.parts, &self.chunks) + CHUNK_ENTRY_BYTES;
        let part = self.parts.last_mut().ok_or(BadIndex::PartCount(0))?;
        if too_large > INDEX_BYTES_MAX {
            return Err(BadIndex::TooLarge { got: too_large });
        }
        // Only the last chunk of a part may be short: it bounds the chunks of an image.
        let before = self.chunks.get(part.first_chunk as usize..).and_then(<[Chunk]>::last);
        if bytes == 0 || bytes as usize > CHUNK_BYTES_MAX {
            return Err(BadIndex::ChunkSize { part: part.name.clone(), bytes });
        }
        if let Some(short) = before.filter(|last| (last.bytes as usize) < CHUNK_BYTES_MIN) {
            return Err(BadIndex::ChunkSize { part: part.name.clone(), bytes: short.bytes });
        }
        self.chunks.push(Chunk { hash, bytes, offset: part.bytes });
        part.bytes += u64::from(bytes);
        part.chunks += 1;
        Ok(())
    }

    /// The finished index.
    ///
    /// # Errors
    /// If it has no part, or a part has no chunk.
    pub fn finish(self) -> Result<Index, BadIndex> {
        let (parts, chunks) = self.checked()?;
        let digest = Digest::of(&encode(&parts, &chunks));
        Ok(Index { parts, chunks, digest })
    }

    fn checked(self) -> Result<(Vec<IndexPart>, Vec<Chunk>), BadIndex> {
        if let Some(empty) = self.parts.iter().find(|part| part.chunks == 0) {
            return Err(BadIndex::EmptyPart(empty.name.clone()));
        }
        if self.parts.is_empty() {
            return Err(BadIndex::PartCount(0));
        }
        Ok((self.parts, self.chunks))
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
