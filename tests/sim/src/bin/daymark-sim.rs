//! The simulator's command: the fixed seeds that a change must survive, and single runs.

#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daymark_sim::scenario::{Ran, all_hold, run};
use daymark_sim::{Options, World};

/// Time for a fleet to find itself before anything is measured, ms.
const SETTLE_MS: u64 = 5 * 60_000;
/// Idle time that is measured, ms.
const IDLE_MS: u64 = 10 * 60_000;
/// Longest time that the policy may take, ms.
const REACH_MS: u64 = 10 * 60_000;

/// Seed, hosts, crashes in 100,000 steps.
const SEEDS: [(u64, usize, u64); 5] =
    [(1, 20, 0), (2, 6, 400), (3, 8, 400), (4, 8, 100), (5, 12, 200)];

/// Runs many nodes in one process, under virtual time, from one seed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the fixed seeds, each twice; fails if the two differ or an invariant is broken.
    Seeds,
    /// Prints how long a signed policy takes to reach a fleet, what that costs, and how an update
    /// under faults ends.
    Run {
        /// Everything follows from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Machines.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(4..=2_000))]
        hosts: u16,
        /// Steps in which a host crashes somewhere, in a hundred thousand.
        #[arg(long, default_value_t = 0)]
        crashes: u64,
    },
}

fn main() -> ExitCode {
    let good = match Arguments::parse().command {
        // All seeds run: each prints its line.
        Command::Seeds => SEEDS.into_iter().filter(|seed| !twice(*seed)).count() == 0,
        Command::Run { seed, hosts, crashes } => {
            let hosts = usize::from(hosts);
            measure(seed, hosts);
            let options = Options { hosts, crashes_per_100_000: crashes, ..Options::new(seed) };
            told(options).violations.is_empty()
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a fixed seed twice and says what came of it.
fn twice((seed, hosts, crashes_per_100_000): (u64, usize, u64)) -> bool {
    let options = Options { hosts, crashes_per_100_000, ..Options::new(seed) };
    let first = told(options);
    let second = run(options);
    let differs = first != second;
    if differs {
        println!("  DIFFERS: the second run's trace is {}", second.trace.short());
    }
    first.violations.is_empty() && !differs
}

/// Runs the standard run and says what came of it.
fn told(options: Options) -> Ran {
    let ran = run(options);
    println!(
        "seed {} hosts {} crashes {} updated {} steps {} virtual {} s sent {} KiB trace {}",
        options.seed,
        options.hosts,
        ran.crashes,
        ran.updated,
        ran.steps,
        ran.took_ms / 1_000,
        ran.sent_bytes / 1_024,
        ran.trace.short()
    );
    for violation in &ran.violations {
        println!("  VIOLATION {violation}");
    }
    if !ran.violations.is_empty() {
        println!(
            "  again: daymark-sim run --seed {} --hosts {} --crashes {}",
            options.seed, options.hosts, options.crashes_per_100_000
        );
    }
    ran
}

/// Hands a policy to one host of an idle fleet and prints figures.
fn measure(seed: u64, hosts: usize) {
    let mut world = World::new(Options { hosts, ..Options::new(seed) });
    world.run_until(SETTLE_MS, |_| false);
    let (bytes, steps) = (world.network.sent_bytes, world.steps());
    world.run_until(SETTLE_MS + IDLE_MS, |_| false);
    let idle_bytes = world.network.sent_bytes - bytes;
    let idle_steps = world.steps() - steps;
    let wall = world.wall();
    let order = world.fleet.order_update("2.0.0", wall.plus_ms(3_600_000), wall.plus_ms(7_200_000));
    let (start_ms, start_bytes) = (world.now_ms(), world.network.sent_bytes);
    world.submit(0, order.clone());
    let reached = world.run_until(start_ms + REACH_MS, |world| all_hold(world, &order));
    let took_ms = world.now_ms() - start_ms;
    let spent = world.network.sent_bytes - start_bytes;
    let (seconds, per_host) = (IDLE_MS / 1_000, hosts as u64);
    println!("{hosts} hosts, 40 to 60 ms links, 1 % loss, 1 % duplicates");
    println!(
        "policy of {} entries handed to one host; at all hosts: {reached}, after {took_ms} ms, \
         {spent} bytes sent by all together",
        order.len()
    );
    println!(
        "idle: {} B/s sent and {} steps/min per host",
        idle_bytes / seconds / per_host,
        idle_steps * 60 / seconds / per_host
    );
}
