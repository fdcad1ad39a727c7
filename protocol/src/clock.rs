//! Whether a clock reading counts, and what `now` is (RULES K1, K2, Q6).
//!
//! Reads no clock: the caller gives readings, what peers say, and the floor that it stores. A
//! clock that reads the year 2100 once, or one statement dated 2099, must not stop a machine for
//! good; hence a reading that merely permits raises no floor.

use crate::rules::{Rule, holds};
use crate::time::{MonoTime, Now, WallTime};

/// Readings within this of each other agree (RULES Q6).
pub const AGREE_MS: i64 = 5 * 60_000;
/// Wall minus monotonic time moving by more is a jump (RULES Q6).
pub const JUMP_MS: i64 = 60_000;
/// Half the width of `now` when neither the OS nor peers vouch for the reading (RULES Q6).
pub const WIDTH_MS: i64 = 60_000;
/// Peers whose middle is believed (RULES K1): with fewer, one liar would be the middle.
pub const PEERS_MIN: usize = 3;
/// Own readings raise the floor in steps, so that it is not stored with every reading.
pub const FLOOR_STEP_MS: i64 = 3_600_000;

/// What is known at one moment.
#[derive(Clone, Copy, Debug)]
pub struct ClockInput<'a> {
    /// The OS's wall clock.
    pub wall: WallTime,
    /// Its monotonic clock, read with it.
    pub mono: MonoTime,
    /// Whether the OS says that its wall clock is synchronised.
    pub synchronised: bool,
    /// The stored floor.
    pub floor: WallTime,
    /// The latest time signed in a held root.
    pub signed: Option<WallTime>,
    /// The latest time signed at the `heartbeat` threshold. It is a floor while that heartbeat holds:
    /// a root may take it back, so it is not stored as one (RULES R6).
    pub heartbeat: Option<WallTime>,
    /// When the newest root expires; no reading counts beyond it.
    pub ceiling: Option<WallTime>,
    /// What enrolled peers read, one each, moved on to this moment.
    pub peers: &'a [WallTime],
}

/// Why a reading counts or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockBasis {
    /// The middle of at least three peers agrees.
    #[error("the clock agrees with the peers'")]
    Peers,
    /// The OS says that it is synchronised.
    #[error("the operating system says that its clock is synchronised")]
    Synchronised,
    /// The configuration trusts the real-time clock, and it has not jumped.
    #[error("the configuration trusts the real-time clock")]
    Rtc,
    /// It does not count: below the floor.
    #[error("the clock reads {wall}, before {floor}, which is past for certain")]
    BelowFloor {
        /// The reading.
        wall: WallTime,
        /// The floor.
        floor: WallTime,
    },
    /// It does not count: beyond the root's expiry.
    #[error("the clock reads {wall}, after the root expires at {ceiling}")]
    AboveCeiling {
        /// The reading.
        wall: WallTime,
        /// The expiry.
        ceiling: WallTime,
    },
    /// It does not count: the middle of the peers contradicts it.
    #[error("the clock reads {wall}, and the peers' clocks {middle}")]
    Contradicted {
        /// The reading.
        wall: WallTime,
        /// The middle of the peers.
        middle: WallTime,
    },
    /// It does not count: the real-time clock jumped.
    #[error("the clock moved by {by_ms} ms on its own")]
    Jumped {
        /// By how much.
        by_ms: i64,
    },
    /// It does not count: nothing vouches for it.
    #[error("nobody vouches for the clock: it is not synchronised, and fewer than 3 peers answer")]
    Unvouched,
}

/// What `now` is, and what follows for the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockVerdict {
    /// The interval.
    pub now: Now,
    /// The floor to store, if it rises.
    pub raise: Option<WallTime>,
    /// Why.
    pub basis: ClockBasis,
}

/// Judges readings one after another.
#[derive(Clone, Copy, Debug)]
pub struct ClockJudge {
    build_time: WallTime,
    trusts_rtc: bool,
    /// Wall minus monotonic time when the clock was last vouched for, or first read.
    offset_ms: Option<i64>,
}

impl ClockJudge {
    /// `build_time` is when the software was built; `trusts_rtc` is the setting `clock: rtc`.
    pub fn new(build_time: WallTime, trusts_rtc: bool) -> Self {
        Self { build_time, trusts_rtc, offset_ms: None }
    }

    /// Judges one reading.
    pub fn judge(&mut self, input: &ClockInput<'_>) -> ClockVerdict {
        // A signed time beyond the root's own end would shut the machine for good: it raises
        // nothing.
        let sane = |signed: &WallTime| input.ceiling.is_none_or(|end| *signed <= end);
        let issued = input.signed.filter(sane);
        let signed = issued.max(input.heartbeat.filter(sane));
        let lasting = input.floor.max(self.build_time).max(issued.unwrap_or(self.build_time));
        let floor = lasting.max(signed.unwrap_or(self.build_time));
        let basis = self.basis(input, floor);
        let (now, vouched) = match basis {
            ClockBasis::Peers => (Now::reading(input.wall, 0), true),
            ClockBasis::Synchronised => (Now::reading(input.wall, 0), agrees(signed, input.wall)),
            ClockBasis::Rtc => {
                let vouched = agrees(signed, input.wall) || !holds(Rule::K1Raise);
                (Now::reading(input.wall, WIDTH_MS), vouched)
            }
            ClockBasis::BelowFloor { .. }
            | ClockBasis::AboveCeiling { .. }
            | ClockBasis::Contradicted { .. }
            | ClockBasis::Jumped { .. }
            | ClockBasis::Unvouched => {
                let latest = input.ceiling.unwrap_or(WallTime::MAX).max(floor);
                (Now { earliest: floor, latest, known: false }, false)
            }
        };
        let now = Now { earliest: now.earliest.max(floor), ..now };
        let raise = (lasting > input.floor).then_some(lasting);
        // Less what readings that agree may differ by, so that a corrected clock is not below it.
        let own = input.wall.plus_ms(-AGREE_MS);
        let step = vouched && own.since_ms(lasting) >= FLOOR_STEP_MS;
        ClockVerdict { now, raise: if step { Some(own) } else { raise }, basis }
    }

    fn basis(&mut self, input: &ClockInput<'_>, floor: WallTime) -> ClockBasis {
        let ClockInput { wall, mono, .. } = *input;
        let offset_ms = wall.as_ms().saturating_sub(i64::try_from(mono.0).unwrap_or(i64::MAX));
        if wall < floor && holds(Rule::K1Floor) {
            return ClockBasis::BelowFloor { wall, floor };
        }
        if let Some(ceiling) =
            input.ceiling.filter(|ceiling| wall > *ceiling && holds(Rule::K2Ceiling))
        {
            return ClockBasis::AboveCeiling { wall, ceiling };
        }
        // What is impossible anyway is no measure for jumps: a clock may be put right once.
        let moved_ms = offset_ms.saturating_sub(*self.offset_ms.get_or_insert(offset_ms));
        let middle = middle(input.peers);
        if let Some(middle) = middle.filter(|middle| !agrees(Some(*middle), wall)) {
            return ClockBasis::Contradicted { wall, middle };
        }
        if middle.is_some() || input.synchronised {
            self.offset_ms = Some(offset_ms);
        }
        if middle.is_some() {
            ClockBasis::Peers
        } else if input.synchronised {
            ClockBasis::Synchronised
        } else if !self.trusts_rtc && holds(Rule::K2Vouched) {
            ClockBasis::Unvouched
        } else if moved_ms.abs() > JUMP_MS {
            ClockBasis::Jumped { by_ms: moved_ms }
        } else {
            ClockBasis::Rtc
        }
    }
}

fn agrees(with: Option<WallTime>, reading: WallTime) -> bool {
    with.is_some_and(|with| reading.since_ms(with).abs() <= AGREE_MS)
}

/// The middle of the peers' readings; the lower of two.
fn middle(peers: &[WallTime]) -> Option<WallTime> {
    let mut sorted = peers.to_vec();
    sorted.sort_unstable();
    (sorted.len() >= PEERS_MIN).then(|| sorted[(sorted.len() - 1) / 2])
}
