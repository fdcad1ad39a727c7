//! Fresh seeds, on as many cores as there are, until the first that fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use daymark_sim::checks::Checks;
use daymark_sim::figures::Figures;
use daymark_sim::run::{Line, run_scenario};
use daymark_sim::scenario::{BUILT_IN, Scenario};

/// Runs seeds for a while; whether none failed.
pub(crate) fn soak(
    duration: Duration,
    scenario: Option<&str>,
    from: Option<u64>,
) -> anyhow::Result<bool> {
    let scenarios = match scenario {
        Some(name) => vec![(name.to_owned(), Scenario::load(name)?)],
        None => {
            let all = BUILT_IN.iter().map(|(name, text)| Ok((*name, Scenario::parse(text)?)));
            let all: Vec<(&str, Scenario)> = all.collect::<anyhow::Result<_>>()?;
            let meant = all.into_iter().filter(|(_, scenario)| scenario.soak);
            meant.map(|(name, scenario)| (name.to_owned(), scenario)).collect()
        }
    };
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let first = from.unwrap_or(clock.as_secs() << 16);
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let failed: Mutex<Vec<Figures>> = Mutex::new(Vec::new());
    let bar = indicatif::ProgressBar::new(duration.as_secs());
    bar.set_style(indicatif::ProgressStyle::with_template("{wide_bar} {msg}")?);
    let begun = Instant::now();
    let worker = || {
        while !stop.load(Ordering::Relaxed) && begun.elapsed() < duration {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let place = usize::try_from(seed).unwrap_or(0) % scenarios.len();
            let (name, scenario) = &scenarios[place];
            let line = Line { scenario: name.clone(), seed, mixed: true };
            let scenario = scenario.clone().mixed(seed);
            let figures = run_scenario(scenario, &line, Checks::all(), |_| {});
            bar.set_position(begun.elapsed().as_secs());
            bar.set_message(format!("{} seeds", next.load(Ordering::Relaxed) - first));
            if !figures.violations.is_empty() {
                stop.store(true, Ordering::Relaxed);
                if let Ok(mut failed) = failed.lock() {
                    failed.push(figures);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(worker);
        }
    });
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs().max(1);
    let seeds = next.load(Ordering::Relaxed) - first;
    println!("{seeds} seeds in {seconds} s: {} a minute", seeds * 60 / seconds);
    let failed = failed.into_inner().unwrap_or_default();
    for figures in &failed {
        crate::print::figures(figures);
    }
    Ok(failed.is_empty())
}
