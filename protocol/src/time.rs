//! Points in time as integers, and `now` as an interval. There is deliberately no way to ask what
//! time it is: the host of the code passes time in.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in wall-clock time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(i64);

/// Latest representable time (9999-12-30T22:00:00Z), so that every [`WallTime`] has a calendar date.
const MAX_MS: i64 = 253_402_207_200_000;

impl WallTime {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);
    /// The beginning of time: earlier than every time a statement can name.
    pub const MIN: Self = Self(-MAX_MS);
    /// The end of time: later than every time a statement can name.
    pub const MAX: Self = Self(MAX_MS);

    /// From milliseconds since the Unix epoch, clamped to the representable range.
    pub fn from_ms(unix_ms: i64) -> Self {
        Self(unix_ms.clamp(-MAX_MS, MAX_MS))
    }

    /// From whole seconds since the Unix epoch, clamped to the representable range.
    pub fn from_seconds(unix_seconds: i64) -> Self {
        Self::from_ms(unix_seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This time moved by `delta_ms` milliseconds, saturating.
    #[must_use]
    pub fn plus_ms(self, delta_ms: i64) -> Self {
        Self::from_ms(self.0.saturating_add(delta_ms))
    }

    /// Milliseconds from `earlier` to `self`; negative if `self` is before it.
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// As a [`jiff::Timestamp`].
    pub fn to_timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl From<jiff::Timestamp> for WallTime {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self::from_ms(timestamp.as_millisecond())
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_timestamp().fmt(f)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let timestamp: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(timestamp.into())
    }
}

/// A point in monotonic time: milliseconds since an arbitrary start, suspend included.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MonoTime(pub u64);

impl MonoTime {
    /// This time moved on by `delta_ms` milliseconds, saturating.
    #[must_use]
    pub fn plus_ms(self, delta_ms: u64) -> Self {
        Self(self.0.saturating_add(delta_ms))
    }

    /// Milliseconds from `earlier` to `self`, zero if `earlier` is later.
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What is known of the present moment (RULES K1, K2, Q6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// No earlier than this.
    pub earliest: WallTime,
    /// No later than this.
    pub latest: WallTime,
    /// Whether a clock reading counts. If not, the interval is [floor, root expiry] and only
    /// waiting is allowed.
    pub known: bool,
}

impl Now {
    /// What is certain of it. While no reading counts the latest moment is the root's own end, by
    /// which everything has ended: then the earliest one counts, and the clock alone waits.
    #[must_use]
    pub fn certain(&self) -> Self {
        if self.known { *self } else { Self { latest: self.earliest, ..*self } }
    }

    /// A counting reading that may be off by `width_ms` either way.
    pub fn reading(at: WallTime, width_ms: i64) -> Self {
        Self { earliest: at.plus_ms(-width_ms), latest: at.plus_ms(width_ms), known: true }
    }
}
