//! Times as a scenario writes them: `90s`, `10m`, `2d`.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A length of virtual time, ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

/// Longest time that a scenario may name: five years.
const SPAN_MS_MAX: u64 = 5 * 366 * 86_400_000;

impl Span {
    /// Minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self(minutes * 60_000)
    }

    /// Reads a time such as `10m`: a whole number and one of `ms`, `s`, `m`, `h`, `d`, `w`.
    ///
    /// # Errors
    /// If it is anything else, or longer than five years; the text is for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => {
                return Err(format!(
                    "{text:?} is not a time: write a whole number and ms, s, m, h, d or w"
                ));
            }
        };
        let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
        match ms.filter(|ms| *ms <= SPAN_MS_MAX) {
            Some(ms) => Ok(Self(ms)),
            None => Err(format!("{text:?} is not a time up to five years")),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, m, h, d) =
            (self.0 / 1_000, self.0 / 60_000, self.0 / 3_600_000, self.0 / 86_400_000);
        match () {
            () if d > 0 => write!(f, "{d}d {:02}:{:02}", h % 24, m % 60),
            () if h > 0 => write!(f, "{h}:{:02}:{:02}", m % 60, s % 60),
            () => write!(f, "{m}:{:02}.{:03}", s % 60, self.0 % 1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_strictly_and_written_for_people() {
        assert_eq!(Span::parse("10m"), Ok(Span(600_000)));
        assert_eq!(Span::parse("2d"), Ok(Span(172_800_000)));
        assert_eq!(Span::parse("250ms"), Ok(Span(250)));
        for bad in ["", "10", "m", "-3s", "1.5h", "10 m", "9999999999999999999d", "300w"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Span(90_061_000).to_string(), "1d 01:01");
        assert_eq!(Span(3_661_000).to_string(), "1:01:01");
        assert_eq!(Span(61_005).to_string(), "1:01.005");
    }
}
