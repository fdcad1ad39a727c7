//! What closes: halts, holds, blackouts and unknown kinds that reach the host (RULES C2, C4, S3).

use std::cmp::min;

use super::line::{Says, held_before, says};
use super::place::Place;
use super::reach::missing;
use crate::id::ResourceId;
use crate::resource::{BlackoutSpec, Kind, Spec};
use crate::rules::{Rule, holds};
use crate::target::UnknownProfile;
use crate::time::{Now, WallTime};
use crate::trust::{HaltLine, Line, Seen, Standing, UnknownKindLine, Version};

/// One statement that closes.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    pub(super) what: What,
    /// Kind, name or id, version and why, for people.
    pub(super) told: String,
    /// Before this something else holds it open: a resume or a newer version, until the delegation
    /// of those who signed that is over.
    pub(super) from: Option<WallTime>,
    /// Counts from the earliest possible now: an end that opens (RULES S6).
    pub(super) until: Option<WallTime>,
    /// Only hosts on this OS profile, and those on an unknown one.
    pub(super) profile: Option<String>,
}

/// What it closes.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Everything; with a policy, for those who follow it.
    Halt(Option<ResourceId>),
    /// Everything.
    Hold,
    /// Everything: a kind that this version does not know.
    Kind,
    /// The times it names; all of them if they cannot be told.
    Blackout(ResourceId, Option<Box<BlackoutSpec>>),
}

impl Closing {
    /// Whether it may close at the earliest possible now or later.
    pub(super) fn stands(&self, now: &Now, profile: Option<&str>) -> bool {
        self.from.is_none_or(|from| from <= now.latest)
            && self.until.is_none_or(|until| now.earliest < until)
            && fits(self.profile.as_deref(), profile)
    }
}

/// Whether a condition on the OS profile may hold.
fn fits(wanted: Option<&str>, profile: Option<&str>) -> bool {
    match (wanted, profile) {
        (Some(wanted), Some(profile)) => wanted == profile,
        (None, _) | (_, None) => true,
    }
}

/// All that closes something for the host.
pub(super) fn closings(standing: &Standing, place: &Place) -> Vec<Closing> {
    let mut closings = Vec::new();
    closings.extend(standing.halts.iter().filter_map(|halt| of_halt(halt, place)));
    closings.extend(of_flood(standing, place));
    closings.extend(standing.unknown_kinds.iter().filter_map(|line| of_unknown(line, place)));
    for kind in [Kind::Hold, Kind::Blackout] {
        for (id, line) in standing.of_kind(kind) {
            of_line(standing, (kind, id, line), place, &mut closings);
        }
    }
    closings
}

fn of_halt(halt: &HaltLine, place: &Place) -> Option<Closing> {
    let version = &halt.version;
    let (name, policy) = match &version.spec {
        Ok(Some(Spec::Halt(spec))) => (spec.name.as_str(), spec.policy.clone()),
        _ => ("that cannot be read", None),
    };
    let told = format!("halt {name} ({}){}", version.statement.short(), because(version));
    (holds(Rule::C4Halts) && reaches(version, place)).then(|| Closing {
        what: What::Halt(policy),
        told,
        from: halt.lifted_until,
        until: version.until,
        profile: profile_of(version),
    })
}

/// A key that floods halts all that it may: everyone in the scopes of its halts, whatever each of
/// them says (RULES C4).
fn of_flood(standing: &Standing, place: &Place) -> Option<Closing> {
    let here = standing.halts.iter().filter(|halt| halt.version.scope.holds(&place.host));
    let until = here.filter_map(|halt| halt.flood).max()?;
    Some(Closing {
        from: None,
        what: What::Halt(None),
        told: "more than 64 halts by one key, which count for everyone".into(),
        until: (until < WallTime::MAX).then_some(until),
        profile: None,
    })
}

fn of_unknown(line: &UnknownKindLine, place: &Place) -> Option<Closing> {
    let version = &line.version;
    (holds(Rule::S3UnknownKinds) && line.closes && !version.gone && reaches(version, place)).then(
        || Closing {
            what: What::Kind,
            told: format!("{} {}{}", line.kind, line.id, because(version)),
            from: None,
            until: version.until,
            profile: profile_of(version),
        },
    )
}

fn of_line(
    standing: &Standing,
    (kind, id, line): (Kind, &ResourceId, &Line),
    place: &Place,
    into: &mut Vec<Closing>,
) {
    // What the newest version opens, by ending or changing an older one, is held while it was
    // issued too far in the future (RULES S7), or while something that its signers saw, such as
    // what closes instead, is missing here (RULES S5); what it closes counts at once.
    let (newest, unknown) = match says(line) {
        Says::This(version, _) | Says::Gone(version) => (Some(version), None),
        Says::Unknown(why) => (None, Some(why)),
    };
    let missing = newest.map_or_else(Vec::new, |newest| missing(standing, place, &newest.sees));
    if line.versions.is_empty() {
        let why = unknown.as_deref().unwrap_or("no version of it is held");
        let told = format!("{kind} {id}, of which nothing is held: {why}");
        let what = if kind == Kind::Hold { What::Hold } else { What::Blackout(id.clone(), None) };
        into.push(Closing { what, told, from: None, until: None, profile: None });
    }
    for (index, version) in line.versions.iter().enumerate() {
        if version.gone || !reaches(version, place) {
            continue;
        }
        let spans = match newest {
            Some(_) if index > 0 && !missing.is_empty() => vec![(None, version.until)],
            Some(newest) if index > 0 => superseded(version, newest),
            _ => vec![(None, version.until)],
        };
        let note = match (&unknown, missing.as_slice()) {
            (Some(why), _) => format!(", unknown: {why}"),
            (None, missing @ [_, ..]) if index > 0 => {
                let missing: Vec<String> = missing.iter().map(Seen::to_string).collect();
                format!(", until what ended it is held whole: {} is missing", missing.join(", "))
            }
            (None, _) => String::new(),
        };
        let (name, what) = content(kind, version, id);
        let told = format!("{kind} {name} v{}{note}{}", version.version, because(version));
        into.extend(spans.into_iter().map(|(from, until)| Closing {
            what: what.clone(),
            told: told.clone(),
            from,
            until,
            profile: profile_of(version),
        }));
    }
}

/// From when to when a version closes beside a newer one: while that one was issued too far in the
/// future, and again once the delegation of those who signed it is over.
fn superseded(version: &Version, newest: &Version) -> Vec<(Option<WallTime>, Option<WallTime>)> {
    let held = held_before(newest);
    let early = version.until.map_or(held, |until| min(until, held));
    let early = (held > version.issued).then_some((None, Some(early)));
    let late = newest.signers_until.map(|over| (Some(over), version.until));
    early.into_iter().chain(late).collect()
}

fn content(kind: Kind, version: &Version, id: &ResourceId) -> (String, What) {
    match &version.spec {
        Ok(Some(Spec::Blackout(spec))) => {
            (spec.name.clone(), What::Blackout(id.clone(), Some(Box::new(spec.clone()))))
        }
        Ok(Some(Spec::Hold(spec))) => (spec.name.clone(), What::Hold),
        _ if kind == Kind::Hold => (id.to_string(), What::Hold),
        _ => (id.to_string(), What::Blackout(id.clone(), None)),
    }
}

fn reaches(version: &Version, place: &Place) -> bool {
    version.reaches(&place.host, UnknownProfile::Matches)
}

pub(super) fn profile_of(version: &Version) -> Option<String> {
    version.target.as_ref().and_then(|target| target.os_profile.clone())
}

fn because(version: &Version) -> String {
    if version.reason.is_empty() { String::new() } else { format!(": {}", version.reason) }
}
