//! What counts and reaches one host, picked out of all that counts once per change of it, so that
//! a decision does not walk the fleet. Time and the machine's own state play no part here.

use std::cmp::Reverse;
use std::sync::Arc;

use super::calendar::Calendar;
use super::closing::{Closing, closings, profile_of};
use super::emergency::emergencies;
use super::image::Images;
use super::line::{InForce, Says, Span, says};
use super::place::Place;
use crate::id::{Digest, KeyId, ResourceId};
use crate::resource::{Kind, OsUpdatePolicySpec, RetrySpec, Spec, TargetOs};
use crate::rules::{Rule, holds};
use crate::target::{HostPlace, Rank, UnknownProfile};
use crate::time::{Now, WallTime};
use crate::trust::{ChainWait, RootState, Seen, Standing, Version};
use crate::window::Windows;

/// What counts for one host.
#[derive(Clone, Debug)]
pub struct Reach {
    pub(super) root: Option<RootState>,
    /// Why nothing counts, if so.
    pub(super) wait: Option<ChainWait>,
    pub(super) place: Place,
    /// Nearest first (RULES Q10).
    pub(super) policies: Vec<Policy>,
    pub(super) promotions: Vec<Promotion>,
    /// A promotion of which only a floor is left: it may have promoted anything (I6).
    pub(super) lost_promotion: Option<String>,
    pub(super) images: Images,
    pub(super) retries: Vec<Retry>,
    pub(super) closings: Vec<Closing>,
    pub(super) calendar: Calendar,
    /// As of when the newest word of the fleet that this host has speaks.
    pub(super) fresh_as_of: WallTime,
    /// What the newest heartbeats name and is missing here.
    pub(super) beats_missing: Vec<Seen>,
}

/// Where a line that opens comes from and when it holds.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) id: ResourceId,
    pub(super) version: u64,
    pub(super) span: Span,
    /// What its signers saw and is missing here (RULES S5).
    pub(super) missing: Vec<Seen>,
    /// Only hosts on this OS profile.
    pub(super) profile: Option<String>,
}

/// A policy that reaches the host.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) source: Source,
    pub(super) rank: Rank,
    pub(super) priority: i32,
    pub(super) issued: WallTime,
    /// Why the id is unknown, if it is: then it keeps its place and nothing else (RULES C3).
    pub(super) content: Result<Box<OsUpdatePolicySpec>, String>,
}

/// A promotion that reaches the host.
#[derive(Clone, Debug)]
pub(super) struct Promotion {
    pub(super) source: Source,
    pub(super) os: TargetOs,
    /// `os.version`, if it is a version.
    pub(super) parsed: Option<crate::version::Version>,
    /// Why the id is unknown, if it is: then it promotes nothing.
    pub(super) unknown: Option<String>,
}

/// A retry that reaches the host.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    pub(super) source: Source,
    pub(super) profile: Digest,
    pub(super) attempt: u64,
}

/// A schedule that reaches the host.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) source: Source,
    pub(super) spec: Spec,
}

impl Reach {
    /// Picks what reaches the host `key`.
    pub fn new(standing: &Standing, key: KeyId) -> Self {
        let place = Place::of(standing, key);
        let closings = closings(standing, &place);
        let schedules = schedules(standing, &place);
        let beats = standing.heartbeats.values().filter(|beat| beat.scope.holds(&place.host));
        let issued = standing.root.as_ref().map_or(WallTime::EPOCH, |root| root.issued);
        let fresh_as_of = beats.clone().map(|beat| beat.time).fold(issued, WallTime::max);
        let beats_missing =
            beats.flat_map(|beat| missing(standing, &place, &beat.newest)).collect();
        Self {
            root: standing.root.clone(),
            wait: standing.wait.clone(),
            policies: policies(standing, &place),
            promotions: promotions(standing, &place),
            lost_promotion: lost(standing, Kind::Promotion),
            images: Images::of(standing, &place),
            retries: retries(standing, &place),
            calendar: {
                let emergencies = emergencies(standing, &place);
                Calendar::new(schedules, emergencies, &closings, place.zone.clone())
            },
            closings,
            fresh_as_of,
            beats_missing,
            place,
        }
    }

    /// The host to decide for.
    pub fn host(&self) -> KeyId {
        self.place.host.key
    }

    /// As of when the newest word of the fleet that this host has speaks: its newest heartbeat, or
    /// the root.
    pub fn fresh_as_of(&self) -> WallTime {
        self.fresh_as_of
    }

    /// The windows of every schedule that reaches the host, without what its blackouts close.
    pub fn windows(&self) -> &Windows {
        self.calendar.windows()
    }

    /// Whether a version that opens something is in force here over the whole width of `now`
    /// (RULES S5, S6, S7); `None`: wait.
    pub fn is_in_force(&self, standing: &Standing, version: &Version, now: &Now) -> Option<bool> {
        match Span::of(version).in_force(now) {
            InForce::Ended => Some(false),
            InForce::Unsure(_) | InForce::Lapsed => None,
            InForce::Yes => {
                missing(standing, &self.place, &version.sees).is_empty().then_some(true)
            }
        }
    }

    /// Where the host is, as targets ask for it; the OS profile is the machine's to say.
    pub fn place(&self) -> &HostPlace {
        &self.place.host
    }
}

/// The first line of a kind that is unknown and of which no version is held.
pub(super) fn lost(standing: &Standing, kind: Kind) -> Option<String> {
    let mut lines = standing.of_kind(kind).filter(|(_, line)| line.versions.is_empty());
    lines.find_map(|(id, line)| match says(line) {
        Says::Unknown(why) => Some(format!("{kind} {id}: {why}")),
        Says::This(..) | Says::Gone(_) => None,
    })
}

/// What of `sees` the host lies within the scope of, and is not held (RULES S5).
pub(super) fn missing(standing: &Standing, place: &Place, sees: &[Seen]) -> Vec<Seen> {
    let is_missing = |Seen(scope, kind, id, version): &&Seen| {
        let held = standing.held.get(&(kind.clone(), id.clone())).copied();
        let line =
            kind.parse::<Kind>().ok().and_then(|kind| standing.lines.get(&(kind, id.clone())));
        let counted = line.and_then(|line| line.versions.first()).map(|newest| newest.version);
        scope.holds(&place.host) && held.max(counted).is_none_or(|held| held < *version)
    };
    sees.iter().filter(|seen| holds(Rule::S5Sees) && is_missing(seen)).cloned().collect()
}

pub(super) fn source(
    standing: &Standing,
    place: &Place,
    id: &ResourceId,
    version: &Version,
) -> Source {
    Source {
        id: id.clone(),
        version: version.version,
        span: Span::of(version),
        missing: missing(standing, place, &version.sees),
        profile: profile_of(version),
    }
}

/// Whether something that opens may reach the host; its condition on the OS profile is judged
/// when deciding.
pub(super) fn may_reach(version: &Version, place: &Place) -> bool {
    version.reaches(&place.host, UnknownProfile::Matches)
}

fn policies(standing: &Standing, place: &Place) -> Vec<Policy> {
    let mut policies: Vec<Policy> = Vec::new();
    for (id, line) in standing.of_kind(Kind::OsUpdatePolicy) {
        match says(line) {
            Says::This(version, Spec::OsUpdatePolicy(spec)) if may_reach(version, place) => {
                policies.push(Policy {
                    source: source(standing, place, id, version),
                    rank: version.rank(&place.host),
                    priority: spec.priority,
                    issued: version.issued,
                    content: Ok(spec.clone()),
                });
            }
            Says::This(..) | Says::Gone(_) => {}
            Says::Unknown(why) => policies.extend(unknown_policy(place, id, &line.versions, why)),
        }
    }
    policies.sort_by(|a, b| order(a).cmp(&order(b)));
    policies
}

/// The order of policies: rank, then priority, then id so that it is total (RULES Q10).
pub(super) fn order(policy: &Policy) -> (Rank, Reverse<i32>, &ResourceId) {
    (policy.rank, Reverse(policy.priority), &policy.source.id)
}

/// The place that an unknown policy keeps: the first of all that its held versions had (RULES C3).
/// Where none is held it may have been anywhere, and comes first (I6).
fn unknown_policy(
    place: &Place,
    id: &ResourceId,
    versions: &[Arc<Version>],
    why: String,
) -> Option<Policy> {
    if !holds(Rule::C3Place) {
        return None;
    }
    let mut unknown = Policy {
        source: Source {
            id: id.clone(),
            version: versions.first().map_or(0, |newest| newest.version),
            span: Span::always(),
            missing: Vec::new(),
            profile: None,
        },
        rank: Rank::Hosts,
        priority: i32::MAX,
        issued: WallTime::EPOCH,
        content: Err(why),
    };
    if versions.is_empty() {
        return Some(unknown);
    }
    let reaching: Vec<&Version> =
        versions.iter().map(Arc::as_ref).filter(|v| !v.gone && may_reach(v, place)).collect();
    unknown.rank = reaching.iter().map(|version| version.rank(&place.host)).min()?;
    unknown.priority = reaching.iter().map(|version| priority(version)).max()?;
    let profile = profile_of(reaching.first()?);
    unknown.source.profile =
        profile.filter(|one| reaching.iter().all(|other| profile_of(other).as_ref() == Some(one)));
    Some(unknown)
}

fn priority(version: &Version) -> i32 {
    match &version.spec {
        Ok(Some(Spec::OsUpdatePolicy(spec))) => spec.priority,
        _ => i32::MAX,
    }
}

fn promotions(standing: &Standing, place: &Place) -> Vec<Promotion> {
    let mut promotions = Vec::new();
    for (id, line) in standing.of_kind(Kind::Promotion) {
        let (counting, unknown) = match says(line) {
            Says::This(..) => (1, None),
            Says::Gone(_) => (0, None),
            Says::Unknown(why) => (line.versions.len(), Some(why)),
        };
        for version in line.versions.iter().take(counting) {
            if let Ok(Some(Spec::Promotion(spec))) = &version.spec
                && may_reach(version, place)
            {
                promotions.push(Promotion {
                    source: source(standing, place, id, version),
                    parsed: spec.os.version.parse().ok(),
                    os: spec.os.clone(),
                    unknown: unknown.clone(),
                });
            }
        }
    }
    promotions
}

fn retries(standing: &Standing, place: &Place) -> Vec<Retry> {
    let lines = standing.of_kind(Kind::Retry);
    let reaching = lines.filter_map(|(id, line)| match says(line) {
        Says::This(version, Spec::Retry(RetrySpec { profile, attempt, .. }))
            if may_reach(version, place) =>
        {
            let source = source(standing, place, id, version);
            Some(Retry { source, profile: *profile, attempt: *attempt })
        }
        Says::This(..) | Says::Gone(_) | Says::Unknown(_) => None,
    });
    reaching.collect()
}

fn schedules(standing: &Standing, place: &Place) -> Vec<Schedule> {
    let lines =
        standing.of_kind(Kind::SingleSchedule).chain(standing.of_kind(Kind::RepeatedSchedule));
    let reaching = lines.filter_map(|(id, line)| match says(line) {
        Says::This(version, spec) if may_reach(version, place) => {
            Some(Schedule { source: source(standing, place, id, version), spec: spec.clone() })
        }
        Says::This(..) | Says::Gone(_) | Says::Unknown(_) => None,
    });
    reaching.collect()
}
