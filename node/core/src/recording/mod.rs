//! A node's run written down, and run again: what it started from, every event with its reading,
//! and a mark for each effect that came of it. A fresh node from the same start must bring about
//! the same.
//!
//! The host's private key is not in it. All else that the node knew is: statements, reports,
//! addresses and facts of the fleet. Lines of JSON; whoever hosts the node keeps and bounds them.

mod replay;
#[cfg(test)]
mod tests;

use std::fmt;

use daymark_protocol::control::Bytes;
use daymark_protocol::document::{DocumentId, StoredEntry, StoredReport};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{BadLine, FloorRecord, Floors, SigningKey};
use serde::{Deserialize, Serialize};

pub use self::replay::{Difference, Replay, ReplayError, Replayed};
use crate::config::{ClockTrust, CoreConfig};
use crate::durable::DurableState;
use crate::effect::Batch;
use crate::event::{Event, Reading};
use crate::node::Start;

/// The format of the lines.
const FORMAT: u32 = 1;
/// Letters of a digest that a mark keeps.
const MARK_CHARS: usize = 16;

/// What was brought about, short: its variant, and a digest of all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark(String);

impl Mark {
    /// Of an effect or a write.
    pub(crate) fn of(it: &impl fmt::Debug) -> Self {
        let told = format!("{it:?}");
        let variant = told.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let digest = Digest::of(told.as_bytes()).to_string();
        Self(format!("{variant}:{}", digest.get(..MARK_CHARS).unwrap_or(&digest)))
    }

    /// The variant: `Send`, `PutState`, `Perform`.
    pub fn variant(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the node started from: the first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedStart {
    format: u32,
    /// Version of the agent: another one may rightly do otherwise.
    agent: String,
    host: KeyId,
    clock: ClockTrust,
    build_time: WallTime,
    links: usize,
    seed: Bytes,
    reading: Reading,
    durable: DurableState,
    roots: Vec<Bytes>,
    floors: Vec<Bytes>,
    entries: Vec<(DocumentId, Digest, Bytes)>,
    reports: Vec<(KeyId, u64, u64, Bytes)>,
    blobs: Vec<(Digest, Bytes)>,
}

/// One step: any other line. The first has no event; it is what starting brought about.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedStep {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<(Reading, Event)>,
    marks: Vec<Mark>,
}

/// The line of what a node is about to start from.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn start_line(
    config: &CoreConfig,
    start: &Start,
    reading: Reading,
    agent: &str,
) -> Result<String, serde_json::Error> {
    let own = |bytes: &Vec<u8>| Bytes(bytes.clone());
    serde_json::to_string(&RecordedStart {
        format: FORMAT,
        agent: agent.to_owned(),
        host: start.key.public().id(),
        clock: config.clock(),
        build_time: config.build_time(),
        links: config.links(),
        seed: Bytes(start.seed.to_vec()),
        reading,
        durable: start.durable.clone(),
        roots: start.roots.iter().map(own).collect(),
        floors: start.floors.records().map(|record| Bytes(record.encode())).collect(),
        entries: start.entries.iter().map(entry).collect(),
        reports: start.reports.iter().map(report).collect(),
        blobs: start.blobs.iter().map(|(digest, bytes)| (*digest, own(bytes))).collect(),
    })
}

fn entry(stored: &StoredEntry) -> (DocumentId, Digest, Bytes) {
    (stored.document.clone(), stored.hash, Bytes(stored.bytes.clone()))
}

fn report(stored: &StoredReport) -> (KeyId, u64, u64, Bytes) {
    (stored.host, stored.generation, stored.count, Bytes(stored.bytes.clone()))
}

/// The line of a step before any of it was performed; of the start without an event.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn step_line(
    event: Option<(Reading, Event)>,
    batch: &Batch,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&RecordedStep { event, marks: batch.marks() })
}

impl RecordedStart {
    /// What a node starts from, with its key.
    fn start(self, key: SigningKey) -> Result<Start, BadStart> {
        let mut floors = Floors::default();
        for Bytes(line) in &self.floors {
            floors.apply(FloorRecord::decode(line.strip_suffix(b"\n").unwrap_or(line))?);
        }
        let own = |Bytes(bytes)| bytes;
        let entry = |(document, hash, Bytes(bytes))| StoredEntry { document, hash, bytes };
        let report = |(host, generation, count, Bytes(bytes))| StoredReport {
            host,
            generation,
            count,
            bytes,
        };
        Ok(Start {
            key,
            seed: self.seed.0.try_into().map_err(|_| BadStart::Seed)?,
            durable: self.durable,
            roots: self.roots.into_iter().map(own).collect(),
            entries: self.entries.into_iter().map(entry).collect(),
            reports: self.reports.into_iter().map(report).collect(),
            blobs: self.blobs.into_iter().map(|(digest, bytes)| (digest, bytes.0)).collect(),
            floors,
        })
    }
}

/// A start that no node can be made from.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BadStart {
    #[error("its format is {0}, and this version reads {FORMAT}")]
    Format(u32),
    #[error("its seed is not 32 bytes")]
    Seed,
    #[error("a floor cannot be read")]
    Floor(#[from] BadLine),
    #[error(transparent)]
    Config(#[from] crate::config::InvalidConfig),
}

/// Bytes in JSON.
pub(crate) mod base64 {
    use daymark_protocol::control::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        Bytes(bytes.to_vec()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Bytes::deserialize(from).map(|Bytes(bytes)| bytes)
    }
}
