//! What the node makes of its clock (RULES K1, K2, Q6): a floor that no statement can push, and a
//! reading that counts only with a reason. It reads no clock: readings come with every event.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::time::{MonoTime, Now, WallTime};

use crate::config::ClockTrust;
use crate::event::Reading;

/// Readings within this of each other agree (RULES Q6).
const AGREE_MS: i64 = 5 * 60_000;
/// Wall minus monotonic time moving by more than this is a jump (RULES Q6).
const JUMP_MS: i64 = 60_000;
/// Half width of a reading that nobody confirms (RULES Q6).
const UNCONFIRMED_WIDTH_MS: i64 = 60_000;
/// Peers whose middle can contradict or confirm (RULES K1, K2).
const PEERS_MIN: usize = 3;
/// Peers whose readings are kept: the middle of more would be no better.
const PEERS_MAX: usize = 64;
/// A peer's reading is forgotten after this: its clock or ours may have been set since.
const READING_AGE_MS_MAX: u64 = 15 * 60_000;
/// The stored floor rises in steps of at least this, so that time alone does not wear the disk.
const FLOOR_STEP_MS: i64 = 3_600_000;

/// What is known besides the reading itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// No time before it is believed.
    pub(crate) floor: WallTime,
    /// The newest root's expiry: no time after it is believed.
    pub(crate) ceiling: WallTime,
    pub(crate) trust: ClockTrust,
}

/// A peer's clock, as the difference of its wall clock to the own monotonic time.
#[derive(Clone, Copy, Debug)]
struct PeerReading {
    offset_ms: i64,
    heard: MonoTime,
}

/// The newest readings of enrolled peers, and whether the own clock jumped.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    peers: BTreeMap<KeyId, PeerReading>,
    offset_ms: Option<i64>,
    jumped: bool,
}

fn offset_ms(reading: &Reading, wall: WallTime) -> i64 {
    wall.as_ms().saturating_sub(i64::try_from(reading.mono.0).unwrap_or(i64::MAX))
}

impl Clock {
    /// Takes the host's clocks with every event.
    pub(crate) fn observe(&mut self, reading: &Reading) {
        let offset = offset_ms(reading, reading.wall);
        if let Some(before) = self.offset_ms
            && offset.abs_diff(before) > JUMP_MS.unsigned_abs()
        {
            self.jumped = true;
        }
        self.offset_ms = Some(offset);
        if reading.synchronised {
            self.jumped = false;
        }
        self.peers.retain(|_, peer| reading.mono.since_ms(peer.heard) <= READING_AGE_MS_MAX);
    }

    /// Takes the reading of an enrolled peer, newer than the one it gave before.
    pub(crate) fn heard(&mut self, reading: &Reading, peer: KeyId, wall: WallTime) {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            let offset_ms = offset_ms(reading, wall);
            self.peers.insert(peer, PeerReading { offset_ms, heard: reading.mono });
        }
    }

    /// Forgets a peer that is no longer enrolled.
    pub(crate) fn forget(&mut self, peer: &KeyId) {
        self.peers.remove(peer);
    }

    /// What is known of the present moment.
    pub(crate) fn now(&self, reading: &Reading, bounds: Bounds) -> Now {
        let unknown =
            Now { earliest: bounds.floor, latest: bounds.ceiling.max(bounds.floor), known: false };
        if reading.wall < bounds.floor || reading.wall > bounds.ceiling {
            return unknown;
        }
        match self.agrees_with_peers(reading) {
            Some(true) => Now::reading(reading.wall, 0),
            Some(false) => unknown,
            None if reading.synchronised => Now::reading(reading.wall, 0),
            None if bounds.trust == ClockTrust::Rtc && !self.jumped => {
                let wide = Now::reading(reading.wall, UNCONFIRMED_WIDTH_MS);
                Now { earliest: wide.earliest.max(bounds.floor), ..wide }
            }
            None => unknown,
        }
    }

    /// The floor that this reading raises to, if it does: only what the middle of enough peers
    /// confirms raises it (RULES K1).
    pub(crate) fn raised_floor(&self, reading: &Reading, bounds: Bounds) -> Option<WallTime> {
        let confirmed = self.agrees_with_peers(reading) == Some(true);
        let raised = reading.wall.since_ms(bounds.floor) >= FLOOR_STEP_MS;
        (confirmed && raised && reading.wall <= bounds.ceiling).then_some(reading.wall)
    }

    /// Whether the reading is near the middle of enough peers; `None` with too few.
    fn agrees_with_peers(&self, reading: &Reading) -> Option<bool> {
        if self.peers.len() < PEERS_MIN {
            return None;
        }
        let mut offsets: Vec<i64> = self.peers.values().map(|peer| peer.offset_ms).collect();
        offsets.sort_unstable();
        let middle = offsets.get(offsets.len() / 2)?;
        let own = offset_ms(reading, reading.wall);
        Some(own.abs_diff(*middle) <= AGREE_MS.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn reading(mono_ms: u64, wall_ms: i64, synchronised: bool) -> Reading {
        Reading { mono: MonoTime(mono_ms), wall: WallTime::from_ms(wall_ms), synchronised }
    }

    fn bounds(trust: ClockTrust) -> Bounds {
        Bounds {
            floor: WallTime::from_ms(100 * HOUR_MS),
            ceiling: WallTime::from_ms(900 * HOUR_MS),
            trust,
        }
    }

    fn heard(clock: &mut Clock, at: &Reading, walls_ms: &[i64]) {
        for (name, wall) in (1..).zip(walls_ms) {
            clock.heard(at, KeyId([name; 32]), WallTime::from_ms(*wall));
        }
    }

    #[test]
    fn k2_a_machine_alone_trusts_a_synchronised_or_configured_clock() {
        let mut clock = Clock::default();
        let at = 500 * HOUR_MS;
        let (plain, synced) = (reading(0, at, false), reading(0, at, true));
        clock.observe(&plain);
        assert!(!clock.now(&plain, bounds(ClockTrust::Synchronised)).known);
        let now = clock.now(&plain, bounds(ClockTrust::Rtc));
        assert_eq!(now, Now::reading(WallTime::from_ms(at), 60_000));
        let now = clock.now(&synced, bounds(ClockTrust::Synchronised));
        assert_eq!(now, Now::reading(WallTime::from_ms(at), 0));
        assert_eq!(clock.raised_floor(&synced, bounds(ClockTrust::Rtc)), None, "permits only");
    }

    #[test]
    fn k2_a_clock_that_jumped_counts_no_more_until_something_confirms_it() {
        let mut clock = Clock::default();
        clock.observe(&reading(0, 500 * HOUR_MS, false));
        let jumped = reading(1_000, 501 * HOUR_MS, false);
        clock.observe(&jumped);
        assert!(!clock.now(&jumped, bounds(ClockTrust::Rtc)).known);
        clock.observe(&reading(2_000, 501 * HOUR_MS, true));
        assert!(clock.now(&jumped, bounds(ClockTrust::Rtc)).known);
    }

    #[test]
    fn k2_the_floor_and_the_roots_expiry_bound_what_is_believed() {
        let clock = Clock::default();
        for at in [99 * HOUR_MS, 901 * HOUR_MS] {
            let now = clock.now(&reading(0, at, true), bounds(ClockTrust::Rtc));
            assert!(!now.known);
            assert_eq!((now.earliest.as_ms(), now.latest.as_ms()), (100 * HOUR_MS, 900 * HOUR_MS));
        }
    }

    #[test]
    fn k1_only_the_middle_of_three_peers_raises_the_floor_and_it_can_contradict() {
        let mut clock = Clock::default();
        let at = 500 * HOUR_MS;
        let own = reading(7_000, at, false);
        heard(&mut clock, &own, &[at, at + 1_000]);
        assert_eq!(clock.raised_floor(&own, bounds(ClockTrust::Rtc)), None, "two are too few");
        heard(&mut clock, &own, &[at, at + 1_000, at + 400 * HOUR_MS]);
        assert_eq!(
            clock.raised_floor(&own, bounds(ClockTrust::Rtc)),
            Some(WallTime::from_ms(at)),
            "one liar changes nothing"
        );
        let wrong = reading(7_000, at + HOUR_MS, true);
        assert!(!clock.now(&wrong, bounds(ClockTrust::Rtc)).known, "synchronised or not");
        assert_eq!(clock.raised_floor(&wrong, bounds(ClockTrust::Rtc)), None);
        let later = reading(7_000 + READING_AGE_MS_MAX + 1, at, false);
        clock.observe(&later);
        assert_eq!(clock.agrees_with_peers(&later), None, "old readings are forgotten");
    }
}
