//! What CI runs.

use std::thread;
use std::time::{Duration, Instant};

use daymark_sim::checks::Checks;
use daymark_sim::faults::FaultCounts;
use daymark_sim::figures::Figures;
use daymark_sim::run::{Line, run};
use daymark_sim::scenario::{BUILT_IN, Scenario};

/// Lines of runs that failed once, with what they showed.
const REGRESSIONS: &str = include_str!("../../../regressions/lines.txt");

/// Runs the fixed seeds of every scenario, each twice, the recorded regressions, and fresh seeds;
/// fails if two runs of a seed differ, a check finds something, or a kind of fault never bit.
pub(crate) fn seeds(fresh: Option<&str>, fresh_for: Duration) -> anyhow::Result<bool> {
    let mut good = true;
    let mut counts = FaultCounts::default();
    for (name, text) in BUILT_IN {
        for seed in Scenario::parse(text)?.seeds {
            let line = Line { scenario: (*name).to_owned(), seed, mixed: false };
            // At the same time: neither can know of the other.
            let (first, second) = thread::scope(|scope| {
                let second = scope.spawn(|| run(&line, Checks::default(), |_| {}));
                (told(&line), second.join())
            });
            let first = first?;
            let second = second.map_err(|_| anyhow::anyhow!("the second run of {line} died"))??;
            if first.trace != second.trace {
                println!("  DIFFERS: the second run's trace is {}", second.trace);
                good = false;
            }
            good &= first.violations.is_empty();
            counts.add(&first.faults);
        }
    }
    for line in REGRESSIONS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let figures = told(&line.parse()?)?;
        good &= figures.violations.is_empty();
        counts.add(&figures.faults);
    }
    if let Some(fresh) = fresh {
        good &= run_fresh(fresh, fresh_for, &mut counts)?;
    }
    for fault in counts.toothless() {
        println!("  TOOTHLESS: {fault:?} never changed an outcome");
        good = false;
    }
    Ok(good)
}

fn run_fresh(text: &str, duration: Duration, counts: &mut FaultCounts) -> anyhow::Result<bool> {
    let begun = Instant::now();
    let mut trace = daymark_sim::Trace::default();
    trace.bytes(text.as_bytes());
    let mut seed = trace.short();
    while begun.elapsed() < duration {
        let line = Line { scenario: "pocket".to_owned(), seed, mixed: true };
        let figures = told(&line)?;
        counts.add(&figures.faults);
        if !figures.violations.is_empty() {
            return Ok(false);
        }
        seed = seed.wrapping_add(1);
    }
    Ok(true)
}

/// Runs a world and says what came of it.
pub(crate) fn told(line: &Line) -> anyhow::Result<Figures> {
    let figures = run(line, Checks::all(), |_| {})?;
    println!(
        "{line}: {} machines, {} updates, {} events in {} ms, trace {}",
        figures.hosts, figures.updated, figures.events, figures.real_ms, figures.trace
    );
    for violation in &figures.violations {
        let at = daymark_sim::scenario::Span(violation.at_ms).to_string();
        println!(
            "  VIOLATION {} at {at}, host {}: {}",
            violation.check, violation.host, violation.what
        );
    }
    if !figures.violations.is_empty() {
        println!("  again: daymark-sim replay '{line}'");
    }
    Ok(figures)
}
