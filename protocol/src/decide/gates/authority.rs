//! Whether the host belongs to the fleet, the root chain is whole, and the time is known.

use crate::decide::because::Because;
use crate::decide::line::InForce;
use crate::decide::model::{Gate, GateAnswer};
use crate::decide::place::{Enrolment, Place};
use crate::rules::{Rule, holds};
use crate::time::{Now, WallTime};
use crate::trust::{ChainWait, RootState};

/// Enrolled, at a place that can be told. The words for the first two are EIM's.
pub(in crate::decide) fn enrolled(place: &Place, now: &Now) -> GateAnswer {
    let because = match &place.enrolment {
        Enrolment::Never => Because::new("not-provisioned", "no Host statement names this host"),
        Enrolment::Revoked => {
            Because::new("host-untrusted", "this host was removed from the fleet")
        }
        Enrolment::Unknown(why) => {
            Because::new("host-untrusted", format!("its Host statement is unknown: {why}"))
        }
        Enrolment::Displaced(why) => {
            Because::new("place-unknown", format!("where this host is cannot be told: {why}"))
        }
        Enrolment::Counts => return enrolled_now(place, now),
    };
    because.fact("host", place.host.key.short()).fail(Gate::Enrolled)
}

fn enrolled_now(place: &Place, now: &Now) -> GateAnswer {
    let now = &now.certain();
    for (what, span) in &place.spans {
        let (reason, message, at) = match span.in_force(now) {
            InForce::Yes => continue,
            InForce::Ended => {
                ("host-untrusted", format!("the statement of {what} has ended"), None)
            }
            InForce::Lapsed => {
                let message = format!(
                    "the delegation or token of those who signed for {what} is over: have it \
                     countersigned"
                );
                ("host-lapsed", message, None)
            }
            InForce::Unsure(at) => {
                ("host-held", format!("the statement of {what} begins or ends at {at}"), Some(at))
            }
        };
        return Because::new(reason, message).changes_at(now, at).fail(Gate::Enrolled);
    }
    let until = place.spans.iter().filter_map(|(_, span)| span.ends()).min();
    let site = place.host.site.as_ref().map_or_else(|| "none".into(), ToString::to_string);
    Because::new("enrolled", "this host is enrolled")
        .fact("host", place.name.clone())
        .fact("site", site)
        .changes_at(now, until)
        .pass(Gate::Enrolled)
}

/// The whole root chain is held and has not expired: expiry stops starting (RULES R1, R2).
/// If the root says how old the newest word of the fleet may be, it is no older (RULES K1).
pub(in crate::decide) fn authority(
    root: Option<&RootState>,
    wait: Option<&ChainWait>,
    fresh_as_of: WallTime,
    now: &Now,
) -> GateAnswer {
    let Some(root) = root else {
        let because = Because::new("root-incomplete", "the chain of roots is not held whole");
        let because =
            wait.into_iter().fold(because, |because, wait| because.fact("root", wait.to_string()));
        return because.fail(Gate::Authority);
    };
    let fact = format!("version {}, expires {}", root.version, root.expires);
    let judged = now.certain().latest;
    if root.expires <= judged && holds(Rule::R1Expiry) {
        return Because::new(
            "root-expired",
            "the newest root held has expired; it needs a new one",
        )
        .fact("root", fact)
        .fail(Gate::Authority);
    }
    let stale_at = root.freshness.stops_at(fresh_as_of);
    if stale_at.is_some_and(|at| at <= judged) {
        return Because::new(
            "not-fresh",
            "the newest word of the fleet is older than it may be: a newer heartbeat is missing",
        )
        .fact("root", fact)
        .fact("heartbeat", format!("as of {fresh_as_of}"))
        .fail(Gate::Authority);
    }
    let because = Because::new("root-current", "the newest root held has not expired")
        .fact("root", fact)
        .changes_at(now, root.expires)
        .changes_at(now, stale_at);
    match root.freshness.alarms_at(fresh_as_of) {
        Some(at) if at <= judged => because.fact("stale", format!("as of {fresh_as_of}")),
        Some(_) | None => because,
    }
    .pass(Gate::Authority)
}

/// A clock reading counts (RULES K2).
pub(in crate::decide) fn clock(now: &Now) -> GateAnswer {
    let interval = format!("between {} and {}", now.earliest, now.latest);
    if now.known {
        Because::new("clock-known", "a clock reading counts")
            .fact("now", interval)
            .pass(Gate::Clock)
    } else {
        Because::new(
            "clock-unknown",
            "no clock reading counts: synchronise the clock, or let peers or a heartbeat vouch",
        )
        .fact("now", interval)
        .fail(Gate::Clock)
    }
}
