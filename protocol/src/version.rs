//! Image versions and ranges of them (RULES Q21). Says which of two versions is newer; which
//! versions a fleet may use is said by policies and promotions.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version of dotted numbers: three parts or more, each of any length. Compared part by part as
/// numbers, missing parts being 0, so that `3.0.1` equals `3.0.1.0` and same-day builds order by
/// their time (EIM misorders both). Displayed as written.
#[derive(Clone, Debug)]
pub struct Version(String);

/// Text that is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a version: write three or more numbers with dots between, such as 3.0.20260602"
)]
pub struct InvalidVersion(
    /// What was given, cut to 80 characters.
    pub String,
);

/// Fewest parts of a version.
const PARTS_MIN: usize = 3;

impl Version {
    /// The version as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        if text.split('.').count() >= PARTS_MIN && text.split('.').all(is_number) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidVersion(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_dotted(&self.0, &other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

/// What a release may be: `~X.Y.Z` (the same X and Y, from Z on), or exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRange {
    /// The same first two parts, and the rest no lower.
    Tilde(String),
    /// This one only.
    Exact(String),
}

impl VersionRange {
    /// Reads a range. Every text is one: without `~` it is the one tag of that name.
    pub fn new(text: &str) -> Self {
        text.strip_prefix('~')
            .map_or_else(|| Self::Exact(text.to_owned()), |from| Self::Tilde(from.to_owned()))
    }

    /// Whether it selects a release tag, by EIM's rule: a part that is not a plain number counts
    /// as 0, and all from the third part on is one part, so `0.10.9-dev` has patch 0.
    pub fn selects_tag(&self, tag: &str) -> bool {
        match self {
            Self::Exact(only) => only == tag,
            Self::Tilde(from) => {
                let ([x, y, z], [tag_x, tag_y, tag_z]) = (tag_parts(from), tag_parts(tag));
                compare_numbers(x, tag_x).is_eq()
                    && compare_numbers(y, tag_y).is_eq()
                    && compare_numbers(tag_z, z).is_ge()
            }
        }
    }

    /// Whether it admits an image version: `~3.0.20260602` admits `3.0.20260602.2200` and
    /// everything later of 3.0. A range whose text is no version admits nothing.
    pub fn admits(&self, version: &Version) -> bool {
        let (Self::Tilde(text) | Self::Exact(text)) = self;
        let Ok(bound) = text.parse::<Version>() else {
            return false;
        };
        match self {
            Self::Exact(_) => *version == bound,
            Self::Tilde(_) => {
                let alike = bound.0.split('.').zip(version.0.split('.')).take(2);
                alike.into_iter().all(|(a, b)| compare_numbers(a, b).is_eq()) && *version >= bound
            }
        }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tilde(from) => write!(f, "~{from}"),
            Self::Exact(only) => f.write_str(only),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Compares decimal numbers of any length; an empty text is 0.
fn compare_numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn compare_dotted(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (left, right) = (a.next(), b.next());
        if left.is_none() && right.is_none() {
            return Ordering::Equal;
        }
        let order = compare_numbers(left.unwrap_or_default(), right.unwrap_or_default());
        if order.is_ne() {
            return order;
        }
    }
}

/// The three parts of a tag, with `""` (0) for what is missing or not a plain number.
fn tag_parts(tag: &str) -> [&str; 3] {
    let mut parts = tag.splitn(3, '.').map(|part| if is_number(part) { part } else { "" });
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The independent model: parts as wide numbers in a list of fixed length.
    fn model(text: &str) -> [u128; 8] {
        let mut parts = text.split('.').map(|part| part.parse().unwrap());
        std::array::from_fn(|_| parts.next().unwrap_or(0))
    }

    fn version() -> impl Strategy<Value = String> {
        let number = prop_oneof![
            (0_u8..4).prop_map(|n| n.to_string()),
            (0_u8..4).prop_map(|n| format!("000{n}")),
            (0_u128..1 << 100).prop_map(|n| n.to_string()),
        ];
        prop::collection::vec(number, 3..8).prop_map(|parts| parts.join("."))
    }

    proptest! {
        #[test]
        fn q21_order_is_that_of_lists_of_numbers(a in version(), b in version()) {
            let order = a.parse::<Version>().unwrap().cmp(&b.parse().unwrap());
            prop_assert_eq!(order, model(&a).cmp(&model(&b)));
        }

        #[test]
        fn q21_order_is_total(a in version(), b in version(), c in version()) {
            let mut sorted = [a, b, c].map(|text| text.parse::<Version>().unwrap());
            sorted.sort();
            prop_assert!(sorted[0] <= sorted[1] && sorted[1] <= sorted[2] && sorted[0] <= sorted[2]);
            prop_assert_eq!(sorted[0].cmp(&sorted[2]), sorted[2].cmp(&sorted[0]).reverse());
        }

        #[test]
        fn q21_trailing_zero_parts_change_nothing_but_the_text(text in version()) {
            let longer = format!("{text}.0.000");
            let (short, long) = (text.parse::<Version>().unwrap(), longer.parse::<Version>().unwrap());
            prop_assert_eq!(&short, &long);
            prop_assert_eq!(long.to_string(), longer);
        }

        #[test]
        fn q21_tilde_admits_from_its_bound_to_the_end_of_its_minor(
            x in 0_u64..3, y in 0_u64..3, z in 0_u64..3, other in prop::array::uniform4(0_u64..3),
        ) {
            let [a, b, c, d] = other;
            let version = format!("{a}.{b}.{c}.{d}").parse().unwrap();
            let admitted = VersionRange::new(&format!("~{x}.{y}.{z}")).admits(&version);
            prop_assert_eq!(admitted, a == x && b == y && c >= z);
        }
    }

    #[test]
    fn a_range_that_is_no_version_admits_nothing() {
        let version = "0.0.1".parse().unwrap();
        assert!(!VersionRange::new("~latest").admits(&version));
        assert!(!VersionRange::new("").admits(&version));
    }
}
