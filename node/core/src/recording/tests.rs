//! Every event comes back from a line as it went in, and a run repeats.

use std::collections::BTreeMap;

use daymark_protocol::decide::{Activity, Machine, PlatformKind};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::OsType;
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::trust::{Floors, Pin, SigningKey};

use super::*;
use crate::effect::{Admission, Channel, OpId};
use crate::event::{Carried, GossipId, Inspection, OpOutput, RequestId, StageProgress};
use crate::node::Node;

const PEER: KeyId = KeyId([7; 32]);

fn inspection() -> Inspection {
    let machine = Machine {
        os_type: OsType::Immutable,
        platform: PlatformKind::Slots,
        architecture: "x86_64".into(),
        installed: None,
        staged: None,
        quarantine: Vec::new(),
        inhibitors: vec!["a shift runs".into()],
        other_updaters: Vec::new(),
        activation_ms: Some(1),
        activity: Activity::Staging,
        slot_busy: Some("unconfirmed".into()),
    };
    Inspection {
        machine,
        booted_slot: Some("a".into()),
        boot_id: None,
        boot_unconfirmed: true,
        facts: vec![("os".into(), "Debian \"12\"\n".into())],
    }
}

fn progress() -> StageProgress {
    StageProgress {
        verified_bytes: u64::MAX,
        peer_bytes: BTreeMap::from([(PEER, 3)]),
        trouble: "slow".into(),
        ..StageProgress::default()
    }
}

/// One of each, bytes that are no text included.
fn events() -> Vec<Event> {
    let (request, bytes) = (RequestId(u64::MAX), vec![0, 255, 10]);
    let items = vec![
        Carried::Root(bytes.clone()),
        Carried::Entry(bytes.clone()),
        Carried::Report(Vec::new()),
        Carried::Blob(bytes.clone()),
    ];
    let pin = Pin { version: 1, digest: Digest([3; 32]) };
    let until = Some(WallTime::from_ms(1_234_567_890_123));
    let done = |result| Event::OpDone { op: OpId(4), result };
    vec![
        Event::Wake,
        Event::Connected { peer: PEER, address: "/ip4".into(), admission: Admission::Member },
        Event::Disconnected { peer: PEER },
        Event::Received { peer: PEER, channel: Channel::Join, bytes: bytes.clone() },
        Event::Received { peer: PEER, channel: Channel::Sync, bytes: bytes.clone() },
        Event::Gossip { id: GossipId(1), from: PEER, bytes },
        Event::Listening { addresses: vec!["/ip4".into()] },
        Event::Submit { request, items: items.clone(), visitor: None },
        Event::Join { request, pin, items },
        Event::Bound { moved: None },
        Event::Bound { moved: Some("copied disk or new board?".into()) },
        Event::Rebind { request },
        Event::Inhibit { request, why: "a shift runs".into(), until },
        Event::Inhibit { request, why: "a shift runs".into(), until: None },
        Event::Inspected(Box::new(inspection())),
        done(Ok(OpOutput::Done)),
        done(Ok(OpOutput::Staged(progress()))),
        done(Ok(OpOutput::Healthy)),
        done(Ok(OpOutput::Unhealthy("no".into()))),
        done(Err("cancelled".into())),
        Event::Progress { op: OpId(4), progress: progress() },
    ]
}

fn reading(step: u64) -> Reading {
    Reading {
        mono: MonoTime(step * 1_000),
        wall: WallTime::from_ms(1_800_000_000_000 + i64::try_from(step).unwrap() * 1_001),
        synchronised: true,
    }
}

fn start() -> Start {
    Start {
        key: SigningKey::from_seed([9; 32]),
        seed: [5; 32],
        durable: DurableState { generation: 3, ..DurableState::default() },
        roots: Vec::new(),
        entries: Vec::new(),
        reports: Vec::new(),
        blobs: Vec::new(),
        floors: Floors::default(),
    }
}

/// A run of one step for each event.
fn recorded() -> Vec<String> {
    let config = CoreConfig::new(ClockTrust::Rtc, WallTime::EPOCH, 8).unwrap();
    let mut lines = vec![start_line(&config, &start(), reading(0), "1").unwrap()];
    let (mut node, batch) = Node::new(config, start(), reading(0));
    lines.push(step_line(None, &batch).unwrap());
    for (step, event) in (1..).zip(events()) {
        let batch = node.step(reading(step), event.clone());
        lines.push(step_line(Some((reading(step), event)), &batch).unwrap());
    }
    lines
}

fn replayed(lines: &[String]) -> Result<Replayed, ReplayError> {
    let mut replay = Replay::begin(&lines[0], SigningKey::from_seed([9; 32]))?;
    lines[1..].iter().try_for_each(|line| replay.step(line))?;
    Ok(replay.replayed().clone())
}

#[test]
fn every_event_comes_back_as_it_went_in() {
    for event in events() {
        let line = serde_json::to_string(&event).unwrap();
        let back: Event = serde_json::from_str(&line).unwrap();
        assert_eq!(format!("{event:?}"), format!("{back:?}"));
    }
}

#[test]
fn a_run_repeats_and_what_is_altered_is_named() {
    let mut lines = recorded();
    let replayed_whole = replayed(&lines).unwrap();
    assert_eq!(replayed_whole.steps, events().len());
    assert!(replayed_whole.compared.values().sum::<usize>() > 3, "{replayed_whole:?}");
    // The inhibitor has another name: what is stored of it differs.
    let place = lines.iter().position(|line| line.contains("\"inhibit\"")).unwrap();
    lines[place] = lines[place].replace("a shift runs", "a shift ran");
    let Err(ReplayError::Differs(difference)) = replayed(&lines) else { panic!("not noticed") };
    assert_eq!(difference.step, place - 1);
    assert!(difference.recorded.is_some_and(|mark| mark.variant() == "PutState"));
    assert!(difference.event.contains("a shift ran"), "{}", difference.event);
}

#[test]
fn another_machines_key_another_format_and_no_lines_are_refused() {
    let lines = recorded();
    let other = Replay::begin(&lines[0], SigningKey::from_seed([8; 32]));
    assert!(matches!(other, Err(ReplayError::AnotherKey { .. })));
    let newer = lines[0].replace("\"format\":1", "\"format\":2");
    let newer = Replay::begin(&newer, SigningKey::from_seed([9; 32]));
    assert!(matches!(newer, Err(ReplayError::Start(BadStart::Format(2)))));
    let missing_start: Vec<String> = [&lines[..1], &lines[2..]].concat();
    assert!(matches!(replayed(&missing_start), Err(ReplayError::Unreadable { line: 2, .. })));
    let twice = [&lines[..2], &lines[1..]].concat();
    assert!(matches!(replayed(&twice), Err(ReplayError::Unreadable { line: 3, .. })));
    assert!(!lines[0].contains(&data_of(&[9; 32])), "the key is in the recording");
}

fn data_of(bytes: &[u8]) -> String {
    serde_json::to_string(&Bytes(bytes.to_vec())).unwrap()
}
