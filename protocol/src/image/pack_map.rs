//! Where an image's chunks lie in its pack: unsigned, and never believed beyond its bounds.
//!
//! Form, all numbers big-endian: the magic `DMPM`, format version (1 byte), the index's digest
//! (32), number of chunks (4); then for each chunk by number: offset in the pack (8), stored bytes
//! (4). A chunk whose stored size is its own size lies there raw, a smaller one as a zstd frame.

use super::index::Index;
use super::reader::Reader;
use crate::id::Digest;

const MAGIC: &[u8; 4] = b"DMPM";
const VERSION: u8 = 1;
/// Magic, version, digest and number of chunks.
const HEADER_BYTES: usize = 41;
/// Offset and stored bytes.
const SPAN_BYTES: usize = 12;

/// Bytes that are not a pack map of the image in question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum BadPackMap {
    #[error("this is not a pack map")]
    NotAPackMap,
    #[error("the pack map has format version {0}; this program reads version {VERSION}")]
    UnknownVersion(u8),
    #[error("the pack map has {got} bytes, not the {expected} of its image")]
    Length { expected: usize, got: usize },
    #[error("the pack map is of image {0}")]
    OtherImage(Digest),
    #[error("the pack map has {got} chunks, its image {expected}")]
    ChunkCount { expected: u32, got: u32 },
    #[error("the pack map puts chunk {0} where no chunk can lie")]
    Span(u32),
}

/// Where a chunk lies in the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackSpan {
    /// Bytes from the start of the pack.
    pub offset: u64,
    /// Stored bytes: the chunk's own size if it is raw, less if it is a zstd frame.
    pub stored: u32,
}

impl PackSpan {
    /// The first byte after it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.stored))
    }
}

/// Where each chunk of an image lies in its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackMap {
    image: Digest,
    spans: Vec<PackSpan>,
}

impl PackMap {
    /// The map of `index`'s chunks.
    ///
    /// # Errors
    /// If there is not exactly one possible span for each chunk.
    pub fn new(index: &Index, spans: Vec<PackSpan>) -> Result<Self, BadPackMap> {
        if spans.len() != index.chunks().len() {
            let got = u32::try_from(spans.len()).unwrap_or(u32::MAX);
            return Err(BadPackMap::ChunkCount { expected: index.chunk_count(), got });
        }
        for ((span, chunk), number) in spans.iter().zip(index.chunks()).zip(0..) {
            let fits = span.offset.checked_add(u64::from(span.stored)).is_some();
            if !fits || span.stored == 0 || span.stored > chunk.bytes {
                return Err(BadPackMap::Span(number));
            }
        }
        Ok(Self { image: index.digest(), spans })
    }

    /// Exactly the bytes that the map of `index` has: what a download is bounded by.
    pub fn encoded_bytes(index: &Index) -> usize {
        HEADER_BYTES + SPAN_BYTES * index.chunks().len()
    }

    /// Reads the map of `index`'s chunks.
    ///
    /// # Errors
    /// If the bytes are not such a map.
    pub fn decode(bytes: &[u8], index: &Index) -> Result<Self, BadPackMap> {
        let mut reader = Reader(bytes);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(BadPackMap::NotAPackMap);
        }
        let expected = Self::encoded_bytes(index);
        let length = BadPackMap::Length { expected, got: bytes.len() };
        match reader.u8() {
            Some(VERSION) => {}
            Some(other) => return Err(BadPackMap::UnknownVersion(other)),
            None => return Err(length),
        }
        let image = Digest(reader.array().ok_or_else(|| length.clone())?);
        if image != index.digest() {
            return Err(BadPackMap::OtherImage(image));
        }
        let count = reader.u32().ok_or_else(|| length.clone())?;
        if count != index.chunk_count() {
            return Err(BadPackMap::ChunkCount { expected: index.chunk_count(), got: count });
        }
        if bytes.len() != expected {
            return Err(length);
        }
        let mut spans = Vec::with_capacity(index.chunks().len());
        while let (Some(offset), Some(stored)) = (reader.u64(), reader.u32()) {
            spans.push(PackSpan { offset, stored });
        }
        Self::new(index, spans)
    }

    /// The map as [`Self::decode`] reads it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + SPAN_BYTES * self.spans.len());
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend_from_slice(self.image.as_bytes());
        bytes.extend_from_slice(&u32::try_from(self.spans.len()).unwrap_or(0).to_be_bytes());
        for span in &self.spans {
            bytes.extend_from_slice(&span.offset.to_be_bytes());
            bytes.extend_from_slice(&span.stored.to_be_bytes());
        }
        bytes
    }

    /// Where a chunk lies.
    pub fn span(&self, chunk: u32) -> Option<PackSpan> {
        self.spans.get(chunk as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::index::IndexBuilder;
    use super::*;
    use crate::id::ChunkHash;

    fn index() -> Index {
        let mut builder = IndexBuilder::default();
        builder.begin_part("rootfs").unwrap();
        builder.push_chunk(ChunkHash::of(b"a"), 20_000).unwrap();
        builder.push_chunk(ChunkHash::of(b"b"), 100).unwrap();
        builder.finish().unwrap()
    }

    fn span(offset: u64, stored: u32) -> PackSpan {
        PackSpan { offset, stored }
    }

    #[test]
    fn a_map_comes_back_as_it_went() {
        let map = PackMap::new(&index(), vec![span(0, 900), span(900, 100)]).unwrap();
        let bytes = map.encode();
        assert_eq!(bytes.len(), PackMap::encoded_bytes(&index()));
        assert_eq!(PackMap::decode(&bytes, &index()).unwrap(), map);
        for end in 0..bytes.len() {
            assert!(PackMap::decode(&bytes[..end], &index()).is_err(), "cut to {end} bytes");
        }
    }

    #[test]
    fn impossible_spans_are_refused() {
        for bad in [span(0, 0), span(0, 20_001), span(u64::MAX, 1)] {
            let refused = PackMap::new(&index(), vec![bad, span(0, 100)]);
            assert_eq!(refused, Err(BadPackMap::Span(0)));
        }
        let missing = PackMap::new(&index(), vec![span(0, 1)]);
        assert_eq!(missing, Err(BadPackMap::ChunkCount { expected: 2, got: 1 }));
    }

    #[test]
    fn the_map_of_another_image_is_refused() {
        let mut bytes =
            PackMap::new(&index(), vec![span(0, 900), span(900, 100)]).unwrap().encode();
        bytes[5] ^= 1;
        assert!(matches!(PackMap::decode(&bytes, &index()), Err(BadPackMap::OtherImage(_))));
    }
}
