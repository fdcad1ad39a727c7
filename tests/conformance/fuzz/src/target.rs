//! What a fuzz target is.

/// What a decoder made of an input: a word or a refusal, either of which tells paths apart.
pub(crate) type Told = Result<String, String>;

/// The most that a decoder may allocate for an input, beyond what was held before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// Bytes, whatever the input.
    pub(crate) base_bytes: usize,
    /// Bytes for each byte of the input.
    pub(crate) per_byte: usize,
}

impl Allowance {
    /// What an input of that length may cost.
    pub(crate) fn bytes(self, input_bytes: usize) -> usize {
        self.base_bytes + self.per_byte * input_bytes
    }
}

/// A decoder with what it is promised to keep to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Its name, and its folder's in `corpus/`.
    pub(crate) name: &'static str,
    /// What it decodes.
    pub(crate) about: &'static str,
    /// Longest input that is tried: a little above the decoder's own limit.
    pub(crate) input_bytes_max: usize,
    /// The most that it may allocate.
    pub(crate) allowance: Allowance,
    /// Words of the format.
    pub(crate) words: &'static [&'static str],
    /// Files whose line coverage is its own, for `coverage`.
    pub(crate) sources: &'static [&'static str],
    /// Decodes, and asserts what must hold: the round trip, above all.
    pub(crate) run: fn(&[u8]) -> Told,
}
