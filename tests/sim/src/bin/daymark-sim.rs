//! Prints how long a signed policy takes to reach a simulated fleet, and what it costs.
//!
//! `daymark-sim [SEED [HOSTS]]`

#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::error::Error;

use daymark_core::event::Carried;
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::Digest;
use daymark_sim::{Options, World};

/// Time for a fleet to find itself before anything is measured, ms.
const SETTLE_MS: u64 = 5 * 60_000;
/// Idle time that is measured, ms.
const IDLE_MS: u64 = 10 * 60_000;
/// Longest time that the policy may take, ms.
const REACH_MS: u64 = 10 * 60_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seed = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let hosts = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let mut world = World::new(Options { hosts, ..Options::new(seed) });
    world.run_until(SETTLE_MS, |_| false);
    let (bytes, steps) = (world.network.sent_bytes, world.steps());
    world.run_until(SETTLE_MS + IDLE_MS, |_| false);
    let idle_bytes = world.network.sent_bytes - bytes;
    let idle_steps = world.steps() - steps;

    let wall = world.wall();
    let order = world.fleet.order_update("2.0.0", wall.plus_ms(3_600_000), wall.plus_ms(7_200_000));
    let (start_ms, start_bytes) = (world.now_ms(), world.network.sent_bytes);
    let size: usize = order.iter().map(|item| bytes_of(item).len()).sum();
    world.submit(0, order.clone());
    let holds = |world: &World, host: usize| {
        let replica = world.hosts[host].node.as_ref().and_then(|node| node.replica());
        replica.is_some_and(|replica| {
            order.iter().all(|item| replica.has(&DocumentId::Fleet, &Digest::of(bytes_of(item))))
        })
    };
    let reached = world.run_until(start_ms + REACH_MS, |world| {
        (0..world.hosts.len()).all(|host| holds(world, host))
    });
    let took_ms = world.now_ms() - start_ms;
    let spent = world.network.sent_bytes - start_bytes;
    let seconds = IDLE_MS / 1_000;
    println!("seed {seed}, {hosts} hosts, 40 to 60 ms links, 1 % loss, 1 % duplicates");
    println!("policy of {size} bytes handed to one host");
    println!("  at all hosts: {reached}, after {took_ms} ms, {spent} bytes sent by all together");
    println!(
        "idle: {} B/s sent and {} steps/min per host",
        idle_bytes / seconds / hosts as u64,
        idle_steps * 60 / seconds / hosts as u64
    );
    println!("trace {}", world.trace());
    Ok(())
}

fn bytes_of(item: &Carried) -> &[u8] {
    match item {
        Carried::Root(bytes)
        | Carried::Entry(bytes)
        | Carried::Report(bytes)
        | Carried::Blob(bytes) => bytes,
    }
}
