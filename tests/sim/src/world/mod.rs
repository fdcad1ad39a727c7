//! The world: one queue ordered by time and sequence, and the hosts it happens to.

mod acting;
mod founding;
mod gossip;
mod power;
mod queue;
mod release;
mod script;
mod staging;
mod wires;

use std::collections::BTreeMap;

use daymark_core::CoreConfig;
use daymark_core::Event;
use daymark_core::effect::{Reply, Topic};
use daymark_core::event::{Carried, RequestId};
use daymark_protocol::document::Shared;
use daymark_protocol::id::KeyId;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Seen;

use self::queue::{Next, Queue, Trouble, Way};
use self::release::ReleaseService;
use crate::checks::{Checks, Violation};
use crate::facts::Deed;
use crate::faults::{Fault, FaultCounts};
use crate::figures::Recorder;
use crate::heard::{Heard, HostSet, QuickMap};
use crate::host::{Doom, Images, Moment, Pool, Pools, SimHost, core_config};
use crate::network::{End, Network};
use crate::operators::Operators;
use crate::overlay::Rumour;
use crate::random::Dice;
use crate::reference::Reference;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// Pause between comparisons of a node with a second one from its disk, ms.
const COMPARE_MS: u64 = 2 * 60 * 60_000;

/// How long what was written last may take to reach everyone, and how often that is looked at, ms.
const LAST_WORDS_MS: u64 = 20 * 60_000;
const LOOK_MS: u64 = 15_000;

/// A gossip message that a node is judging.
#[derive(Debug)]
struct Judging {
    rumour: Rumour,
    from: usize,
}

/// Many hosts, one network, one time.
#[derive(Debug)]
pub struct World {
    seed: u64,
    /// What it is made of.
    pub scenario: Scenario,
    config: CoreConfig,
    /// The administrators.
    pub operators: Operators,
    /// The network.
    pub network: Network,
    /// The images.
    pub images: Images,
    release: ReleaseService,
    /// The machines.
    pub hosts: Vec<SimHost>,
    /// Names of the sites, in order.
    pub sites: Vec<String>,
    /// Faults that happened and that bit.
    pub counts: FaultCounts,
    /// What the figures are made of.
    pub recorder: Recorder,
    /// Who should run what by when.
    pub reference: Reference,
    checks: Checks,
    pool: Pool,
    shared: Pools,
    /// What nodes share that are made to be compared with.
    twins: Pools,
    numbers: QuickMap<KeyId, usize>,
    /// Machines that have another one's key.
    clones: Vec<usize>,
    topics: Vec<Topic>,
    /// Hosts that are subscribed to each topic.
    subscribers: Vec<HostSet>,
    heard: Heard,
    /// For each site, how often the connections or topics of one of its hosts changed.
    connections_changed: Vec<u64>,
    queue: Queue,
    now_ms: u64,
    calm: bool,
    cut_dice: Dice,
    cuts: u64,
    judging: Option<Judging>,
    /// A message that is being handled: the host, its sender, and what was sent back so far.
    answering: Option<(usize, usize, usize)>,
    gossip_ids: u64,
    replies: BTreeMap<RequestId, Reply>,
    requests: u64,
    closings: Vec<(Seen, daymark_protocol::id::Digest)>,
    trace: Trace,
    events: [u64; Next::KINDS.len()],
    watched: Option<usize>,
}

impl World {
    /// The world of a scenario, with the checks that are to watch it.
    pub fn new(scenario: Scenario, seed: u64, checks: Checks) -> Self {
        let config = core_config(scenario.clock.trust_rtc, scenario.network.links);
        Self::with_config(scenario, seed, checks, config, Shared::pool())
    }

    /// As [`Self::new`], with nodes that have nothing in common: slower, and otherwise the same.
    pub fn apart(scenario: Scenario, seed: u64, checks: Checks) -> Self {
        let config = core_config(scenario.clock.trust_rtc, scenario.network.links);
        Self::with_config(scenario, seed, checks, config, Shared::default())
    }

    /// The world of a scenario whose nodes have a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    pub fn planted(
        scenario: Scenario,
        seed: u64,
        checks: Checks,
        bug: daymark_core::PlantedBug,
    ) -> Self {
        let config = core_config(scenario.clock.trust_rtc, scenario.network.links).plant(bug);
        Self::with_config(scenario, seed, checks, config, Shared::pool())
    }

    fn with_config(
        scenario: Scenario,
        seed: u64,
        checks: Checks,
        config: CoreConfig,
        shared: Shared,
    ) -> Self {
        let operators = Operators::new(seed, scenario.begins);
        let mut world = Self {
            seed,
            config,
            network: Network::new(seed, scenario.network),
            images: Images::new(&scenario.image),
            release: ReleaseService::new(seed, &scenario),
            hosts: Vec::new(),
            sites: Vec::new(),
            counts: FaultCounts::default(),
            recorder: Recorder::default(),
            reference: Reference::default(),
            checks,
            pool: Pool::default(),
            shared: Pools::of(shared),
            twins: Pools::of(Shared::pool()),
            numbers: QuickMap::default(),
            clones: Vec::new(),
            topics: Vec::new(),
            subscribers: Vec::new(),
            heard: Heard::default(),
            connections_changed: Vec::new(),
            queue: Queue::default(),
            now_ms: 0,
            calm: false,
            cut_dice: Dice::new(seed, "cuts"),
            cuts: 0,
            judging: None,
            answering: None,
            gossip_ids: 0,
            replies: BTreeMap::new(),
            requests: 0,
            closings: Vec::new(),
            trace: Trace::default(),
            events: [0; Next::KINDS.len()],
            watched: None,
            operators,
            scenario,
        };
        world.found();
        world
    }

    /// Milliseconds since the world began.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// True time.
    pub fn wall(&self) -> WallTime {
        self.scenario.begins.plus_ms(i64::try_from(self.now_ms).unwrap_or(i64::MAX))
    }

    /// Hash over everything that happened: equal for equal seeds.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// Things that happened.
    pub fn events(&self) -> u64 {
        self.events.iter().sum()
    }

    /// Things that happened, by kind.
    pub fn events_by_kind(&self) -> BTreeMap<String, u64> {
        Next::KINDS.map(str::to_owned).into_iter().zip(self.events).collect()
    }

    /// Different byte strings that all disks hold together.
    pub fn distinct_stored(&mut self) -> usize {
        self.pool.prune()
    }

    /// Violations found so far.
    pub fn violations(&self) -> &[Violation] {
        self.checks.violations()
    }

    /// Whether faults have ended.
    pub fn is_calm(&self) -> bool {
        self.calm
    }

    /// The site of a machine, by its place among the sites.
    pub fn site_of(&self, key: &KeyId) -> Option<usize> {
        self.numbers.get(key).map(|number| self.hosts[*number].site)
    }

    /// The number of a machine.
    pub fn number_of(&self, key: &KeyId) -> Option<usize> {
        self.numbers.get(key).copied()
    }

    /// Prints what happens to one host from now on.
    pub fn watch(&mut self, host: usize) {
        self.watched = Some(host);
    }

    /// Lets a host crash at the so many-th write or act from now: the power fails, or the agent is
    /// killed; a power cut may tear the write that it falls on.
    pub fn crash_at(&mut self, host: usize, point: u32, power: bool, tears: bool) {
        let doom = Doom { points_left: point, power, tears, between: false, moment: None };
        self.hosts[host].doom = Some(doom);
    }

    /// Lets the power of a host fail when it is about to write or to do something; it may tear the
    /// write.
    pub fn cut_power_when(&mut self, host: usize, moment: Moment, tears: bool) {
        let (points_left, power, between) = (0, true, false);
        let doom = Doom { points_left, power, tears, between, moment: Some(moment) };
        self.hosts[host].doom = Some(doom);
    }

    /// Whether the crash of [`Self::crash_at`] or [`Self::cut_power_when`] is still to come.
    pub fn awaits_crash(&self, host: usize) -> bool {
        self.hosts[host].doom.is_some()
    }

    /// Runs until a time, or until `done`; whether it was done.
    pub fn run_until(&mut self, until_ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        while self.queue.next_ms().is_some_and(|at_ms| at_ms <= until_ms) {
            if let Some((at_ms, next)) = self.queue.pop() {
                self.now_ms = at_ms;
                self.events[next.kind()] += 1;
                self.happen(next);
            }
            if done(self) {
                return true;
            }
        }
        self.now_ms = until_ms;
        done(self)
    }

    /// Ends the run: what can only be judged at the end. What was written last gets a while to
    /// reach everyone.
    pub fn end(&mut self) {
        let last_ms = self.now_ms + LAST_WORDS_MS;
        while self.now_ms < last_ms && !crate::checks::is_converged(self) {
            self.run_until(self.now_ms + LOOK_MS, |_| false);
        }
        self.check_end();
    }

    /// Hands items to a running node and returns its answer.
    pub fn submit(&mut self, host: usize, items: Vec<Carried>) -> Option<Reply> {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.step(host, Event::Submit { request, items, visitor: None });
        self.replies.remove(&request)
    }

    fn later(&mut self, after_ms: u64, next: Next) {
        self.queue.push(self.now_ms + after_ms, next);
    }

    fn end_of(&self, host: usize) -> End {
        End { host, site: self.hosts[host].site }
    }

    fn lives(&self, host: usize, life: u32) -> bool {
        self.hosts[host].node.is_some() && self.hosts[host].life == life
    }

    /// Shows a deed to the checks.
    fn record(&mut self, host: usize, deed: Deed<'_>) {
        if self.checks.is_empty() {
            return;
        }
        let mut checks = std::mem::take(&mut self.checks);
        checks.see(self, host, &deed);
        self.checks = checks;
    }

    fn check_end(&mut self) {
        let mut checks = std::mem::take(&mut self.checks);
        checks.end(self);
        self.checks = checks;
    }

    fn happen(&mut self, next: Next) {
        match next {
            Next::Start { host, life } => {
                if self.hosts[host].life == life && self.hosts[host].powered {
                    self.start(host);
                }
            }
            Next::Wake { host, life } if self.lives(host, life) => self.woken(host),
            Next::Inspect { host, life } if self.lives(host, life) => self.inspect(host),
            Next::Message { way, channel, bytes, taint } => self.heard(way, channel, &bytes, taint),
            Next::Gossip { way, rumour, taint } => self.gossip_heard(way, *rumour, taint),
            Next::Have { way, topic, ids } => self.word_heard(way, topic, &ids),
            Next::Want { way, id } => self.wish_heard(way, id),
            Next::Heartbeat { host, life } if self.lives(host, life) => self.heartbeat(host),
            Next::Dial { from, to, tries } => self.dial(from, to, tries),
            Next::Replug { one, other } => self.replug(one, other),
            Next::Lost { way } => self.lost(way),
            Next::ActEnds { host, life } if self.lives(host, life) => self.act_ends(host),
            Next::Chunk { host, life, came } if self.lives(host, life) => {
                self.chunk_came(host, came);
            }
            Next::Wake { .. }
            | Next::Inspect { .. }
            | Next::Heartbeat { .. }
            | Next::ActEnds { .. }
            | Next::Chunk { .. } => {}
            Next::Boot { host, wrong } => self.boot(host, wrong),
            Next::SwitchOn { host } => self.switch_on(host),
            Next::Trouble { host, trouble } => self.trouble(host, trouble),
            Next::Night { host, on } => self.night(host, on),
            Next::CutBegins { number, cut, until_ms } => self.cut_begins(number, cut, until_ms),
            Next::CutEnds { number } => self.network.mend(number),
            Next::Script(event) => self.act_out(event),
            Next::Hand { to, items } => self.hand(to, items),
            Next::Cosign { to, version, items } => self.cosign(to, &version, items),
            Next::Stick { event } => self.carry_stick(event),
            Next::Mischief { host } => self.mischief(host),
            Next::Compare => self.compare_with_twin(),
            Next::Calm => self.grow_calm(),
        }
    }

    /// Compares one node with a second one from its disk (I8), and looks at the clocks.
    fn compare_with_twin(&mut self) {
        self.later(COMPARE_MS, Next::Compare);
        let running: Vec<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].node.is_some()).collect();
        let place = usize::try_from(self.now_ms / COMPARE_MS).unwrap_or(0);
        let Some(host) = running.get(place % running.len().max(1)).copied() else { return };
        if self.hosts[host].clock.error_ms(self.now_ms).abs() > 1_000
            && !self.hosts[host].clock.synchronised(self.now_ms)
        {
            self.counts.bit(Fault::ClockDrift);
        }
        let of = &self.hosts[host];
        let reading = of.reading(self.scenario.begins, self.now_ms);
        // Only a clock that needs no peers gives a second node the same time.
        if !reading.synchronised || !of.is_idle() || of.is_hostile() || of.disk.damaged {
            return;
        }
        let inspection = of.machine.inspection(&self.images);
        let shared = self.twins.for_agent(of.machine.has_newer_agent(&self.images));
        let mut twin = of.twin(self.config.clone(), reading, shared);
        let _ = twin.step(reading, Event::Inspected(Box::new(inspection.clone())));
        self.step(host, Event::Inspected(Box::new(inspection)));
        let Some(node) = &self.hosts[host].node else { return };
        // Peers that contradict a clock are not on the disk.
        if let (Some(own), Some(twin), true) =
            (node.decision().cloned(), twin.decision(), node.now() == twin.now())
        {
            self.record(host, Deed::Compared { own: &own, twin });
        }
    }
}
