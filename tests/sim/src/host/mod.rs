//! One simulated host: its disk, its clock, its machine, and the agent's process while it runs.

mod clock;
mod disk;
mod images;
mod machine;
mod pools;

use std::collections::{BTreeMap, BTreeSet};

use daymark_core::durable::UpdateState;
use daymark_core::effect::{Act, Admission, Effect, OpId, Write};
use daymark_core::event::{Reading, StageProgress};
use daymark_core::{ClockTrust, CoreConfig, Node};
use daymark_protocol::document::Shared;
use daymark_protocol::id::KeyId;
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::trust::{PublicKey, SigningKey};

pub use self::clock::MachineClock;
pub(crate) use self::disk::Pool;
pub use self::disk::{Condition, Disk};
pub use self::images::{CHUNKS, FIRST_VERSION, ImageId, Images, index_of};
pub use self::machine::{Boot, SimMachine, Slot};
pub(crate) use self::pools::{NEWER_FIELD, Pools};
use crate::hostile::Adversary;
use crate::overlay::Overlay;
use crate::random::{Dice, child};

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Tells it from an earlier one of the same pair.
    pub(crate) epoch: u32,
    /// Whether this end made it.
    pub(crate) dialled: bool,
    /// What this end lets through.
    pub admission: Admission,
}

/// An image being fetched.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) op: OpId,
    /// `None`: nobody published it.
    pub(crate) image: Option<ImageId>,
    pub(crate) progress: StageProgress,
    pub(crate) cancelled: bool,
    /// Times in a row that no source gave the next chunk.
    pub(crate) failures: u32,
    /// Peers that served wrong bytes.
    pub(crate) blamed: BTreeSet<usize>,
}

/// A crash that waits for its moment: the so many-th write or act from now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doom {
    pub(crate) points_left: u32,
    pub(crate) power: bool,
    /// Whether the crash may tear the write that it falls on.
    pub(crate) tears: bool,
    /// Whether it waits for the first step with several acts, to fall between two of them.
    pub(crate) between: bool,
    /// What it waits for instead, if it waits for something.
    pub(crate) moment: Option<Moment>,
}

/// A point at which a crash may fall: before this is written, or done.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    /// A write.
    Write(&'a Write),
    /// An effect.
    Effect(&'a Effect),
}

/// Whether a crash that waits falls here.
pub type Moment = fn(&Point<'_>) -> bool;

/// One simulated host.
#[derive(Debug)]
pub struct SimHost {
    key: SigningKey,
    /// Its id.
    pub id: KeyId,
    /// Its site, by its place among the sites.
    pub site: usize,
    /// What survives.
    pub disk: Disk,
    /// The machine below the agent.
    pub machine: SimMachine,
    /// Its clock.
    pub clock: MachineClock,
    /// The agent's process, while it runs.
    pub node: Option<Box<Node>>,
    /// Whether the machine has power.
    pub powered: bool,
    /// How often the process ended unasked since the machine started.
    pub(crate) deaths: usize,
    /// Tells this process from an earlier one.
    pub(crate) life: u32,
    /// What its gate lets each peer's connections do.
    pub(crate) gate: BTreeMap<KeyId, Admission>,
    /// Open connections, by the peer's number.
    pub(crate) connections: BTreeMap<usize, Connection>,
    /// Peers that its configuration names.
    pub(crate) configured: Vec<usize>,
    pub(crate) overlay: Overlay,
    /// When it is going to be woken, ms.
    pub(crate) wake_ms: Option<u64>,
    pub(crate) staging: Option<Staging>,
    /// The act under way besides staging.
    pub(crate) acting: Option<(OpId, Act)>,
    pub(crate) doom: Option<Doom>,
    pub(crate) adversary: Option<Box<Adversary>>,
    pub(crate) power_dice: Dice,
    pub(crate) disk_dice: Dice,
    /// Whether the clock was known at the last look, for the counters.
    pub(crate) knew_time: bool,
    /// Bytes that it sent.
    pub sent_bytes: u64,
    /// Decisions of its nodes that ended.
    pub(crate) decisions_before: u64,
    /// Steps that its nodes took.
    pub steps: u64,
    /// When it first ran each image confirmed, ms.
    pub reached: BTreeMap<ImageId, u64>,
}

/// What a host is made of.
pub(crate) struct Parts {
    pub(crate) site: usize,
    pub(crate) machine: SimMachine,
    pub(crate) clock: MachineClock,
    pub(crate) adversary: Option<Box<Adversary>>,
}

impl SimHost {
    pub(crate) fn new(seed: u64, number: usize, parts: Parts) -> Self {
        let key = SigningKey::from_seed(child(seed, &format!("host {number}")));
        let numbered = |kind| Dice::numbered(seed, kind, number as u64);
        Self {
            id: key.public().id(),
            key,
            site: parts.site,
            disk: Disk::default(),
            machine: parts.machine,
            clock: parts.clock,
            node: None,
            powered: true,
            deaths: 0,
            life: 0,
            gate: BTreeMap::new(),
            connections: BTreeMap::new(),
            configured: Vec::new(),
            overlay: Overlay::new(numbered(11)),
            wake_ms: None,
            staging: None,
            acting: None,
            doom: None,
            adversary: parts.adversary,
            power_dice: numbered(12),
            disk_dice: numbered(13),
            knew_time: true,
            sent_bytes: 0,
            decisions_before: 0,
            steps: 0,
            reached: BTreeMap::new(),
        }
    }

    /// A copy of this machine, key and all, that is not started yet.
    pub(crate) fn copied(&self, seed: u64, number: usize) -> Self {
        let (machine, clock) = (self.machine.clone(), self.clock.clone());
        let mut copy =
            Self::new(seed, number, Parts { site: self.site, machine, clock, adversary: None });
        copy.key = self.key.clone();
        copy.id = self.id;
        copy.disk = self.disk.clone();
        copy.configured.clone_from(&self.configured);
        copy.reached.clone_from(&self.reached);
        // What its first start draws from the OS is its own.
        copy.life = 1_000_000;
        copy
    }

    /// The machine's public key.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Whether a thief of its key runs it.
    pub fn is_hostile(&self) -> bool {
        self.adversary.is_some()
    }

    /// Its clocks.
    pub fn reading(&self, begins: WallTime, now_ms: u64) -> Reading {
        Reading {
            mono: MonoTime(now_ms),
            wall: self.clock.wall(begins, now_ms),
            synchronised: self.clock.synchronised(now_ms),
        }
    }

    /// Whether the agent has nothing under way.
    pub fn is_idle(&self) -> bool {
        self.disk.state().update == UpdateState::Idle && self.staging.is_none()
    }

    /// Whether a topic's mesh needs no tending.
    pub(crate) fn is_mesh_sound(&mut self, topic: u16) -> bool {
        let dialled = |peer| self.connections.get(&peer).is_some_and(|it| it.dialled);
        self.overlay.is_sound(topic, dialled)
    }

    /// Decisions that its nodes took.
    pub fn decisions(&self) -> u64 {
        let running = self.node.as_ref().map_or(0, |node| node.counters().decisions);
        self.decisions_before + running
    }

    /// Starts the process; its first batch is the caller's to perform.
    pub(crate) fn start(
        &mut self,
        seed: u64,
        config: CoreConfig,
        reading: Reading,
        shared: Shared,
    ) -> daymark_core::Batch {
        self.life += 1;
        self.gate.clear();
        self.overlay.clear();
        self.wake_ms = None;
        self.staging = None;
        self.acting = None;
        let entropy = child(seed, &format!("entropy {} {}", self.id, self.life));
        let start = self.disk.start(self.key.clone(), entropy);
        let (node, batch) = Node::sharing(config, start, reading, shared);
        self.node = Some(Box::new(node));
        batch
    }

    /// A second node from the same disk, to compare with: it is asked and thrown away. It shares
    /// only what other such nodes hold, so that what the running ones share is compared too.
    pub(crate) fn twin(&self, config: CoreConfig, reading: Reading, shared: Shared) -> Node {
        let start = self.disk.start(self.key.clone(), child(0, "twin"));
        Node::sharing(config, start, reading, shared).0
    }

    /// Signs as this machine; for adversaries, who have its key.
    pub(crate) fn stolen_identity(&self) -> &SigningKey {
        &self.key
    }
}

/// The core's configuration of a world.
pub(crate) fn core_config(trust_rtc: bool, links: usize) -> CoreConfig {
    let trust = if trust_rtc { ClockTrust::Rtc } else { ClockTrust::Synchronised };
    CoreConfig::new(trust, WallTime::EPOCH, links).expect("the scenario's links were checked")
}
