//! The node's clock: what peers' clocks read, and [`ClockJudge`]'s verdict on the own reading of
//! each step (RULES K1, K2). It reads no clock: readings come with every event.

use std::collections::BTreeMap;

use daymark_protocol::clock::{ClockInput, ClockJudge, ClockVerdict};
use daymark_protocol::id::KeyId;
use daymark_protocol::time::{MonoTime, WallTime};

use crate::config::{ClockTrust, CoreConfig};
use crate::event::Reading;

/// Peers whose readings are kept: the middle of more would be no better.
const PEERS_MAX: usize = 64;
/// A peer's reading is forgotten after this: its clock or ours may have been set since.
const READING_AGE_MS_MAX: u64 = 15 * 60_000;

/// A peer's clock and when it was heard.
#[derive(Clone, Copy, Debug)]
struct PeerReading {
    wall: WallTime,
    heard: MonoTime,
}

/// What the signed world says of the time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SignedTimes {
    /// When the newest root was issued.
    pub(crate) issued: Option<WallTime>,
    /// When it expires.
    pub(crate) expires: Option<WallTime>,
    /// The newest time signed at the `heartbeat` threshold.
    pub(crate) heartbeat: Option<WallTime>,
}

/// The newest readings of enrolled peers, and the judge of the own.
#[derive(Debug)]
pub(crate) struct Clock {
    judge: ClockJudge,
    peers: BTreeMap<KeyId, PeerReading>,
}

impl Clock {
    pub(crate) fn new(config: &CoreConfig) -> Self {
        let trusts_rtc = config.clock() == ClockTrust::Rtc;
        Self { judge: ClockJudge::new(config.build_time(), trusts_rtc), peers: BTreeMap::new() }
    }

    /// Takes the reading of an enrolled peer in place of the one it gave before.
    pub(crate) fn heard(&mut self, reading: &Reading, peer: KeyId, wall: WallTime) {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            self.peers.insert(peer, PeerReading { wall, heard: reading.mono });
        }
    }

    /// Forgets a peer that is no longer enrolled.
    pub(crate) fn forget(&mut self, peer: &KeyId) {
        self.peers.remove(peer);
    }

    /// Judges the own reading, once a step.
    pub(crate) fn judge(
        &mut self,
        reading: &Reading,
        floor: WallTime,
        signed: SignedTimes,
    ) -> ClockVerdict {
        let age_ms = |peer: &PeerReading| reading.mono.since_ms(peer.heard);
        self.peers.retain(|_, peer| age_ms(peer) <= READING_AGE_MS_MAX);
        let moved_on =
            |peer: &PeerReading| peer.wall.plus_ms(i64::try_from(age_ms(peer)).unwrap_or(i64::MAX));
        let peers: Vec<WallTime> = self.peers.values().map(moved_on).collect();
        self.judge.judge(&ClockInput {
            wall: reading.wall,
            mono: reading.mono,
            synchronised: reading.synchronised,
            floor,
            signed: signed.issued,
            heartbeat: signed.heartbeat,
            ceiling: signed.expires,
            peers: &peers,
        })
    }
}

#[cfg(test)]
mod tests {
    use daymark_protocol::clock::ClockBasis;

    use super::*;

    #[test]
    fn k1_peers_readings_move_on_with_monotonic_time_and_are_forgotten() {
        let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 1).unwrap();
        let mut clock = Clock::new(&config);
        let reading = |mono, wall| Reading {
            mono: MonoTime(mono),
            wall: WallTime::from_ms(wall),
            synchronised: false,
        };
        for peer in 1..=3 {
            clock.heard(&reading(0, 0), KeyId([peer; 32]), WallTime::from_ms(5_000_000));
        }
        let mut basis = |mono, wall| {
            clock.judge(&reading(mono, wall), WallTime::EPOCH, SignedTimes::default()).basis
        };
        assert_eq!(basis(0, 5_000_000), ClockBasis::Peers);
        assert_eq!(basis(800_000, 5_800_000), ClockBasis::Peers);
        assert!(matches!(basis(800_000, 5_000_000), ClockBasis::Contradicted { .. }));
        assert_eq!(basis(READING_AGE_MS_MAX + 1, 5_900_000), ClockBasis::Unvouched);
    }
}
