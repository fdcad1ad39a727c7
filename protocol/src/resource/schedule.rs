//! Schedules and blackouts as data. What windows they make is in [`crate::window`].

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_name};
use crate::time::WallTime;
use crate::window::{Cron, zone_by_name};

/// What a schedule is for (EIM). Only `OsUpdate` and `Maintenance` open an update window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "EIM's names")]
pub enum ScheduleStatus {
    #[serde(rename = "SCHEDULE_STATUS_UNSPECIFIED")]
    Unspecified,
    #[serde(rename = "SCHEDULE_STATUS_MAINTENANCE")]
    Maintenance,
    #[serde(rename = "SCHEDULE_STATUS_SHIPPING")]
    Shipping,
    #[serde(rename = "SCHEDULE_STATUS_OS_UPDATE")]
    OsUpdate,
    #[serde(rename = "SCHEDULE_STATUS_FIRMWARE_UPDATE")]
    FirmwareUpdate,
    #[serde(rename = "SCHEDULE_STATUS_CLUSTER_UPDATE")]
    ClusterUpdate,
}

/// The zone that a schedule's fields are read in: `UTC` (EIM's, the default), `site`, or an IANA
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ScheduleZone {
    /// UTC.
    #[default]
    Utc,
    /// The zone of the host's site.
    Site,
    /// A zone by its IANA name.
    Iana(String),
}

impl From<String> for ScheduleZone {
    fn from(text: String) -> Self {
        match text.as_str() {
            "UTC" => Self::Utc,
            "site" => Self::Site,
            _ => Self::Iana(text),
        }
    }
}

impl From<ScheduleZone> for String {
    fn from(zone: ScheduleZone) -> Self {
        match zone {
            ScheduleZone::Utc => "UTC".into(),
            ScheduleZone::Site => "site".into(),
            ScheduleZone::Iana(name) => name,
        }
    }
}

/// One window, in absolute time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SingleScheduleSpec {
    /// At most 50 characters (EIM).
    pub name: String,
    /// What it is for.
    pub schedule_status: ScheduleStatus,
    /// Start, Unix seconds, 1 to 4,294,967,295 (EIM).
    pub start_seconds: i64,
    /// End, Unix seconds, after the start; 0 or absent: open-ended (EIM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_seconds: Option<i64>,
}

/// Windows that repeat, in five plain cron fields (EIM).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "EIM's cron fields")]
pub struct RepeatedScheduleSpec {
    /// At most 50 characters (EIM).
    pub name: String,
    /// What it is for.
    pub schedule_status: ScheduleStatus,
    /// Length of each window, 1 to 86,400 s (EIM).
    pub duration_seconds: u32,
    pub cron_minutes: String,
    pub cron_hours: String,
    pub cron_day_month: String,
    pub cron_month: String,
    pub cron_day_week: String,
    /// The zone of the fields.
    #[serde(default)]
    pub zone: ScheduleZone,
}

/// A time in which no window is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlackoutSpec {
    /// At most 50 characters.
    pub name: String,
    /// First instant that is closed. With `yearly`, month, day and time in `zone` repeat.
    pub from: WallTime,
    /// First instant that is open again; after `from`, and with `yearly` within a year of it.
    pub to: WallTime,
    /// Repeats every year.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yearly: bool,
    /// The zone in which a yearly blackout repeats.
    #[serde(default)]
    pub zone: ScheduleZone,
}

/// Latest second that EIM's interface can name.
const SECONDS_MAX: i64 = 4_294_967_295;
/// Longest repeated window, in seconds (EIM).
const DURATION_S_MAX: u32 = 86_400;
/// Longest yearly blackout: a leap year.
const YEARLY_MS_MAX: i64 = 366 * 86_400_000;

impl SingleScheduleSpec {
    /// Checks EIM's limits. That the start lies ahead is for whoever creates it to ask.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        let start = self.start_seconds;
        check((1..=SECONDS_MAX).contains(&start), "startSeconds", || {
            format!("is {start}: write Unix seconds from 1 to {SECONDS_MAX}")
        })?;
        let end = self.end_seconds.unwrap_or_default();
        check(end == 0 || (start < end && end <= SECONDS_MAX), "endSeconds", || {
            format!("is {end}: write a time after {start}, or leave it out for an open end")
        })
    }
}

impl RepeatedScheduleSpec {
    /// Checks EIM's limits.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        let duration = self.duration_seconds;
        check((1..=DURATION_S_MAX).contains(&duration), "durationSeconds", || {
            format!("is {duration}: write 1 to {DURATION_S_MAX} seconds")
        })?;
        Cron::parse(self.cron_fields())?;
        self.zone.validate()
    }

    /// Minutes, hours, day of month, month and day of week.
    pub(crate) fn cron_fields(&self) -> [&str; 5] {
        [
            &self.cron_minutes,
            &self.cron_hours,
            &self.cron_day_month,
            &self.cron_month,
            &self.cron_day_week,
        ]
    }
}

impl BlackoutSpec {
    /// Checks its order, and that a yearly one is over before it comes again.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        self.check_times()?;
        self.zone.validate()
    }

    /// Checks what its effect depends on.
    pub(crate) fn check_times(&self) -> Result<(), InvalidSpec> {
        check(self.from < self.to, "to", || format!("is {}: write a time after `from`", self.to))?;
        let short = self.to.since_ms(self.from) <= YEARLY_MS_MAX;
        check(short || !self.yearly, "to", || {
            format!("is {}: write a time within a year of `from`, since it is yearly", self.to)
        })
    }
}

impl ScheduleZone {
    fn validate(&self) -> Result<(), InvalidSpec> {
        match self {
            Self::Iana(name) if zone_by_name(name).is_none() => {
                Err(InvalidSpec::unknown_zone(name))
            }
            Self::Utc | Self::Site | Self::Iana(_) => Ok(()),
        }
    }
}
