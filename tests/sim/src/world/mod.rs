//! The world: one queue ordered by time and sequence, and the hosts it happens to.

mod acting;
mod wires;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use daymark_core::Event;
use daymark_core::effect::{Act, Channel, OpId, Reply, Topic};
use daymark_core::event::{Carried, GossipId, Reading, RequestId};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::{MonoTime, WallTime};

use crate::fleet::Fleet;
use crate::host::{Disk, SimHost};
use crate::network::{Network, Weather};
use crate::random::Dice;

/// How often connections are looked at, ms.
const PLUG_MS: u64 = 200;
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
    /// Whether the machines' operating systems say that their clocks are synchronised.
    pub synchronised: bool,
}

impl Options {
    /// 20 machines, 50 ms links, 1 % loss, no crashes.
    pub fn new(seed: u64) -> Self {
        let weather =
            Weather { latency_ms: 40, jitter_ms: 20, loss_per_mille: 10, duplicate_per_mille: 10 };
        Self { seed, hosts: 20, weather, crashes_per_100_000: 0, synchronised: true }
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
    /// Two sites of neighbouring numbers. Each machine has taken the fleet; what else there is, is
    /// handed to the first of each site.
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

    /// Starts all machines, lets them take the fleet, and hands in what it consists of. Nothing
    /// crashes meanwhile: whoever lets a machine join sees the answer, and would try again.
    fn found(&mut self) {
        let crashes = std::mem::take(&mut self.options.crashes_per_100_000);
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
        self.options.crashes_per_100_000 = crashes;
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
        Reading {
            mono: MonoTime(self.now_ms),
            wall: self.wall(),
            synchronised: self.options.synchronised,
        }
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
}
