//! The node: what it is made of, and the one door, [`Node::step`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daymark_protocol::clock::{ClockBasis, ClockVerdict};
use daymark_protocol::decide::{Decision, Reach};
use daymark_protocol::document::{Interest, Replica, Shared, Stored, StoredEntry, StoredReport};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::{MonoTime, Now, WallTime};
use daymark_protocol::trust::{FloorRecord, Floors, RootChain, SigningKey};
use daymark_protocol::wire::Liveness;

use crate::addresses::Addresses;
use crate::admission::Terms;
use crate::blobs::PartialBlobs;
use crate::clock::Clock;
use crate::conduct::Conduct;
use crate::config::CoreConfig;
use crate::delivery::Deliveries;
use crate::durable::DurableState;
use crate::effect::{Batch, Channel, Topic};
use crate::event::{Event, Inspection, Reading};
use crate::groups::PushGroups;
use crate::hearing::Hearing;
use crate::intake::Origin;
use crate::peers::{Parted, Peers};
use crate::push::Said;
use crate::reporting::Reporter;
use crate::rng::Stream;
use crate::saved::{OpIds, Saved};
use crate::status::Counters;
use crate::sync::SetDigests;
use crate::timer::{Timer, Timers};
use crate::update::Updater;
use crate::visitors::Visitors;

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
    /// Entries of all documents, under the names they were stored by.
    pub entries: Vec<StoredEntry>,
    /// Reports of all hosts, under the names they were stored by.
    pub reports: Vec<StoredReport>,
    /// Blobs, by the digest they were stored under.
    pub blobs: Vec<(Digest, Vec<u8>)>,
    /// The fold of the floor journal.
    pub floors: Floors,
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
    pub(crate) reading: Reading,
    pub(crate) started: WallTime,

    /// Everything held of the fleet; `None` before this machine took one.
    pub(crate) replica: Option<Replica>,
    pub(crate) shared: Shared,
    pub(crate) kept_interest: Interest,
    /// What was damaged in the store at the start, for people.
    pub(crate) damaged: Vec<String>,
    pub(crate) set_digests: SetDigests,
    pub(crate) partial_blobs: PartialBlobs,
    /// Hosts of whose reports some are missing, and when a peer was last asked for them.
    pub(crate) gaps_asked: BTreeMap<KeyId, MonoTime>,

    pub(crate) peers: Peers,
    pub(crate) parted: Parted,
    pub(crate) conduct: Conduct,
    pub(crate) visitors: Visitors,
    /// When peers were last connected: their Host statements are kept for a while.
    pub(crate) acquaintances: BTreeMap<KeyId, MonoTime>,
    pub(crate) addresses: Addresses,
    pub(crate) listening: Vec<String>,
    pub(crate) topics: BTreeSet<Topic>,
    /// Connected peers of other sites to whom gossip always goes on.
    pub(crate) bridges: BTreeSet<KeyId>,
    pub(crate) groups: PushGroups,
    /// Of peers and of hosts that told where they are, under what counts at present.
    pub(crate) terms: BTreeMap<KeyId, Terms>,
    pub(crate) liveness: BTreeMap<KeyId, Arc<Liveness>>,
    pub(crate) liveness_count: u64,
    /// What the newest own one said, and how often in a row.
    pub(crate) liveness_said: Said,
    pub(crate) fetching_told: Option<Digest>,
    pub(crate) jitter: Stream,
    pub(crate) peer_choice: Stream,
    pub(crate) nonces: Stream,
    pub(crate) blob_choice: Stream,
    pub(crate) challenge_draws: Stream,

    pub(crate) clock: Clock,
    pub(crate) clock_verdict: ClockVerdict,
    pub(crate) inspection: Option<Inspection>,
    pub(crate) reach: Option<Reach>,
    pub(crate) decision: Option<Decision>,
    /// The time that the newest decision was taken for.
    pub(crate) decided_for: Now,
    /// The wall clock less the monotonic one at that time, ms.
    pub(crate) decided_offset_ms: i64,
    pub(crate) updater: Updater,
    pub(crate) deliveries: Deliveries,
    pub(crate) hearing: Hearing,
    pub(crate) reporter: Reporter,
    pub(crate) report_problem: Option<String>,
    pub(crate) counters: Counters,

    /// What counts may have changed in this step.
    pub(crate) standing_changed: bool,
    /// The decision is to be asked again in this step.
    pub(crate) look: bool,
    /// Something that is reported may have changed.
    pub(crate) facts_changed: bool,
}

impl Node {
    /// Starts a node from what was durable.
    pub fn new(config: CoreConfig, start: Start, reading: Reading) -> (Self, Batch) {
        Self::sharing(config, start, reading, Shared::default())
    }

    /// As [`Self::new`], holding in common what other nodes of the pool hold too. What it does is
    /// the same.
    pub fn sharing(
        config: CoreConfig,
        start: Start,
        reading: Reading,
        shared: Shared,
    ) -> (Self, Batch) {
        let Start { key, seed, durable, roots, entries, reports, blobs, floors } = start;
        let own = key.public().id();
        let clock = Clock::new(&config);
        let floor = durable.clock_floor.unwrap_or(WallTime::EPOCH);
        // The reading is judged at the end of the start, when it is known what was signed: one that
        // is impossible is no measure for jumps (RULES Q6).
        let now = Now { earliest: floor, latest: WallTime::MAX, known: false };
        let clock_verdict = ClockVerdict { now, raise: None, basis: ClockBasis::Unvouched };
        let mut node = Self {
            config,
            key,
            own,
            addresses: Addresses::new(&durable.addresses),
            saved: Saved::new(durable),
            timers: Timers::default(),
            ops: OpIds::default(),
            reading,
            started: reading.wall,
            replica: None,
            shared,
            kept_interest: Interest::default(),
            damaged: Vec::new(),
            set_digests: SetDigests::default(),
            partial_blobs: PartialBlobs::default(),
            gaps_asked: BTreeMap::new(),
            peers: Peers::new(),
            parted: Parted::default(),
            conduct: Conduct::default(),
            visitors: Visitors::default(),
            acquaintances: BTreeMap::new(),
            listening: Vec::new(),
            topics: BTreeSet::new(),
            bridges: BTreeSet::new(),
            groups: PushGroups::default(),
            terms: BTreeMap::new(),
            liveness: BTreeMap::new(),
            liveness_count: 0,
            liveness_said: Said::default(),
            fetching_told: None,
            jitter: Stream::new(&seed, "jitter"),
            peer_choice: Stream::new(&seed, "choice of peers"),
            nonces: Stream::new(&seed, "nonces of comparisons"),
            blob_choice: Stream::new(&seed, "choice of blobs"),
            challenge_draws: Stream::new(&seed, "challenges of laptops"),
            clock,
            decided_for: clock_verdict.now,
            decided_offset_ms: reading.offset_ms(),
            clock_verdict,
            inspection: None,
            reach: None,
            decision: None,
            updater: Updater::default(),
            deliveries: Deliveries::default(),
            hearing: Hearing::default(),
            reporter: Reporter::default(),
            report_problem: None,
            counters: Counters::default(),
            standing_changed: false,
            look: false,
            facts_changed: false,
        };
        let mut batch = Batch::default();
        let stored = Stored { entries, reports, blobs };
        node.load(&roots, floors, &stored, &mut batch);
        node.hear_after_start();
        node.settle(&mut batch);
        (node, batch)
    }

    /// Loads the replica, if this machine took a fleet.
    fn load(&mut self, roots: &[Vec<u8>], floors: Floors, stored: &Stored, batch: &mut Batch) {
        let Some(pin) = self.saved.get().pin else { return };
        let mut chain = RootChain::new(pin);
        chain.raise_floor(self.saved.get().root_floor);
        let mut chain = self.shared.chain(chain);
        let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
        let refused = self
            .shared
            .rooted(&mut chain, &roots)
            .into_iter()
            .filter_map(Result::err)
            .map(|error| format!("a stored root is refused: {error}"));
        self.damaged.extend(refused);
        // The own site is known only once the own Host statement is loaded: load all, then keep
        // what is of interest.
        let all = Interest { own_host: Some(self.own), ..Interest::default() };
        self.kept_interest = all.clone();
        let loaded = Replica::sharing(chain, floors, all, self.shared.clone()).loaded(stored);
        let corrupt = loaded.corrupt.into_iter();
        self.damaged.extend(corrupt.map(|corrupt| format!("{}: {}", corrupt.what, corrupt.why)));
        self.replica = Some(loaded.replica);
        self.absorb(loaded.changes, Origin::Gossip, batch);
        self.joined(batch);
    }

    /// What starts once a fleet is taken.
    pub(crate) fn joined(&mut self, batch: &mut Batch) {
        self.standing_changed = true;
        let now = self.reading.mono;
        self.timers.set(Timer::Repair, now.plus_ms(self.jitter.between(1_000, 10_000)));
        self.timers.set(Timer::Dial, now);
        self.timers.set(Timer::Liveness, now.plus_ms(self.jitter.between(1_000, 5_000)));
        self.await_own_reports();
        let connected: Vec<KeyId> = self.peers.keys().copied().collect();
        for peer in connected {
            self.ask_to_join(peer, batch);
        }
    }

    /// The one door.
    pub fn step(&mut self, reading: Reading, event: Event) -> Batch {
        self.reading = reading;
        let mut batch = Batch::default();
        let woke = matches!(event, Event::Wake);
        self.handle(event, &mut batch);
        for timer in self.timers.take_due(reading.mono, woke) {
            self.woke(timer, &mut batch);
        }
        self.settle(&mut batch);
        batch
    }

    fn handle(&mut self, event: Event, batch: &mut Batch) {
        match event {
            Event::Wake => {}
            Event::Connected { peer, address, admission } => {
                self.connected(peer, address, admission, batch);
            }
            Event::Disconnected { peer } => self.disconnected(&peer, batch),
            Event::Received { peer, channel, bytes } => self.received(peer, channel, &bytes, batch),
            Event::Gossip { id, from, bytes } => self.gossip_received(id, from, &bytes, batch),
            Event::Listening { addresses } => {
                self.listening = addresses;
                self.tell_liveness_soon();
            }
            Event::Submit { request, items, visitor } => {
                self.submit(request, items, visitor, batch);
            }
            Event::Join { request, pin, items } => self.join_fleet(request, pin, items, batch),
            Event::Bound { moved } => self.bound(moved),
            Event::Rebind { request } => self.rebind(request, batch),
            Event::Inhibit { request, why, until } => self.inhibit(request, why, until, batch),
            Event::Inspected(inspection) => self.inspected(*inspection, batch),
            Event::OpDone { op, result } => {
                let before = self.wrong_chunks();
                self.op_done(op, result, batch);
                self.blame_for_chunks(&before, batch);
            }
            Event::Progress { op, progress } => {
                let before = self.wrong_chunks();
                self.with_updater(batch, |updater, cx| updater.progress(cx, op, progress));
                self.blame_for_chunks(&before, batch);
                self.facts_changed = true;
            }
        }
    }

    fn received(&mut self, peer: KeyId, channel: Channel, bytes: &[u8], batch: &mut Batch) {
        if !self.spend(&peer) {
            return;
        }
        let before = self.counters;
        match channel {
            Channel::Join => self.join_received(peer, bytes, batch),
            Channel::Sync => self.sync_received(peer, bytes, batch),
        }
        self.blame_since(peer, &before, batch);
    }

    fn woke(&mut self, timer: Timer, batch: &mut Batch) {
        match timer {
            Timer::Decide => self.look = true,
            Timer::Repair => self.repair(batch),
            Timer::Dial => self.dial(batch),
            Timer::Liveness => self.tell_liveness(batch),
            Timer::OpenGeneration => self.open_generation(batch),
            Timer::Report => self.facts_changed = true,
            Timer::RetryConfig => self.deliver_config(batch),
            Timer::ConfigOverdue => self.config_overdue(batch),
            Timer::HearAgain => self.hear_again(batch),
            Timer::Heard => self.heard(),
            Timer::RetryStage | Timer::ActOverdue | Timer::RetryConfirm | Timer::RetryFallBack => {
                self.look = true;
                self.with_updater(batch, |updater, cx| updater.woke(cx, timer));
            }
        }
    }

    /// Until when the host need not call [`Node::step`] if nothing happens, and why then.
    pub fn next_deadline(&self) -> Option<(MonoTime, &'static str)> {
        self.timers.next()
    }

    /// As [`Self::next_deadline`], without what comes round by itself and on whose moment nothing
    /// hangs: a host that saves power may let that wait, together, until it wakes the node.
    pub fn next_firm_deadline(&self) -> Option<MonoTime> {
        self.timers.next_firm()
    }

    /// The host.
    pub fn host(&self) -> KeyId {
        self.own
    }

    /// Everything held of the fleet; `None` before this machine took one.
    pub fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// The newest decision, with every gate's answer.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// The time that [`Self::decision`] was taken for.
    pub fn decided_for(&self) -> Now {
        self.decided_for
    }

    /// All that the floor journal must hold, to rewrite it (RULES Q12): without the halts that were
    /// lifted. `None` before this machine took a fleet.
    pub fn compact_floors(&self) -> Option<Vec<FloorRecord>> {
        self.replica.as_ref().map(Replica::compact_floors)
    }

    /// What is durable.
    pub fn durable(&self) -> &DurableState {
        self.saved.get()
    }

    /// The newest word of each enrolled host on where it is and what it fetches.
    pub fn liveness(&self) -> impl Iterator<Item = (&KeyId, &Liveness)> {
        self.liveness.iter().map(|(host, said)| (host, &**said))
    }
}
