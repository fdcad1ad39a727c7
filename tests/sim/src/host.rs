//! One simulated host: its disk, its machine, and the agent's process while it runs.

use std::collections::{BTreeMap, BTreeSet};

use daymark_core::durable::DurableState;
use daymark_core::effect::{Admission, Topic, Write};
use daymark_core::event::Reading;
use daymark_core::{ClockTrust, CoreConfig, Node, Start};
use daymark_protocol::document::{DocumentId, StoredEntry, StoredReport};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Floors, SigningKey};

use crate::machine::SimMachine;
use crate::random::child;

/// All that survives the process.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: DurableState,
    roots: BTreeMap<u64, Vec<u8>>,
    floors: Floors,
    entries: BTreeMap<(DocumentId, Digest), Vec<u8>>,
    reports: BTreeMap<(KeyId, u64, u64), Vec<u8>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Disk {
    /// Does one write.
    pub fn write(&mut self, write: &Write) {
        match write.clone() {
            Write::PutEntry { document, hash, bytes } => {
                self.entries.insert((document, hash), bytes);
            }
            Write::DropEntry { document, hash } => {
                self.entries.remove(&(document, hash));
            }
            Write::PutReport { host, generation, count, bytes } => {
                self.reports.insert((host, generation, count), bytes);
            }
            Write::DropReports { host, below } => {
                self.reports.retain(|(of, generation, _), _| *of != host || *generation >= below);
            }
            Write::PutBlob { digest, bytes } => {
                self.blobs.insert(digest, bytes);
            }
            Write::DropBlob { digest } => {
                self.blobs.remove(&digest);
            }
            Write::PutRoot { version, bytes } => {
                self.roots.insert(version, bytes);
            }
            Write::AppendFloor(floor) => {
                self.floors.apply(floor);
            }
            Write::PutState(state) => self.durable = *state,
        }
    }

    /// The small file.
    pub fn durable(&self) -> &DurableState {
        &self.durable
    }

    fn start(&self, key: SigningKey, seed: [u8; 32]) -> Start {
        let entry = |((document, hash), bytes): (&(DocumentId, Digest), &Vec<u8>)| StoredEntry {
            document: document.clone(),
            hash: *hash,
            bytes: bytes.clone(),
        };
        let report = |(name, bytes): (&(KeyId, u64, u64), &Vec<u8>)| StoredReport {
            host: name.0,
            generation: name.1,
            count: name.2,
            bytes: bytes.clone(),
        };
        Start {
            key,
            seed,
            durable: self.durable.clone(),
            roots: self.roots.values().cloned().collect(),
            entries: self.entries.iter().map(entry).collect(),
            reports: self.reports.iter().map(report).collect(),
            blobs: self.blobs.iter().map(|(digest, bytes)| (*digest, bytes.clone())).collect(),
            floors: self.floors.clone(),
        }
    }
}

/// One simulated host.
#[derive(Debug)]
pub struct SimHost {
    key: SigningKey,
    /// Its id.
    pub id: KeyId,
    /// What survives.
    pub disk: Disk,
    /// The machine below the agent.
    pub machine: SimMachine,
    /// The agent's process, while it runs.
    pub node: Option<Node>,
    /// Tells this process from an earlier one.
    pub(crate) life: u64,
    /// What its gate lets each peer's connections do.
    pub(crate) gate: BTreeMap<KeyId, Admission>,
    pub(crate) topics: BTreeSet<Topic>,
    /// Gossip that this process has seen, by hash.
    pub(crate) seen: BTreeSet<Digest>,
    /// When it was asked to be woken, ms.
    pub(crate) wake_ms: Option<u64>,
    /// When it restarted the machine into another slot, for the invariants.
    pub activations: Vec<WallTime>,
}

impl SimHost {
    pub(crate) fn new(seed: u64, number: usize, version: &str) -> Self {
        let key = SigningKey::from_seed(child(seed, &format!("host {number}")));
        Self {
            id: key.public().id(),
            key,
            disk: Disk::default(),
            machine: SimMachine::new(version),
            node: None,
            life: 0,
            gate: BTreeMap::new(),
            topics: BTreeSet::new(),
            seen: BTreeSet::new(),
            wake_ms: None,
            activations: Vec::new(),
        }
    }

    /// The machine's public key.
    pub fn public(&self) -> daymark_protocol::trust::PublicKey {
        self.key.public()
    }

    /// The running node.
    ///
    /// # Panics
    /// If the process does not run.
    pub fn node(&self) -> &Node {
        self.node.as_ref().expect("the process runs")
    }

    /// Starts the process; its first batch is the caller's to perform.
    pub(crate) fn start(&mut self, seed: u64, reading: Reading) -> daymark_core::Batch {
        self.life += 1;
        self.topics.clear();
        self.seen.clear();
        self.wake_ms = None;
        let config = CoreConfig::new(ClockTrust::Synchronised, WallTime::EPOCH, 8)
            .expect("eight links are allowed");
        let entropy = child(seed, &format!("entropy {} {}", self.id, self.life));
        let (node, batch) = Node::new(config, self.disk.start(self.key.clone(), entropy), reading);
        self.node = Some(node);
        batch
    }
}
