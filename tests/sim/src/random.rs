//! The world's dice: one stream for each component, so that one more draw in one place moves
//! nothing in another.

use daymark_protocol::id::Digest;

/// The step of SplitMix64's counter (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators").
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers (SplitMix64: a stated algorithm, so that a seed means the same run
/// for ever; 8 bytes, since there is one for each direction of each link).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a component under a seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let child = child(seed, name);
        Self(u64::from_be_bytes(std::array::from_fn(|at| child[at])))
    }

    /// The stream of one of many components of a kind: cheaper than one by name.
    pub fn numbered(seed: u64, kind: u64, number: u64) -> Self {
        Self(mix(mix(seed ^ kind.wrapping_mul(GOLDEN)) ^ number))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the product of two 64-bit numbers has 128 bits")
    }

    /// A place in a list of `length`; 0 if it is empty.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    /// Whether something happens that happens `per_mille` times in a thousand. Draws nothing for
    /// what never happens.
    pub fn happens(&mut self, per_mille: f64) -> bool {
        per_mille > 0.0 && self.fraction() * 1_000.0 < per_mille
    }

    /// A number from 0 up to 1.
    pub fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.draw() >> 32).unwrap_or(u32::MAX);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// Time until the next of events that come `per_day` times a day and independently, ms;
    /// `None` if they never come.
    pub fn next_of(&mut self, per_day: f64) -> Option<u64> {
        const DAY_MS: f64 = 86_400_000.0;
        (per_day > 0.0).then(|| {
            let days = -(1.0 - self.fraction()).ln() / per_day;
            let ms = (days * DAY_MS).clamp(1.0, 1e15);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "clamped to what fits"
            )]
            {
                ms as u64
            }
        })
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// 32 bytes for one purpose under a seed: keys, and the entropy that a node is given.
pub(crate) fn child(seed: u64, name: &str) -> [u8; 32] {
    Digest::of_parts(&[b"daymark simulator", &seed.to_be_bytes(), name.as_bytes()]).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_name_number_and_seed_and_repeat() {
        let draws = |mut dice: Dice| (0..4).map(|_| dice.draw()).collect::<Vec<_>>();
        assert_eq!(draws(Dice::new(1, "cuts")), draws(Dice::new(1, "cuts")));
        assert_ne!(draws(Dice::new(1, "cuts")), draws(Dice::new(2, "cuts")));
        assert_ne!(draws(Dice::new(1, "cuts")), draws(Dice::new(1, "release")));
        assert_ne!(draws(Dice::numbered(1, 2, 3)), draws(Dice::numbered(1, 3, 2)));
        assert_ne!(draws(Dice::numbered(1, 2, 3)), draws(Dice::numbered(1, 2, 4)));
    }

    #[test]
    fn rates_and_shares_come_out_about_right() {
        let mut dice = Dice::new(7, "test");
        let hits = (0..100_000).filter(|_| dice.happens(100.0)).count();
        assert!((9_500..10_500).contains(&hits), "{hits}");
        let total: u64 = (0..10_000).filter_map(|_| dice.next_of(4.0)).sum();
        let mean_h = total / 10_000 / 3_600_000;
        assert!((5..=6).contains(&mean_h), "a quarter of a day: {mean_h} h");
        assert_eq!(dice.next_of(0.0), None);
    }
}
