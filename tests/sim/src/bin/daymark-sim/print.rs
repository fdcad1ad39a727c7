//! Figures for people's terminals.

use daymark_sim::figures::Figures;
use daymark_sim::scenario::Span;

/// Names and values of the figures that two runs are compared by.
fn rows(figures: &Figures) -> Vec<(&'static str, u64)> {
    let at = |per_cent| Figures::percentile(&figures.sent_bytes, per_cent);
    let reach = |per_cent| {
        let spread = figures.spreads.first();
        spread.map_or(0, |spread| Figures::percentile(&spread.after_ms, per_cent))
    };
    let seconds = figures.real_ms.max(1);
    vec![
        ("machines", figures.hosts as u64),
        ("virtual seconds", figures.virtual_ms / 1_000),
        ("real milliseconds", figures.real_ms),
        ("events", figures.events),
        ("events a second", figures.events * 1_000 / seconds),
        ("steps of nodes", figures.steps),
        ("first order reaches half, ms", reach(50)),
        ("first order reaches 99 %, ms", reach(99)),
        ("bytes sent a node, median", at(50)),
        ("bytes sent a node, most", at(100)),
        ("bytes a second and node", figures.bytes_per_second()),
        ("gossip messages published", figures.tally.published),
        ("copies of gossip", figures.tally.copies),
        ("first copies of gossip", figures.tally.first_copies),
        ("updates that ended well", figures.updated),
        ("updates that did not", figures.failed),
        ("restarts by agents", figures.tally.reboots),
        ("chunks written", figures.tally.chunks),
        ("image MB from peers", figures.tally.peer_bytes / 1_000_000),
        ("image MB from the origin", figures.tally.origin_bytes / 1_000_000),
        ("durable writes", figures.tally.writes),
        ("decisions", figures.decisions),
        ("windows that opened to machines", figures.windows),
        ("different stored strings", figures.distinct_stored as u64),
        ("different stores", figures.distinct_stores as u64),
        ("violations", figures.violations.len() as u64),
    ]
}

/// Prints a run's figures, its faults, and what the checks found.
pub(crate) fn figures(figures: &Figures) {
    println!("{}: {}", figures.scenario, figures.about);
    for (name, value) in rows(figures) {
        println!("  {name:<32} {value:>14}");
    }
    for spread in &figures.spreads {
        let reach = |per_cent| Span(Figures::percentile(&spread.after_ms, per_cent)).to_string();
        let (what, machines) = (&spread.version, spread.after_ms.len());
        println!(
            "  {what}: {machines} machines, half after {}, 99 % after {}",
            reach(50),
            reach(99)
        );
    }
    println!("  {:<32} {:>14} {:>10}", "faults", "happened", "bit");
    for (fault, count) in &figures.faults.0 {
        let name = serde_json::to_value(fault).unwrap_or_default();
        let name = name.as_str().unwrap_or_default().to_owned();
        println!("    {name:<30} {:>14} {:>10}", count.happened, count.bit);
    }
    println!("  trace {}", figures.trace);
    if figures.violations.is_empty() {
        println!("  all {} checks hold", figures.checks.len());
    }
    for violation in &figures.violations {
        let at = Span(violation.at_ms).to_string();
        println!(
            "  VIOLATION {} at {at}, host {}: {}",
            violation.check, violation.host, violation.what
        );
    }
    if !figures.violations.is_empty() {
        println!("  again: daymark-sim replay '{}'", figures.replay);
    }
}

/// Prints two runs' figures side by side.
pub(crate) fn comparison(one: &Figures, other: &Figures) {
    println!("{:<32} {:>16} {:>16} {:>9}", "", one.replay, other.replay, "");
    for ((name, a), (_, b)) in rows(one).into_iter().zip(rows(other)) {
        println!("{name:<32} {a:>16} {b:>16} {:>9}", change(a, b));
    }
}

/// A change in per cent.
fn change(a: u64, b: u64) -> String {
    if a == b {
        return "=".to_owned();
    }
    if a == 0 {
        return "new".to_owned();
    }
    let (a, b) = (i128::from(a), i128::from(b));
    format!("{:+} %", (b - a) * 100 / a)
}
