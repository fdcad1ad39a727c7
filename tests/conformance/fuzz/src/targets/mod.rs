//! All targets, by where their bytes come from.

mod files;
pub(crate) mod images;
mod people;
pub(crate) mod sealed;
mod signed;
mod wire;
pub(crate) mod world;

use crate::target::{Allowance, Target, Told};

/// Every target.
pub(crate) const ALL: [&[Target]; 6] = [
    wire::TARGETS,
    signed::TARGETS,
    files::TARGETS,
    sealed::TARGETS,
    images::TARGETS,
    people::TARGETS,
];

/// What readers of binary forms may take: a few copies, while vectors grow.
const BINARY: Allowance = Allowance { base_bytes: 64 * 1024, per_byte: 24 };
/// What readers of JSON, YAML and TOML may take: trees of values.
const TEXT: Allowance = Allowance { base_bytes: 128 * 1024, per_byte: 300 };

/// What was refused, as it is told.
fn refused(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Decoded from those bytes and encoded again, it must be those bytes.
fn comes_back(what: &str, encoded: &[u8], input: &[u8]) -> Told {
    assert!(encoded == input, "{what} is accepted in a second form");
    Ok(what.to_owned())
}

/// The input as text, lossless or not at all.
fn text(input: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(input).map_err(refused)
}
