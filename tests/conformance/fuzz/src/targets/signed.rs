//! What is signed: envelopes and what stands in them, as received and signed anew by keys that
//! count, so that the judge and the decision see it too.

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Channel};
use daymark_core::event::{GossipId, Reading};
use daymark_core::{Batch, ClockTrust, CoreConfig, Event, Node, Start};
use daymark_protocol::decide::{Activity, Machine, PlatformKind, Reach, World, decide, foresee};
use daymark_protocol::document::{
    ClosedGeneration, Entry, Interest, Replica, SignedReport, signature_entry, statement_entry,
};
use daymark_protocol::id::{Digest, ResourceId};
use daymark_protocol::limits::{
    ENVELOPE_BYTES_MAX, GENERATION_BYTES_MAX, MESSAGE_BYTES_MAX, REPORT_BYTES_MAX,
    ROOT_PAYLOAD_BYTES_MAX, STATEMENT_PAYLOAD_BYTES_MAX,
};
use daymark_protocol::resource::{OsType, Spec};
use daymark_protocol::time::{MonoTime, Now, WallTime};
use daymark_protocol::trust::{
    Context, DigestList, Envelope, Floors, Heartbeat, Root, SigningKey, Statement,
};
use daymark_protocol::window::{Schedule, Windows};

use super::{BINARY, TEXT, comes_back, refused, world};
use crate::target::{Allowance, Target, Told};

/// Words of statements.
const WORDS: &[&str] = &[
    "OsUpdatePolicy",
    "OsProfile",
    "Site",
    "Region",
    "Host",
    "Halt",
    "Resume",
    "Hold",
    "Retry",
    "Emergency",
    "Token",
    "Promotion",
    "Blackout",
    "SingleSchedule",
    "RepeatedSchedule",
    "CustomConfig",
    "Unheard",
    "fleet",
    "site/berlin",
    "region/north",
    "\"until\":",
    "\"gone\":true",
    "\"closes\":true",
    "\"sees\":[]",
    "\"schema\":2",
    "UPDATE_POLICY_LATEST",
    "LATEST",
    "TARGET",
    "*/5",
    "0-59",
    "1,2,3",
    "Europe/Berlin",
    "site",
    "UTC",
    "2026-06-01T00:00:00Z",
    "-009999-01-01T00:00:00Z",
    "9999-12-30T22:00:00Z",
];
/// What the judge and the decision may take beside a statement: a replica and its answers.
const JUDGED: Allowance = Allowance { base_bytes: 1024 * 1024, per_byte: 600 };

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "envelope",
        about: "envelopes of roots, heartbeats and requests",
        input_bytes_max: ENVELOPE_BYTES_MAX + 64,
        allowance: TEXT,
        words: &["payload", "payloadType", "signatures", "keyid", "sig"],
        sources: &["protocol/src/trust/envelope.rs"],
        run: |input| {
            let envelope = Envelope::parse(input).map_err(refused)?;
            let again = Envelope::parse(&envelope.to_json()).map_err(refused);
            assert_eq!(again.as_ref(), Ok(&envelope), "an envelope does not come back");
            Ok(format!("{:?}", envelope.context))
        },
    },
    Target {
        name: "root",
        about: "roots",
        input_bytes_max: ROOT_PAYLOAD_BYTES_MAX + 64,
        allowance: TEXT,
        words: &["root", "policy", "release", "enroll", "halt", "delegations", "void", "freshness"],
        sources: &[
            "protocol/src/trust/root/mod.rs",
            "protocol/src/trust/root/parts.rs",
            "protocol/src/trust/fields.rs",
            "protocol/src/trust/strict_json.rs",
        ],
        run: |input| {
            let root = Root::parse(input).map_err(refused)?;
            assert_eq!(root.digest, Digest::of(input), "a root has another digest");
            Ok("root".to_owned())
        },
    },
    Target {
        name: "list",
        about: "lists of what an ended key signed",
        input_bytes_max: 64 * 1024,
        allowance: BINARY,
        words: &[],
        sources: &["protocol/src/trust/root/list.rs"],
        run: |input| {
            let list = DigestList::decode(input).map_err(refused)?;
            let again = DigestList::of(&list.digests().copied().collect());
            let again = again.first().ok_or("an empty list")?;
            comes_back("list", again.bytes(), input)
        },
    },
    Target {
        name: "statement",
        about: "payloads of statements",
        input_bytes_max: STATEMENT_PAYLOAD_BYTES_MAX + 64,
        allowance: TEXT,
        words: WORDS,
        sources: &[
            "protocol/src/trust/statement.rs",
            "protocol/src/trust/reading.rs",
            "protocol/src/trust/resource.rs",
        ],
        run: |input| {
            let statement = Statement::parse(input).map_err(refused)?;
            assert_eq!(statement.bytes(), input, "a statement is not kept as received");
            Ok(format!("{:?}", statement.role()))
        },
    },
    Target {
        name: "spec",
        about: "contents of resources, their limits and windows",
        input_bytes_max: 16 * 1024,
        allowance: Allowance { base_bytes: 512 * 1024, per_byte: 300 },
        words: WORDS,
        sources: &[
            "protocol/src/resource/policy.rs",
            "protocol/src/resource/schedule.rs",
            "protocol/src/resource/os_profile.rs",
            "protocol/src/resource/validate.rs",
            "protocol/src/window/cron.rs",
            "protocol/src/window/field.rs",
        ],
        run: spec,
    },
    Target {
        name: "heartbeat",
        about: "heartbeats",
        input_bytes_max: STATEMENT_PAYLOAD_BYTES_MAX + 64,
        allowance: TEXT,
        words: &["fleet", "site/berlin"],
        sources: &["protocol/src/trust/heartbeat.rs"],
        run: |input| {
            let heartbeat = Heartbeat::parse(input).map_err(refused)?;
            let written = heartbeat.write().map_err(refused)?;
            assert_eq!(Heartbeat::parse(&written).ok(), Some(heartbeat), "it does not come back");
            Ok("heartbeat".to_owned())
        },
    },
    Target {
        name: "entry",
        about: "entries of documents",
        input_bytes_max: STATEMENT_PAYLOAD_BYTES_MAX + 64,
        allowance: TEXT,
        words: WORDS,
        sources: &["protocol/src/document/entry.rs"],
        run: |input| {
            let entry = Entry::decode(input).map_err(refused)?;
            comes_back("entry", &entry.encode(), input)
        },
    },
    Target {
        name: "report",
        about: "reports of hosts, as they are and signed anew",
        input_bytes_max: REPORT_BYTES_MAX + 64,
        allowance: Allowance { base_bytes: 256 * 1024, per_byte: 100 },
        words: &["run", "machine", "update", "installed"],
        sources: &["protocol/src/document/report.rs", "protocol/src/document/fact.rs"],
        run: report,
    },
    Target {
        name: "generation",
        about: "closed generations of reports",
        input_bytes_max: GENERATION_BYTES_MAX + 64,
        allowance: Allowance { base_bytes: 256 * 1024, per_byte: 100 },
        words: &[],
        sources: &["protocol/src/document/closed.rs"],
        run: |input| {
            let reports = ClosedGeneration::reports(input).map_err(refused)?;
            Ok(format!("{} reports", reports.len().min(3)))
        },
    },
    Target {
        name: "judged",
        about: "a statement that everyone signed: judged, decided by, foreseen",
        input_bytes_max: STATEMENT_PAYLOAD_BYTES_MAX + 64,
        allowance: JUDGED,
        words: WORDS,
        sources: &["protocol/src/decide/reach.rs", "protocol/src/trust/lines.rs"],
        run: judged,
    },
    Target {
        name: "node",
        about: "messages of a member and of a stranger to a running node",
        input_bytes_max: MESSAGE_BYTES_MAX + 64,
        allowance: Allowance { base_bytes: 4 * 1024 * 1024, per_byte: 2_000 },
        words: &[],
        sources: &["node/core/src/intake.rs", "node/core/src/sync.rs", "node/core/src/join.rs"],
        run: node,
    },
];

/// A content as JSON: its limits, its own form again, and its windows of a year.
fn spec(input: &[u8]) -> Told {
    let spec: Spec = serde_json::from_slice(input).map_err(refused)?;
    let written = serde_json::to_vec(&spec).map_err(refused)?;
    let again: Spec = serde_json::from_slice(&written).map_err(refused)?;
    assert_eq!(again, spec, "a spec does not come back");
    let valid = spec.validate().map_err(refused);
    let id: ResourceId = "schedule-1".parse().map_err(refused)?;
    #[allow(clippy::wildcard_enum_match_arm, reason = "only kinds with windows have more to try")]
    let windows = match &spec {
        Spec::RepeatedSchedule(repeated) => {
            Windows::new(&[(id, Schedule::Repeated(repeated))], &[], Some("Europe/Berlin"))
        }
        Spec::SingleSchedule(single) => {
            Windows::new(&[(id, Schedule::Single(single))], &[], Some("Europe/Berlin"))
        }
        Spec::Blackout(blackout) => Windows::new(&[], &[(id, blackout)], Some("Europe/Berlin")),
        other => return valid.map(|()| other.kind().name().to_owned()),
    };
    for from_s in [0, 1_795_000_000, 253_402_000_000] {
        let (from, to) = (WallTime::from_seconds(from_s), WallTime::from_seconds(from_s + 86_400));
        let opened = windows.occurrences(from, to).take(2_000).count();
        assert!(opened <= 1_500, "more windows than minutes of a day: {opened}");
        let _ = windows.next_start(from);
    }
    valid.map(|()| format!("{} {}", spec.kind().name(), windows.problems().len()))
}

/// As received, and as this host's own: the fields are the same, and so are the bytes.
fn report(input: &[u8]) -> Told {
    let report = SignedReport::decode(input).map_err(refused)?;
    let own = world::host();
    let mut said = report.report().clone();
    said.host = own.public().id();
    let signed = said.sign(&own).map_err(refused)?;
    let body = input.len() - 64;
    assert!(
        signed.bytes()[65..body] == input[65..][..body - 65],
        "a report is accepted in a second form"
    );
    signed.verify().map_err(refused)?;
    let _ = report.verify();
    let kept = ClosedGeneration::reports(
        &[&u32::try_from(signed.bytes().len()).unwrap_or(0).to_be_bytes(), signed.bytes()].concat(),
    );
    Ok(format!("{} {} {}", said_of(&signed), kept.is_ok(), report.report().deletes.len().min(1)))
}

fn said_of(report: &SignedReport) -> &'static str {
    if report.report().puts.is_empty() { "empty" } else { "puts" }
}

/// A machine that could be updated.
fn machine() -> Machine {
    Machine {
        os_type: OsType::Immutable,
        platform: PlatformKind::Slots,
        architecture: "x86_64".to_owned(),
        installed: None,
        staged: None,
        quarantine: vec![],
        inhibitors: vec![],
        other_updaters: vec![],
        activation_ms: None,
        activity: Activity::Idle,
        slot_busy: None,
    }
}

fn signed(statement: &Statement, by: &SigningKey) -> Vec<u8> {
    let signature = by.sign(Context::Statement, statement.bytes());
    signature_entry(&statement.digest(), &by.public().id(), &signature)
}

fn judged(input: &[u8]) -> Told {
    let statement = Statement::parse(input).map_err(refused)?;
    let mut replica = Replica::new(world::chain(), Floors::default(), Interest::default());
    let mut entries = vec![statement_entry(input)];
    entries.extend(world::speakers().iter().map(|by| signed(&statement, by)));
    entries.push(signed(&statement, &world::host()));
    let slices: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    let (outcomes, _) = replica.accept_entries(&slices);
    let (again, changes) = replica.accept_entries(&slices);
    assert!(changes.is_empty(), "taking it twice changes something: {again:?}");
    let reach = Reach::new(replica.standing(), world::host().public().id());
    let machine = machine();
    let world = World { reach: &reach, machine: &machine };
    let at = WallTime::from_seconds(1_795_000_000);
    let decision = decide(&world, &Now::reading(at, 60_000));
    let foreseen = foresee(&reach, &machine, at, at.plus_ms(2 * 86_400_000));
    let first = outcomes.first().map(|outcome| format!("{outcome:.0?}"));
    let told = format!("{} {:?} {foreseen:.0?}", first.unwrap_or_default(), decision.reason);
    Ok(told.chars().take(120).collect())
}

/// As a host does it, performing nothing; how many effects it asked for.
fn performed(mut batch: Batch) -> usize {
    batch.take_immediate().len() + batch.writes().len() + batch.confirm_durable().len()
}

/// Messages, each behind a byte that says how it came and two of its length.
fn node(input: &[u8]) -> Told {
    let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 1).map_err(refused)?;
    let (root, envelope) = world::root();
    let durable = DurableState {
        pin: Some(daymark_protocol::trust::Pin { version: 1, digest: root.digest }),
        ..DurableState::default()
    };
    let start = Start {
        key: world::host(),
        seed: [7; 32],
        durable,
        roots: vec![envelope],
        entries: vec![],
        reports: vec![],
        blobs: vec![],
        floors: Floors::default(),
    };
    let wall = WallTime::from_seconds(1_795_000_000);
    let mut reading = Reading { mono: MonoTime(0), wall, synchronised: true };
    let (mut node, started) = Node::new(config, start, reading);
    let mut brought = performed(started);
    let member = world::key(31).public().id();
    let address = "/ip4/10.1.2.3/tcp/7440".to_owned();
    let connected = Event::Connected { peer: member, address, admission: Admission::Member };
    brought += performed(node.step(reading, connected));
    let mut rest = input;
    for _ in 0..16 {
        let Some(([kind, high, low], after)) = rest.split_first_chunk::<3>() else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (message, after) = after.split_at(length);
        rest = after;
        reading.mono.0 += 50;
        let bytes = message.to_vec();
        let event = match kind % 3 {
            0 => Event::Received { peer: member, channel: Channel::Sync, bytes },
            1 => Event::Received { peer: member, channel: Channel::Join, bytes },
            _ => Event::Gossip { id: GossipId(1), from: member, bytes },
        };
        brought += performed(node.step(reading, event));
    }
    Ok("x".repeat(brought.min(40)))
}
