//! Blackouts: stretches of time in which no window is open.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::time::WallTime;

/// When a blackout closes.
#[derive(Clone, Debug)]
pub(crate) enum Blackout {
    /// Once.
    Once(Closed),
    /// Every year from the first on, between two local times.
    Yearly {
        /// First closed local time of the first year.
        from: DateTime,
        /// First open local time after it.
        to: DateTime,
        /// The zone of both.
        zone: TimeZone,
    },
    /// At all times, because this version cannot tell when (I6).
    Always,
}

/// All time there is.
const EVER: Closed = Closed { from: WallTime::MIN, to: WallTime::MAX };

/// A closed stretch of time, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// First closed instant.
    pub from: WallTime,
    /// First instant that is open again.
    pub to: WallTime,
}

/// More years than there ever are between two leap days: what a yearly blackout of 29 February
/// takes to come again.
const LEAP_YEARS_APART_MAX: i16 = 8;

impl Blackout {
    /// The closed stretch that holds the instant; the longest reaching if two years' meet there.
    pub(crate) fn covering(&self, at: WallTime) -> Option<Closed> {
        // None is longer than a year, and instants near New Year may be of either local year.
        self.in_years(at, -2, 0)
            .filter(|closed| closed.from <= at && at < closed.to)
            .max_by_key(|closed| closed.to)
    }

    /// When it next begins, strictly after the instant.
    pub(crate) fn next_from(&self, at: WallTime) -> Option<WallTime> {
        let coming = self.in_years(at, 0, LEAP_YEARS_APART_MAX + 1);
        coming.map(|closed| closed.from).find(|from| *from > at)
    }

    /// When it last ended, no later than the instant.
    pub(crate) fn last_to(&self, at: WallTime) -> Option<WallTime> {
        let past = self.in_years(at, -2 - LEAP_YEARS_APART_MAX, 0);
        past.rev().map(|closed| closed.to).find(|to| *to <= at)
    }

    /// Its stretches that begin in the local years from `first` to `last`, counted from the
    /// instant's, in order of time.
    fn in_years(
        &self,
        at: WallTime,
        first: i16,
        last: i16,
    ) -> impl DoubleEndedIterator<Item = Closed> {
        let (once, yearly) = match self {
            Self::Once(closed) => (Some(*closed), None),
            Self::Always => (Some(EVER), None),
            Self::Yearly { from, to, zone } => (None, Some((*from, *to, zone))),
        };
        let yearly = yearly.into_iter().flat_map(move |(from, to, zone)| {
            let year = zone.to_datetime(at.to_timestamp()).year();
            (first..=last).filter_map(move |later| in_year(from, to, zone, year + later))
        });
        once.into_iter().chain(yearly)
    }
}

/// A yearly blackout in the year that it begins in; none before its first.
fn in_year(from: DateTime, to: DateTime, zone: &TimeZone, year: i16) -> Option<Closed> {
    let later = year.checked_sub(from.year()).filter(|later| *later >= 0)?;
    let (first, end) = (years_later(from, later)?, years_later(to, later)?);
    // Of a local time that comes twice or never, the reading that closes more.
    let from = zone.to_ambiguous_timestamp(first).earlier().ok()?;
    let to = zone.to_ambiguous_timestamp(end).later().ok()?;
    (first < end).then(|| Closed { from: from.into(), to: to.into() })
}

/// The same month, day and time; 29 February of a common year is the beginning of 1 March.
fn years_later(at: DateTime, years: i16) -> Option<DateTime> {
    let year = at.year().checked_add(years)?;
    match Date::new(year, at.month(), at.day()) {
        Ok(date) => Some(DateTime::from_parts(date, at.time())),
        Err(_) => Some(Date::new(year, 3, 1).ok()?.at(0, 0, 0, 0)),
    }
}
