//! The world: one queue ordered by time and sequence, and the hosts it happens to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use daymark_core::effect::{Act, Admission, Channel, Effect, OpId, Reply, Topic, Verdict};
use daymark_core::event::{Carried, GossipId, Reading, RequestId};
use daymark_core::{Batch, Event};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::{MonoTime, WallTime};

use crate::fleet::Fleet;
use crate::host::{Disk, SimHost};
use crate::network::{Link, Network, Pair, Weather, pair};
use crate::random::Dice;

/// How often connections are looked at, ms.
const PLUG_MS: u64 = 200;
/// How long a process takes to come back, ms.
const START_MS: u64 = 3_000;
/// How long a machine takes to restart, ms.
const RESTART_MS: u64 = 30_000;
/// How long after its start a host has looked at its machine, ms.
const INSPECT_MS: u64 = 500;
/// The sites that machines are spread over.
const SITES: [&str; 2] = ["berlin", "hamburg"];
/// The version that all machines run at first.
const FIRST_VERSION: &str = "1.0.0";

/// A world.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Machines; at least two, one for each site.
    pub hosts: usize,
    /// What the network does.
    pub weather: Weather,
    /// Steps in which a host crashes somewhere, in a hundred thousand.
    pub crashes_per_100_000: u64,
}

impl Options {
    /// 20 machines, 50 ms links, 1 % loss, no crashes.
    pub fn new(seed: u64) -> Self {
        let weather =
            Weather { latency_ms: 40, jitter_ms: 20, loss_per_mille: 10, duplicate_per_mille: 10 };
        Self { seed, hosts: 20, weather, crashes_per_100_000: 0 }
    }
}

/// Something that is going to happen.
#[derive(Clone, Debug)]
enum Happening {
    Plug,
    Start { host: usize },
    Wake { host: usize, life: u64 },
    Inspect { host: usize, life: u64 },
    Message { from: usize, to: usize, epoch: u64, channel: Channel, bytes: Vec<u8> },
    Gossip { from: usize, to: usize, epoch: u64, topic: Topic, bytes: Vec<u8> },
    ActEnds { host: usize, life: u64, op: OpId, act: Act },
}

/// Where a step is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    BeforeSave,
    WithinSave,
    AfterSave,
    BetweenActs,
}

/// Many hosts, one network, one time.
#[derive(Debug)]
pub struct World {
    options: Options,
    /// The administrators.
    pub fleet: Fleet,
    /// The network.
    pub network: Network,
    /// The machines.
    pub hosts: Vec<SimHost>,
    /// Crashes that happened.
    pub crashes: u64,
    numbers: BTreeMap<KeyId, usize>,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    pending: BTreeMap<usize, Happening>,
    sequence: u64,
    now_ms: u64,
    epoch: WallTime,
    faults: Dice,
    gossip: BTreeMap<GossipId, (usize, Topic, Vec<u8>)>,
    replies: BTreeMap<RequestId, Reply>,
    requests: u64,
    trace: Digest,
    steps: u64,
}

impl World {
    /// Two sites of neighbouring numbers. Each machine has taken the fleet; what else there is, is handed to the first of each
    /// site.
    pub fn new(options: Options) -> Self {
        let epoch = WallTime::from_seconds(1_800_000_000);
        let fleet = Fleet::new(options.seed, epoch.plus_ms(-86_400_000));
        let hosts: Vec<SimHost> = (0..options.hosts)
            .map(|number| SimHost::new(options.seed, number, FIRST_VERSION))
            .collect();
        let mut world = Self {
            options,
            network: Network::new(options.weather, options.seed, options.hosts),
            numbers: hosts.iter().enumerate().map(|(number, host)| (host.id, number)).collect(),
            hosts,
            crashes: 0,
            queue: BinaryHeap::new(),
            pending: BTreeMap::new(),
            sequence: 0,
            now_ms: 0,
            epoch,
            faults: Dice::new(options.seed, "faults"),
            gossip: BTreeMap::new(),
            replies: BTreeMap::new(),
            requests: 0,
            trace: Digest([0; 32]),
            steps: 0,
            fleet,
        };
        world.found();
        world
    }

    /// Starts all machines, lets them take the fleet, and hands in what it consists of.
    fn found(&mut self) {
        let mut common: Vec<Carried> =
            SITES.iter().flat_map(|site| self.fleet.create_site(site)).collect();
        for number in 0..self.hosts.len() {
            self.start(number);
            let public = self.hosts[number].public();
            let site = SITES[number * SITES.len() / self.hosts.len()];
            let enrolled = self.fleet.enroll(&format!("host-{number}"), &public, site);
            common.extend(enrolled.clone());
            let items = std::iter::once(self.fleet.root()).chain(enrolled).collect();
            let (request, pin) = (self.request(), self.fleet.pin());
            self.step(number, Event::Join { request, pin, items });
        }
        for site in 0..SITES.len() {
            self.submit((site * self.hosts.len()).div_ceil(SITES.len()), common.clone());
        }
        self.later(0, Happening::Plug);
    }

    /// Milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Wall-clock time, the same for all.
    pub fn wall(&self) -> WallTime {
        self.epoch.plus_ms(i64::try_from(self.now_ms).unwrap_or(i64::MAX))
    }

    /// Hash over everything that happened: equal for equal seeds.
    pub fn trace(&self) -> Digest {
        self.trace
    }

    /// Steps of all nodes together.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Hands items to a running node and returns its answer.
    pub fn submit(&mut self, host: usize, items: Vec<Carried>) -> Option<Reply> {
        let request = self.request();
        self.step(host, Event::Submit { request, items });
        self.replies.remove(&request)
    }

    /// Divides the network: machines whose number makes `side` true see only each other.
    pub fn divide(&mut self, side: impl Fn(usize) -> bool) {
        self.network.sides = Some((0..self.hosts.len()).map(side).collect());
    }

    /// Heals the network.
    pub fn heal(&mut self) {
        self.network.sides = None;
    }

    /// Ends a host's process, for good until [`World::power_on`].
    pub fn power_off(&mut self, host: usize) {
        self.end_process(host);
        self.hosts[host].machine.restart();
    }

    /// Starts a host, from another disk if one is given.
    pub fn power_on(&mut self, host: usize, disk: Option<Disk>) {
        if let Some(disk) = disk {
            self.hosts[host].disk = disk;
        }
        self.later(0, Happening::Start { host });
    }

    /// Stops random crashes.
    pub fn stop_crashes(&mut self) {
        self.options.crashes_per_100_000 = 0;
    }

    /// Runs until a time, or until `done`; whether it was done.
    pub fn run_until(&mut self, until_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        while let Some(Reverse((at_ms, _, _))) = self.queue.peek().copied() {
            if at_ms > until_ms {
                break;
            }
            if let Some(Reverse((at_ms, _, slot))) = self.queue.pop() {
                self.now_ms = at_ms;
                if let Some(happening) = self.pending.remove(&slot) {
                    self.happen(happening);
                }
            }
            if done(self) {
                return true;
            }
        }
        self.now_ms = until_ms;
        done(self)
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn later(&mut self, after_ms: u64, happening: Happening) {
        self.sequence += 1;
        let slot = usize::try_from(self.sequence).unwrap_or(usize::MAX);
        self.queue.push(Reverse((self.now_ms + after_ms, self.sequence, slot)));
        self.pending.insert(slot, happening);
    }

    fn reading(&self) -> Reading {
        Reading { mono: MonoTime(self.now_ms), wall: self.wall(), synchronised: true }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Plug => {
                self.plug();
                self.later(PLUG_MS, Happening::Plug);
            }
            Happening::Start { host } => self.start(host),
            Happening::Wake { host, life } if self.lives(host, life) => {
                self.hosts[host].wake_ms = None;
                self.step(host, Event::Wake);
            }
            Happening::Inspect { host, life } if self.lives(host, life) => {
                let inspection = self.hosts[host].machine.inspection();
                self.step(host, Event::Inspected(Box::new(inspection)));
            }
            Happening::Message { from, to, epoch, channel, bytes } => {
                if self.is_open(from, to, epoch) {
                    let peer = self.hosts[from].id;
                    self.step(to, Event::Received { peer, channel, bytes });
                }
            }
            Happening::Gossip { from, to, epoch, topic, bytes } => {
                if self.is_open(from, to, epoch) {
                    self.gossip(from, to, topic, bytes);
                }
            }
            Happening::ActEnds { host, life, op, act } if self.lives(host, life) => {
                if let Some(result) = self.hosts[host].machine.perform(&act) {
                    // The platform looks at the machine before it reports.
                    let inspection = self.hosts[host].machine.inspection();
                    self.step(host, Event::Inspected(Box::new(inspection)));
                    self.step(host, Event::OpDone { op, result });
                }
            }
            Happening::Wake { .. } | Happening::Inspect { .. } | Happening::ActEnds { .. } => {}
        }
    }

    fn lives(&self, host: usize, life: u64) -> bool {
        self.hosts[host].node.is_some() && self.hosts[host].life == life
    }

    fn link(&self, a: usize, b: usize) -> Option<Link> {
        self.network.links.get(&pair(a, b)).copied()
    }

    fn is_open(&self, a: usize, b: usize, epoch: u64) -> bool {
        self.link(a, b).is_some_and(|link| link.epoch == epoch)
    }

    fn start(&mut self, host: usize) {
        if self.hosts[host].node.is_some() {
            return;
        }
        let reading = self.reading();
        let batch = self.hosts[host].start(self.options.seed, reading);
        let life = self.hosts[host].life;
        self.later(INSPECT_MS, Happening::Inspect { host, life });
        self.perform(host, batch);
        let addresses = vec![format!("/sim/{host}")];
        self.step(host, Event::Listening { addresses });
    }

    /// Opens and closes connections as the machines, the partition and the gates have it.
    fn plug(&mut self) {
        let stale: Vec<Pair> = self
            .network
            .links
            .iter()
            .filter(|(pair, link)| !self.may_link(**pair) || self.gates(**pair) != link.admissions)
            .map(|(pair, _)| *pair)
            .collect();
        for pair in stale {
            self.unlink(pair);
        }
        let missing: Vec<Pair> = self
            .network
            .wanted
            .iter()
            .filter(|pair| !self.network.links.contains_key(pair) && self.may_link(**pair))
            .copied()
            .collect();
        for pair in missing {
            self.connect(pair);
        }
    }

    fn may_link(&self, (a, b): Pair) -> bool {
        let runs = |host: usize| self.hosts[host].node.is_some();
        runs(a) && runs(b) && !self.network.cut((a, b))
    }

    /// What each end of a new connection would let through.
    fn gates(&self, (a, b): Pair) -> [Admission; 2] {
        let gate = |end: usize, other: usize| {
            let of = self.hosts[end].gate.get(&self.hosts[other].id);
            of.copied().unwrap_or(Admission::Stranger)
        };
        [gate(a, b), gate(b, a)]
    }

    fn connect(&mut self, (a, b): Pair) {
        let admissions = self.gates((a, b));
        self.network.open((a, b), admissions);
        for (end, other, admission) in [(a, b, admissions[0]), (b, a, admissions[1])] {
            let (peer, address) = (self.hosts[other].id, format!("/sim/{other}"));
            self.step(end, Event::Connected { peer, address, admission });
        }
    }

    fn unlink(&mut self, (a, b): Pair) {
        self.network.links.remove(&(a, b));
        for (end, other) in [(a, b), (b, a)] {
            let peer = self.hosts[other].id;
            self.step(end, Event::Disconnected { peer });
        }
    }

    fn end_process(&mut self, host: usize) {
        self.hosts[host].node = None;
        let links: Vec<Pair> = self.network.links.keys().copied().collect();
        for (a, b) in links.into_iter().filter(|(a, b)| *a == host || *b == host) {
            self.unlink((a, b));
        }
    }

    fn step(&mut self, host: usize, event: Event) {
        let reading = self.reading();
        self.note(host, &event);
        let Some(node) = &mut self.hosts[host].node else { return };
        self.steps += 1;
        let batch = node.step(reading, event);
        self.perform(host, batch);
    }

    fn note(&mut self, host: usize, event: &Event) {
        let told = match event {
            Event::Received { peer, bytes, .. } => {
                format!("received {peer} {}", Digest::of(bytes))
            }
            Event::Gossip { from, bytes, .. } => format!("gossip {from} {}", Digest::of(bytes)),
            Event::Submit { items, .. } => format!("submit {}", items.len()),
            Event::Join { items, .. } => format!("join {}", items.len()),
            Event::Wake
            | Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Listening { .. }
            | Event::Inhibit { .. }
            | Event::Inspected(_)
            | Event::OpDone { .. }
            | Event::Progress { .. } => format!("{event:?}"),
        };
        let time = self.now_ms.to_be_bytes();
        let place = (host as u64).to_be_bytes();
        self.trace = Digest::of_parts(&[&self.trace.0, &time, &place, told.as_bytes()]);
    }

    fn crash(&mut self) -> Option<Crash> {
        if self.faults.below(100_000) >= self.options.crashes_per_100_000 {
            return None;
        }
        let points = [Crash::BeforeSave, Crash::WithinSave, Crash::AfterSave, Crash::BetweenActs];
        points.get(usize::try_from(self.faults.below(4)).unwrap_or(0)).copied()
    }

    /// Performs a batch as a host must, unless it crashes on the way.
    fn perform(&mut self, host: usize, mut batch: Batch) {
        let crash = self.crash();
        for effect in batch.take_immediate() {
            self.effect(host, effect);
        }
        let writes = batch.writes();
        let done = match crash {
            Some(Crash::BeforeSave) => 0,
            Some(Crash::WithinSave) => writes.len() / 2,
            Some(Crash::AfterSave | Crash::BetweenActs) | None => writes.len(),
        };
        for write in &writes[..done] {
            self.hosts[host].disk.write(write);
        }
        if matches!(crash, Some(Crash::BeforeSave | Crash::WithinSave | Crash::AfterSave)) {
            return self.fall_over(host);
        }
        let deferred = batch.confirm_durable();
        let half = deferred.len() / 2;
        for (done, effect) in deferred.into_iter().enumerate() {
            if crash.is_some() && done == half {
                return self.fall_over(host);
            }
            self.effect(host, effect);
        }
        self.wake_in_time(host);
    }

    /// The process dies; every other time the machine's power fails with it.
    fn fall_over(&mut self, host: usize) {
        self.crashes += 1;
        if self.faults.happens(500) {
            self.hosts[host].machine.restart();
        }
        self.end_process(host);
        self.later(START_MS, Happening::Start { host });
    }

    fn wake_in_time(&mut self, host: usize) {
        let Some((at, _)) = self.hosts[host].node.as_ref().and_then(|node| node.next_deadline())
        else {
            return;
        };
        let at_ms = at.0.max(self.now_ms + 1);
        if self.hosts[host].wake_ms.is_none_or(|set_ms| at_ms < set_ms) {
            self.hosts[host].wake_ms = Some(at_ms);
            let life = self.hosts[host].life;
            self.later(at_ms - self.now_ms, Happening::Wake { host, life });
        }
    }

    fn effect(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::Send { peer, channel, bytes } => self.send(host, peer, channel, &bytes),
            Effect::Subscribe(topic) => {
                self.hosts[host].topics.insert(topic);
            }
            Effect::Unsubscribe(topic) => {
                self.hosts[host].topics.remove(&topic);
            }
            Effect::Publish { topic, bytes } => {
                self.hosts[host].seen.insert(Digest::of(&bytes));
                self.flood(host, None, &topic, &bytes);
            }
            Effect::Verdict { id, verdict } => {
                if let (Some((from, topic, bytes)), Verdict::Accept) =
                    (self.gossip.remove(&id), verdict)
                {
                    self.flood(host, Some(from), &topic, &bytes);
                }
            }
            Effect::Admit { peer, admission } => {
                self.hosts[host].gate.insert(peer, admission);
            }
            Effect::Dial { peer, .. } => {
                if let Some(other) = self.numbers.get(&peer).copied()
                    && self.link(host, other).is_none()
                {
                    self.network.wanted.insert(pair(host, other));
                }
            }
            Effect::Reply { request, reply } => {
                self.replies.insert(request, reply);
            }
            Effect::Perform { op, act } => self.order(host, op, act),
            // An act that is cancelled still ends, and says so.
            Effect::Cancel { .. } => {}
        }
    }

    fn order(&mut self, host: usize, op: OpId, act: Act) {
        if act == Act::Reboot {
            let wall = self.wall();
            let machine = &mut self.hosts[host].machine;
            let before = machine.runs().to_owned();
            machine.restart();
            if machine.runs() != before && !machine.is_confirmed() {
                self.hosts[host].activations.push(wall);
            }
            self.end_process(host);
            return self.later(RESTART_MS, Happening::Start { host });
        }
        let life = self.hosts[host].life;
        let after_ms = crate::machine::SimMachine::duration_ms(&act);
        self.later(after_ms, Happening::ActEnds { host, life, op, act });
    }

    fn send(&mut self, from: usize, peer: KeyId, channel: Channel, bytes: &[u8]) {
        let Some(to) = self.numbers.get(&peer).copied() else { return };
        let needed = match channel {
            Channel::Join => Admission::Stranger,
            Channel::Sync => Admission::Authority,
        };
        let Some(link) = self.link(from, to).filter(|link| link.carries(needed)) else { return };
        for after_ms in self.network.arrivals(bytes.len()) {
            let (epoch, bytes) = (link.epoch, bytes.to_vec());
            self.later(after_ms, Happening::Message { from, to, epoch, channel, bytes });
        }
    }

    fn flood(&mut self, from: usize, except: Option<usize>, topic: &Topic, bytes: &[u8]) {
        for to in self.network.neighbours(from) {
            let Some(link) = self.link(from, to) else { continue };
            let listens = self.hosts[to].topics.contains(topic);
            if Some(to) == except || !listens || !link.carries(Admission::Member) {
                continue;
            }
            for after_ms in self.network.arrivals(bytes.len()) {
                let (topic, bytes, epoch) = (topic.clone(), bytes.to_vec(), link.epoch);
                self.later(after_ms, Happening::Gossip { from, to, epoch, topic, bytes });
            }
        }
    }

    fn gossip(&mut self, from: usize, to: usize, topic: Topic, bytes: Vec<u8>) {
        if self.hosts[to].node.is_none() || !self.hosts[to].seen.insert(Digest::of(&bytes)) {
            return;
        }
        let id = GossipId(self.sequence);
        self.gossip.insert(id, (from, topic.clone(), bytes.clone()));
        let from = self.hosts[from].id;
        self.step(to, Event::Gossip { id, from, topic, bytes });
        self.gossip.remove(&id);
    }
}
