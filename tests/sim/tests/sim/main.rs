//! Small worlds: what must become true, and what must never happen.

use daymark_core::durable::UpdateState;
use daymark_core::event::Carried;
use daymark_sim::scenario::{NEW, all_hold, fleet_entries, hash_of, run, sites_agree};
use daymark_sim::{Options, World};

const MINUTE_MS: u64 = 60_000;

fn all_run(world: &World) -> bool {
    world.hosts.iter().all(|host| host.node.is_some())
}

fn all_updated(world: &World) -> bool {
    all_run(world)
        && world.hosts.iter().all(|host| {
            host.machine.runs() == NEW
                && host.machine.is_confirmed()
                && host.disk.durable().update == UpdateState::Idle
        })
}

fn window(world: &World, from_minutes: i64, to_minutes: i64) -> Vec<Carried> {
    let at = |minutes: i64| world.wall().plus_ms(minutes * 60_000);
    world.fleet.order_update(NEW, at(from_minutes), at(to_minutes))
}

fn settled(options: Options) -> World {
    let mut world = World::new(options);
    world.run_until(3 * MINUTE_MS, |_| false);
    world
}

#[test]
fn a_policy_handed_to_one_node_reaches_all() {
    let mut world = settled(Options::new(1));
    let order = window(&world, 60, 120);
    let start_ms = world.now_ms();
    world.submit(0, order.clone()).expect("it is answered when it is durable");
    let done = world.run_until(start_ms + MINUTE_MS, |world| all_hold(world, &order));
    assert!(done, "not everywhere after a minute");
    assert!(world.network.lost > 0, "the network lost nothing");
}

#[test]
fn i2_all_update_inside_the_window_and_report_it() {
    let mut world = settled(Options::new(2));
    let order = window(&world, 60, 120);
    let (opens, closes) = (world.wall().plus_ms(3_600_000), world.wall().plus_ms(7_200_000));
    world.submit(3, order);
    let end_ms = world.now_ms() + 130 * MINUTE_MS;
    assert!(world.run_until(end_ms, all_updated), "not all updated");
    for host in &world.hosts {
        assert_eq!(host.activations.len(), 1, "each restarts once");
        assert!(opens <= host.activations[0] && host.activations[0] < closes);
        assert_eq!(host.machine.violations, Vec::<String>::new());
        let runs = &host.disk.durable().finished;
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].status, "UPDATED");
    }
    let end_ms = world.now_ms() + 5 * MINUTE_MS;
    assert!(world.run_until(end_ms, sites_agree), "I10");
    let replica = world.hosts[1].node().replica().unwrap();
    let told = replica.host_views().filter(|(_, view)| {
        view.facts().runs().iter().any(|run| run.status == "UPDATED" && run.end.is_some())
    });
    assert_eq!(told.count(), 10, "a node knows the runs of its whole site");
}

#[test]
fn a_partitioned_half_catches_up() {
    let mut world = settled(Options::new(3));
    world.divide(|host| host % 2 == 0);
    world.run_until(world.now_ms() + MINUTE_MS, |_| false);
    let order = window(&world, 60, 120);
    world.submit(0, order.clone());
    world.run_until(world.now_ms() + 5 * MINUTE_MS, |_| false);
    let hold =
        |world: &World, host: usize| fleet_entries(world, host).contains(&hash_of(&order[0]));
    assert!((0..20).step_by(2).all(|host| hold(&world, host)));
    assert!(!(1..20).step_by(2).any(|host| hold(&world, host)), "the partition leaks");
    world.heal();
    let end_ms = world.now_ms() + 3 * MINUTE_MS;
    assert!(world.run_until(end_ms, |world| all_hold(world, &order) && sites_agree(world)));
}

#[test]
fn q15_a_node_restored_from_an_old_disk_goes_on_above_what_it_once_said() {
    let mut world = settled(Options::new(4));
    let old = world.hosts[5].disk.clone();
    let generation = |world: &World| world.hosts[5].disk.durable().generation;
    for _ in 0..3 {
        world.power_off(5);
        world.power_on(5, None);
        world.run_until(world.now_ms() + 2 * MINUTE_MS, |_| false);
    }
    let before = generation(&world);
    assert!(before > old.durable().generation, "each start is a new generation (D5)");
    world.power_off(5);
    world.power_on(5, Some(old));
    let order = window(&world, 60, 120);
    world.submit(0, order.clone());
    world.run_until(world.now_ms() + 3 * MINUTE_MS, |_| false);
    assert!(generation(&world) > before);
    assert!(all_hold(&world, &order) && sites_agree(&world));
    let id = world.hosts[5].id;
    let seen = world.hosts[7].node().replica().unwrap().head(&id).unwrap();
    assert_eq!(seen.generation, generation(&world));
}

#[test]
fn a2_a_removed_machine_is_shut_out_and_learns_it() {
    let mut world = settled(Options::new(5));
    let removed = world.hosts[6].public();
    world.submit(0, world.fleet.remove(&removed, "berlin"));
    world.run_until(world.now_ms() + MINUTE_MS, |_| false);
    let order = window(&world, 60, 120);
    world.submit(0, order.clone());
    world.run_until(world.now_ms() + 3 * MINUTE_MS, |_| false);
    let held = |host| fleet_entries(&world, host).contains(&hash_of(&order[0]));
    assert!((0..20).filter(|host| *host != 6).all(held));
    assert!(!held(6), "a removed machine is still served");
    let decision = world.hosts[6].node().decision().expect("it decides").clone();
    assert!(!decision.gates[0].pass, "it knows that it is removed: {decision:?}");
}

#[test]
fn random_crashes_end_in_good_slots_and_one_run_for_each_attempt() {
    for (seed, hosts) in [(10, 6), (11, 6), (12, 8), (13, 12)] {
        let options = Options { hosts, crashes_per_100_000: 400, ..Options::new(seed) };
        let ran = run(options);
        assert!(ran.crashes > 0, "seed {seed}: nothing crashed");
        assert_eq!(ran.violations, Vec::<String>::new(), "seed {seed}");
        assert!(ran.updated > 0, "seed {seed}: none updated");
    }
}

/// Two machines of a site and two of another see four clocks between them: enough to vouch for
/// their own (K2), although liveness stays within a site.
#[test]
fn k2_the_clocks_of_two_sites_vouch_for_each_other() {
    let options = Options { hosts: 4, synchronised: false, ..Options::new(20) };
    let world = settled(options);
    for (number, host) in world.hosts.iter().enumerate() {
        let now = host.node().now();
        assert!(now.known, "host {number}: {now:?}");
        assert_eq!(now.earliest, now.latest, "host {number}: {now:?}");
    }
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    let run = |seed| {
        let options = Options { hosts: 6, crashes_per_100_000: 200, ..Options::new(seed) };
        let mut world = settled(options);
        let order = window(&world, 10, 60);
        world.submit(0, order);
        world.run_until(world.now_ms() + 30 * MINUTE_MS, |_| false);
        (world.trace(), world.steps())
    };
    assert_eq!(run(77), run(77));
    assert_ne!(run(77).0, run(78).0);
}
