//! What lies on a disk or a stick: whoever wrote it, power cuts and rot included.

use std::fs;
use std::path::{Component, Path};

use daymark_core::durable::DurableState;
use daymark_core::recording::Replay;
use daymark_node::boot::SwitchRecord;
use daymark_node::folder::{ItemName, ReplicaFolder};
use daymark_node::fuzzing;
use daymark_node::platform::OsRelease;
use daymark_node::slots::SlotRecord;
use daymark_protocol::control::Item;
use daymark_protocol::id::Digest;
use daymark_protocol::trust::{FloorRecord, Floors};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{BINARY, TEXT, images, refused, text, world};
use crate::target::{Allowance, Target, Told};

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "record",
        about: "small files: state, slot and boot switch, with and without their checksum",
        input_bytes_max: 64 * 1024,
        allowance: TEXT,
        words: &["daymark state 1 ", "idle", "staging", "fallingBack", "quarantine", "attempt"],
        sources: &["node/src/durable/record.rs", "node/core/src/durable.rs"],
        run: record,
    },
    Target {
        name: "floor-journal",
        about: "the floor journal, as it is and with whole frames",
        input_bytes_max: 64 * 1024,
        // Two journals and their records are made of one input.
        allowance: Allowance { base_bytes: 256 * 1024, per_byte: 200 },
        words: &[],
        sources: &["node/src/durable/journal.rs"],
        run: floor_journal,
    },
    Target {
        name: "floors",
        about: "the lines of the floor journal",
        input_bytes_max: 64 * 1024,
        allowance: TEXT,
        words: &["OsUpdatePolicy", "Host"],
        sources: &["protocol/src/trust/floor.rs"],
        run: floors,
    },
    Target {
        name: "slot-journal",
        about: "which chunks of a slot are verified",
        input_bytes_max: 16 * 1024,
        allowance: BINARY,
        words: &[],
        sources: &["node/src/slots/journal.rs"],
        run: |input| {
            let index = images::index();
            let verified = fuzzing::slot_journal(input, &index);
            assert!(verified.count() <= index.chunk_count(), "more chunks than there are");
            Ok(format!("{} {}", verified.count() > 0, verified.is_full()))
        },
    },
    Target {
        name: "stick",
        about: "a folder that someone filled: names and contents",
        input_bytes_max: 64 * 1024,
        allowance: Allowance { base_bytes: 256 * 1024, per_byte: 64 },
        words: &[
            "roots/",
            "documents/fleet/",
            "documents/site/berlin/",
            "reports/",
            "blobs/",
            ".json",
        ],
        sources: &["node/src/folder.rs"],
        run: stick,
    },
    Target {
        name: "recording",
        about: "a recorded run, repeated",
        input_bytes_max: 64 * 1024,
        allowance: Allowance { base_bytes: 8 * 1024 * 1024, per_byte: 2_000 },
        words: &["\"event\"", "wake", "received", "gossip", "submit", "join", "rebind", "marks"],
        sources: &["node/core/src/recording/mod.rs", "node/core/src/recording/replay.rs"],
        run: |input| {
            let mut lines = text(input)?.lines();
            let first = lines.next().unwrap_or_default();
            let mut replay = Replay::begin(first, world::host()).map_err(refused)?;
            for line in lines.take(64) {
                replay.step(line).map_err(refused)?;
            }
            Ok(format!("{} steps", replay.replayed().steps.min(4)))
        },
    },
    Target {
        name: "settings",
        about: "the agent's configuration",
        input_bytes_max: 64 * 1024,
        allowance: Allowance { base_bytes: 256 * 1024, per_byte: 600 },
        words: &[
            "[network]",
            "listen = ",
            "peers = [",
            "[slots.a]",
            "rootfs = ",
            "data_dir = ",
            "clock = \"rtc\"",
        ],
        sources: &["node/src/settings/layers.rs", "node/src/settings/validate.rs"],
        run: |input| {
            fuzzing::settings(text(input)?).map_err(refused)?;
            Ok("settings".to_owned())
        },
    },
    Target {
        name: "platform",
        about: "os-release, and systemd's list of inhibitors",
        input_bytes_max: 16 * 1024,
        allowance: TEXT,
        words: &["IMAGE_ID=", "IMAGE_VERSION=", "VERSION_ID=", "shutdown", "block"],
        sources: &["node/src/platform/os_release.rs"],
        run: |input| {
            let inhibitors = fuzzing::systemd_inhibitors(input).len().min(2);
            let release = OsRelease::parse(&String::from_utf8_lossy(input));
            Ok(format!("{inhibitors} {:?} {}", release.os_type(), release.installed().is_some()))
        },
    },
];

fn typed<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    body: &serde_json::Value,
    what: &str,
) -> Option<String> {
    let read: T = serde_json::from_value(body.clone()).ok()?;
    let again =
        serde_json::to_value(&read).ok().and_then(|value| serde_json::from_value(value).ok());
    assert_eq!(again.as_ref(), Some(&read), "a record does not come back");
    Some(what.to_owned())
}

/// As it is, and with a header whose checksum fits.
fn record(input: &[u8]) -> Told {
    let as_is = fuzzing::record(input, "state").map_err(refused);
    let body = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => &input[end + 1..],
        None => input,
    };
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let whole =
        [format!("daymark state 1 {}\n", Digest::of(body)).as_bytes(), body, b"\n"].concat();
    let read = fuzzing::record(&whole, "state").map_err(refused)?;
    typed::<DurableState>(&read, "state")
        .or_else(|| typed::<SwitchRecord>(&read, "boot"))
        .or_else(|| typed::<SlotRecord>(&read, "slot"))
        .ok_or_else(|| as_is.map_or_else(|error| error, |_| "something else".to_owned()))
}

fn floor_journal(input: &[u8]) -> Told {
    let records: Vec<Vec<u8>> = input.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let written = fuzzing::floor_journal_of(&records);
    let read = fuzzing::floor_journal(&written).map_err(refused)?;
    assert_eq!(read, (records, written.len()), "a journal does not come back");
    let torn = [&written, input].concat();
    let (kept, _) = fuzzing::floor_journal(&torn).map_err(refused)?;
    assert!(kept.len() >= read.0.len(), "a torn end costs a whole frame");
    fuzzing::floor_journal(input).map(|(kept, _)| format!("{}", kept.len().min(3))).map_err(refused)
}

fn floors(input: &[u8]) -> Told {
    let read = Floors::read_journal(input);
    let mut told = String::new();
    for line in input.split(|byte| *byte == b'\n') {
        let record = FloorRecord::decode(line).or_else(|_| FloorRecord::decode(&checked(line)));
        if let Ok(record) = record {
            let encoded = record.encode();
            let again = FloorRecord::decode(encoded.strip_suffix(b"\n").unwrap_or(&encoded));
            assert_eq!(again.ok().as_ref(), Some(&record), "a floor does not come back");
            told = format!("{record:.0?}").chars().take(12).collect();
        }
    }
    Ok(format!("{told} {}", read.floors.records().count().min(2)))
}

/// A line with the checksum that its body wants.
fn checked(line: &[u8]) -> Vec<u8> {
    let body = line.iter().position(|byte| *byte == b' ').map_or(line, |end| &line[end + 1..]);
    let mut sum = Digest::of(body).to_string();
    sum.truncate(16);
    [sum.as_bytes(), b" ", body].concat()
}

/// Files, each as a name behind its length (1 byte) and a content behind its (2).
fn stick(input: &[u8]) -> Told {
    let place = tempfile::tempdir().map_err(refused)?;
    let mut rest = input;
    for _ in 0..16 {
        let Some((length, after)) = rest.split_first() else { break };
        let (name, after) = after.split_at(usize::from(*length).min(after.len()));
        let Some((length, after)) = after.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (content, after) = after.split_at(length);
        rest = after;
        put(place.path(), name, content);
    }
    let folder = ReplicaFolder::open(place.path()).map_err(|_| "no folder")?;
    let names = folder.names().map_err(|_| "cannot be listed")?;
    let mut told = format!("{} ", names.len().min(3));
    for name in &names {
        let Ok(Some(item)) = folder.read(name) else { continue };
        let named = match &item {
            Item::Entry { hash, bytes, .. } => *hash == Digest::of(&bytes.0),
            Item::Blob { digest, bytes } => *digest == Digest::of(&bytes.0),
            Item::Root { .. } | Item::Report { .. } => true,
        };
        assert!(named && ItemName::of(&item) == *name, "an item is not what its name says");
        told.push_str(&name.to_string().chars().take(4).collect::<String>());
    }
    let _ = folder.requests();
    Ok(told)
}

/// Writes a file below `daymark/`, wherever in it the name leads.
fn put(place: &Path, name: &[u8], content: &[u8]) {
    let Ok(name) = std::str::from_utf8(name) else { return };
    let below = Path::new(name);
    if name.is_empty() || !below.components().all(|part| matches!(part, Component::Normal(_))) {
        return;
    }
    let path = place.join("daymark").join(below);
    // A name that the file system refuses is not on any stick either.
    if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) {
        let _ = fs::write(path, content);
    }
}
