//! The release service: a web server that is sometimes slow, absent or lying.

use crate::random::Dice;
use crate::scenario::Scenario;

const HOUR_MS: u64 = 3_600_000;

/// How the service is at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Absent,
    Slow,
    Lying,
}

/// The service: a mood for each hour.
#[derive(Debug)]
pub(super) struct ReleaseService {
    hours: Vec<Mood>,
    healed: bool,
}

impl ReleaseService {
    pub(super) fn new(seed: u64, scenario: &Scenario) -> Self {
        let mut dice = Dice::new(seed, "release");
        let fault = &scenario.fault;
        let hours = scenario.calm_after.0 / HOUR_MS + 1;
        let mood = |_| {
            let hour = 24.0 * dice.fraction();
            let absent = fault.release_absent;
            let slow = absent + fault.release_slow;
            match () {
                () if hour < absent => Mood::Absent,
                () if hour < slow => Mood::Slow,
                () if hour < slow + fault.release_lies => Mood::Lying,
                () => Mood::Good,
            }
        };
        Self { hours: (0..hours).map(mood).collect(), healed: false }
    }

    pub(super) fn mood(&self, now_ms: u64) -> Mood {
        let hour = usize::try_from(now_ms / HOUR_MS).unwrap_or(usize::MAX);
        if self.healed { Mood::Good } else { self.hours.get(hour).copied().unwrap_or(Mood::Good) }
    }

    pub(super) fn heal(&mut self) {
        self.healed = true;
    }
}
