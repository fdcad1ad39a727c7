//! How quick one source is, measured over the time in which it owed something.
//!
//! A source that is idle is not slow, and one that answers a little now and then cannot look quick.

use daymark_protocol::time::MonoTime;

use super::FetchLimits;

/// The pace of one source.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Since when it owes something without a break that was counted; `None` while it owes nothing.
    owing_since: Option<MonoTime>,
    owing_ms: u64,
    bytes: u64,
    allowed_bytes: u64,
    slow: bool,
}

impl Pace {
    /// A source that nothing is known of is taken for quick.
    pub(super) fn unknown(limits: &FetchLimits) -> Self {
        let allowed_bytes = limits.source_bytes_max;
        Self { owing_since: None, owing_ms: 0, bytes: 0, allowed_bytes, slow: false }
    }

    /// Most bytes that may be asked of it and not answered: what it brings in half the time that
    /// it has for them, so that what it is asked is on time even if it becomes slower.
    pub(super) fn allowed_bytes(&self) -> u64 {
        self.allowed_bytes
    }

    /// Whether it brought less than [`FetchLimits::source_rate_min`] when it was last measured.
    pub(super) fn is_slow(&self) -> bool {
        self.slow
    }

    /// It brought something that it was asked for.
    pub(super) fn brought(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// It is no longer connected, so that it owes nothing.
    pub(super) fn stop(&mut self) {
        self.owing_since = None;
    }

    /// Counts the time until now, and from now on if it still `owes` something; measures when there
    /// was enough of it.
    pub(super) fn settle(&mut self, now: MonoTime, owes: bool, limits: &FetchLimits) {
        self.owing_ms += self.owing_since.map_or(0, |since| now.since_ms(since));
        self.owing_since = owes.then_some(now);
        if self.owing_ms < limits.stall_ms.max(1) {
            return;
        }
        let per_second = self.bytes.saturating_mul(1000) / self.owing_ms;
        let in_half_the_time = per_second.saturating_mul(limits.stall_ms) / 2000;
        self.slow = per_second < limits.source_rate_min;
        self.allowed_bytes = in_half_the_time
            .clamp(limits.source_bytes_min.min(limits.source_bytes_max), limits.source_bytes_max);
        self.owing_ms = 0;
        self.bytes = 0;
    }
}
