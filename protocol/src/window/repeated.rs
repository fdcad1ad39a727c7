//! A repeated schedule in its zone: when it starts, clock changes included (RULES Q9).

use jiff::tz::TimeZone;

use super::cron::Cron;
use super::zone::Stretch;

/// The starts of a repeated schedule. Instants are Unix seconds, ranges half-open.
///
/// A start in skipped local time comes at the end of the skip; one in doubled local time at the
/// first occurrence, or at both if the hour is a literal `*`.
#[derive(Clone, Debug)]
pub(crate) struct Repeated {
    cron: Cron,
    zone: TimeZone,
    duration_s: u32,
}

impl Repeated {
    /// Windows of `duration_s` seconds at the fields' minutes in `zone`.
    pub(crate) fn new(cron: Cron, zone: TimeZone, duration_s: u32) -> Self {
        Self { cron, zone, duration_s }
    }

    /// Length of each window in seconds of elapsed time.
    pub(crate) fn duration_s(&self) -> i64 {
        i64::from(self.duration_s)
    }

    /// Whether it is open at every instant there is. Clock changes stretch the gaps between starts
    /// unless every minute has one.
    pub(crate) fn is_endless(&self) -> bool {
        let in_spite_of_changes = self.cron.is_hour_star() && self.cron.is_every_minute();
        self.touches_between_changes() && (self.zone == TimeZone::UTC || in_spite_of_changes)
    }

    /// The first start in `[from_s, until_s)`.
    pub(crate) fn first_in(&self, from_s: i64, until_s: i64) -> Option<i64> {
        if from_s >= until_s {
            return None;
        }
        let mut stretch = Stretch::holding(&self.zone, from_s);
        loop {
            if stretch.from_s >= from_s && self.starts_at_the_change(&stretch) {
                return Some(stretch.from_s);
            }
            let until_here_s = until_s.min(stretch.until_s);
            let from = stretch.local(from_s.max(stretch.from_s)).max(self.earliest_local(&stretch));
            if let Some(found) = self.cron.first_in(from, stretch.local(until_here_s)) {
                return stretch.instant_s(found);
            }
            if stretch.until_s >= until_s {
                return None;
            }
            stretch = Stretch::holding(&self.zone, stretch.until_s);
        }
    }

    /// The last start in `[from_s, until_s)`.
    pub(crate) fn last_in(&self, from_s: i64, until_s: i64) -> Option<i64> {
        if from_s >= until_s {
            return None;
        }
        let mut stretch = Stretch::holding(&self.zone, until_s - 1);
        loop {
            let until_here_s = until_s.min(stretch.until_s);
            let from = stretch.local(from_s.max(stretch.from_s)).max(self.earliest_local(&stretch));
            if let Some(found) = self.cron.last_in(from, stretch.local(until_here_s)) {
                return stretch.instant_s(found);
            }
            if stretch.from_s >= from_s && self.starts_at_the_change(&stretch) {
                return Some(stretch.from_s);
            }
            if stretch.from_s <= from_s {
                return None;
            }
            stretch = Stretch::holding(&self.zone, stretch.from_s - 1);
        }
    }

    /// How far the union of its windows that holds the window starting at `start_s` certainly
    /// reaches: as far as no clock changes if the windows of all days touch, else over a run of
    /// the same day at once, so that a day of minutes is one step.
    pub(crate) fn run_until_s(&self, start_s: i64) -> i64 {
        let stretch = Stretch::holding(&self.zone, start_s);
        let (start, until) = (stretch.local(start_s), stretch.local(stretch.until_s));
        let last = if self.touches_between_changes() {
            self.cron.last_in(start, until).unwrap_or(start)
        } else {
            self.cron.run_end(start, self.duration_s, until)
        };
        stretch.instant_s(last).unwrap_or(start_s).max(start_s) + self.duration_s()
    }

    /// How far back that union certainly reaches.
    pub(crate) fn run_from_s(&self, start_s: i64) -> i64 {
        let stretch = Stretch::holding(&self.zone, start_s);
        let start = stretch.local(start_s);
        let from = stretch.local(stretch.from_s).max(self.earliest_local(&stretch));
        let first = if self.touches_between_changes() {
            self.cron.first_in(from, start).unwrap_or(start)
        } else {
            self.cron.run_start(start, self.duration_s, from)
        };
        stretch.instant_s(first).unwrap_or(start_s).min(start_s)
    }

    /// Whether each window reaches the next as long as no clock changes.
    fn touches_between_changes(&self) -> bool {
        let gap = self.cron.longest_gap_minutes();
        gap.is_some_and(|minutes| minutes * 60 <= self.duration_s)
    }

    /// The first local time of a stretch at which it may start.
    fn earliest_local(&self, stretch: &Stretch) -> jiff::civil::DateTime {
        if self.cron.is_hour_star() { jiff::civil::DateTime::MIN } else { stretch.first_new() }
    }

    /// Whether the change at the beginning of the stretch skipped a start.
    fn starts_at_the_change(&self, stretch: &Stretch) -> bool {
        stretch.skipped().is_some_and(|(from, until)| self.cron.first_in(from, until).is_some())
    }
}
