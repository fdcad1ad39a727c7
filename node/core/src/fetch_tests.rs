//! The plan against small worlds of sources.

use daymark_protocol::id::ChunkHash;
use daymark_protocol::image::IndexBuilder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

const CHUNK: u64 = 65_536;

fn index(chunks: u32) -> Index {
    let mut builder = IndexBuilder::default();
    builder.begin_part("rootfs").unwrap();
    for chunk in 0..chunks {
        builder.push_chunk(ChunkHash::of(&chunk.to_be_bytes()), 65_536).unwrap();
    }
    builder.finish().unwrap()
}

fn peer(n: u8) -> FetchSource {
    FetchSource::Peer(KeyId([n; 32]))
}

fn plan(chunks: u32, start: u32) -> FetchPlan {
    let origin_after = MonoTime(3_000);
    let limits = FetchLimits::default();
    let wanted = ChunkSet::full(chunks);
    FetchPlan::new(&index(chunks), wanted, start, MonoTime(0), origin_after, limits)
}

fn set(chunks: u32, members: impl IntoIterator<Item = u32>) -> ChunkSet {
    let mut set = ChunkSet::new(chunks);
    members.into_iter().for_each(|chunk| {
        set.insert(chunk);
    });
    set
}

/// Everything that a source would be asked now.
fn ask(plan: &mut FetchPlan, now: u64, source: FetchSource) -> Vec<u32> {
    std::iter::from_fn(|| plan.next_request(MonoTime(now), source)).flatten().collect()
}

#[test]
fn each_chunk_is_asked_once_and_within_the_source_s_room() {
    let mut plan = plan(200, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(200));
    plan.add_source(MonoTime(0), peer(2), ChunkSet::full(200));
    let first = ask(&mut plan, 0, peer(1));
    let second = ask(&mut plan, 0, peer(2));
    assert_eq!(first.len() as u64 * CHUNK, FetchLimits::default().source_bytes_max);
    assert_eq!(second.len(), first.len());
    assert!(first.iter().all(|chunk| !second.contains(chunk)));
}

#[test]
fn a_request_is_a_run_of_at_most_one_mebibyte() {
    let mut plan = plan(200, 0);
    plan.add_source(MonoTime(0), peer(1), set(200, (0..40).chain(60..64)));
    let runs: Vec<_> =
        std::iter::from_fn(|| plan.next_request(MonoTime(0), peer(1))).take(4).collect();
    let expected: Vec<Vec<u32>> = [0..16, 16..32, 32..40, 60..64].map(Vec::from_iter).into();
    assert_eq!(runs, expected);
}

#[test]
fn nodes_with_one_source_begin_at_different_places() {
    let begin = |start| {
        let mut plan = plan(200, start);
        plan.add_source(MonoTime(0), peer(1), ChunkSet::full(200));
        plan.next_request(MonoTime(0), peer(1)).unwrap()[0]
    };
    assert_eq!([begin(0), begin(70), begin(340)], [0, 70, 140]);
}

#[test]
fn what_fewest_peers_have_is_asked_first() {
    let mut plan = plan(60, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(60));
    plan.add_source(MonoTime(0), peer(2), set(60, 0..30));
    assert_eq!(plan.next_request(MonoTime(0), peer(1)).unwrap()[0], 30);
    plan.remove_source(peer(2));
    plan.add_source(MonoTime(0), peer(3), set(60, 10..60));
    assert_eq!(plan.next_request(MonoTime(0), peer(1)).unwrap()[0], 0);
}

#[test]
fn what_a_lost_source_was_asked_for_goes_to_another() {
    let mut plan = plan(20, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(20));
    plan.add_source(MonoTime(0), peer(2), ChunkSet::full(20));
    assert_eq!(ask(&mut plan, 0, peer(1)).len(), 20);
    assert_eq!(plan.received(MonoTime(1), peer(1), 3), Arrival::Needed);
    assert!(ask(&mut plan, 1, peer(2)).is_empty());
    plan.remove_source(peer(1));
    let again = ask(&mut plan, 2, peer(2));
    assert_eq!(again.len(), 19);
    assert!(!again.contains(&3));
}

#[test]
fn a_source_without_progress_loses_its_requests_but_may_still_deliver() {
    let mut plan = plan(20, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(20));
    plan.add_source(MonoTime(0), peer(2), ChunkSet::full(20));
    ask(&mut plan, 0, peer(1));
    assert_eq!(plan.next_deadline(MonoTime(1)), Some(MonoTime(3_000)));
    assert!(plan.expire(MonoTime(4_999)).is_empty());
    assert!(ask(&mut plan, 4_999, peer(2)).is_empty());
    plan.expire(MonoTime(5_000));
    assert_eq!(ask(&mut plan, 5_000, peer(2)).len(), 20);
    assert!(ask(&mut plan, 5_001, peer(1)).is_empty());
    assert_eq!(plan.received(MonoTime(5_100), peer(1), 4), Arrival::Needed);
    assert_eq!(plan.received(MonoTime(5_200), peer(2), 4), Arrival::Late);
    assert_eq!(plan.received(MonoTime(5_300), peer(1), 4), Arrival::Unasked);
}

/// What was asked of a source is not asked there again: it comes, or the connection is renewed.
#[test]
fn a_source_that_stalls_three_times_is_reported() {
    let mut plan = plan(20, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(20));
    assert_eq!(ask(&mut plan, 0, peer(1)).len(), 20);
    for (now, dead) in
        [(5_000, vec![]), (10_000, vec![]), (15_000, vec![]), (25_000, vec![peer(1)])]
    {
        assert_eq!(plan.expire(MonoTime(now)), dead, "after {now} ms");
        assert!(ask(&mut plan, now + 4_999, peer(1)).is_empty());
    }
    plan.remove_source(peer(1));
    plan.add_source(MonoTime(26_000), peer(1), ChunkSet::full(20));
    assert!(!ask(&mut plan, 26_000, peer(1)).is_empty());
}

#[test]
fn a_blamed_source_is_dropped_and_never_comes_back() {
    let mut plan = plan(20, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(20));
    ask(&mut plan, 0, peer(1));
    plan.blame(peer(1));
    plan.add_source(MonoTime(1), peer(1), ChunkSet::full(20));
    assert!(plan.is_blamed(peer(1)) && plan.sources().is_empty());
    plan.add_source(MonoTime(1), peer(2), ChunkSet::full(20));
    assert_eq!(ask(&mut plan, 1, peer(2)).len(), 20);
    assert_eq!(plan.received(MonoTime(2), peer(1), 0), Arrival::Unasked);
}

#[test]
fn an_origin_waits_its_time_and_brings_only_what_no_peer_has() {
    let mut plan = plan(40, 0);
    plan.add_source(MonoTime(0), FetchSource::Origin(0), ChunkSet::full(40));
    plan.add_source(MonoTime(0), peer(1), set(40, 0..25));
    assert!(ask(&mut plan, 2_999, FetchSource::Origin(0)).is_empty());
    let asked = ask(&mut plan, 3_000, FetchSource::Origin(0));
    assert_eq!(asked, (25..40).collect::<Vec<_>>());
    // Nothing moved for 5 s: now the origin brings everything.
    plan.expire(MonoTime(5_000));
    assert_eq!(ask(&mut plan, 5_000, FetchSource::Origin(0)), (0..25).collect::<Vec<_>>());
}

#[test]
fn a_second_origin_is_asked_only_while_the_first_does_not_work() {
    let mut plan = plan(200, 0);
    plan.add_source(MonoTime(0), FetchSource::Origin(0), ChunkSet::full(200));
    plan.add_source(MonoTime(0), FetchSource::Origin(1), ChunkSet::full(200));
    ask(&mut plan, 4_000, FetchSource::Origin(0));
    assert!(ask(&mut plan, 4_000, FetchSource::Origin(1)).is_empty());
    plan.expire(MonoTime(9_000));
    assert!(!ask(&mut plan, 9_000, FetchSource::Origin(1)).is_empty());
}

#[test]
fn a_busy_source_rests_and_a_gone_chunk_is_not_asked_there_again() {
    let mut plan = plan(2, 0);
    plan.add_source(MonoTime(0), peer(1), ChunkSet::full(2));
    assert_eq!(ask(&mut plan, 0, peer(1)), [0, 1]);
    plan.gone(peer(1), 0);
    plan.busy(MonoTime(10), peer(1), 1);
    assert!(ask(&mut plan, 20, peer(1)).is_empty());
    assert_eq!(ask(&mut plan, 510, peer(1)), [1]);
}

/// A source at the end of a line of a set speed: it answers in order, one chunk after the other.
struct Line {
    source: FetchSource,
    ms_per_chunk: u64,
    asked: std::collections::VecDeque<u32>,
    next_ms: u64,
    brought: u32,
}

impl Line {
    fn new(source: FetchSource, ms_per_chunk: u64) -> Self {
        Self { source, ms_per_chunk, asked: Default::default(), next_ms: 0, brought: 0 }
    }
}

/// Fetches over lines; returns when all was there, in ms, and how many chunks came too late.
fn fetch_over(chunks: u32, lines: &mut [Line]) -> (u64, u32) {
    let mut plan = plan(chunks, 0);
    let mut late = 0;
    lines.iter().for_each(|line| {
        plan.add_source(MonoTime(0), line.source, ChunkSet::full(chunks));
    });
    let mut now = 0;
    while plan.remaining() > 0 {
        assert_eq!(plan.expire(MonoTime(now)), [], "nobody is given up");
        for line in &mut *lines {
            let idle = line.asked.is_empty();
            line.asked.extend(ask(&mut plan, now, line.source));
            if idle {
                line.next_ms = now + line.ms_per_chunk;
            }
            while line.next_ms <= now
                && let Some(chunk) = line.asked.pop_front()
            {
                line.next_ms += line.ms_per_chunk;
                line.brought += 1;
                match plan.received(MonoTime(now), line.source, chunk) {
                    Arrival::Needed => {}
                    Arrival::Late => late += 1,
                    Arrival::Unasked => panic!("chunk {chunk} was asked"),
                }
            }
        }
        now += 10;
        assert!(now < 3_600_000, "{} chunks are missing after an hour", plan.remaining());
    }
    (now, late)
}

/// One enrolled host, or many, that answer just often enough not to look dead.
#[test]
fn peers_that_drip_do_not_keep_the_image_from_a_good_origin() {
    for drippers in [1, 3, 20] {
        let mut lines: Vec<_> = (0..drippers).map(|n| Line::new(peer(n), 4_900)).collect();
        // 8 MiB/s, on which the 100 MiB take 12.5 s.
        lines.push(Line::new(FetchSource::Origin(0), 8));
        let (took_ms, _) = fetch_over(1_600, &mut lines);
        assert!(took_ms < 45_000, "{drippers} drippers: {took_ms} ms");
    }
}

#[test]
fn peers_that_drip_do_not_hold_up_a_good_peer() {
    let mut lines: Vec<_> = (0..3).map(|n| Line::new(peer(n), 4_900)).collect();
    lines.push(Line::new(peer(9), 8));
    let (took_ms, _) = fetch_over(1_600, &mut lines);
    assert!(took_ms < 45_000, "{took_ms} ms");
}

/// A line of 64 KiB in 1.5 s is slow, not dead: it is used to the full, and nothing comes twice.
#[test]
fn the_only_source_may_be_slow() {
    for source in [peer(1), FetchSource::Origin(0)] {
        let (took_ms, late) = fetch_over(300, &mut [Line::new(source, 1_500)]);
        assert!(took_ms < 300 * 1_500 + 10_000, "{took_ms} ms");
        assert_eq!(late, 0);
    }
}

#[test]
fn quick_peers_spare_the_origin() {
    let mut lines = [peer(1), peer(2), FetchSource::Origin(0)].map(|source| Line::new(source, 16));
    fetch_over(1_600, &mut lines);
    assert_eq!(lines.map(|line| line.brought > 0), [true, true, false]);
}

/// Sources that come, go, stall, lie and lose chunks: every chunk arrives exactly once, none is
/// with two sources at a time unless its time ran out, and no bound is passed.
#[test]
fn any_course_of_events_ends_with_every_chunk_once() {
    for seed in 0..60 {
        run_world(seed);
    }
}

fn run_world(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = move |below: u32| rng.next_u32() % below;
    let chunks = 20 + draw(300);
    let mut plan = plan(chunks, draw(1000));
    let mut world: BTreeMap<FetchSource, BTreeSet<u32>> = BTreeMap::new();
    let mut arrived = BTreeSet::new();
    let mut now = 0;
    plan.add_source(MonoTime(0), FetchSource::Origin(0), ChunkSet::full(chunks));
    world.insert(FetchSource::Origin(0), BTreeSet::new());
    while plan.remaining() > 0 {
        now += u64::from(draw(400));
        assert!(now < 10_000_000, "seed {seed}: no end in sight");
        let id = peer(u8::try_from(draw(6)).unwrap());
        match draw(12) {
            0 => {
                let has = set(chunks, (0..chunks).filter(|chunk| chunk % (1 + draw(3)) == 0));
                plan.add_source(MonoTime(now), id, has);
                world.entry(id).or_default();
            }
            1 => {
                plan.remove_source(id);
                world.remove(&id);
            }
            2 if draw(10) == 0 => {
                plan.blame(id);
                world.remove(&id);
            }
            _ => {}
        }
        for source in plan.expire(MonoTime(now)) {
            plan.remove_source(source);
            world.remove(&source);
        }
        world.entry(FetchSource::Origin(0)).or_insert_with(|| {
            plan.add_source(MonoTime(now), FetchSource::Origin(0), ChunkSet::full(chunks));
            BTreeSet::new()
        });
        for (source, asked) in &mut world {
            let requested = ask(&mut plan, now, *source);
            assert!(requested.len() as u64 * CHUNK <= FetchLimits::default().source_bytes_max);
            asked.extend(requested);
            while let Some(chunk) = asked.first().copied().filter(|_| draw(4) > 0) {
                asked.remove(&chunk);
                match draw(20) {
                    0 => plan.gone(*source, chunk),
                    1 => plan.busy(MonoTime(now), *source, chunk),
                    _ => match plan.received(MonoTime(now), *source, chunk) {
                        Arrival::Needed => assert!(arrived.insert(chunk), "seed {seed}"),
                        Arrival::Late | Arrival::Unasked => {}
                    },
                }
            }
        }
        // A chunk that an origin lost comes back with its next connection.
        if draw(30) == 0 {
            plan.remove_source(FetchSource::Origin(0));
            world.remove(&FetchSource::Origin(0));
        }
    }
    assert_eq!(arrived.len(), chunks as usize);
}
