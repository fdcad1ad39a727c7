//! Writes the corpus: what a recording of a real run captured, and for what never crosses a wire,
//! what the library itself writes.

mod made;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use daymark_protocol::control::Bytes;
use daymark_protocol::document::Entry;
use daymark_protocol::id::Digest;
use daymark_protocol::trust::{Context, Envelope};
use daymark_protocol::wire::{GossipMessage, JoinMessage, SyncMessage};
use serde_json::Value;

use crate::targets;
use crate::{corpus, guard};

/// Inputs that say the same and are kept of one target: the shortest.
const KEPT_OF_A_KIND: usize = 10;

/// Inputs by target.
#[derive(Debug, Default)]
struct Captured(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Captured {
    fn add(&mut self, target: &'static str, input: impl Into<Vec<u8>>) {
        self.0.entry(target).or_default().push(input.into());
    }

    fn message(&mut self, channel: &str, bytes: &[u8]) {
        if channel == "join" {
            self.add("wire-join", bytes);
            self.add("node", framed(1, bytes));
            match JoinMessage::decode(bytes) {
                Ok(JoinMessage::Answer { roots, entries, .. }) => {
                    roots.iter().chain(&entries).for_each(|item| self.item(item));
                }
                Ok(JoinMessage::Ask { entries, .. }) => {
                    entries.iter().for_each(|item| self.item(item));
                }
                Ok(
                    JoinMessage::Visit
                    | JoinMessage::Challenge(_)
                    | JoinMessage::Proof { .. }
                    | JoinMessage::Welcome { .. }
                    | JoinMessage::TurnedAway { .. },
                )
                | Err(_) => {}
            }
            return;
        }
        self.add("wire-sync", bytes);
        self.add("node", framed(0, bytes));
        if let Ok(
            SyncMessage::Roots(items) | SyncMessage::Entries(items) | SyncMessage::Reports(items),
        ) = SyncMessage::decode(bytes)
        {
            items.iter().for_each(|item| self.item(item));
        }
    }

    fn gossip(&mut self, bytes: &[u8]) {
        self.add("wire-gossip", bytes);
        self.add("node", framed(2, bytes));
        match GossipMessage::decode(bytes) {
            Ok(GossipMessage::Entries(items) | GossipMessage::Reports(items)) => {
                items.iter().for_each(|item| self.item(item));
            }
            Ok(GossipMessage::Liveness(bytes)) => self.add("liveness", bytes),
            Err(_) => {}
        }
    }

    /// A root, an entry or a report; what it is shows in its bytes.
    fn item(&mut self, bytes: &[u8]) {
        if let Ok(envelope) = Envelope::parse(bytes) {
            self.add("envelope", bytes);
            if envelope.context == Context::Root {
                self.add("root", envelope.payload);
            }
        } else if let Ok(entry) = Entry::decode(bytes) {
            self.add("entry", bytes);
            if let Entry::Statement(statement) = entry {
                self.add("statement", statement.bytes());
            }
        } else {
            self.add("report", bytes);
        }
    }

    fn recording(&mut self, text: &str) -> anyhow::Result<()> {
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)?;
            for (field, at) in [("roots", None), ("entries", Some(2)), ("reports", Some(3))] {
                for item in line[field].as_array().into_iter().flatten() {
                    let bytes = at.map_or(item, |at| &item[at]);
                    self.item(&serde_json::from_value::<Bytes>(bytes.clone())?.0);
                }
            }
            for floor in line["floors"].as_array().into_iter().flatten() {
                self.add("floors", serde_json::from_value::<Bytes>(floor.clone())?.0);
            }
            let event = &line["event"][1];
            if let Some(bytes) = event["received"].get("bytes") {
                let bytes: Bytes = serde_json::from_value(bytes.clone())?;
                let channel = event["received"]["channel"].as_str().unwrap_or_default();
                self.message(&channel.to_lowercase(), &bytes.0);
            }
            if let Some(bytes) = event["gossip"].get("bytes") {
                self.gossip(&serde_json::from_value::<Bytes>(bytes.clone())?.0);
            }
        }
        Ok(())
    }
}

/// A message as the target `node` takes it.
fn framed(kind: u8, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[kind], length.as_slice(), message].concat()
}

/// Writes what was captured and made; of what says the same, the shortest.
pub(crate) fn write(recordings: &[PathBuf]) -> anyhow::Result<()> {
    let mut captured = Captured::default();
    for path in recordings {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        captured.recording(&text).with_context(|| path.display().to_string())?;
    }
    made::add(&mut captured)?;
    for target in targets::ALL.iter().copied().flatten() {
        let mut inputs = captured.0.remove(target.name).unwrap_or_default();
        inputs.sort_by_key(Vec::len);
        inputs.dedup();
        let mut kept: BTreeMap<String, usize> = BTreeMap::new();
        let mut written = 0;
        for input in inputs {
            let (told, _) = guard::run(target, &input).map_err(|harm| {
                anyhow::anyhow!("{}: an honest input does harm: {harm}", target.name)
            })?;
            let said = kept.entry(format!("{told:.60?}")).or_default();
            *said += 1;
            if *said <= KEPT_OF_A_KIND {
                let name = Digest::of(&input).to_string();
                written += usize::from(corpus::keep(target.name, &name[..12], &input)?);
            }
        }
        crate::run::say(&format!("{}: {written} inputs", target.name));
        anyhow::ensure!(written > 0, "{} has nothing to start from", target.name);
    }
    Ok(())
}
