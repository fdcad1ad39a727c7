//! Where an image is cut into chunks: FastCDC with 16, 64 and 256 KiB (DESIGN section 7).
//!
//! Two builds of one image must share their chunks, whoever chunked them and with whichever
//! version of the library, so the cut points are held by golden vectors in the tests below.

use fastcdc::v2020::{Normalization, cut, select_masks};

use crate::limits::CHUNK_BYTES_MAX;

/// The chunker's number in an index: FastCDC (2020), gear seed 0, normalisation level 1.
pub const FASTCDC_64_KIB: u8 = 1;
/// Smallest chunk, in bytes, but for the last of a part.
pub const CHUNK_BYTES_MIN: usize = 16 * 1024;
/// Average chunk, in bytes: the knee between bytes saved and size of the index.
pub const CHUNK_BYTES_AVERAGE: usize = 64 * 1024;

/// The length of the next chunk. `window` holds the part's next [`CHUNK_BYTES_MAX`] bytes, or all
/// that are left of it; the answer is between 1 and its length, and 0 only if it is empty.
pub fn next_cut(window: &[u8]) -> usize {
    let (mask_small, mask_large) = select_masks(CHUNK_BYTES_AVERAGE, Normalization::Level1);
    let (_, length) = cut(
        window,
        CHUNK_BYTES_MIN,
        CHUNK_BYTES_AVERAGE,
        CHUNK_BYTES_MAX,
        mask_small,
        mask_large,
        mask_small << 1,
        mask_large << 1,
    );
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that any implementation of BLAKE3 can make again.
    fn noise(seed: &str, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cuts(bytes: &[u8]) -> Vec<usize> {
        let mut ends = Vec::new();
        let mut start = 0;
        while start < bytes.len() {
            start += next_cut(&bytes[start..bytes.len().min(start + CHUNK_BYTES_MAX)]);
            ends.push(start);
        }
        ends
    }

    #[test]
    fn cut_points_are_the_golden_ones() {
        assert_eq!(cuts(&noise("daymark", 1_000_001)), GOLDEN);
    }

    /// Found with fastcdc 5.0.0; a library that cuts elsewhere must not pass.
    const GOLDEN: &[usize] = &[
        72_711, 182_101, 206_442, 277_500, 328_514, 360_598, 439_646, 584_496, 661_734, 732_395,
        819_915, 898_897, 978_418, 1_000_001,
    ];

    #[test]
    fn a_constant_stretch_is_cut_at_the_largest_size() {
        assert_eq!(cuts(&vec![0; 600_000]), [262_144, 524_288, 600_000]);
        assert_eq!(cuts(&[7]), [1]);
        assert_eq!(next_cut(&[]), 0);
    }

    #[test]
    fn an_insertion_moves_only_the_cuts_near_it() {
        let old = noise("shift", 3_000_000);
        let mut new = old.clone();
        new.splice(1_000_000..1_000_000, [1, 2, 3]);
        let kept = cuts(&new).into_iter().filter(|end| cuts(&old).contains(&(end - 3))).count();
        let after = cuts(&old).into_iter().filter(|end| *end > 1_000_000).count();
        assert!(kept + 4 >= after, "{kept} of {after} cuts after the insertion are found again");
    }
}
