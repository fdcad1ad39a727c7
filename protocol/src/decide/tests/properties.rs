//! Properties over random fleets: losing something never opens anything (I6), the same data decide
//! the same (I8), and a less certain clock never permits more (RULES Q6).

use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

use super::fleet::*;
use crate::decide::Verdict;
use crate::resource::{Kind, Scope};
use crate::time::Now;
use crate::trust::{State, Validity, Version};

/// A change to a fleet that is ready: what, which id, and four small numbers that shape it.
type Change = (u8, u8, [u8; 4]);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0_u8..10, 0_u8..3, prop::array::uniform4(0_u8..6)), 0..7)
}

fn target(number: u8) -> Value {
    match number {
        0 => json!({ "hosts": [HOST] }),
        1 => json!({ "site": "site-a" }),
        2 => json!({ "site": "site-b" }),
        3 => json!({ "all": true, "osProfile": "microvisor" }),
        4 => json!({ "labels": { "line": "3" } }),
        _ => json!({ "all": true }),
    }
}

/// A time around now: minutes, so that widths of a minute or two matter.
fn around(number: u8) -> crate::time::WallTime {
    at(NOW).plus_ms((i64::from(number) - 3) * 50_000)
}

fn apply(fleet: &mut Fleet, (what, which, [a, b, c, d]): Change) {
    let os = ["os-1", "os-2"][usize::from(which % 2)];
    let image = ["3.0.20240720.2000", SECOND][usize::from(which % 2)];
    let digest = fleet.digest_of(Kind::OsProfile, os);
    let name = |prefix: &str| format!("{prefix}-{which}");
    let (kind, name, spec) = match what {
        0 => (Kind::Hold, name("hold"), json!({ "name": "h" })),
        1 => {
            let (from, to) = (around(c), around(c).plus_ms(20_000 * (1 + i64::from(d))));
            (Kind::Blackout, name("blackout"), json!({ "name": "b", "from": from, "to": to }))
        }
        2 => (Kind::OsUpdatePolicy, name("policy"), with(latest(), "priority", json!(d))),
        3 => (Kind::OsUpdatePolicy, name("policy"), target_of("microvisor", image, digest)),
        4 => {
            let os = json!({ "profile": "microvisor", "version": image, "digest": digest });
            (Kind::Promotion, name("promotion"), json!({ "os": os }))
        }
        5 => {
            let times = json!({
                "name": "s", "scheduleStatus": "SCHEDULE_STATUS_MAINTENANCE",
                "startSeconds": around(c).as_seconds(),
                "endSeconds": around(c).as_seconds() + 400 + i64::from(d) * 20,
            });
            (Kind::SingleSchedule, name("single"), times)
        }
        6 => {
            let spec =
                profile_spec("microvisor", ["3.0.20240820.2000", "3.1.0"][usize::from(d % 2)]);
            (Kind::OsProfile, name("os"), with(spec, "minimumVersion", json!("3.0.1")))
        }
        7 => (Kind::Site, "site-a".into(), json!({ "name": "a", "region": "region-a" })),
        8 => (Kind::Retry, name("retry"), json!({ "name": "r", "profile": digest, "attempt": d })),
        _ => {
            let halt = fleet.halt(target(a), json!({ "name": "stop" }));
            Arc::make_mut(&mut halt.version).until = Some(around(b));
            return;
        }
    };
    let spec = if c == 5 && d == 5 { Value::Null } else { spec };
    let exists = fleet.standing.lines.contains_key(&(kind, id(&name)));
    let added = if exists {
        fleet.supersede(kind, &name, target(a), spec)
    } else {
        fleet.put(kind, &name, target(a), spec)
    };
    added.until = (b > 1).then(|| around(b));
    added.issued = if b == 1 { around(c).plus_ms(86_400_000) } else { added.issued };
}

fn fleet_of(changes: Vec<Change>, staged: bool) -> Fleet {
    let mut fleet = Fleet::ready();
    if !staged {
        fleet.machine.staged = None;
    }
    for change in changes {
        apply(&mut fleet, change);
    }
    fleet
}

fn is_go(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Stage | Verdict::Activate => true,
        Verdict::Nothing | Verdict::Wait => false,
    }
}

/// Loses something of the `which`th line, in one of the ways that judging can report.
fn lose(fleet: &mut Fleet, which: usize, how: u8) {
    let which = which % fleet.standing.lines.len();
    let line = fleet.standing.lines.values_mut().nth(which).unwrap();
    match how {
        0 => line.state = State::Unknown("two differ".into()),
        1 => {
            line.state = State::Unknown("a floor names what is not held".into());
            line.versions.clear();
        }
        2 => Arc::make_mut(&mut line.versions[0]).validity = Validity::Fallen,
        _ => Arc::make_mut(&mut line.versions[0]).spec = Err("written for a newer agent".into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn i6_losing_something_never_opens_anything(
        changes in changes(), staged: bool, which: usize, how in 0_u8..4, width in 0_i64..3,
    ) {
        let mut fleet = fleet_of(changes, staged);
        let now = Now::reading(at(NOW), width * 60_000);
        let before = fleet.decide_at(&now);
        lose(&mut fleet, which, how);
        let after = fleet.decide_at(&now);
        prop_assert!(
            is_go(before.verdict) || !is_go(after.verdict),
            "{} became {:#?}", before.reason, after
        );
    }

    #[test]
    fn q6_a_wider_now_never_permits_more(
        changes in changes(), staged: bool, narrow in 0_i64..200_000, earlier in 0_i64..200_000,
        later in 0_i64..200_000,
    ) {
        let fleet = fleet_of(changes, staged);
        let now = Now::reading(at(NOW), narrow);
        let wider = Now {
            earliest: now.earliest.plus_ms(-earlier), latest: now.latest.plus_ms(later), known: true,
        };
        let (before, after) = (fleet.decide_at(&now), fleet.decide_at(&wider));
        prop_assert!(
            is_go(before.verdict) || !is_go(after.verdict),
            "{} became {:#?}", before.reason, after
        );
    }

    #[test]
    fn i8_the_same_data_decide_the_same(changes in changes(), staged: bool) {
        let fleet = fleet_of(changes, staged);
        let copy = Fleet { standing: fleet.standing.clone(), machine: fleet.machine.clone() };
        prop_assert_eq!(fleet.decide(), copy.decide());
    }

    #[test]
    fn i2_it_activates_only_in_a_window_and_outside_blackouts(changes in changes()) {
        let fleet = fleet_of(changes, true);
        let decision = fleet.decide();
        if decision.verdict == Verdict::Activate {
            let window = decision.window.unwrap();
            prop_assert!(window.start <= at(NOW) && window.end.is_none_or(|end| at(NOW) < end));
            let closed = fleet.standing.of_kind(Kind::Blackout).any(|(_, line)| {
                line.state == State::Counts && closes_now(&line.versions[0])
            });
            prop_assert!(!closed);
        }
    }
}

/// Whether a blackout for everyone or this host's site closes now: the independent reading.
fn closes_now(version: &Version) -> bool {
    let Ok(Some(crate::resource::Spec::Blackout(spec))) = &version.spec else { return false };
    let everyone = version.target.as_ref().is_some_and(|target| target.all);
    let fleet_wide = version.scope == Scope::Fleet && everyone;
    fleet_wide
        && (spec.from..spec.to).contains(&at(NOW))
        && version.until.is_none_or(|until| at(NOW) < until)
}

#[test]
fn random_fleets_may_go_and_may_wait() {
    assert!(is_go(fleet_of(Vec::new(), true).decide().verdict));
    let halted = fleet_of(vec![(9, 0, [5, 5, 0, 0])], true);
    assert!(!is_go(halted.decide().verdict));
}
