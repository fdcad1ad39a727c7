//! A bug on purpose for each check: the check alone sees it, and without the bug nothing is seen.

use daymark_core::PlantedBug;
use daymark_sim::World;
use daymark_sim::checks::{Checks, NAMES, Violation};
use daymark_sim::scenario::Scenario;

const WORLD: &str = r#"
name = "test"
about = "a test"
length = "8h"
calmAfter = "7h"
founded = "everywhere"
wakeSlack = "1m"
[[site]]
name = "berlin"
hosts = 8
"#;

const ORDER: &str = r#"
[[image]]
version = "2.0.0"
[[image]]
version = "3.0.0"
[[event]]
do = "order"
at = "30m"
version = "2.0.0"
window = { kind = "once", from = "2h", to = "8h" }
"#;

/// The world in which a bug shows.
fn world(bug: PlantedBug) -> String {
    let event = |text: &str| format!("{WORLD}{ORDER}\n[[event]]\n{text}\n");
    match bug {
        PlantedBug::StageUnordered => event("do = \"release\"\nat = \"10m\"\nversion = \"3.0.0\""),
        PlantedBug::RememberPermission => event("do = \"leave\"\nat = \"1h\"\nkey = 0"),
        PlantedBug::SkipSees => {
            let hidden = "do = \"blackout\"\nat = \"10m\"\nfrom = \"100h\"\nuntil = \"110h\"";
            event(hidden).replace("window =", "sees = true\nwindow =")
        }
        PlantedBug::AdmitAskers => event("do = \"remove\"\nat = \"20m\"\nhost = 5"),
        PlantedBug::IgnoreHalt => event("do = \"halt\"\nat = \"1h\""),
        PlantedBug::ClaimSuccess => {
            let fails = "version = \"2.0.0\"\nfails = \"health\"\n[[image]]";
            format!("{WORLD}{}", ORDER.replacen("version = \"2.0.0\"\n[[image]]", fails, 1))
        }
        PlantedBug::NoBudget => {
            let short = WORLD.replace("\"8h\"", "\"40m\"").replace("\"7h\"", "\"20m\"");
            format!("{short}{ORDER}\n[hostile]\nperCent = 30\nacts = [\"flood\"]\n")
        }
        PlantedBug::Dawdle => format!("{WORLD}{ORDER}").replace("\"7h\"", "\"1h\""),
        PlantedBug::IgnoreWindow
        | PlantedBug::ForgetFloor
        | PlantedBug::OverwriteFallBack
        | PlantedBug::DecideByHistory
        | PlantedBug::LoseEntries
        | PlantedBug::RestartTwice => format!("{WORLD}{ORDER}"),
    }
}

fn violations(bug: PlantedBug, planted: bool, checks: &[&str]) -> Vec<Violation> {
    let scenario = Scenario::parse(&world(bug)).expect("the scenario is sound");
    let length = scenario.length;
    let checks = Checks::only(checks);
    let mut world = if planted {
        World::planted(scenario, 3, checks, bug)
    } else {
        World::new(scenario, 3, checks)
    };
    world.run_until(length.0, |world| !world.violations().is_empty());
    world.end();
    world.violations().to_vec()
}

/// The bug's check sees it with all others off; without the bug none sees anything.
fn is_seen_by_its_check_alone(bug: PlantedBug) {
    let (_, check) = PlantedBug::ALL.into_iter().find(|(of, _)| *of == bug).expect("it is listed");
    let found = violations(bug, true, &[check]);
    assert!(!found.is_empty(), "{check} does not see {bug:?}");
    assert!(found.iter().all(|violation| violation.check == check));
    let without = violations(bug, false, &NAMES);
    assert_eq!(without, [], "{bug:?} is not planted");
}

macro_rules! planted {
    ($($name:ident: $bug:ident,)*) => {
        $(
            #[test]
            fn $name() {
                is_seen_by_its_check_alone(PlantedBug::$bug);
            }
        )*

        /// Bugs with a test.
        const TESTED: &[PlantedBug] = &[$(PlantedBug::$bug),*];
    };
}

planted! {
    i1_stage_unordered: StageUnordered,
    i2_ignore_window: IgnoreWindow,
    i3_remember_permission: RememberPermission,
    i4_forget_floor: ForgetFloor,
    i5_overwrite_fall_back: OverwriteFallBack,
    i6_skip_sees: SkipSees,
    i7_admit_askers: AdmitAskers,
    i8_decide_by_history: DecideByHistory,
    i9_no_budget: NoBudget,
    i10_lose_entries: LoseEntries,
    i11_ignore_halt: IgnoreHalt,
    i12_claim_success: ClaimSuccess,
    progress_dawdle: Dawdle,
    reboots_restart_twice: RestartTwice,
}

#[test]
fn every_check_has_a_planted_bug() {
    for name in NAMES {
        assert!(PlantedBug::ALL.iter().any(|(_, check)| *check == name), "{name}");
    }
    for (bug, _) in PlantedBug::ALL {
        assert!(TESTED.contains(&bug), "{bug:?} has no test");
    }
}
