//! `get windows`: when hosts may update, clock changes and blackouts included.

use daymark_protocol::decide::Reach;
use daymark_protocol::resource::Kind;
use serde::Serialize;

use crate::exit::Outcome;
use crate::output::Row;
use crate::session::Session;
use crate::{names, times};

/// Windows listed per host before the rest is left out.
const WINDOWS_SHOWN_MAX: usize = 50;

/// A window of a host.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WindowRow {
    host: String,
    start: String,
    end: String,
    utc: String,
    schedule: String,
    closed_by: String,
}

impl Row for WindowRow {
    const HEADS: &'static [&'static str] =
        &["host", "start", "end", "utc", "schedule", "closed by"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.host.clone(),
            self.start.clone(),
            self.end.clone(),
            self.utc.clone(),
            self.schedule.clone(),
            self.closed_by.clone(),
        ]
    }

    fn name(&self) -> String {
        format!("{} {}", self.host, self.utc)
    }
}

/// The windows of the hosts selected, for so many days from now.
pub(crate) fn rows(session: &Session, only: Option<&str>, days: u32) -> Outcome<Vec<WindowRow>> {
    let standing = session.standing();
    let chosen = only.map(|name| names::find_host(standing, name)).transpose()?;
    let selected = session.selected()?;
    let from = times::now();
    let to = from.plus_ms(i64::from(days) * 86_400_000);
    let mut rows = Vec::new();
    for (key, _, spec) in names::hosts(standing) {
        let wanted = chosen.is_none_or(|chosen| chosen == key)
            && selected.as_ref().is_none_or(|selected| selected.contains(&key));
        if !wanted {
            continue;
        }
        let reach = Reach::new(standing, key);
        let windows = reach.windows();
        for occurrence in windows.occurrences(from, to).take(WINDOWS_SHOWN_MAX) {
            let closed: Vec<String> = windows
                .closed_at(occurrence.start)
                .map(|(id, _)| names::name_of(standing, Kind::Blackout, id))
                .collect();
            let schedule = [Kind::RepeatedSchedule, Kind::SingleSchedule]
                .into_iter()
                .map(|kind| names::name_of(standing, kind, &occurrence.schedule))
                .find(|name| *name != occurrence.schedule.to_string())
                .unwrap_or_else(|| occurrence.schedule.to_string());
            rows.push(WindowRow {
                host: spec.name.clone(),
                start: times::show(occurrence.start),
                end: occurrence.end.map_or_else(|| "open end".into(), times::show),
                utc: times::show_utc(occurrence.start),
                schedule,
                closed_by: closed.join(", "),
            });
        }
    }
    Ok(rows)
}
