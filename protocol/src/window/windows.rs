//! All windows of one host.

use super::blackout::{Blackout, Closed};
use super::opening::{Opening, Schedule};
use crate::id::ResourceId;
use crate::resource::BlackoutSpec;
use crate::time::WallTime;

/// The schedules and blackouts that reach one host.
#[derive(Clone, Debug)]
pub struct Windows {
    schedules: Vec<(ResourceId, Opening)>,
    blackouts: Vec<(ResourceId, Blackout)>,
    problems: Vec<Problem>,
}

/// A schedule or blackout that cannot be followed as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its id.
    pub id: ResourceId,
    /// What is wrong and what is done instead, for people.
    pub message: String,
}

/// One window of one schedule, half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The schedule.
    pub schedule: ResourceId,
    /// First instant.
    pub start: WallTime,
    /// First instant after it; `None`: open-ended.
    pub end: Option<WallTime>,
}

impl Occurrence {
    fn new(schedule: &ResourceId, (start_s, end_s): (i64, Option<i64>)) -> Self {
        Self {
            schedule: schedule.clone(),
            start: WallTime::from_seconds(start_s),
            end: end_s.map(WallTime::from_seconds),
        }
    }
}

impl Windows {
    /// Of the schedules and blackouts that reach a host, and the zone of its site. What cannot be
    /// followed opens nothing, or closes for good (I6), and is listed in [`Self::problems`].
    pub fn new(
        schedules: &[(ResourceId, Schedule<'_>)],
        blackouts: &[(ResourceId, &BlackoutSpec)],
        site_zone: Option<&str>,
    ) -> Self {
        let mut windows =
            Self { schedules: Vec::new(), blackouts: Vec::new(), problems: Vec::new() };
        for (id, schedule) in schedules {
            match Opening::of(*schedule, site_zone) {
                Ok(Some(opening)) => windows.schedules.push((id.clone(), opening)),
                Ok(None) => {}
                Err(invalid) => windows.problem(id, format!("{invalid}; it opens nothing")),
            }
        }
        for (id, spec) in blackouts {
            let blackout = Blackout::of(spec, site_zone).unwrap_or_else(|invalid| {
                windows.problem(id, format!("{invalid}; until then it closes at all times"));
                Blackout::Always
            });
            windows.blackouts.push((id.clone(), blackout));
        }
        windows
    }

    /// What cannot be followed as written.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Every window that is open at the instant, by start, then id; blackouts not regarded.
    pub fn open_at(&self, at: WallTime) -> Vec<Occurrence> {
        self.occurrences(at, at.plus_ms(1)).collect()
    }

    /// Every window that is open at some time in `[from, to)`, by start, then id, one at a time:
    /// there may be one a minute. Blackouts are not regarded.
    pub fn occurrences(&self, from: WallTime, to: WallTime) -> impl Iterator<Item = Occurrence> {
        let from_s = from.as_seconds();
        let mut next: Vec<_> = self
            .schedules
            .iter()
            .map(|(id, opening)| {
                let first = opening.next_after(opening.first_reaching_s(from_s) - 1);
                let is_over =
                    |(_, end_s): &(i64, Option<i64>)| end_s.is_some_and(|end_s| end_s <= from_s);
                (id, opening, first.filter(|window| !is_over(window)))
            })
            .collect();
        std::iter::from_fn(move || {
            let coming = next.iter_mut().filter(|(_, _, window)| window.is_some());
            let (id, opening, window) =
                coming.min_by_key(|(id, _, window)| (window.map(|(start_s, _)| start_s), *id))?;
            let (start_s, end_s) = window.take()?;
            *window = opening.next_after(start_s);
            let occurrence = Occurrence::new(id, (start_s, end_s));
            (occurrence.start < to).then_some(occurrence)
        })
    }

    /// The first start of a window strictly after the instant, blackouts not regarded. Repeated
    /// schedules are searched for twelve years.
    pub fn next_start(&self, at: WallTime) -> Option<WallTime> {
        let starts = self.openings().filter_map(|opening| opening.next_after(at.as_seconds()));
        starts.map(|(start_s, _)| WallTime::from_seconds(start_s)).min()
    }

    /// Whether any window is open at the instant, blackouts not regarded.
    pub fn is_open_at(&self, at: WallTime) -> bool {
        self.openings().any(|opening| opening.is_open_at(at.as_seconds()))
    }

    /// The closed stretches that hold the instant, with the ids of their blackouts.
    pub fn closed_at(&self, at: WallTime) -> impl Iterator<Item = (&ResourceId, Closed)> {
        self.blackouts.iter().filter_map(move |(id, blackout)| Some((id, blackout.covering(at)?)))
    }

    pub(super) fn openings(&self) -> impl Iterator<Item = &Opening> {
        self.schedules.iter().map(|(_, opening)| opening)
    }

    pub(super) fn blackouts(&self) -> impl Iterator<Item = &Blackout> {
        self.blackouts.iter().map(|(_, blackout)| blackout)
    }

    fn problem(&mut self, id: &ResourceId, message: String) {
        self.problems.push(Problem { id: id.clone(), message });
    }
}
