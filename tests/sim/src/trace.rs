//! One number for a whole run: two runs of one seed must give the same.

use std::fmt;

/// A hash over everything that happened, in order. Not cryptographic: it tells runs apart, and
/// must cost little beside a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    low: u64,
    high: u64,
}

impl Trace {
    /// Takes one number in.
    pub fn number(&mut self, number: u64) {
        self.low = fold(self.low ^ number, 0xa076_1d64_78bd_642f);
        self.high = fold(self.high.wrapping_add(number), 0xe703_7ed1_a0b4_28db) ^ self.low;
    }

    /// Takes bytes in.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x8ebc_6af0_9c88_c6e3).wrapping_mul(u128::from(b));
    let low = u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0);
    let high = u64::try_from(wide >> 64).unwrap_or(0);
    low ^ high
}

impl Trace {
    /// 64 bits of it.
    pub fn short(&self) -> u64 {
        self.high ^ self.low.rotate_left(17)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_length_and_content_count() {
        let trace = |parts: &[&[u8]]| {
            let mut trace = Trace::default();
            parts.iter().for_each(|part| trace.bytes(part));
            trace
        };
        assert_eq!(trace(&[b"one", b"two"]), trace(&[b"one", b"two"]));
        assert_ne!(trace(&[b"one", b"two"]), trace(&[b"two", b"one"]));
        assert_ne!(trace(&[b"onet", b"wo"]), trace(&[b"one", b"two"]));
        assert_ne!(trace(&[b"a\0"]), trace(&[b"a"]));
    }
}
