//! Randomness: one 32-byte seed from the host at each start, split into named streams, so that a
//! draw added in one place changes nothing in another. Keys are never drawn from it.

use daymark_protocol::id::Digest;
use daymark_protocol::wire::Nonce;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers (ChaCha with 8 rounds: a stated algorithm, so that a seed means the
/// same run for ever).
#[derive(Debug)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `name` under `seed`.
    pub(crate) fn new(seed: &[u8; 32], name: &str) -> Self {
        let child = Digest::of_parts(&[b"daymark random stream", seed, name.as_bytes()]);
        Self(ChaCha8Rng::from_seed(child.0))
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the product of two 64-bit numbers has 128 bits")
    }

    /// A nonce for one comparison.
    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce(self.0.next_u64().to_be_bytes())
    }

    /// A place among digests to begin at.
    pub(crate) fn digest(&mut self) -> Digest {
        Digest(self.bytes())
    }

    /// 32 bytes, for one challenge.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number in `from..=to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |name| {
            let mut stream = Stream::new(&[7; 32], name);
            (0..8).map(|_| stream.between(10, 19)).collect::<Vec<_>>()
        };
        assert_eq!(draw("repair"), draw("repair"));
        assert_ne!(draw("repair"), draw("peers"));
        assert!(draw("repair").iter().all(|n| (10..=19).contains(n)));
    }
}
