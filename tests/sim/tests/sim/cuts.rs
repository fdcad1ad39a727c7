//! One machine's whole update, cut once at every write and every act: it boots, keeps its floors,
//! leaves exactly one truthful run of each attempt, and goes on.

use daymark_core::durable::UpdateState;
use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::scenario::{Scenario, Span};

const ALONE: &str = r#"
name = "test"
about = "a test"
length = "3h"
calmAfter = "170m"
founded = "everywhere"
wakeSlack = "5m"
[[site]]
name = "berlin"
hosts = 1
[machine]
bootTries = 2
[[image]]
version = "2.0.0"
[[event]]
do = "order"
at = "30m"
version = "2.0.0"
window = { kind = "once", from = "1h", to = "150m" }
spread = "1m"
"#;

/// Checks but for the one that demands an update: a power cut in the new image's first boot rightly
/// speaks against the image.
const NAMES: [&str; 13] =
    ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "reboots"];

/// Runs with a crash at a point; whether the point was reached, and whether the image runs.
fn cut(point: u32, power: bool, tears: bool) -> (bool, bool) {
    let scenario = Scenario::parse(ALONE).expect("the scenario is sound");
    let length = scenario.length;
    let mut world = World::new(scenario, 1, Checks::only(&NAMES));
    world.run_until(Span::minutes(29).0, |_| false);
    world.crash_at(0, point, power, tears);
    world.run_until(Span::minutes(169).0, |_| false);
    let reached = !world.awaits_crash(0);
    world.run_until(length.0, |_| false);
    world.end();
    let how = format!("cut at {point}, power {power}, tears {tears}");
    assert_eq!(world.violations(), [], "{how}");
    let host = &world.hosts[0];
    let state = host.disk.state();
    assert_eq!(state.update, UpdateState::Idle, "{how}: it goes on");
    assert!(host.machine.is_confirmed() && host.machine.runs().is_some(), "{how}: it boots");
    assert_eq!(state.finished.len() as u64, state.attempt, "{how}: one run of each attempt");
    assert!(!state.finished.is_empty(), "{how}: it tried");
    let runs = host.machine.runs().map(|image| world.images.of(image).version.clone());
    (reached, runs.as_deref() == Some("2.0.0"))
}

/// Cuts at every point in turn.
#[allow(clippy::print_stdout, reason = "the number of cuts is a figure to print")]
fn survives(power: bool, tears: bool) {
    let (mut cuts, mut updated) = (0, 0);
    for point in 0.. {
        let (reached, runs_new) = cut(point, power, tears);
        if !reached {
            break;
        }
        cuts += 1;
        updated += u32::from(runs_new);
    }
    println!("{cuts} cuts in one update; after {updated} of them the new image runs");
    assert!(cuts > 30 && updated * 10 > cuts * 8, "{cuts} cuts, {updated} updated");
}

#[test]
fn i4_i5_i12_an_update_survives_a_kill_at_every_write_and_every_act() {
    survives(false, false);
}

#[test]
fn i4_i5_i12_an_update_survives_a_power_cut_at_every_write_and_every_act() {
    survives(true, false);
}

#[test]
fn i4_i5_i12_an_update_survives_a_power_cut_that_tears_every_write() {
    survives(true, true);
}
