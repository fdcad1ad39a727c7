//! The world's dice.

use daymark_protocol::id::Digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers, one for each purpose.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self(ChaCha8Rng::from_seed(child(seed, name)))
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// Whether something happens that happens `per_mille` times in a thousand.
    pub(crate) fn happens(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }
}

/// 32 bytes for one purpose under a seed.
pub(crate) fn child(seed: u64, name: &str) -> [u8; 32] {
    Digest::of_parts(&[b"daymark simulator", &seed.to_be_bytes(), name.as_bytes()]).0
}
