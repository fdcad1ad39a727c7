//! Finds chunks of an image by hash: the places of equal chunks, and what another image shares.

use super::index::Index;
use crate::id::ChunkHash;

/// The chunks of one index, ordered by hash.
#[derive(Clone, Debug)]
pub struct ChunkLookup {
    by_hash: Vec<u32>,
}

impl ChunkLookup {
    /// For the chunks of `index`.
    pub fn new(index: &Index) -> Self {
        let mut by_hash: Vec<u32> = (0..index.chunk_count()).collect();
        by_hash.sort_unstable_by_key(|chunk| (hash_of(index, *chunk), *chunk));
        Self { by_hash }
    }

    /// The numbers of all chunks with that hash, ascending. `index` is the one of [`Self::new`].
    pub fn places(&self, index: &Index, hash: &ChunkHash) -> &[u32] {
        let start = self.by_hash.partition_point(|chunk| hash_of(index, *chunk) < Some(*hash));
        let rest = self.by_hash.get(start..).unwrap_or_default();
        let count = rest.partition_point(|chunk| hash_of(index, *chunk) == Some(*hash));
        rest.get(..count).unwrap_or_default()
    }
}

fn hash_of(index: &Index, chunk: u32) -> Option<ChunkHash> {
    index.chunk(chunk).map(|chunk| chunk.hash)
}

#[cfg(test)]
mod tests {
    use super::super::index::IndexBuilder;
    use super::*;

    #[test]
    fn equal_chunks_are_found_at_all_their_places() {
        let names: [&[u8]; 7] = [b"x", b"a", b"x", b"b", b"x", b"a", b"c"];
        let mut builder = IndexBuilder::default();
        builder.begin_part("rootfs").unwrap();
        for name in names {
            builder.push_chunk(ChunkHash::of(name), 20_000).unwrap();
        }
        let index = builder.finish().unwrap();
        let lookup = ChunkLookup::new(&index);
        assert_eq!(lookup.places(&index, &ChunkHash::of(b"x")), [0, 2, 4]);
        assert_eq!(lookup.places(&index, &ChunkHash::of(b"a")), [1, 5]);
        assert_eq!(lookup.places(&index, &ChunkHash::of(b"c")), [6]);
        assert!(lookup.places(&index, &ChunkHash::of(b"none")).is_empty());
    }
}
