//! EIM's update statuses: their texts and indicators, the names of update runs, and the detail of
//! a finished update. When a host takes which status is the node's to say.

use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use crate::resource::OsType;
use crate::time::WallTime;

/// How an update stands (EIM). The numbers are EIM's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateStatus {
    /// Nothing is known.
    #[default]
    Unspecified = 0,
    /// Nothing newer is wanted.
    UpToDate = 1,
    /// Being installed, until the new boot is confirmed.
    Started = 2,
    /// Installed and confirmed.
    Updated = 3,
    /// Failed, rolled back or dropped.
    Failed = 4,
    /// Being fetched.
    Downloading = 5,
    /// Fetched and verified, waiting for its window.
    Downloaded = 6,
}

/// What a status means at a glance (EIM).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Indicator {
    /// Unknown.
    #[default]
    Unspecified = 0,
    /// Somebody must look.
    Error = 1,
    /// Under way.
    InProgress = 2,
    /// At rest.
    Idle = 3,
}

impl UpdateStatus {
    /// All statuses, by number.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::UpToDate,
        Self::Started,
        Self::Updated,
        Self::Failed,
        Self::Downloading,
        Self::Downloaded,
    ];

    /// EIM's number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// EIM's name, such as `UP_TO_DATE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::UpToDate => "UP_TO_DATE",
            Self::Started => "STARTED",
            Self::Updated => "UPDATED",
            Self::Failed => "FAILED",
            Self::Downloading => "DOWNLOADING",
            Self::Downloaded => "DOWNLOADED",
        }
    }

    /// The status of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// EIM's text for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unspecified => "Unknown",
            Self::UpToDate => "No new updates available",
            Self::Started => "Updating",
            Self::Updated => "Update completed",
            Self::Failed => "Update failed",
            Self::Downloading => "Downloading artifacts",
            Self::Downloaded => "Download complete",
        }
    }

    /// EIM's indicator.
    pub fn indicator(self) -> Indicator {
        match self {
            Self::Unspecified => Indicator::Unspecified,
            Self::UpToDate | Self::Updated | Self::Downloading | Self::Downloaded => {
                Indicator::Idle
            }
            Self::Started => Indicator::InProgress,
            Self::Failed => Indicator::Error,
        }
    }

    /// Whether it ends an update run.
    pub fn ends_run(self) -> bool {
        match self {
            Self::Updated | Self::Failed => true,
            Self::Unspecified
            | Self::UpToDate
            | Self::Started
            | Self::Downloading
            | Self::Downloaded => false,
        }
    }

    /// The text of a run in this status, and what is kept of the detail (EIM): only an ended run
    /// keeps one, and only if it is an `update_log`; on a mutable OS a completed one is counted.
    pub fn with_detail(self, os_type: OsType, detail: &str) -> (String, Option<&str>) {
        let entries = UpdateLog::entries(detail).filter(|_| self.ends_run());
        let kept = entries.map(|_| detail);
        match (self, os_type, entries) {
            (Self::Updated, OsType::Mutable, Some(count)) => {
                (format!("{} - {count} package(s) updated/installed", self.text()), kept)
            }
            _ => (self.text().to_owned(), kept),
        }
    }
}

impl Indicator {
    /// EIM's name, such as `IN_PROGRESS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Error => "ERROR",
            Self::InProgress => "IN_PROGRESS",
            Self::Idle => "IDLE",
        }
    }
}

/// The detail that EIM's agents write: what was done to each package.
#[derive(Deserialize)]
struct UpdateLog {
    update_log: Vec<LogEntry>,
}

/// What was done to one package. Its words are carried, not understood; only their form counts.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LogEntry {
    update_type: Option<String>,
    package_name: Option<String>,
    update_time: Option<String>,
    action: Option<String>,
    status: Option<String>,
    version: Option<String>,
    failure_reason: Option<String>,
    failure_log: Option<String>,
}

impl UpdateLog {
    /// Number of entries, if the text is such a detail.
    fn entries(detail: &str) -> Option<usize> {
        serde_json::from_str::<Self>(detail).ok().map(|log| log.update_log.len())
    }
}

/// Longest part of a host's name that a run's name carries, in bytes (EIM).
const RUN_HOST_BYTES_MAX: usize = 13;

/// The name of an update run (EIM): the beginning of the host's name, cut between characters, and
/// the start in UTC.
pub fn run_name(host_name: &str, started: WallTime) -> String {
    let host = &host_name[..host_name.floor_char_boundary(RUN_HOST_BYTES_MAX)];
    let at = Offset::UTC.to_datetime(started.to_timestamp());
    format!("{host} update {}", at.strftime("%Y%m%d-%H%M%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eim_run_names_are_cut_between_characters() {
        let at = WallTime::from_seconds(1_798_761_599);
        assert_eq!(run_name("größe-äöü-süd", at), "größe-äö update 20261231-235959");
        assert_eq!(run_name("", at), " update 20261231-235959");
    }

    #[test]
    fn eim_details_with_entries_of_another_form_are_dropped() {
        let detail = r#"{"update_log":[{"package_name":7}]}"#;
        let (text, kept) = UpdateStatus::Updated.with_detail(OsType::Mutable, detail);
        assert_eq!((text.as_str(), kept), ("Update completed", None));
    }
}
