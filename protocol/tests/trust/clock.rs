use daymark_protocol::clock::{ClockBasis, ClockInput, ClockJudge, ClockVerdict};
use daymark_protocol::time::{MonoTime, Now, WallTime};
use proptest::prelude::*;

use crate::support::{DAY_MS, day};

const MINUTE_MS: i64 = 60_000;

fn minutes(n: i64) -> WallTime {
    day(10).plus_ms(n * MINUTE_MS)
}

/// A reading of `wall` with nobody to vouch for it, by software built on day 0.
fn reading(wall: WallTime) -> ClockInput<'static> {
    ClockInput {
        wall,
        mono: MonoTime(1_000_000),
        synchronised: false,
        floor: day(0),
        signed: None,
        heartbeat: None,
        ceiling: Some(day(365)),
        peers: &[],
    }
}

fn judged(input: &ClockInput<'_>) -> ClockVerdict {
    ClockJudge::new(day(0), false).judge(input)
}

fn with_rtc(input: &ClockInput<'_>) -> ClockVerdict {
    ClockJudge::new(day(0), true).judge(input)
}

#[test]
fn rt_n5_a_machine_alone_knows_the_time_if_its_os_says_so_or_its_rtc_is_trusted() {
    let alone = reading(day(10));
    assert_eq!(judged(&alone).basis, ClockBasis::Unvouched);
    assert!(!judged(&alone).now.known);
    let synchronised = judged(&ClockInput { synchronised: true, ..alone });
    assert_eq!(synchronised.now, Now::reading(day(10), 0));
    let trusted = with_rtc(&alone);
    assert_eq!(trusted.now, Now::reading(day(10), MINUTE_MS));
    // It permits, and raises nothing.
    assert_eq!((synchronised.raise, trusted.raise), (None, None));
}

#[test]
fn rt_b6_a_clock_that_reads_2100_waits_and_raises_nothing() {
    let far = WallTime::from_seconds(4_102_444_800);
    let peers = [far; 5];
    for input in [
        ClockInput { synchronised: true, ..reading(far) },
        ClockInput { peers: &peers, ..reading(far) },
    ] {
        let verdict = with_rtc(&input);
        assert!(matches!(verdict.basis, ClockBasis::AboveCeiling { .. }));
        assert_eq!(verdict.raise, None);
        let waits = Now { earliest: day(0), latest: day(365), known: false };
        assert_eq!(verdict.now, waits);
    }
}

#[test]
fn rt_b6_a_signed_time_beyond_the_root_raises_nothing() {
    let signed = Some(WallTime::from_seconds(4_102_444_800));
    let verdict = judged(&ClockInput { signed, synchronised: true, ..reading(day(10)) });
    assert_eq!((verdict.basis, verdict.raise), (ClockBasis::Synchronised, None));
}

#[test]
fn k1_build_time_and_signed_times_raise_the_floor() {
    let verdict = judged(&ClockInput { floor: day(-5), ..reading(day(10)) });
    assert_eq!(verdict.raise, Some(day(0)));
    let signed = ClockInput { signed: Some(day(9)), synchronised: true, ..reading(day(8)) };
    let verdict = judged(&signed);
    assert_eq!(verdict.raise, Some(day(9)));
    assert_eq!(verdict.basis, ClockBasis::BelowFloor { wall: day(8), floor: day(9) });
    assert_eq!(judged(&ClockInput { floor: day(9), ..signed }).raise, None);
}

#[test]
fn k1_own_readings_raise_the_floor_while_peers_or_signed_times_agree() {
    let peers = [minutes(-1), minutes(0), minutes(1)];
    let vouched = ClockInput { peers: &peers, ..reading(minutes(0)) };
    let raised = judged(&vouched).raise.unwrap();
    assert!(raised <= minutes(0) && raised > day(9));
    // In steps, not with each reading.
    assert_eq!(judged(&ClockInput { floor: raised, ..vouched }).raise, None);
    let near = ClockInput { signed: Some(minutes(0)), synchronised: true, ..reading(minutes(90)) };
    assert_eq!(judged(&near).raise, Some(minutes(0)), "90 minutes on, it vouches no more");
}

#[test]
fn k2_three_peers_vouch_or_contradict_and_two_do_neither() {
    let three = [minutes(-5), minutes(5), minutes(900)];
    let agrees = judged(&ClockInput { peers: &three, ..reading(minutes(0)) });
    assert_eq!((agrees.basis, agrees.now), (ClockBasis::Peers, Now::reading(minutes(0), 0)));
    let off = ClockInput { peers: &three, synchronised: true, ..reading(minutes(-1)) };
    let contradicted = with_rtc(&off);
    let middle = minutes(5);
    assert_eq!(contradicted.basis, ClockBasis::Contradicted { wall: minutes(-1), middle });
    assert!(!contradicted.now.known);
    let two = ClockInput { peers: &three[1..], ..off };
    assert_eq!(judged(&two).basis, ClockBasis::Synchronised);
}

#[test]
fn q6_a_trusted_rtc_counts_until_it_jumps() {
    let mut clock = ClockJudge::new(day(0), true);
    let mut at = |mono_minutes: u64, wall: WallTime, synchronised| {
        let mono = MonoTime(mono_minutes * 60_000);
        clock.judge(&ClockInput { mono, synchronised, ..reading(wall) }).basis
    };
    assert_eq!(at(0, minutes(0), false), ClockBasis::Rtc);
    assert_eq!(at(60, minutes(61), false), ClockBasis::Rtc);
    assert_eq!(at(61, minutes(63), false), ClockBasis::Jumped { by_ms: 2 * MINUTE_MS });
    // Creeping counts as well: what matters is where it was when it was last vouched for.
    assert_eq!(at(62, minutes(64), false), ClockBasis::Jumped { by_ms: 2 * MINUTE_MS });
    assert_eq!(at(63, minutes(65), true), ClockBasis::Synchronised);
    assert_eq!(at(64, minutes(66), false), ClockBasis::Rtc);
    assert_eq!(at(65, minutes(0), false), ClockBasis::Jumped { by_ms: -67 * MINUTE_MS });
}

#[test]
fn q6_an_impossible_reading_is_no_measure_for_jumps() {
    let mut clock = ClockJudge::new(day(0), true);
    assert!(!clock.judge(&reading(WallTime::EPOCH)).now.known);
    assert_eq!(clock.judge(&reading(day(10))).basis, ClockBasis::Rtc);
}

proptest! {
    #[test]
    fn k1_the_floor_never_falls_nor_passes_the_ceiling_and_now_respects_it(
        wall in -50..500i64,
        floor in -10..300i64,
        signed in prop::option::of(-50..500i64),
        peers in prop::collection::vec(-50..500i64, 0..6),
        synchronised in any::<bool>(),
        rtc in any::<bool>(),
    ) {
        let peers: Vec<WallTime> = peers.into_iter().map(day).collect();
        let input = ClockInput {
            floor: day(floor),
            signed: signed.map(day),
            heartbeat: None,
            peers: &peers,
            synchronised,
            ..reading(day(wall))
        };
        let verdict = ClockJudge::new(day(0), rtc).judge(&input);
        let after = verdict.raise.unwrap_or(input.floor);
        prop_assert!(after >= input.floor && after <= day(365));
        prop_assert!(verdict.raise != Some(input.floor));
        prop_assert!(verdict.now.earliest >= input.floor.max(day(0)));
        prop_assert!(verdict.now.earliest <= verdict.now.latest);
        if verdict.now.known {
            prop_assert!((verdict.now.earliest.since_ms(input.wall)).abs() < DAY_MS);
        }
    }
}

#[test]
fn k1_a_heartbeat_is_a_floor_while_it_holds_and_stores_none_by_itself() {
    let heartbeat = Some(day(12));
    let behind = judged(&ClockInput { heartbeat, synchronised: true, ..reading(day(10)) });
    assert!(matches!(behind.basis, ClockBasis::BelowFloor { floor, .. } if floor == day(12)));
    assert_eq!((behind.now.earliest, behind.raise), (day(12), None));
    // A reading that agrees with it is one that may be stored.
    let wall = day(12).plus_ms(4 * MINUTE_MS);
    let agreeing = judged(&ClockInput { heartbeat, synchronised: true, ..reading(wall) });
    assert_eq!(agreeing.raise, Some(wall.plus_ms(-5 * MINUTE_MS)));
    // Beyond the root's end it is nonsense, and raises nothing.
    let nonsense = Some(day(366));
    let sane = judged(&ClockInput { heartbeat: nonsense, synchronised: true, ..reading(day(10)) });
    assert!(sane.now.known);
}
