//! The window that a host may use: of all schedules and blackouts that reach it and are in force,
//! the first piece around or after `now` with enough left. Everything together is made ready once;
//! a smaller set, where one has ended or a policy names its schedules, when deciding.

use super::closing::{Closing, What};
use super::emergency::Emergency;
use super::line::InForce;
use super::model::Window;
use super::reach::Schedule;
use crate::id::ResourceId;
use crate::resource::{BlackoutSpec, OsUpdatePolicySpec, ScheduleZone, Spec};
use crate::time::{Now, WallTime};
use crate::trust::Seen;
use crate::window::{self, Windows};

/// Schedules and blackouts made ready.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    schedules: Vec<Schedule>,
    blackouts: Vec<Blackout>,
    emergencies: Vec<Emergency>,
    zone: Option<String>,
    all: Windows,
}

/// A blackout with times that its statement's end has shortened.
#[derive(Clone, Debug)]
struct Blackout {
    id: ResourceId,
    closing: Closing,
    spec: BlackoutSpec,
}

/// What a host may use of time.
#[derive(Debug)]
pub(super) struct Usable {
    /// The first usable piece with enough left, around `now` or after it.
    pub(super) piece: Option<Window>,
    /// The emergency that opens it, if no schedule does.
    pub(super) emergency: Option<String>,
    /// Whether the whole width of `now` lies within it.
    pub(super) is_open: bool,
    /// A window that is open at the earliest `now`, with too little left of it or not open over
    /// the width of `now`.
    pub(super) short: Option<Window>,
    /// Blackouts that close at the latest `now`, each with when it opens again.
    pub(super) closed_by: Vec<(String, WallTime)>,
    /// When a schedule comes into force, or a yearly blackout's statement ends.
    pub(super) changes_at: Option<WallTime>,
    /// Schedules that cannot be followed as written.
    pub(super) problems: Vec<String>,
}

impl Calendar {
    pub(super) fn new(
        schedules: Vec<Schedule>,
        emergencies: Vec<Emergency>,
        closings: &[Closing],
        zone: Option<String>,
    ) -> Self {
        let blackouts: Vec<Blackout> = closings.iter().filter_map(clipped).collect();
        let all = windows(&schedules.iter().collect::<Vec<_>>(), blackouts.iter(), zone.as_deref());
        Self { schedules, blackouts, emergencies, zone, all }
    }

    pub(super) fn windows(&self) -> &Windows {
        &self.all
    }

    /// The window that a host on `profile` may use under a policy.
    pub(super) fn usable(
        &self,
        spec: &OsUpdatePolicySpec,
        profile: Option<&str>,
        needed_ms: u64,
        now: &Now,
    ) -> Usable {
        let opens = |schedule: &&Schedule| {
            let only = schedule.source.profile.as_deref();
            uses(spec, schedule)
                && (only.is_none() || only == profile)
                && schedule.source.span.in_force(now) == InForce::Yes
        };
        let closes = |blackout: &&Blackout| blackout.closing.stands(now, profile);
        let schedules: Vec<&Schedule> = self.schedules.iter().filter(opens).collect();
        let make = |schedules: &[&Schedule]| {
            windows(schedules, self.blackouts.iter().filter(closes), self.zone.as_deref())
        };
        let is_all =
            schedules.len() == self.schedules.len() && self.blackouts.iter().all(|b| closes(&b));
        let made = (!is_all).then(|| make(&schedules));
        let current = made.as_ref().unwrap_or(&self.all);
        let mut piece = first_piece(current, schedules, make, needed_ms, now);
        let mut emergency = None;
        if let Some((urgent, told)) = self.urgent_piece(profile, needed_ms, now)
            && piece.is_none_or(|piece| now.earliest < piece.start && urgent.start < piece.start)
        {
            (piece, emergency) = (Some(urgent), Some(told));
        }
        let usable = Usable {
            piece,
            emergency,
            is_open: piece.is_some_and(|piece| piece.start <= now.earliest),
            short: None,
            closed_by: Vec::new(),
            changes_at: self.changes_at(spec, now),
            problems: Vec::new(),
        };
        if usable.is_open { usable } else { self.explained(usable, current, now) }
    }

    /// The first piece with enough left that an emergency opens.
    fn urgent_piece(
        &self,
        profile: Option<&str>,
        needed_ms: u64,
        now: &Now,
    ) -> Option<(Window, String)> {
        let standing = |blackout: &&Blackout| blackout.closing.stands(now, profile);
        let opening = self.emergencies.iter().filter(|one| one.opens(profile, now));
        let pieces = opening.filter_map(|one| {
            let closed = self.blackouts.iter().filter(standing);
            let closed = closed.filter(|_| !one.passes_blackouts);
            let windows = windows(&[&one.schedule], closed, self.zone.as_deref());
            Some((windows.next_usable(now.latest, needed_ms)?, one.told.clone()))
        });
        pieces.min_by_key(|(piece, _)| piece.start)
    }

    /// What the signers of schedules that the policy uses saw and is missing here (RULES S5).
    pub(super) fn missing_of(&self, spec: &OsUpdatePolicySpec) -> impl Iterator<Item = &Seen> {
        let used = self.schedules.iter().filter(|one| uses(spec, one));
        used.flat_map(|schedule| &schedule.source.missing)
    }

    fn changes_at(&self, spec: &OsUpdatePolicySpec, now: &Now) -> Option<WallTime> {
        let used = self.schedules.iter().filter(|one| uses(spec, one));
        let urgent = self.emergencies.iter().map(|emergency| &emergency.schedule);
        let begins = used.chain(urgent).filter_map(|one| match one.source.span.in_force(now) {
            InForce::Unsure(at) => Some(at),
            InForce::Yes | InForce::Ended | InForce::Lapsed => None,
        });
        let ends = self.blackouts.iter().flat_map(|b| [b.closing.from, b.closing.until]).flatten();
        begins.chain(ends.filter(|end| now.earliest < *end)).min()
    }

    /// Adds what is open and closed at present: why nothing can be used.
    fn explained(&self, usable: Usable, windows: &Windows, now: &Now) -> Usable {
        let told = |id: &ResourceId| {
            let named = self.blackouts.iter().find(|blackout| blackout.id == *id);
            named.map_or_else(|| id.to_string(), |blackout| blackout.closing.told.clone())
        };
        let closed = windows.closed_at(now.latest).map(|(id, closed)| (told(id), closed.to));
        let problems = windows.problems().iter().map(|one| format!("{}: {}", one.id, one.message));
        Usable {
            short: windows.usable_at(now.earliest),
            closed_by: closed.collect(),
            problems: problems.collect(),
            ..usable
        }
    }
}

/// The first usable piece with enough left. A schedule that ends opens nothing from there on:
/// counting that end against the whole piece, even where another schedule goes on, errs on the
/// closed side.
fn first_piece(
    current: &Windows,
    mut schedules: Vec<&Schedule>,
    make: impl Fn(&[&Schedule]) -> Windows,
    needed_ms: u64,
    now: &Now,
) -> Option<Window> {
    let mut piece = current.next_usable(now.latest, needed_ms)?;
    while let Some(ends) = schedules.iter().filter_map(|one| one.source.span.ends()).min() {
        let cut = Window { end: Some(piece.end.map_or(ends, |end| end.min(ends))), ..piece };
        if leaves(&cut, needed_ms, now) {
            return Some(cut);
        }
        schedules.retain(|one| one.source.span.ends().is_none_or(|until| until > ends));
        piece = make(&schedules).next_usable(now.latest, needed_ms)?;
    }
    Some(piece)
}

fn uses(spec: &OsUpdatePolicySpec, schedule: &Schedule) -> bool {
    spec.schedules.is_empty() || spec.schedules.contains(&schedule.source.id)
}

/// Whether enough is left of a piece from the latest `now` or its start on.
fn leaves(piece: &Window, needed_ms: u64, now: &Now) -> bool {
    let from = piece.start.max(now.latest);
    piece.end.is_none_or(|end| {
        u64::try_from(end.since_ms(from)).is_ok_and(|left_ms| left_ms > 0 && left_ms >= needed_ms)
    })
}

/// A blackout whose statement ends closes until there: put into its own end where that is one
/// instant, and left to each decision where it comes every year.
fn clipped(closing: &Closing) -> Option<Blackout> {
    let What::Blackout(id, spec) = &closing.what else { return None };
    let always = || BlackoutSpec {
        name: "unreadable".into(),
        from: WallTime::EPOCH,
        to: WallTime::MAX,
        yearly: false,
        zone: ScheduleZone::Utc,
    };
    let mut spec = spec.as_ref().map_or_else(always, |spec| (**spec).clone());
    let mut closing = closing.clone();
    if !spec.yearly
        && let Some(until) = closing.until.take()
    {
        if until <= spec.from {
            return None;
        }
        spec.to = spec.to.min(until);
    }
    Some(Blackout { id: id.clone(), closing, spec })
}

fn windows<'a>(
    schedules: &[&Schedule],
    blackouts: impl Iterator<Item = &'a Blackout>,
    zone: Option<&str>,
) -> Windows {
    let schedules: Vec<(ResourceId, window::Schedule<'_>)> = schedules
        .iter()
        .filter_map(|schedule| Some((schedule.source.id.clone(), as_schedule(&schedule.spec)?)))
        .collect();
    let blackouts: Vec<(ResourceId, &BlackoutSpec)> =
        blackouts.map(|blackout| (blackout.id.clone(), &blackout.spec)).collect();
    Windows::new(&schedules, &blackouts, zone)
}

fn as_schedule(spec: &Spec) -> Option<window::Schedule<'_>> {
    if let Spec::SingleSchedule(spec) = spec {
        Some(window::Schedule::Single(spec))
    } else if let Spec::RepeatedSchedule(spec) = spec {
        Some(window::Schedule::Repeated(spec))
    } else {
        None
    }
}
