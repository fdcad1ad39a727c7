//! One schedule or blackout, made ready to be asked about instants.

use jiff::tz::TimeZone;

use super::blackout::{Blackout, Closed};
use super::cron::Cron;
use super::repeated::Repeated;
use super::zone::zone_by_name;
use crate::resource::{
    BlackoutSpec, InvalidSpec, RepeatedScheduleSpec, ScheduleStatus, ScheduleZone,
    SingleScheduleSpec,
};
use crate::time::WallTime;

/// A schedule of either kind.
#[derive(Clone, Copy, Debug)]
pub enum Schedule<'a> {
    /// One window.
    Single(&'a SingleScheduleSpec),
    /// Windows that repeat.
    Repeated(&'a RepeatedScheduleSpec),
}

/// How far ahead a repeated schedule is searched for a start, in seconds: twelve years, longer
/// than any two leap days are apart.
const SEARCH_S_MAX: i64 = 4_383 * 86_400;

/// When a schedule opens. Instants are Unix seconds.
#[derive(Clone, Debug)]
pub(crate) enum Opening {
    /// Once, without end if `end_s` is absent.
    Single { start_s: i64, end_s: Option<i64> },
    /// Again and again.
    Repeated(Repeated),
}

impl Opening {
    /// What a schedule opens: nothing if its status is for something else.
    pub(crate) fn of(
        schedule: Schedule<'_>,
        site_zone: Option<&str>,
    ) -> Result<Option<Self>, InvalidSpec> {
        match schedule {
            Schedule::Single(spec) => {
                spec.validate()?;
                Ok(opens(spec.schedule_status).then(|| Self::Single {
                    start_s: spec.start_seconds,
                    end_s: spec.end_seconds.filter(|end_s| *end_s != 0),
                }))
            }
            Schedule::Repeated(spec) => {
                spec.validate()?;
                let cron = Cron::parse(spec.cron_fields())?;
                let zone = resolve(&spec.zone, site_zone)?;
                let repeated = Repeated::new(cron, zone, spec.duration_seconds);
                Ok(opens(spec.schedule_status).then_some(Self::Repeated(repeated)))
            }
        }
    }

    /// Whether it is open at every instant.
    pub(crate) fn is_endless(&self) -> bool {
        match self {
            Self::Single { .. } => false,
            Self::Repeated(repeated) => repeated.is_endless(),
        }
    }

    /// The first window that starts strictly after `at_s`.
    pub(crate) fn next_after(&self, at_s: i64) -> Option<(i64, Option<i64>)> {
        match self {
            Self::Single { start_s, end_s } => (*start_s > at_s).then_some((*start_s, *end_s)),
            Self::Repeated(repeated) => {
                let (from_s, until_s) = (at_s.saturating_add(1), at_s.saturating_add(SEARCH_S_MAX));
                let start_s = repeated.first_in(from_s, until_s)?;
                Some((start_s, Some(start_s + repeated.duration_s())))
            }
        }
    }

    /// Whether a window of it is open at `at_s`.
    pub(crate) fn is_open_at(&self, at_s: i64) -> bool {
        match self {
            Self::Single { start_s, end_s } => {
                *start_s <= at_s && end_s.is_none_or(|end_s| at_s < end_s)
            }
            Self::Repeated(repeated) => {
                repeated.first_in(self.first_reaching_s(at_s), at_s + 1).is_some()
            }
        }
    }

    /// The earliest second at which a window can start and still be open at `at_s`.
    pub(crate) fn first_reaching_s(&self, at_s: i64) -> i64 {
        match self {
            Self::Single { .. } => i64::MIN + 1,
            Self::Repeated(repeated) => at_s.saturating_sub(repeated.duration_s()) + 1,
        }
    }
}

impl Blackout {
    /// When a blackout closes; at all times if that cannot be told.
    pub(crate) fn of(spec: &BlackoutSpec, site_zone: Option<&str>) -> Result<Self, InvalidSpec> {
        spec.check_times()?;
        if !spec.yearly {
            return Ok(Self::Once(Closed { from: spec.from, to: spec.to }));
        }
        let zone = resolve(&spec.zone, site_zone)?;
        let local = |at: WallTime| zone.to_datetime(at.to_timestamp());
        Ok(Self::Yearly { from: local(spec.from), to: local(spec.to), zone: zone.clone() })
    }
}

/// Whether schedules of this status open an update window.
fn opens(status: ScheduleStatus) -> bool {
    match status {
        ScheduleStatus::OsUpdate | ScheduleStatus::Maintenance => true,
        ScheduleStatus::Unspecified
        | ScheduleStatus::Shipping
        | ScheduleStatus::FirmwareUpdate
        | ScheduleStatus::ClusterUpdate => false,
    }
}

/// The zone meant; `site_zone` is the site's, UTC if it names none.
fn resolve(zone: &ScheduleZone, site_zone: Option<&str>) -> Result<TimeZone, InvalidSpec> {
    let name = match (zone, site_zone) {
        (ScheduleZone::Utc, _) | (ScheduleZone::Site, None) => return Ok(TimeZone::UTC),
        (ScheduleZone::Site, Some(name)) => name,
        (ScheduleZone::Iana(name), _) => name,
    };
    zone_by_name(name).ok_or_else(|| InvalidSpec::unknown_zone(name))
}
