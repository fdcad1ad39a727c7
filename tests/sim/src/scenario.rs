//! The standard run: an update ordered from one host under faults, then calm, then what must be
//! true. Each invariant is a check of its own that names itself.

use daymark_core::durable::UpdateState;
use daymark_core::event::Carried;
use daymark_protocol::document::{DocumentId, site_document};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::Kind;
use daymark_protocol::time::WallTime;

use crate::host::SimHost;
use crate::world::{Options, World};

/// The version that the standard run orders.
pub const NEW: &str = "2.0.0";

const MINUTE_MS: u64 = 60_000;
/// Time for a fleet to find itself, ms.
const SETTLE_MS: u64 = 3 * MINUTE_MS;
/// When the window opens and closes after the order, minutes.
const WINDOW_MINUTES: (i64, i64) = (15, 75);
/// Time under faults after the order, ms.
const FAULTS_MS: u64 = 30 * MINUTE_MS;
/// Longest time until all rests once faults have stopped, ms.
const CALM_MS: u64 = 70 * MINUTE_MS;

/// What a standard run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Hash over everything that happened.
    pub trace: Digest,
    /// Steps of all nodes.
    pub steps: u64,
    /// Virtual time, ms.
    pub took_ms: u64,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Crashes.
    pub crashes: u64,
    /// Hosts that run the new version.
    pub updated: usize,
    /// Invariants that were broken.
    pub violations: Vec<String>,
}

/// Runs it.
pub fn run(options: Options) -> Ran {
    let mut world = World::new(options);
    world.run_until(SETTLE_MS, |_| false);
    let at = |minutes: i64| minutes * 60_000;
    let (opens, closes) =
        (world.wall().plus_ms(at(WINDOW_MINUTES.0)), world.wall().plus_ms(at(WINDOW_MINUTES.1)));
    let order = world.fleet.order_update(NEW, opens, closes);
    hand_in(&mut world, &order);
    world.run_until(world.now_ms() + FAULTS_MS, |_| false);
    world.stop_crashes();
    // A crash before the save may have cost the order.
    world.run_until(world.now_ms() + MINUTE_MS, |_| false);
    hand_in(&mut world, &order);
    let end_ms = world.now_ms() + CALM_MS;
    let rests = world.run_until(end_ms, |world| all_rest(world, &order));
    let mut violations = violations(&world, opens, closes);
    if !rests {
        for (number, host) in world.hosts.iter().enumerate().filter(|(_, host)| !host_rests(host)) {
            let decision = host.node.as_ref().and_then(|node| node.decision());
            let why = decision.map_or("no decision", |decision| &decision.reason);
            violations.push(format!("host {number}: no rest after the faults stopped: {why}"));
        }
    }
    if !world.run_until(world.now_ms() + 5 * MINUTE_MS, sites_agree) {
        violations.push("I10: the hosts of a site hold different things".to_owned());
    }
    Ran {
        trace: world.trace(),
        steps: world.steps(),
        took_ms: world.now_ms(),
        sent_bytes: world.network.sent_bytes,
        crashes: world.crashes,
        updated: world.hosts.iter().filter(|host| host.machine.runs() == NEW).count(),
        violations,
    }
}

/// Hands items to the first host as soon as it runs.
fn hand_in(world: &mut World, items: &[Carried]) {
    let end_ms = world.now_ms() + MINUTE_MS;
    world.run_until(end_ms, |world| world.hosts[0].node.is_some());
    world.submit(0, items.to_vec());
}

/// The hash under which an item is held.
pub fn hash_of(item: &Carried) -> Digest {
    match item {
        Carried::Root(bytes)
        | Carried::Entry(bytes)
        | Carried::Report(bytes)
        | Carried::Blob(bytes) => Digest::of(bytes),
    }
}

/// The entries of `fleet` at a running host.
///
/// # Panics
/// If its process does not run.
pub fn fleet_entries(world: &World, host: usize) -> Vec<Digest> {
    let replica = world.hosts[host].node().replica().expect("every host took the fleet");
    replica.hashes(&DocumentId::Fleet).copied().collect()
}

/// Whether all hosts run and hold these items of `fleet`.
pub fn all_hold(world: &World, items: &[Carried]) -> bool {
    world.hosts.iter().all(|host| host.node.is_some())
        && (0..world.hosts.len()).all(|host| {
            let held = fleet_entries(world, host);
            items.iter().all(|item| held.contains(&hash_of(item)))
        })
}

fn host_rests(host: &SimHost) -> bool {
    host.node.is_some()
        && host.disk.durable().update == UpdateState::Idle
        && host.machine.is_confirmed()
        && !host.disk.durable().finished.is_empty()
}

fn all_rest(world: &World, order: &[Carried]) -> bool {
    world.hosts.iter().all(host_rests) && all_hold(world, order)
}

/// Whether every host's own site holds the same entries and reports at all its hosts (I10).
pub fn sites_agree(world: &World) -> bool {
    let view = |host: usize| {
        let node = world.hosts[host].node.as_ref()?;
        let replica = node.replica()?;
        let line = replica.standing().lines.get(&(Kind::Host, world.hosts[host].id.into()))?;
        let site = site_document(line.versions.first()?.site.as_ref());
        let held: Vec<Digest> = replica.hashes(&site).copied().collect();
        let heads: Vec<_> =
            replica.heads().map(|(host, head)| (*host, head.generation, head.hash)).collect();
        Some((held, heads, fleet_entries(world, host)))
    };
    (0..world.hosts.len()).all(|host| {
        // Each half of the machines is a site.
        let site_size = world.hosts.len() / 2;
        let other = host / site_size * site_size + (host + 1) % site_size;
        matches!((view(host), view(other)), (Some(one), Some(other)) if one == other)
    })
}

/// What must never happen, host by host.
fn violations(world: &World, opens: WallTime, closes: WallTime) -> Vec<String> {
    let mut found = Vec::new();
    for (number, host) in world.hosts.iter().enumerate() {
        let state = host.disk.durable();
        let mut broken = |what: &str| found.push(format!("host {number}: {what}"));
        host.machine.violations.iter().for_each(|violation| broken(violation));
        if host.activations.iter().any(|at| *at < opens || *at >= closes) {
            broken("I2: it activated outside the window");
        }
        let numbers: Vec<u64> = state.finished.iter().map(|run| run.attempt.number).collect();
        if numbers != (1..=state.attempt).collect::<Vec<u64>>() {
            broken("I12: an attempt left no record, or more than one");
        }
        let told = state.finished.iter().any(|run| run.status == "UPDATED");
        if told != (host.machine.runs() == NEW) {
            broken("I12: what was reported is not what runs");
        }
    }
    found
}
