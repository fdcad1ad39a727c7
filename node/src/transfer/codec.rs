//! Chunks in a pack or on the way: raw, or a zstd frame if that is smaller.

use std::io;

/// Compresses a chunk. `None` if that does not make it smaller.
pub fn compress_chunk(bytes: &[u8], level: i32) -> Option<Vec<u8>> {
    let packed = zstd::bulk::compress(bytes, level).ok()?;
    (packed.len() < bytes.len()).then_some(packed)
}

/// The `length` bytes of a chunk out of its stored form, which is raw if it has that length too.
/// Never allocates more than `length`.
///
/// # Errors
/// If the stored form is not such a frame.
pub fn decompress_chunk(stored: Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    if stored.len() == length {
        return Ok(stored);
    }
    let bytes = zstd::bulk::decompress(&stored, length)?;
    if bytes.len() == length {
        Ok(bytes)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the chunk has another length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_and_a_bomb_does_not() {
        let chunk = vec![7; 100_000];
        let packed = compress_chunk(&chunk, 1).unwrap();
        assert_eq!(decompress_chunk(packed.clone(), chunk.len()).unwrap(), chunk);
        decompress_chunk(packed.clone(), chunk.len() - 1).unwrap_err();
        decompress_chunk(packed, chunk.len() + 1).unwrap_err();
        decompress_chunk(vec![1, 2, 3], 100).unwrap_err();
        assert_eq!(compress_chunk(&[1, 2, 3], 1), None);
        assert_eq!(decompress_chunk(vec![1, 2, 3], 3).unwrap(), [1, 2, 3]);
    }
}
