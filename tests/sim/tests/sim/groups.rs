//! Reports cross push groups by repair alone (decision 0024): how soon all have one, and what all
//! send meanwhile.

use daymark_protocol::id::KeyId;
use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::scenario::{Scenario, Span};

/// More than 256 machines, and beyond the overlap in which two numbers of groups are listened to.
const SITE: &str = r#"
name = "groups"
about = "One site in two push groups."
length = "20m"
calmAfter = "1m"
founded = "everywhere"
[[site]]
name = "stuttgart"
hosts = 300
[network.lan]
lossPerMille = 10.0
"#;
/// The bound of decision 0024.
const BOUND_MS: u64 = 240_000;

/// Generation of the newest report of a machine on each disk.
fn generations(world: &World, of: KeyId) -> impl Iterator<Item = (usize, u64)> {
    world.hosts.iter().enumerate().map(move |(host, at)| {
        let newest = at.disk.heads().find(|(key, ..)| **key == of);
        (host, newest.map_or(0, |(_, generation, ..)| generation))
    })
}

fn sent(world: &World) -> u64 {
    world.hosts.iter().map(|host| host.sent_bytes).sum()
}

#[test]
fn i10_a_report_crosses_push_groups_by_repair_within_four_minutes() {
    let scenario = Scenario::parse(SITE).expect("the scenario is sound");
    let mut world = World::new(scenario, 7, Checks::only(&["I9", "I10"]));
    let quiet_ms = Span::minutes(8).0;
    world.run_until(quiet_ms - 60_000, |_| false);
    let before = sent(&world);
    world.run_until(quiet_ms, |_| false);
    let idle_bytes = sent(&world) - before;

    // A start is a new generation, and its report is pushed within its own group.
    let of = world.hosts[0].id;
    let generation = world.hosts[0].disk.state().generation;
    world.cut_power(0);
    let is_out =
        |world: &World| generations(world, of).filter(|(_, it)| *it > generation).count() > 1;
    while !is_out(&world) {
        let next_ms = world.now_ms() + 100;
        world.run_until(next_ms, |_| false);
        assert!(next_ms < quiet_ms + 120_000, "the machine never came back");
    }
    let (from_ms, bytes) = (world.now_ms(), sent(&world));
    let group = |key: &KeyId| key.0[0] >> 7;
    let mut after_ms = [vec![], vec![]];
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < world.hosts.len() && world.now_ms() < from_ms + BOUND_MS {
        let next_ms = world.now_ms() + 500;
        world.run_until(next_ms, |_| false);
        let held: Vec<usize> = generations(&world, of)
            .filter(|(_, it)| *it > generation)
            .map(|(host, _)| host)
            .collect();
        for host in held.into_iter().filter(|host| seen.insert(*host)) {
            let other = usize::from(group(&world.hosts[host].id) != group(&of));
            after_ms[other].push(world.now_ms() - from_ms);
        }
    }
    let [own, other] = &after_ms;
    let took_ms = world.now_ms() - from_ms;
    let median = |of: &[u64]| of.get(of.len() / 2).copied().unwrap_or(0);
    println!(
        "own group {} machines: half {} ms, last {:?} ms; other group {}: half {} ms, last {:?} ms; \
         a machine sent {} B in that time, {} B in a quiet minute before",
        own.len(),
        median(own),
        own.last(),
        other.len(),
        median(other),
        other.last(),
        (sent(&world) - bytes) / 300,
        idle_bytes / 300,
    );
    assert_eq!(own.len() + other.len(), 300, "all hold it after {took_ms} ms");
    assert!(other.len() > 100, "the site has two groups");
    assert!(median(other) > 5_000, "nothing but repair brings it to the other group");
}
