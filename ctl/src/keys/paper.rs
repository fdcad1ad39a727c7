//! A key on paper: its seed in four lines that a person can type back, each with a check.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::exit::{Failure, Outcome};

/// Bytes of the seed in each of the four lines.
const LINE_BYTES: usize = 8;

/// Most characters of a line: number, four groups of four, check.
const LINE_CHARS_MAX: usize = 40;

/// The four lines of a seed: number, four groups, check.
pub(crate) fn write(seed: &[u8; 32]) -> Zeroizing<String> {
    // Room for all of it, so that no part is left behind by growing.
    let mut text = Zeroizing::new(String::with_capacity(4 * LINE_CHARS_MAX));
    for (number, part) in seed.chunks(LINE_BYTES).enumerate() {
        let hex = Zeroizing::new(HEXLOWER.encode(part));
        let groups: Vec<&str> = (0..4).filter_map(|at| hex.get(at * 4..at * 4 + 4)).collect();
        let groups = Zeroizing::new(groups.join(" "));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}  {}", number + 1, *groups, check(number, part));
    }
    text
}

/// Reads the four lines back, in order; other lines are left out.
pub(crate) fn read(text: &str) -> Outcome<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    for (number, part) in seed.chunks_mut(LINE_BYTES).enumerate() {
        let wrong = |why: &str| {
            Failure::usage(format!("line {} of the key {why}", number + 1))
                .next("type it as it stands on the paper: the number, four groups, the check")
        };
        let start = format!("{} ", number + 1);
        let mut lines = text.lines().map(str::trim).filter(|line| line.starts_with(&start));
        let line = lines.next().ok_or_else(|| wrong("is missing"))?;
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let (groups, checked) = words.split_at_checked(4).ok_or_else(|| wrong("is too short"))?;
        let hex = Zeroizing::new(groups.concat());
        let hex = Zeroizing::new(hex.to_lowercase());
        let raw = HEXLOWER.decode(hex.as_bytes()).map(Zeroizing::new);
        let raw = raw.map_err(|_| wrong("has something else than 0-9 and a-f"))?;
        if raw.len() != LINE_BYTES {
            return Err(wrong("does not have four groups of four"));
        }
        if checked.first().map(|word| word.to_lowercase()) != Some(check(number, &raw)) {
            return Err(wrong("is mistyped: its check does not fit"));
        }
        part.copy_from_slice(&raw);
    }
    Ok(seed)
}

fn check(number: usize, part: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update([u8::try_from(number).unwrap_or(u8::MAX)]);
    hash.update(part);
    HEXLOWER.encode(&hash.finalize()[..2])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: usize = 4;

    #[test]
    fn what_is_written_is_read_and_a_slip_is_named() {
        let seed: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 % 251).unwrap());
        let paper = write(&seed);
        assert_eq!(paper.lines().count(), LINES);
        let noisy = format!("Daymark key of alice\n\n{}\nkeep it safe", paper.to_uppercase());
        assert_eq!(*read(&noisy).unwrap(), seed);
        for line in 1..=LINES {
            let slip = paper
                .lines()
                .map(|text| match text.starts_with(&line.to_string()) {
                    true => {
                        text.replacen(&text[3..4], if &text[3..4] == "0" { "1" } else { "0" }, 1)
                    }
                    false => text.to_owned(),
                })
                .collect::<Vec<_>>()
                .join("\n");
            let why = read(&slip).err().map(|failure| failure.error.to_string());
            assert!(
                why.as_ref().is_some_and(|why| why.contains(&format!("line {line}"))),
                "{why:?}"
            );
        }
        assert!(read("").is_err());
    }
}
