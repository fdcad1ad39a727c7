//! A machine's wall clock: drift, steps, a dead battery, and whether the OS vouches for it.

use daymark_protocol::time::WallTime;

/// How long after it was switched on a synchronised machine knows the time, ms.
const SYNCHRONISING_MS: u64 = 45_000;
/// What a machine without a battery says when it is switched on: 2000-01-01T00:00:00Z.
const YEAR_2000_S: i64 = 946_684_800;

/// A wall clock. True time is the world's.
#[derive(Clone, Debug)]
pub struct MachineClock {
    /// Added to true time, ms.
    offset_ms: i64,
    /// Millionths that it runs fast.
    drift_ppm: i64,
    /// When `offset_ms` was right, ms of true time.
    since_ms: u64,
    /// Whether there is a time service that sets it.
    has_time_service: bool,
    /// From when on the OS says that it is synchronised, ms of true time.
    synchronised_from_ms: u64,
    /// Whether it loses the time when switched off.
    pub battery_is_dead: bool,
}

impl MachineClock {
    pub(crate) fn new(synchronised: bool, drift_ppm: i64, battery_is_dead: bool) -> Self {
        let drift_ppm = if synchronised { 0 } else { drift_ppm };
        Self {
            offset_ms: 0,
            drift_ppm,
            since_ms: 0,
            has_time_service: synchronised,
            synchronised_from_ms: 0,
            battery_is_dead,
        }
    }

    /// What it says beyond true time, ms.
    pub fn error_ms(&self, now_ms: u64) -> i64 {
        let passed_ms = i64::try_from(now_ms.saturating_sub(self.since_ms)).unwrap_or(i64::MAX);
        self.offset_ms.saturating_add(passed_ms.saturating_mul(self.drift_ppm) / 1_000_000)
    }

    /// What it says.
    pub fn wall(&self, begins: WallTime, now_ms: u64) -> WallTime {
        let error_ms = if self.is_set_right(now_ms) { 0 } else { self.error_ms(now_ms) };
        begins.plus_ms(i64::try_from(now_ms).unwrap_or(i64::MAX)).plus_ms(error_ms)
    }

    /// Whether the OS says that it is synchronised.
    pub fn synchronised(&self, now_ms: u64) -> bool {
        self.is_set_right(now_ms)
    }

    fn is_set_right(&self, now_ms: u64) -> bool {
        self.has_time_service && now_ms >= self.synchronised_from_ms
    }

    /// Somebody sets it.
    pub(crate) fn step(&mut self, now_ms: u64, delta_ms: i64) {
        self.offset_ms = self.error_ms(now_ms).saturating_add(delta_ms);
        self.since_ms = now_ms;
    }

    /// Faults end: a person sets it right.
    pub(crate) fn set_right(&mut self, now_ms: u64) {
        self.offset_ms = 0;
        self.since_ms = now_ms;
    }

    /// The machine is switched on.
    pub(crate) fn switched_on(&mut self, begins: WallTime, now_ms: u64) {
        if self.has_time_service {
            self.synchronised_from_ms = now_ms + SYNCHRONISING_MS;
        }
        if self.battery_is_dead {
            let truth = begins.plus_ms(i64::try_from(now_ms).unwrap_or(i64::MAX));
            self.offset_ms = WallTime::from_seconds(YEAR_2000_S).since_ms(truth);
            self.since_ms = now_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_drift_are_set_and_lose_the_time() {
        let begins = WallTime::from_seconds(1_800_000_000);
        let mut clock = MachineClock::new(false, 100, false);
        assert_eq!(clock.error_ms(10_000_000), 1_000, "100 millionths of 10,000 s");
        clock.step(10_000_000, -5_000);
        assert_eq!(clock.error_ms(10_000_000), -4_000);
        assert_eq!(clock.error_ms(20_000_000), -3_000);
        clock.battery_is_dead = true;
        clock.switched_on(begins, 20_000_000);
        assert_eq!(clock.wall(begins, 20_000_000).as_seconds(), YEAR_2000_S);
        assert!(!clock.synchronised(u64::MAX));
        let mut served = MachineClock::new(true, 100, true);
        served.switched_on(begins, 1_000);
        assert!(!served.synchronised(2_000));
        assert_eq!(served.wall(begins, 2_000).as_seconds(), YEAR_2000_S + 1);
        assert_eq!(served.wall(begins, 60_000), begins.plus_ms(60_000));
    }
}
