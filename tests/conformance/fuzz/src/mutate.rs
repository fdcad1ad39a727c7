//! Turns good inputs into bad ones: bits, lengths that lie, cuts, repeats, splices, and tokens of
//! text formats (numbers, strings, brackets) that say something else.

use crate::random::Random;

/// Numbers at which decoders go wrong.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    4_096,
    32_767,
    65_535,
    65_536,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];
/// The same for texts.
const TEXTS: [&str; 14] = [
    "",
    "0",
    "-1",
    "1e999",
    "null",
    "{}",
    "[]",
    "\"",
    "\\u0000",
    "\u{fffd}",
    "*/0",
    "99999999999999999999",
    "../../etc/passwd",
    "9999-12-31T23:59:59Z",
];
/// Most that one mutation repeats, bytes.
const REPEATED_BYTES_MAX: usize = 64 * 1024;

/// A changed copy of `input`, at most `bytes_max` long. `other` is what may be spliced in, `words`
/// are the format's own.
pub(crate) fn mutated(
    input: &[u8],
    other: &[u8],
    words: &[&str],
    bytes_max: usize,
    random: &mut Random,
) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        mutate(&mut bytes, other, words, random);
    }
    // Lies about lengths need bytes beyond a limit now and then, but not always.
    bytes.truncate(bytes_max);
    bytes
}

fn mutate(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(14) {
        0 => flip(bytes, at, random),
        1 => overwrite(bytes, at, &[random.byte()]),
        2 => lie(bytes, at, random),
        3 => bytes.truncate(at),
        4 => remove(bytes, at, random),
        5 => repeat(bytes, at, random),
        6 => {
            let noise: Vec<u8> = (0..=random.below(16)).map(|_| random.byte()).collect();
            insert(bytes, at, &noise);
        }
        7 => {
            let from = random.below(other.len() + 1);
            let length = random.below(other.len() - from + 1);
            let piece = &other[from..from + length];
            if random.below(2) == 0 {
                insert(bytes, at, piece);
            } else {
                bytes.truncate(at);
                bytes.extend_from_slice(piece);
            }
        }
        8 => insert(bytes, at, random.one_of(words).unwrap_or(&"").as_bytes()),
        9 | 10 => number(bytes, at, random),
        11 | 12 => text(bytes, at, words, random),
        _ => nest(bytes, at, random),
    }
}

fn flip(bytes: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(with) {
        *byte = *new;
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// A field of 1 to 8 bytes says another number: one that is dangerous, or one near what is left.
fn lie(bytes: &mut [u8], at: usize, random: &mut Random) {
    let left = u64::try_from(bytes.len() - at).unwrap_or_default();
    let number = match random.below(3) {
        0 => left.wrapping_add(random.next() % 9).wrapping_sub(4),
        _ => random.one_of(&NUMBERS).copied().unwrap_or_default(),
    };
    let width = [1, 2, 4, 8][random.below(4)];
    if random.below(4) == 0 {
        overwrite(bytes, at, &number.to_le_bytes()[..width]);
    } else {
        overwrite(bytes, at, &number.to_be_bytes()[8 - width..]);
    }
}

fn remove(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let length = random.below((bytes.len() - at).min(64) + 1);
    bytes.drain(at..at + length);
}

fn repeat(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let length = random.below((bytes.len() - at).min(256) + 1);
    let times = [1, 2, 16, 300, 4_000][random.below(5)];
    let piece = bytes[at..at + length].repeat(times);
    insert(bytes, at, &piece[..piece.len().min(REPEATED_BYTES_MAX)]);
}

/// The number token at or after `at`.
fn number(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let Some(start) = bytes.iter().skip(at).position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let new = match random.below(3) {
        0 => random.next().to_string(),
        1 => (random.next() % 70).to_string(),
        _ => random.one_of(&NUMBERS).copied().unwrap_or_default().to_string(),
    };
    bytes.splice(start..start + length, new.into_bytes());
}

/// The content of the quoted text at or after `at`, or the word there.
fn text(bytes: &mut Vec<u8>, at: usize, words: &[&str], random: &mut Random) {
    let Some(open) = bytes.iter().skip(at).position(|byte| *byte == b'"') else { return };
    let start = at + open + 1;
    let length = bytes[start..].iter().take_while(|byte| **byte != b'"').count();
    let new = match random.below(4) {
        0 => random.one_of(&TEXTS).copied().unwrap_or_default().as_bytes().to_vec(),
        1 => bytes[start..start + length].repeat(2 + random.below(40)),
        _ => random.one_of(words).copied().unwrap_or_default().as_bytes().to_vec(),
    };
    bytes.splice(start..start + length, new);
}

/// Brackets without end: readers recurse.
fn nest(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let depth = [1, 15, 16, 17, 200, 20_000][random.below(6)];
    let (open, close) = [("[", "]"), ("{\"a\":", "}"), ("- ", ""), ("a:\n ", "")][random.below(4)];
    let closed = random.below(2) == 0;
    let piece = [open.repeat(depth), close.repeat(if closed { depth } else { 0 })].concat();
    insert(bytes, at, &piece.as_bytes()[..piece.len().min(REPEATED_BYTES_MAX)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_inputs_and_none_is_too_long() {
        let drawn = |seed: &str| {
            let mut random = Random::of(seed, "test");
            let input = br#"{"a":[1,"text"],"b":17}"#;
            (0..2_000)
                .map(|_| mutated(input, b"other", &["word"], 4_096, &mut random))
                .collect::<Vec<_>>()
        };
        let inputs = drawn("1");
        assert_eq!(inputs, drawn("1"));
        assert_ne!(inputs, drawn("2"));
        assert!(inputs.iter().all(|input| input.len() <= 4_096));
        let different: std::collections::BTreeSet<_> = inputs.iter().collect();
        assert!(different.len() > 1_000, "{} different inputs", different.len());
    }
}
