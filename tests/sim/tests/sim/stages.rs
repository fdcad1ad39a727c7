//! The power fails at each named stage of an update (`docs/threat-model.md`, "Power cuts"): the cut
//! really hits the stage, and afterwards the machine boots, its floors stand, there is exactly one
//! truthful run of each attempt, and it goes on.

use std::collections::BTreeMap;

use daymark_core::durable::{DurableState, UpdateState};
use daymark_core::effect::{Act, Effect, Write};
use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::host::{CHUNKS, Condition, Moment, Point, Slot};
use daymark_sim::scenario::{Scenario, Span};

/// Checks but for the one that demands an update: two cuts in the new image's first boot rightly
/// speak against the image.
const NAMES: [&str; 13] =
    ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "reboots"];
const NEW: &str = "2.0.0";

struct Bench {
    world: World,
    /// Floors when the power was cut last: version by kind and id.
    floors: BTreeMap<String, u64>,
}

fn floors_of(world: &World) -> BTreeMap<String, u64> {
    let floors = world.hosts[0].disk.floors();
    floors.versions().map(|(kind, id, floor)| (format!("{kind} {id}"), floor.version)).collect()
}

impl Bench {
    /// A machine about to hear of an order; the new image fails as said.
    fn new(fails: &str) -> Self {
        let text = format!(
            r#"
name = "test"
about = "a test"
length = "5h"
calmAfter = "290m"
founded = "everywhere"
wakeSlack = "5m"
[[site]]
name = "berlin"
hosts = 1
[machine]
bootTries = 2
[[image]]
version = "{NEW}"
fails = "{fails}"
[[event]]
do = "order"
at = "30m"
version = "{NEW}"
window = {{ kind = "once", from = "1h", to = "270m" }}
spread = "1m"
"#
        );
        let scenario = Scenario::parse(&text).expect("the scenario is sound");
        let mut world = World::new(scenario, 1, Checks::only(&NAMES));
        world.run_until(Span::minutes(29).0, |_| false);
        Self { world, floors: BTreeMap::new() }
    }

    /// The power fails when this is about to be written or done.
    fn cut_when(&mut self, moment: Moment, tears: bool) {
        self.world.cut_power_when(0, moment, tears);
        let hit = self.world.run_until(Span::minutes(260).0, |world| !world.awaits_crash(0));
        assert!(hit, "the stage was never come to");
        self.floors = floors_of(&self.world);
    }

    /// The power fails as soon as it has come to this.
    fn cut_once(&mut self, stage: impl Fn(&World) -> bool) {
        let is_there = stage(&self.world);
        let hit = is_there || self.world.run_until(Span::minutes(260).0, stage);
        assert!(hit, "the stage was never come to");
        self.world.cut_power(0);
        self.floors = floors_of(&self.world);
    }

    fn comes_to(&mut self, stage: impl Fn(&World) -> bool) {
        assert!(self.world.run_until(Span::minutes(260).0, stage), "it does not come to it");
    }

    fn state(&self) -> &DurableState {
        self.world.hosts[0].disk.state()
    }

    fn slot(&self) -> Slot {
        self.world.hosts[0].machine.slot(1)
    }

    /// What must hold whatever the stage; the version that runs.
    fn ends_well(mut self) -> (String, DurableState) {
        self.world.run_until(Span::minutes(299).0, |_| false);
        self.world.end();
        assert_eq!(self.world.violations(), []);
        let host = &self.world.hosts[0];
        let state = host.disk.state().clone();
        assert_eq!(state.update, UpdateState::Idle, "it goes on");
        assert!(host.machine.is_confirmed() && !host.machine.is_armed(), "one default, no trial");
        assert_eq!(state.finished.len() as u64, state.attempt, "one run of each attempt");
        let floors = floors_of(&self.world);
        for (id, version) in &self.floors {
            assert!(floors.get(id) >= Some(version), "the floor of {id} fell");
        }
        let runs = host.machine.runs().expect("it boots");
        (self.world.images.of(runs).version.clone(), state)
    }

    fn ends_updated(self) {
        let (version, state) = self.ends_well();
        assert_eq!(version, NEW);
        assert!(state.quarantine.is_empty(), "nothing speaks against the image");
    }
}

fn ordered(effect: &Effect, which: fn(&Act) -> bool) -> bool {
    matches!(effect, Effect::Perform { act, .. } if which(act))
}

fn is_partial(world: &World, least: u32) -> bool {
    matches!(world.hosts[0].machine.slot(1), Slot::Partial(_, chunks) if chunks >= least)
}

#[test]
fn stage_01_writing_a_change_or_a_signed_blob() {
    let moments: [Moment; 2] = [
        |point| matches!(point, Point::Write(Write::PutEntry { .. })),
        |point| matches!(point, Point::Write(Write::PutReport { .. })),
    ];
    for moment in moments {
        for tears in [false, true] {
            let mut bench = Bench::new("nothing");
            bench.cut_when(moment, tears);
            bench.ends_updated();
        }
    }
}

#[test]
fn stage_02_raising_a_floor() {
    for tears in [false, true] {
        let mut bench = Bench::new("nothing");
        let before = floors_of(&bench.world);
        bench.cut_when(|point| matches!(point, Point::Write(Write::AppendFloor(_))), tears);
        assert_eq!(bench.floors, before, "old, and nothing was done by it yet");
        assert_eq!(bench.state().update, UpdateState::Idle, "no act without its floor");
        bench.ends_updated();
    }
}

#[test]
fn stage_03_fetching_chunks() {
    let mut bench = Bench::new("nothing");
    bench.cut_once(|world| is_partial(world, CHUNKS / 2));
    let Slot::Partial(image, before) = bench.slot() else { panic!("cut in the midst") };
    bench.comes_to(|world| world.hosts[0].machine.slot(1) != Slot::Partial(image, before));
    let resumed = matches!(bench.slot(), Slot::Partial(_, chunks) if chunks == before + 1);
    assert!(resumed || bench.slot() == Slot::Whole(image), "it resumes: {:?}", bench.slot());
    bench.ends_updated();
}

/// Nothing is reserved: small files are all that is written beside slots. Where the disk is full
/// the agent stops before it acts.
#[test]
fn stage_04_finding_no_space() {
    let mut bench = Bench::new("nothing");
    bench.comes_to(|world| is_partial(world, 2));
    bench.world.hosts[0].disk.condition = Condition::FullUntil(u64::MAX);
    let until_ms = bench.world.now_ms() + Span::minutes(20).0;
    bench.world.run_until(until_ms, |_| false);
    assert!(!bench.world.hosts[0].machine.is_armed(), "it acts without having written it down");
    bench.cut_once(|_| true);
    bench.world.hosts[0].disk.condition = Condition::Good;
    bench.ends_updated();
}

#[test]
fn stage_05_writing_the_inactive_slot() {
    for chunks in (0..CHUNKS).step_by(usize::try_from(CHUNKS / 4).unwrap_or(1).max(1)) {
        let mut bench = Bench::new("nothing");
        bench.cut_once(|world| is_partial(world, chunks));
        let before = bench.world.hosts[0].machine.boots();
        bench.comes_to(|world| world.hosts[0].machine.boots() > before);
        let machine = &bench.world.hosts[0].machine;
        assert!(machine.booted() == 0 && machine.is_confirmed(), "the running slot is untouched");
        assert!(!machine.is_armed(), "the loader cannot pick the other one");
        bench.ends_updated();
    }
}

#[test]
fn stage_06_verifying_the_slot() {
    let mut bench = Bench::new("nothing");
    bench.cut_when(
        |point| {
            let Point::Write(Write::PutState(state)) = point else { return false };
            matches!(state.update, UpdateState::Staged(_))
        },
        true,
    );
    assert!(matches!(bench.slot(), Slot::Whole(_)), "all of it was written");
    assert!(matches!(bench.state().update, UpdateState::Staging(_)), "no pass was recorded");
    bench.ends_updated();
}

#[test]
fn stage_07_switching_the_boot_entry() {
    let mut before = Bench::new("nothing");
    before.cut_when(
        |point| {
            let Point::Effect(effect) = point else { return false };
            ordered(effect, |act| matches!(act, Act::Activate { .. }))
        },
        false,
    );
    assert!(!before.world.hosts[0].machine.is_armed(), "the old entry");
    assert!(matches!(before.state().update, UpdateState::Activating(_)));
    before.ends_updated();

    let mut after = Bench::new("nothing");
    after.cut_when(
        |point| {
            let Point::Write(Write::PutState(state)) = point else { return false };
            matches!(state.update, UpdateState::Rebooting(_))
        },
        true,
    );
    assert!(after.world.hosts[0].machine.is_armed(), "the new entry");
    assert!(
        matches!(after.state().update, UpdateState::Activating(_)),
        "of which nothing is known"
    );
    after.ends_well();
}

#[test]
fn stage_08_restarting_before_the_loader_runs() {
    let mut bench = Bench::new("nothing");
    bench.cut_when(
        |point| {
            let Point::Effect(effect) = point else { return false };
            ordered(effect, |act| matches!(act, Act::Reboot))
        },
        false,
    );
    assert!(bench.world.hosts[0].machine.is_armed() && bench.world.hosts[0].machine.booted() == 0);
    assert!(matches!(bench.state().update, UpdateState::Rebooting(_)));
    bench.ends_updated();
}

fn is_in_first_boot(world: &World) -> bool {
    let host = &world.hosts[0];
    let rebooting = matches!(host.disk.state().update, UpdateState::Rebooting(_));
    rebooting && host.machine.booted() == 1 && host.node.is_none()
}

#[test]
fn stage_09_booting_the_new_image_for_the_first_time() {
    let mut once = Bench::new("nothing");
    once.cut_once(is_in_first_boot);
    once.ends_updated();

    let mut thrice = Bench::new("nothing");
    for _ in 0..2 {
        thrice.cut_once(is_in_first_boot);
        thrice.comes_to(|world| world.hosts[0].powered);
    }
    thrice.comes_to(|world| world.hosts[0].machine.booted() == 0);
    let (version, state) = thrice.ends_well();
    assert_ne!(version, NEW, "its tries are used up");
    assert!(!state.quarantine.is_empty(), "and that speaks against it");
}

#[test]
fn stage_10_checking_its_health() {
    let mut bench = Bench::new("nothing");
    bench.cut_once(|world| {
        let host = &world.hosts[0];
        matches!(host.disk.state().update, UpdateState::Confirming(_)) && host.node.is_some()
    });
    assert!(!bench.world.hosts[0].machine.is_confirmed(), "not blessed");
    assert!(matches!(bench.world.hosts[0].machine.slot(0), Slot::Whole(_)), "the way back stands");
    bench.ends_well();
}

#[test]
fn stage_11_blessing_it() {
    let mut before = Bench::new("nothing");
    before.cut_when(
        |point| {
            let Point::Effect(effect) = point else { return false };
            ordered(effect, |act| matches!(act, Act::Confirm))
        },
        false,
    );
    assert!(!before.world.hosts[0].machine.is_confirmed());
    before.ends_well();

    let mut after = Bench::new("nothing");
    after.cut_once(|world| {
        let host = &world.hosts[0];
        host.machine.booted() == 1 && host.machine.is_confirmed()
    });
    after.ends_updated();
}

#[test]
fn stage_12_reporting_the_outcome() {
    let mut recorded = Bench::new("nothing");
    recorded.cut_when(
        |point| {
            let Point::Write(Write::PutState(state)) = point else { return false };
            !state.finished.is_empty()
        },
        true,
    );
    assert!(recorded.state().finished.is_empty(), "what came of it is derived again");
    recorded.ends_updated();

    let mut told = Bench::new("nothing");
    told.comes_to(|world| !world.hosts[0].disk.state().finished.is_empty());
    told.cut_when(|point| matches!(point, Point::Write(Write::PutReport { .. })), true);
    told.ends_updated();
}

#[test]
fn stage_13_falling_back() {
    let moments: [Moment; 2] = [
        |point| {
            let Point::Effect(effect) = point else { return false };
            ordered(effect, |act| matches!(act, Act::FallBack { .. }))
        },
        |point| {
            let Point::Write(Write::PutState(state)) = point else { return false };
            !state.finished.is_empty()
        },
    ];
    for moment in moments {
        let mut bench = Bench::new("health");
        bench.cut_when(moment, false);
        let (version, state) = bench.ends_well();
        assert_ne!(version, NEW, "it ends on the last good one");
        assert_eq!((state.quarantine.len(), state.attempt), (1, 1), "and does not try it again");
    }
}
