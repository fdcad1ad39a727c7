//! What is foreseen of machines from what they hold is what they do: to the millisecond, on their
//! own clocks, if nothing comes between.

use std::collections::BTreeMap;

use daymark_protocol::decide::{Foresight, Reach, foresee};
use daymark_protocol::time::WallTime;
use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::scenario::Scenario;

const HOUR_MS: u64 = 3_600_000;

/// Two sites with an order each, one of whose windows a blackout cuts short, and a machine that is
/// removed. The windows come after everything is said.
const SITES: &str = r#"
name = "plan"
about = "a test"
length = "16h"
calmAfter = "1h"
founded = "everywhere"
[[site]]
name = "berlin"
hosts = 7
[[site]]
name = "hamburg"
hosts = 5
[[image]]
version = "2.0.0"
[[image]]
version = "2.1.0"
[[event]]
do = "blackout"
at = "20m"
from = "7h"
until = "9h"
to = 0
[[event]]
do = "order"
at = "30m"
version = "2.0.0"
site = "berlin"
window = { kind = "once", from = "8h", to = "12h" }
spread = "1h"
[[event]]
do = "order"
at = "40m"
version = "2.1.0"
site = "hamburg"
window = { kind = "once", from = "10h", to = "14h" }
spread = "30m"
[[event]]
do = "remove"
at = "50m"
host = 8
"#;

/// Updates by machine: to what version and when.
type Updates = BTreeMap<usize, Vec<(String, WallTime)>>;

/// A world after two hours, when all is said and known.
fn settled(text: &str) -> World {
    let scenario = Scenario::parse(text).expect("the scenario is sound");
    let mut world = World::new(scenario, 3, Checks::all());
    world.run_until(2 * HOUR_MS, |_| false);
    world
}

/// What is foreseen of each machine up to the end of the world, from what it holds itself.
fn foreseen(world: &World) -> BTreeMap<usize, Foresight> {
    let until = world.wall().plus_ms(14 * HOUR_MS as i64);
    let of = |host: usize| {
        let node = world.hosts[host].node.as_ref().expect("it runs");
        let standing = node.replica().expect("it took the fleet").standing();
        let machine = node.machine().expect("it was looked at");
        foresee(&Reach::new(standing, world.hosts[host].id), &machine, world.wall(), until)
    };
    (0..world.hosts.len()).map(|host| (host, of(host))).collect()
}

fn planned(foreseen: &BTreeMap<usize, Foresight>) -> Updates {
    let of = |foresight: &Foresight| {
        let update =
            |one: &daymark_protocol::decide::ForeseenUpdate| (one.target.version.clone(), one.at);
        foresight.updates.iter().map(update).collect()
    };
    foreseen.iter().map(|(host, foresight)| (*host, of(foresight))).collect()
}

/// What each machine recorded of its attempts: when it ordered the boot switch.
fn done(world: &World) -> Updates {
    let of = |host: usize| {
        let node = world.hosts[host].node.as_ref().expect("it runs");
        let runs = node.durable().finished.iter();
        let runs = runs.inspect(|run| assert_eq!(run.status, "UPDATED"));
        let run = runs.map(|run| {
            let activated = run.attempt.activated.expect("it was activated");
            (run.attempt.target.version.clone(), activated)
        });
        run.collect()
    };
    (0..world.hosts.len()).map(|host| (host, of(host))).collect()
}

#[test]
fn every_machine_updates_at_the_instant_that_was_foreseen() {
    let mut world = settled(SITES);
    let foreseen = foreseen(&world);
    let planned = planned(&foreseen);
    world.run_until(16 * HOUR_MS, |_| false);
    assert_eq!(planned, done(&world));
    assert_eq!(world.violations(), []);
    let updating = planned.values().filter(|updates| updates.len() == 1).count();
    assert_eq!(updating, 11, "everyone but the machine that was removed: {planned:?}");
    assert_eq!(&*foreseen[&8].last.reason, "host-untrusted");
    let instants: std::collections::BTreeSet<_> = planned.values().flatten().collect();
    assert_eq!(instants.len(), 11, "their turns differ");
}

#[test]
fn a_halted_fleet_is_foreseen_to_stand_still_and_does() {
    let halted = format!("{SITES}\n[[event]]\ndo = \"halt\"\nat = \"55m\"\n");
    let mut world = settled(&halted);
    let foreseen = foreseen(&world);
    world.run_until(16 * HOUR_MS, |_| false);
    assert_eq!(planned(&foreseen), done(&world));
    for (host, foresight) in &foreseen {
        let reason = if *host == 8 { "host-untrusted" } else { "halted" };
        assert_eq!((&foresight.updates[..], &*foresight.last.reason), (&[][..], reason));
    }
}
