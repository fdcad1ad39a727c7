//! The node: what it is made of, and the one door, [`Node::step`].

use daymark_protocol::id::KeyId;
use daymark_protocol::time::{MonoTime, Now, WallTime};
use daymark_protocol::trust::{FloorRecord, SigningKey};

use crate::config::CoreConfig;
use crate::durable::DurableState;
use crate::effect::{Batch, OpId};
use crate::event::{Event, Inspection, OpOutput, Reading};
use crate::saved::{OpIds, Saved};
use crate::status::Counters;
use crate::timer::{Timer, Timers};
use crate::update::{Context, Updater};

/// What a node starts from: all that was durable, and what is new at each start.
#[derive(Debug)]
pub struct Start {
    /// The machine's identity; its id is the host's. Shows nothing of itself.
    pub key: SigningKey,
    /// 32 bytes from the operating system's entropy, drawn anew at each start (never stored:
    /// a restored disk must not repeat them).
    pub seed: [u8; 32],
    /// The small file of what cannot be got back.
    pub durable: DurableState,
    /// Root envelopes, in any order.
    pub roots: Vec<Vec<u8>>,
    /// Entries of all documents, in any order.
    pub entries: Vec<Vec<u8>>,
    /// Reports of all hosts, in any order.
    pub reports: Vec<Vec<u8>>,
    /// Blobs.
    pub blobs: Vec<Vec<u8>>,
    /// The floor journal, oldest first.
    pub floors: Vec<FloorRecord>,
}

/// A node. Whoever hosts it gives it every [`Event`], performs what each [`Batch`] asks for in
/// the order fixed there, and calls [`Event::Wake`] when [`Node::next_deadline`] has passed.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: CoreConfig,
    pub(crate) key: SigningKey,
    pub(crate) own: KeyId,
    pub(crate) saved: Saved,
    pub(crate) timers: Timers,
    pub(crate) ops: OpIds,
    pub(crate) updater: Updater,
    pub(crate) inspection: Option<Inspection>,
    pub(crate) counters: Counters,
    pub(crate) started: WallTime,
    pub(crate) reading: Reading,
}

impl Node {
    /// Starts a node from what was durable.
    pub fn new(config: CoreConfig, start: Start, reading: Reading) -> (Self, Batch) {
        let own = start.key.public().id();
        let node = Self {
            config,
            own,
            key: start.key,
            saved: Saved::new(start.durable),
            timers: Timers::default(),
            ops: OpIds::default(),
            updater: Updater::default(),
            inspection: None,
            counters: Counters::default(),
            started: reading.wall,
            reading,
        };
        (node, Batch::default())
    }

    /// The host.
    pub fn host(&self) -> KeyId {
        self.own
    }

    /// Until when the host need not call [`Node::step`] if nothing happens, and why then.
    pub fn next_deadline(&self) -> Option<(MonoTime, &'static str)> {
        self.timers.next()
    }

    /// The one door.
    pub fn step(&mut self, reading: Reading, event: Event) -> Batch {
        self.reading = reading;
        let mut batch = Batch::default();
        match event {
            Event::Wake => {}
            Event::Inspected(inspection) => self.inspected(*inspection, &mut batch),
            Event::OpDone { op, result } => self.op_done(op, result, &mut batch),
            _ => {}
        }
        for timer in self.timers.take_due(reading.mono) {
            self.woke(timer, &mut batch);
        }
        self.saved.write(&mut batch);
        batch
    }

    /// What is known of the time (RULES K1, K2).
    pub fn now(&self) -> Now {
        Now::reading(self.reading.wall, 0)
    }

    /// What is durable.
    pub fn durable(&self) -> &DurableState {
        self.saved.get()
    }

    fn inspected(&mut self, inspection: Inspection, batch: &mut Batch) {
        let now = self.now();
        let mut cx = Context {
            saved: &mut self.saved,
            batch,
            timers: &mut self.timers,
            ops: &mut self.ops,
            reading: self.reading,
            now,
        };
        self.updater.resume(&mut cx, &inspection);
        self.inspection = Some(inspection);
    }

    fn op_done(&mut self, op: OpId, result: Result<OpOutput, String>, batch: &mut Batch) {
        let now = self.now();
        let mut cx = Context {
            saved: &mut self.saved,
            batch,
            timers: &mut self.timers,
            ops: &mut self.ops,
            reading: self.reading,
            now,
        };
        let ours = self
            .inspection
            .as_ref()
            .is_some_and(|seen| self.updater.op_done(&mut cx, op, result, None, seen));
        if !ours {
            self.counters.stale_operations += 1;
        }
    }

    fn woke(&mut self, timer: Timer, batch: &mut Batch) {
        let now = self.now();
        let mut cx = Context {
            saved: &mut self.saved,
            batch,
            timers: &mut self.timers,
            ops: &mut self.ops,
            reading: self.reading,
            now,
        };
        self.updater.woke(&mut cx, timer);
    }
}
