//! A set of an image's chunks, one bit each: what is verified, what a peer has.

/// Bytes that are not a chunk set of the image in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk set of {chunks} chunks has {expected} bytes and no bit beyond, not {got} bytes")]
pub struct BadChunkSet {
    /// Chunks of the image.
    pub chunks: u32,
    /// Bytes that such a set has.
    pub expected: usize,
    /// Bytes that were given.
    pub got: usize,
}

/// A set of chunk numbers below a fixed limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkSet {
    chunks: u32,
    count: u32,
    bits: Vec<u8>,
}

impl ChunkSet {
    /// The empty set over an image of `chunks` chunks.
    pub fn new(chunks: u32) -> Self {
        Self { chunks, count: 0, bits: vec![0; bytes_for(chunks)] }
    }

    /// The full set over an image of `chunks` chunks.
    pub fn full(chunks: u32) -> Self {
        let mut set = Self::new(chunks);
        for chunk in 0..chunks {
            set.insert(chunk);
        }
        set
    }

    /// Reads a set over `chunks` chunks: bit `n % 8` of byte `n / 8` stands for chunk `n`.
    ///
    /// # Errors
    /// If the length is not that of such a set, or a bit beyond the last chunk is set.
    pub fn from_bytes(chunks: u32, bytes: &[u8]) -> Result<Self, BadChunkSet> {
        let expected = bytes_for(chunks);
        let stray = match (chunks % 8, bytes.last()) {
            (1.., Some(last)) => last >> (chunks % 8) != 0,
            (0, _) | (_, None) => false,
        };
        if bytes.len() != expected || stray {
            return Err(BadChunkSet { chunks, expected, got: bytes.len() });
        }
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self { chunks, count, bits: bytes.to_vec() })
    }

    /// The set as [`Self::from_bytes`] reads it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// Chunks of the image: every member is below this.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Number of members.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether every chunk of the image is a member.
    pub fn is_full(&self) -> bool {
        self.count == self.chunks
    }

    /// Whether `chunk` is a member.
    pub fn contains(&self, chunk: u32) -> bool {
        chunk < self.chunks && self.bits[chunk as usize / 8] & mask(chunk) != 0
    }

    /// Adds `chunk`. Whether it is new; numbers beyond the image are ignored.
    pub fn insert(&mut self, chunk: u32) -> bool {
        let new = chunk < self.chunks && !self.contains(chunk);
        if new {
            self.bits[chunk as usize / 8] |= mask(chunk);
            self.count += 1;
        }
        new
    }

    /// Takes `chunk` out. Whether it was a member.
    pub fn remove(&mut self, chunk: u32) -> bool {
        let member = self.contains(chunk);
        if member {
            self.bits[chunk as usize / 8] &= !mask(chunk);
            self.count -= 1;
        }
        member
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.chunks).filter(|chunk| self.contains(*chunk))
    }

    /// The chunks that are not members, ascending.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.chunks).filter(|chunk| !self.contains(*chunk))
    }
}

/// Bytes of a set over `chunks` chunks.
fn bytes_for(chunks: u32) -> usize {
    chunks.div_ceil(8) as usize
}

/// The bit of `chunk` within its byte.
fn mask(chunk: u32) -> u8 {
    1 << (chunk % 8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_chunk_set_does_what_a_plain_set_does(
            chunks in 0..70_u32,
            acts in prop::collection::vec((any::<bool>(), 0..80_u32), 0..60),
        ) {
            let mut set = ChunkSet::new(chunks);
            let mut model = BTreeSet::new();
            for (add, chunk) in acts {
                if add && chunk < chunks {
                    prop_assert_eq!(set.insert(chunk), model.insert(chunk));
                } else if add {
                    prop_assert!(!set.insert(chunk));
                } else {
                    prop_assert_eq!(set.remove(chunk), model.remove(&chunk));
                }
            }
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(set.count() as usize, model.len());
            prop_assert_eq!(set.missing().count(), chunks as usize - model.len());
            prop_assert_eq!(ChunkSet::from_bytes(chunks, set.as_bytes()), Ok(set));
        }
    }

    #[test]
    fn wrong_lengths_and_stray_bits_are_refused() {
        assert!(ChunkSet::from_bytes(9, &[0xff, 0x01]).is_ok());
        assert!(ChunkSet::from_bytes(9, &[0xff, 0x02]).is_err());
        assert!(ChunkSet::from_bytes(9, &[0xff]).is_err());
        assert!(ChunkSet::from_bytes(8, &[0xff, 0]).is_err());
        assert!(ChunkSet::full(9).is_full());
    }
}
