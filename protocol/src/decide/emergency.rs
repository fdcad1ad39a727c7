//! Emergencies: windows beside all schedules (DESIGN section 3, RULES S6). They pass windows, not
//! halts and holds, and blackouts only if they say so; the start within them is spread as ever.

use super::line::{InForce, Says, says};
use super::place::Place;
use super::reach::{Schedule, may_reach, source};
use crate::resource::{Kind, ScheduleStatus, SingleScheduleSpec, Spec};
use crate::time::Now;
use crate::trust::Standing;

/// An emergency that reaches the host.
#[derive(Clone, Debug)]
pub(super) struct Emergency {
    /// From when it was issued to its end.
    pub(super) schedule: Schedule,
    /// Its name, version and why, for people.
    pub(super) told: String,
    pub(super) passes_blackouts: bool,
}

/// All emergencies that reach the host. One that is unknown, or has no end, opens nothing.
pub(super) fn emergencies(standing: &Standing, place: &Place) -> Vec<Emergency> {
    let lines = standing.of_kind(Kind::Emergency);
    let reaching = lines.filter_map(|(id, line)| match says(line) {
        Says::This(version, Spec::Emergency(spec)) if may_reach(version, place) => {
            let window = SingleScheduleSpec {
                name: spec.name.clone(),
                schedule_status: ScheduleStatus::OsUpdate,
                start_seconds: version.issued.as_seconds(),
                end_seconds: Some(version.until?.as_seconds()),
            };
            let source = source(standing, place, id, version);
            Some(Emergency {
                schedule: Schedule { source, spec: Spec::SingleSchedule(window) },
                told: format!("{} v{}: {}", spec.name, version.version, version.reason),
                passes_blackouts: spec.passes_blackouts,
            })
        }
        Says::This(..) | Says::Gone(_) | Says::Unknown(_) => None,
    });
    reaching.collect()
}

impl Emergency {
    /// Whether it opens for a host on `profile`, over the whole width of `now`.
    pub(super) fn opens(&self, profile: Option<&str>, now: &Now) -> bool {
        let source = &self.schedule.source;
        let only = source.profile.as_deref();
        (only.is_none() || only == profile)
            && source.missing.is_empty()
            && source.span.in_force(now) == InForce::Yes
    }
}
