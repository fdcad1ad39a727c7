//! Running a scenario from its beginning to its end.

use std::fmt;
use std::time::Instant;

use crate::checks::Checks;
use crate::figures::Figures;
use crate::scenario::{InvalidScenario, Scenario};
use crate::world::World;

/// What a run follows from: the one line that a failing run prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// A built-in scenario's name, or a file.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Whether the fault mix is drawn from the seed.
    pub mixed: bool,
}

/// A text that is not the line of a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the line of a run: write SCENARIO seed=NUMBER, and mixed if faults were drawn"
)]
pub struct NotALine(String);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seed, mixed } = self;
        write!(f, "{scenario} seed={seed}{}", if *mixed { " mixed" } else { "" })
    }
}

impl std::str::FromStr for Line {
    type Err = NotALine;

    fn from_str(text: &str) -> Result<Self, NotALine> {
        let bad = || NotALine(text.to_owned());
        let mut words = text.split_whitespace();
        let scenario = words.next().ok_or_else(bad)?.to_owned();
        let seed = words.next().and_then(|word| word.strip_prefix("seed=")).ok_or_else(bad)?;
        let seed = seed.parse().map_err(|_| bad())?;
        let mixed = match (words.next(), words.next()) {
            (None, _) => false,
            (Some("mixed"), None) => true,
            (Some(_), _) => return Err(bad()),
        };
        Ok(Self { scenario, seed, mixed })
    }
}

impl Line {
    /// The scenario that it names, with its fault mix.
    ///
    /// # Errors
    /// If there is none, or it cannot be run here.
    pub fn load(&self) -> Result<Scenario, InvalidScenario> {
        let scenario = Scenario::load(&self.scenario)?;
        Ok(if self.mixed { scenario.mixed(self.seed) } else { scenario })
    }
}

/// Runs a scenario to its end, in stretches after each of which `progress` is told the world.
///
/// # Errors
/// If the scenario cannot be run here.
pub fn run(
    line: &Line,
    checks: Checks,
    progress: impl FnMut(&World),
) -> Result<Figures, InvalidScenario> {
    Ok(run_scenario(line.load()?, line, checks, progress))
}

/// Runs a scenario that is at hand.
pub fn run_scenario(
    scenario: Scenario,
    line: &Line,
    checks: Checks,
    progress: impl FnMut(&World),
) -> Figures {
    let begun = Instant::now();
    run_world(World::new(scenario, line.seed, checks), line, begun, progress)
}

/// Runs a world that was made at `begun` to its end.
pub fn run_world(
    mut world: World,
    line: &Line,
    begun: Instant,
    mut progress: impl FnMut(&World),
) -> Figures {
    /// Stretches of a run.
    const STRETCHES: u64 = 200;
    let length_ms = world.scenario.length.0;
    for stretch in 1..=STRETCHES {
        world.run_until(length_ms * stretch / STRETCHES, |_| false);
        progress(&world);
    }
    world.end();
    let real_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut figures = Figures::of(&mut world, line.to_string(), real_ms);
    let surprises = world.scenario.expect.judge(&world, &figures);
    figures.violations.extend(surprises);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written() {
        for (mixed, text) in [(false, "site-50 seed=7"), (true, "x/y.toml seed=1 mixed")] {
            let line: Line = text.parse().unwrap();
            assert_eq!((line.mixed, line.to_string().as_str()), (mixed, text));
        }
        for bad in ["", "site-50", "site-50 7", "site-50 seed=x", "site-50 seed=1 mixed more"] {
            assert!(bad.parse::<Line>().is_err(), "{bad}");
        }
    }
}
