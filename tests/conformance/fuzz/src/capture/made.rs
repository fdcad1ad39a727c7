//! Inputs that the library itself writes: for formats that no recording holds.

use std::io::{Cursor, Write as _};

use daymark_core::durable::DurableState;
use daymark_core::event::Reading;
use daymark_core::recording::{start_line, step_line};
use daymark_core::{ClockTrust, CoreConfig, Event, Node, Start};
use daymark_node::boot::{SwitchRecord, Trial};
use daymark_node::fuzzing as node;
use daymark_protocol::control::{
    Bytes, EnrolmentRequest, Inhibit, Item, Join, Submission, Submitted, TokenFile, Wanted,
};
use daymark_protocol::document::{DocumentId, Facts, ReportWriter, statement_entry};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::image::{ChunkSet, PackMap, PackSpan};
use daymark_protocol::resource::{Kind, Role, Scope, Target, TokenSpec};
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::trust::{
    Context, Delegation, DigestList, Draft, Envelope, FloorRecord, Floors, Pin, ResourceDraft,
    RoleKeys, RootDraft, Void, VoidId, named_id,
};
use daymark_protocol::wire::{
    Bucket, BucketOf, Fetching, GossipMessage, Hello, JoinMessage, Liveness, Mark, Nonce, Session,
    ShortHead, SyncMessage, Tag, WantedReports,
};
use serde_json::value::RawValue;

use super::Captured;
use crate::targets::{images, sealed, world};

/// Contents of each kind, in the order in which a fleet needs them.
const SPECS: [(&str, &str); 20] = [
    ("Region", r#"{"name":"north"}"#),
    ("Site", r#"{"name":"berlin","zone":"Europe/Berlin","region":"region-north"}"#),
    ("Host", r#"{"name":"press-07","publicKey":"KEY","labels":{"line":"3"}}"#),
    (
        "OsProfile",
        r#"{"name":"edge@2.0.0","type":"OS_TYPE_IMMUTABLE","provider":"infra","architecture":"x86_64","profileName":"edge","osImageVersion":"2.0.0","indexDigest":"D","indexBytes":1000,"layout":{"uki":{"partition":"ESP","file":{"fileSystem":"vfat","path":"EFI/Linux/linux.efi"}}},"parts":{"rootfs":{"bytes":4096,"sha256":"D"}}}"#,
    ),
    (
        "SingleSchedule",
        r#"{"name":"once","scheduleStatus":"SCHEDULE_STATUS_OS_UPDATE","startSeconds":1795000000,"endSeconds":1795007200}"#,
    ),
    (
        "RepeatedSchedule",
        r#"{"name":"nightly","scheduleStatus":"SCHEDULE_STATUS_OS_UPDATE","durationSeconds":7200,"cronMinutes":"0","cronHours":"2,4","cronDayMonth":"*","cronMonth":"1,2,3","cronDayWeek":"1"}"#,
    ),
    (
        "RepeatedSchedule",
        r#"{"name":"n","scheduleStatus":"SCHEDULE_STATUS_OS_UPDATE","durationSeconds":60,"cronMinutes":"*","cronHours":"*","cronDayMonth":"31","cronMonth":"*","cronDayWeek":"*","zone":"site"}"#,
    ),
    ("Blackout", r#"{"name":"fair","from":"2026-12-01T00:00:00Z","to":"2026-12-24T00:00:00Z"}"#),
    (
        "Blackout",
        r#"{"name":"y","from":"2024-02-29T00:00:00Z","to":"2024-03-01T00:00:00Z","yearly":true,"zone":"Europe/Berlin"}"#,
    ),
    ("OsUpdatePolicy", r#"{"name":"all","updatePolicy":"LATEST"}"#),
    (
        "OsUpdatePolicy",
        r#"{"name":"one","updatePolicy":"TARGET","targetOs":{"profile":"edge","version":"2.0.0","digest":"D"},"priority":3,"avoid":["D"],"schedules":["once"],"spreadSeconds":60}"#,
    ),
    (
        "OsUpdatePolicy",
        r#"{"name":"auto","updatePolicy":"LATEST","versions":"~2.0.0","promotion":"automatic","soakSeconds":600,"fromAny":true,"updatePackages":"vim"}"#,
    ),
    ("Promotion", r#"{"os":{"profile":"edge","version":"2.0.0","digest":"D"}}"#),
    ("CustomConfig", r#"{"name":"c","config":"a: 1"}"#),
    ("Hold", r#"{"name":"hold"}"#),
    ("Retry", r#"{"name":"retry","profile":"D","attempt":1}"#),
    ("Halt", r#"{"name":"halt"}"#),
    ("Resume", r#"{"name":"resume","halts":["D"]}"#),
    ("Emergency", r#"{"name":"now","passesBlackouts":true}"#),
    (
        "Token",
        r#"{"name":"t","publicKey":"KEY","site":"site-berlin","labels":{"line":"1"},"uses":50}"#,
    ),
];

/// Adds one input or more to every target that has none from recordings, and to some that do.
pub(super) fn add(captured: &mut Captured) -> anyhow::Result<()> {
    messages(captured)?;
    statements(captured)?;
    roots(captured)?;
    reports(captured)?;
    packs(captured)?;
    streams(captured);
    records(captured)?;
    recording(captured)?;
    image_files(captured)?;
    requests(captured)?;
    texts(captured);
    Ok(())
}

/// One message of each form.
fn messages(captured: &mut Captured) -> anyhow::Result<()> {
    let (_, root) = world::root();
    let (roots, entries) = (vec![root.clone()], vec![statement_entry(b"{}")]);
    let ask = JoinMessage::Ask { root_version: 1, roots: (1, 2), entries: entries.clone() };
    captured.message("join", &ask.encode());
    let answer = JoinMessage::Answer { root_version: 1, roots, entries: entries.clone() };
    captured.message("join", &answer.encode());
    let of = || BucketOf::Entries(DocumentId::Fleet);
    let (one, other) = (Nonce([1; 8]), Nonce([2; 8]));
    let session = Session { opener: one, answerer: other };
    let (mark, digest) = (Mark([1, 2, 3, 4]), Digest::of(b"D"));
    let hello = Hello {
        root_version: 1,
        nonce: one,
        root: Tag([2; 8]),
        fleet: Tag([3; 8]),
        site: [4; 8],
        site_entries: Tag([5; 8]),
        heads: Tag([6; 8]),
        wall: WallTime::from_seconds(1_795_000_000),
        synchronised: true,
    };
    let head = ShortHead { host: 1, generation: 2, count: 3, mark };
    let buckets = vec![Bucket { index: 1, marks: vec![mark] }];
    let host = world::host().public().id();
    for message in [
        SyncMessage::Hello(hello),
        SyncMessage::WantRoots { first: 1, last: 2 },
        SyncMessage::Roots(vec![root]),
        SyncMessage::Buckets { of: of(), session, bits: 1, fingerprints: vec![mark; 2] },
        SyncMessage::Marks { of: of(), session, bits: 1, buckets },
        SyncMessage::Heads { session, heads: vec![head], wanted: vec![mark] },
        SyncMessage::WantEntries { document: DocumentId::Fleet, session, marks: vec![mark] },
        SyncMessage::WantMarked { session, wanted: vec![(mark, 1)] },
        SyncMessage::Entries(entries.clone()),
        SyncMessage::WantReports(vec![WantedReports { host, generation: 1, from_count: 2 }]),
        SyncMessage::Reports(entries.clone()),
        SyncMessage::WantBlob { digest, offset: 0 },
        SyncMessage::Blob { digest, offset: 0, total: 1, bytes: vec![1] },
        SyncMessage::Heartbeats(entries.clone()),
    ] {
        captured.message("sync", &message.encode());
    }
    captured.gossip(&GossipMessage::Entries(entries.clone()).encode());
    captured.gossip(&GossipMessage::Reports(entries).encode());
    captured.gossip(&GossipMessage::Liveness(vec![0; 200]).encode());
    Ok(())
}

fn statements(captured: &mut Captured) -> anyhow::Result<()> {
    let key = world::host().public().to_string();
    let digest = Digest::of(b"D").to_string();
    for (kind, spec) in SPECS {
        let spec = spec.replace("KEY", &key).replace("\"D\"", &format!("{digest:?}"));
        captured.add("spec", format!(r#"{{"kind":"{kind}","spec":{spec}}}"#));
        let known: Kind = kind.parse()?;
        let scope = if kind == "Host" { Scope::Site("site-berlin".parse()?) } else { Scope::Fleet };
        let id = match kind {
            "Host" => world::host().public().id().into(),
            _ => named_id(known, &world::fleet(), &scope, kind),
        };
        let resource = ResourceDraft::of_kind(kind, id, 1, Some(RawValue::from_string(spec)?));
        let all = Target { all: true, ..Target::default() };
        let resource = if kind == "Host" {
            resource.site(Some("site-berlin".parse()?))
        } else {
            resource.target(all)
        };
        let issued = WallTime::from_seconds(1_794_000_000);
        let draft = Draft::new(world::fleet(), scope, issued).reason("a reason").ticket("T-1");
        let Ok(statement) = draft.resource(resource).finish() else { continue };
        captured.add("statement", statement.bytes());
        captured.add("judged", statement.bytes());
        captured.add("entry", statement_entry(statement.bytes()));
    }
    Ok(())
}

fn roots(captured: &mut Captured) -> anyhow::Result<()> {
    let (first, envelope) = world::root();
    captured.add("envelope", envelope.clone());
    let statement = Digest::of(b"a statement");
    let own = world::host().public();
    let lists = DigestList::of(&[statement, Digest::of(b"another")].into());
    lists.iter().for_each(|list| captured.add("list", list.bytes()));
    let speakers = RoleKeys { threshold: 1, keys: [own.id()].into() };
    let scope = Scope::Site("site-berlin".parse()?);
    let until = WallTime::from_seconds(1_800_000_000);
    let id = VoidId {
        kind: Kind::Site.name().to_owned(),
        id: "site-berlin".parse()?,
        digest: statement,
        counts_from: 3,
    };
    let left = world::key(3).public().id();
    let rest: Vec<KeyId> = [1, 2].map(|seed| world::key(seed).public().id()).to_vec();
    let draft = RootDraft::after(&first, WallTime::from_seconds(1_794_000_000), WallTime::MAX)
        .key(own, "berlin")
        .delegate("berlin", Delegation { role: Role::Policy, speakers, scope, until })
        .void(Void { statement, ids: vec![id] })
        .keep([statement]);
    let retiring = [Role::Root, Role::Policy, Role::Release, Role::Enroll, Role::Halt]
        .into_iter()
        .chain([Role::Emergency, Role::Heartbeat])
        .fold(draft.clone(), |draft, role| draft.role(role, 2, rest.clone()))
        .retire(left, &lists);
    for draft in [draft, retiring] {
        let (payload, _) = draft.finish()?;
        let sealed = Envelope::signed(Context::Root, payload.clone(), &world::speakers()).to_json();
        let file = format!(
            r#"{{"envelope":{},"lists":[{}]}}"#,
            String::from_utf8_lossy(&sealed),
            lists
                .iter()
                .map(|list| serde_json::to_string(&Bytes(list.bytes().to_vec())))
                .collect::<Result<Vec<_>, _>>()?
                .join(",")
        );
        captured.add("draft", file);
        captured.add("root", payload);
        captured.add("stick", filed(&[("roots/2.json", sealed)]));
    }
    let said = format!(
        r#"{{"fleet":"{}","scope":"fleet","time":"2026-11-01T00:00:00Z","newest":[["fleet","Site","site-berlin",3]]}}"#,
        world::fleet()
    );
    let sealed =
        Envelope::signed(Context::Heartbeat, said.clone().into_bytes(), &world::speakers());
    captured
        .add("draft", format!(r#"{{"envelope":{}}}"#, String::from_utf8_lossy(&sealed.to_json())));
    captured.add("envelope", sealed.to_json());
    captured.add("heartbeat", said);
    captured.add("stick", filed(&[("roots/1.json", envelope), ("blobs/none", vec![1])]));
    Ok(())
}

/// Files as the target `stick` takes them.
fn filed(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend(u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

/// Packs of each kind of item, and what is inside them.
fn packs(captured: &mut Captured) -> anyhow::Result<()> {
    let bytes = Bytes(statement_entry(b"{}"));
    let hash = Digest::of(&bytes.0);
    let entry = |document| Item::Entry { document, hash, bytes: bytes.clone() };
    let report = Item::Report {
        host: world::host().public().id(),
        generation: 3,
        count: 1,
        bytes: Bytes(b"{\"fleet\":1}".to_vec()),
    };
    let blob = Bytes(vec![7; 64]);
    let blob = Item::Blob { digest: Digest::of(&blob.0), bytes: blob };
    let site = DocumentId::Site("site-berlin".parse()?);
    let all = vec![entry(DocumentId::Fleet), entry(site), report.clone(), blob.clone()];
    for items in [vec![], vec![report], vec![blob], all] {
        let pack = sealed::pack(&items)?;
        captured.add("pack", pack);
        let body = sealed::body(&items)?;
        let end = body.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        captured.add("pack-body", &body[..end]);
    }
    Ok(())
}

fn reports(captured: &mut Captured) -> anyhow::Result<()> {
    let own = world::host();
    let id = own.public().id();
    let mut writer = ReportWriter::new(world::fleet(), id, 3, None);
    let mut facts = Facts::default();
    let mut generation = Vec::new();
    for number in 0..3_i64 {
        facts.set_text(&["machine", "kernel"], &format!("6.1.{number}"));
        facts.set_text(&["run", "1", "status"], if number == 0 { "STARTED" } else { "UPDATED" });
        let gone = daymark_protocol::document::FactPath::new(["machine", "kernel"])?;
        if number == 2 {
            facts.remove(&gone);
        }
        for report in writer.write(&own, &facts)?.reports {
            captured.add("report", report.bytes());
            generation.extend(u32::try_from(report.bytes().len())?.to_be_bytes());
            generation.extend_from_slice(report.bytes());
            let name = format!("reports/{id}/3/{}", report.report().count);
            captured.add("stick", filed(&[(&name, report.bytes().to_vec())]));
        }
    }
    let digest = Digest::of(&generation);
    captured.add("stick", filed(&[(&format!("blobs/{digest}"), generation.clone())]));
    captured.add("generation", generation);
    let entry = statement_entry(b"{}");
    let name = format!("documents/fleet/{}", Digest::of(&entry));
    let site = format!("documents/site/berlin/{}", Digest::of(&entry));
    captured.add("stick", filed(&[(&name, entry.clone()), (&site, entry)]));
    let liveness = Liveness {
        fleet: world::fleet(),
        key: own.public(),
        generation: 3,
        count: 7,
        wall: WallTime::from_seconds(1_794_000_000),
        synchronised: true,
        addresses: vec!["/ip4/10.1.2.3/tcp/7440".to_owned()],
        fetching: Some(Fetching { index: digest, verified_bytes: 9 }),
    };
    captured.add("liveness", liveness.sign(&own));
    Ok(())
}

fn streams(captured: &mut Captured) {
    let framed = |kind: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        [&[kind], length.as_slice(), payload].concat()
    };
    let digest = Digest::of(b"an image");
    let hello = [&[1], digest.as_bytes().as_slice()].concat();
    let frames = [
        framed(1, &hello),
        framed(2, &[1, 0xff, 0x0f]),
        framed(3, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 1]),
        framed(4, &[]),
        framed(5, b"an index"),
        framed(6, &[0, 0, 0, 1, 0, 0, 0, 2]),
        framed(7, &[0, 0, 0, 1, 9, 9, 9]),
        framed(8, &[0, 0, 0, 1]),
        framed(9, &[0, 0, 0, 2]),
    ];
    frames.iter().for_each(|frame| captured.add("chunk-frames", frame.clone()));
    captured.add("chunk-frames", frames.concat());
    let messages: [&[u8]; 3] = [b"", b"one", &[7; 300]];
    let message = |bytes: &&[u8]| {
        [&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes(), *bytes].concat()
    };
    captured.add("message-frames", messages.iter().flat_map(message).collect::<Vec<u8>>());
    let chunk = b"a chunk that says the same again and again ".repeat(40);
    let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes();
    let packed = daymark_node::transfer::compress_chunk(&chunk, 9).unwrap_or_default();
    captured.add("stored-chunk", [length.as_slice(), &packed].concat());
    captured.add("stored-chunk", [length.as_slice(), &chunk].concat());
}

fn records(captured: &mut Captured) -> anyhow::Result<()> {
    let state = DurableState {
        pin: Some(Pin { version: 1, digest: world::root().0.digest }),
        generation: 4,
        attempt: 2,
        clock_floor: Some(WallTime::from_seconds(1_794_000_000)),
        ..DurableState::default()
    };
    let trial = Some(Trial { slot: "b".to_owned(), tries_left: 2 });
    let switch = SwitchRecord { default: "a".to_owned(), trial, boots: 9, failed: None };
    let digest = Digest::of(b"a part");
    let slot = format!(
        r#"{{"profile":"{digest}","profileName":"edge","version":"2.0.0","index":"{digest}","parts":{{"rootfs":{{"bytes":9,"sha256":"{digest}"}}}},"complete":true}}"#
    );
    for body in [serde_json::to_string(&state)?, serde_json::to_string(&switch)?, slot] {
        let sum = Digest::of(body.as_bytes());
        captured.add("record", format!("daymark state 1 {sum}\n{body}\n"));
    }
    let records = [
        FloorRecord::Version {
            kind: Kind::Site.name().to_owned(),
            id: "site-berlin".parse()?,
            version: 3,
            digest,
            document: "site/berlin".parse()?,
            gone: false,
        },
        FloorRecord::Lowered {
            kind: Kind::Site.name().to_owned(),
            id: "site-berlin".parse()?,
            digest,
        },
        FloorRecord::Whole(statement_entry(b"{}")),
    ];
    let lines: Vec<Vec<u8>> = records.iter().map(FloorRecord::encode).collect();
    lines.iter().for_each(|line| captured.add("floors", line.clone()));
    captured.add("floors", lines.concat());
    captured.add("floor-journal", node::floor_journal_of(&lines));
    captured.add("floor-journal", lines.concat());
    Ok(())
}

/// A run of the node that the targets know the key of.
fn recording(captured: &mut Captured) -> anyhow::Result<()> {
    let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 1)?;
    let start = Start {
        key: world::host(),
        seed: [7; 32],
        durable: DurableState::default(),
        roots: vec![],
        entries: vec![],
        reports: vec![],
        blobs: vec![],
        floors: Floors::default(),
    };
    let wall = WallTime::from_seconds(1_795_000_000);
    let mut reading = Reading { mono: MonoTime(0), wall, synchronised: true };
    let mut lines = vec![start_line(&config, &start, reading, "0.1.0")?];
    let (mut node, mut batch) = Node::new(config, start, reading);
    lines.push(step_line(None, &batch)?);
    for _ in 0..4 {
        batch.take_immediate();
        batch.confirm_durable();
        reading.mono.0 += 60_000;
        batch = node.step(reading, Event::Wake);
        lines.push(step_line(Some((reading, Event::Wake)), &batch)?);
    }
    captured.add("recording", lines.join("\n"));
    Ok(())
}

fn image_files(captured: &mut Captured) -> anyhow::Result<()> {
    let index = images::index();
    captured.add("index", index.encode());
    let spans = (0..index.chunk_count())
        .map(|number| PackSpan { offset: u64::from(number) * 1_000, stored: 1_000 });
    let map = PackMap::new(&index, spans.collect())?;
    captured.add("pack-map", map.encode());
    let mut set = ChunkSet::new(13);
    for chunk in [0, 3, 12] {
        set.insert(chunk);
    }
    captured.add("chunk-set", [13_u32.to_be_bytes().as_slice(), set.as_bytes()].concat());
    captured.add("slot-journal", node::slot_journal_of(&index, &[0, 1, 2, 9, 11]));
    captured.add("slot-journal", node::slot_journal_of(&index, &(0..20).collect::<Vec<u32>>()));
    captured.add("disk", disk()?);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&[b'a'; 3_000])?;
    captured.add("archive", packed.finish()?);
    captured.add("archive", zstd::bulk::compress(&[b'b'; 3_000], 9)?);
    captured.add("archive", b"a bare file system".to_vec());
    captured.add("archive", b"QFI\xfb\0\0\0\x03".to_vec());
    Ok(())
}

/// A GPT disk with a small FAT file system that holds a kernel, as its sectors that are not empty.
fn disk() -> anyhow::Result<Vec<u8>> {
    const SECTOR: usize = 512;
    let bytes = usize::from(images::DISK_SECTORS) * SECTOR;
    let device: Box<Cursor<Vec<u8>>> = Box::new(Cursor::new(vec![0; bytes]));
    let mut table = gpt::GptConfig::new().writable(true).create_from_device(device, None)?;
    let esp_bytes = 256 * 1024;
    table.add_partition("ESP", esp_bytes, gpt::partition_types::EFI, 0, None)?;
    table.add_partition("rootfs", 64 * 1024, gpt::partition_types::LINUX_FS, 0, None)?;
    let esp = table.partitions().values().find(|partition| partition.name == "ESP");
    let start = esp.map_or(0, |esp| esp.first_lba) * 512;
    let mut whole = table.write()?.into_inner();
    let mut system = Cursor::new(vec![0; usize::try_from(esp_bytes)?]);
    fatfs::format_volume(&mut system, fatfs::FormatVolumeOptions::new())?;
    {
        let system = fatfs::FileSystem::new(&mut system, fatfs::FsOptions::new())?;
        system.root_dir().create_dir("EFI")?.create_dir("Linux")?;
        system.root_dir().create_file("EFI/Linux/linux.efi")?.write_all(b"a kernel")?;
    }
    let start = usize::try_from(start)?;
    whole[start..start + system.get_ref().len()].copy_from_slice(system.get_ref());
    let sectors = whole.chunks(SECTOR).zip(0_u16..);
    let filled = sectors.filter(|(sector, _)| sector.iter().any(|byte| *byte != 0));
    Ok(filled.flat_map(|(sector, number)| [&number.to_be_bytes(), sector].concat()).collect())
}

fn requests(captured: &mut Captured) -> anyhow::Result<()> {
    let own = world::host().public();
    let request = EnrolmentRequest {
        name: "press-07".to_owned(),
        public_key: own.to_string(),
        serial: "S1".to_owned(),
        uuid: String::new(),
        facts: [("kernel".to_owned(), "6.1".to_owned())].into(),
    };
    captured.add("enrolment", serde_json::to_vec(&request)?);
    captured.add("control", serde_json::to_vec(&request)?);
    let items = vec![Submitted::Root(Bytes(vec![1])), Submitted::Entry(Bytes(vec![2]))];
    captured.add("control", serde_json::to_vec(&Submission { items: items.clone() })?);
    let pin = Pin { version: 1, digest: world::root().0.digest };
    captured.add("control", serde_json::to_vec(&Join { pin, items })?);
    let until = Some(WallTime::from_seconds(1_795_000_000));
    captured.add("control", serde_json::to_vec(&Inhibit { why: "a shift".to_owned(), until })?);
    let wanted = Wanted { roots: vec![1], blobs: vec![Digest::of(b"b")], ..Wanted::default() };
    captured.add("control", serde_json::to_vec(&wanted)?);
    let item = Item::Blob { digest: Digest::of(b"b"), bytes: Bytes(b"b".to_vec()) };
    captured
        .add("control", format!(r#"{{"items":[{}],"more":true}}"#, serde_json::to_string(&item)?));
    let token = TokenSpec {
        name: "t".to_owned(),
        public_key: own.to_string(),
        site: None,
        labels: [].into(),
        uses: 5,
    };
    let file = TokenFile { fleet: world::fleet(), token, seed: "07".repeat(32).into() };
    captured.add("control", serde_json::to_vec(&file)?);
    Ok(())
}

fn texts(captured: &mut Captured) {
    for text in [
        "kind: OsUpdatePolicy\ntarget: {all: true}\nspec: {name: p, updatePolicy: LATEST}\n",
        "appVersion: apps/v1\nmetadata: {a: b}\nspec:\n  name: s\n  cronMinutes: 0\n---\nkind: Site\nscope: fleet\nuntil: 2027-01-01\nspec: {name: b}\n",
        "kind: halt\nspec: &a {name: x, more: [1, 2.5, ~, yes]}\n",
    ] {
        captured.add("yaml", text);
    }
    captured.add("os-profile", PROFILE);
    let key = world::host().public().to_string();
    captured.add("key-text", format!("alice={key}"));
    captured.add("key-text", daymarkctl::fuzzing::paper_of(&[9; 32]));
    captured.add(
        "key-text",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea a@b",
    );
    for word in
        ["site-1a2b3c4d", "site/berlin", "3.0.20260602.2200", "~3.0.1", "2026-06-01T00:00:00Z"]
    {
        captured.add("words", word);
    }
    captured.add("words", Digest::of(b"d").to_string());
    captured.add("words", format!("1:{}", Digest::of(b"d")));
    for address in
        ["/ip4/10.1.2.3/tcp/7440", "[fe80::1]:7440", "edge.example:1", "/ip6/::1/udp/1/quic-v1"]
    {
        captured.add("peer-address", address);
    }
    captured.add("settings", SETTINGS);
    captured.add(
        "settings",
        "clock = \"rtc\"\n[network]\nlisten = [\"0.0.0.0:7440\"]\nallow = [\"10.0.0.0/8\"]\n",
    );
    captured.add(
        "platform",
        "ID=debian\nPRETTY_NAME=\"Edge OS\"\nIMAGE_ID=edge\nIMAGE_VERSION='2.0.0'\n",
    );
    captured.add(
        "platform",
        r#"{"data":[[["shutdown","me","why","block",0,1234],["sleep","x","y","delay",0,1]]]}"#,
    );
}

const PROFILE: &str = "\
appVersion: apps/v1
metadata:
  release: 0.0.0-dev
spec:
  name: Sample Edge OS 3.1.20260701
  type: OS_TYPE_IMMUTABLE
  provider: OS_PROVIDER_KIND_INFRA
  architecture: x86_64
  profileName: sample-edge
  osImageVersion: 3.1.20260701
  securityFeature: SECURITY_FEATURE_NONE
  platformBundle: {script: a}
  layout:
    rootfs: {partition: 2}
    uki: {partition: ESP, file: {fileSystem: vfat, path: EFI/Linux/linux.efi}}
";

const SETTINGS: &str = include_str!("../../../../../node/dist/config.d/10-daymark.toml");
