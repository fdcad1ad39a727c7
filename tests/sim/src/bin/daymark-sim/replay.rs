//! The same run again, step by step if asked.

use daymark_sim::World;
use daymark_sim::checks::Checks;
use daymark_sim::run::Line;
use daymark_sim::scenario::Span;

/// Runs a line again; whether nothing was found.
pub(crate) fn replay(
    line: &Line,
    break_at: Option<Span>,
    node: Option<usize>,
) -> anyhow::Result<bool> {
    let scenario = line.load()?;
    let length = scenario.length;
    let hosts = scenario.hosts();
    if let Some(node) = node.filter(|node| *node >= hosts) {
        anyhow::bail!("there is no machine {node}: they are 0 to {}", hosts - 1);
    }
    let mut world = World::new(scenario, line.seed, Checks::all());
    if let Some(node) = node {
        world.watch(node);
    }
    let until = break_at.unwrap_or(length).min(length);
    // Stops at the first violation: what led to it is what was printed last.
    world.run_until(until.0, |world| !world.violations().is_empty());
    if break_at.is_none() && world.violations().is_empty() {
        world.end();
    }
    println!("at {} of {line}:", Span(world.now_ms()));
    let kinds = world.events_by_kind().into_iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("  so far {}", kinds.join(", "));
    for host in 0..hosts {
        if node.is_none_or(|node| node == host) {
            println!("  host {host} {}", daymark_sim::stand(&world, host));
        }
    }
    for violation in world.violations() {
        println!("  VIOLATION {} host {}: {}", violation.check, violation.host, violation.what);
    }
    println!("  trace {}", world.trace());
    Ok(world.violations().is_empty())
}
