//! What a run is measured by.

use std::collections::{BTreeMap, BTreeSet};

use daymark_core::effect::Write;
use daymark_core::event::Carried;
use daymark_protocol::id::Digest;
use serde::{Deserialize, Serialize};

use crate::checks::Violation;
use crate::facts::Restarter;
use crate::faults::FaultCounts;
use crate::host::{ImageId, SimHost};
use crate::tally::Tally;
use crate::world::World;

/// Marks on a timeline that are kept of one site: more would not be seen apart.
const MARKS_MAX: usize = 4_000;

/// Something worth a mark on a site's timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// The agent restarted a machine into another image.
    Activated,
    /// A machine runs a new image, confirmed.
    Updated,
    /// A machine went back to what ran before.
    FellBack,
    /// The power failed, or somebody restarted a machine.
    Restarted,
}

/// An order on its way to everyone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// What was ordered.
    pub version: String,
    /// When it was handed in, ms.
    pub at_ms: u64,
    /// How long it took until each host had all of it, ms, shortest first.
    pub after_ms: Vec<u64>,
}

#[derive(Debug)]
struct Order {
    version: String,
    at_ms: u64,
    missing: BTreeMap<usize, usize>,
    parts: usize,
    after_ms: BTreeMap<usize, u64>,
}

/// Collects while a world runs.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Bytes that all hosts sent.
    pub sent_bytes: u64,
    /// What it counts.
    pub tally: Tally,
    orders: Vec<Order>,
    watched: BTreeMap<Digest, usize>,
    marks: BTreeMap<usize, Vec<(u64, Mark)>>,
    reboots_of: BTreeMap<usize, u64>,
    updates: Vec<(u64, usize)>,
}

impl Recorder {
    /// An order is handed in.
    pub(crate) fn ordered(&mut self, at_ms: u64, version: &str, items: &[Carried]) {
        let number = self.orders.len();
        let mut parts = 0;
        for item in items {
            if let Carried::Entry(bytes) = item {
                parts += usize::from(self.watched.insert(Digest::of(bytes), number).is_none());
            }
        }
        let (missing, after_ms) = (BTreeMap::new(), BTreeMap::new());
        self.orders.push(Order { version: version.to_owned(), at_ms, missing, parts, after_ms });
    }

    pub(crate) fn wrote(&mut self, now_ms: u64, host: usize, write: &Write) {
        let Write::PutEntry { hash, .. } = write else { return };
        let Some(order) = self.watched.get(hash).and_then(|number| self.orders.get_mut(*number))
        else {
            return;
        };
        let held = order.missing.entry(host).or_insert(0);
        *held += 1;
        if *held == order.parts {
            let after_ms = now_ms.saturating_sub(order.at_ms);
            order.after_ms.entry(host).or_insert(after_ms);
        }
    }

    pub(crate) fn delivered(&mut self, hops: u8, after_ms: u64) {
        self.tally.first_copies += 1;
        self.tally.first_copies_ms += after_ms;
        self.tally.hops += u64::from(hops) + 1;
    }

    pub(crate) fn restarted(&mut self, now_ms: u64, host: usize, by: Restarter, activated: bool) {
        if by == Restarter::Agent {
            *self.reboots_of.entry(host).or_insert(0) += 1;
        }
        let mark = match by {
            Restarter::Agent if activated => Mark::Activated,
            Restarter::Agent => Mark::FellBack,
            Restarter::Power | Restarter::Person => Mark::Restarted,
        };
        self.mark(now_ms, host, mark);
    }

    /// When an agent first restarted its machine to activate an image, ms, and which.
    pub(crate) fn first_activation(&self) -> Option<(u64, usize)> {
        let marks = self.marks.iter().flat_map(|(host, of)| of.iter().map(move |it| (it, *host)));
        let activations = marks.filter(|((_, mark), _)| *mark == Mark::Activated);
        activations.map(|((at_ms, _), host)| (*at_ms, host)).min()
    }

    /// Restarts that a machine's agent ordered.
    pub(crate) fn reboots_of(&self, host: usize) -> u64 {
        self.reboots_of.get(&host).copied().unwrap_or(0)
    }

    pub(crate) fn confirmed(&mut self, now_ms: u64, host: usize, image: ImageId) {
        if image != ImageId::FIRST {
            self.updates.push((now_ms, host));
        }
        self.mark(now_ms, host, Mark::Updated);
    }

    pub(crate) fn fell_back(&mut self, now_ms: u64, host: usize) {
        self.mark(now_ms, host, Mark::FellBack);
    }

    fn mark(&mut self, now_ms: u64, host: usize, mark: Mark) {
        let marks = self.marks.entry(host).or_default();
        if marks.len() < MARKS_MAX {
            marks.push((now_ms, mark));
        }
    }
}

/// A site's part of the figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteFigures {
    /// Its name.
    pub name: String,
    /// Machines.
    pub hosts: usize,
    /// Openings of the windows of orders that reach it, ms.
    pub windows: Vec<(u64, u64)>,
    /// What happened, ms, in order.
    pub marks: Vec<(u64, Mark)>,
    /// Machines that run each version at the end.
    pub versions: BTreeMap<String, usize>,
}

/// The figures of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The scenario.
    pub scenario: String,
    /// What it shows.
    pub about: String,
    /// The line that runs it again.
    pub replay: String,
    /// Machines.
    pub hosts: usize,
    /// Virtual time, ms.
    pub virtual_ms: u64,
    /// When faults ended, ms.
    pub calm_ms: u64,
    /// Real time, ms. Not a figure of the world: it differs from run to run.
    pub real_ms: u64,
    /// Things that happened.
    pub events: u64,
    /// Things that happened, by kind.
    pub events_by_kind: BTreeMap<String, u64>,
    /// Steps of all nodes.
    pub steps: u64,
    /// Hash over everything that happened.
    pub trace: String,
    /// Bytes sent by each host, fewest first.
    pub sent_bytes: Vec<u64>,
    /// What was counted on the way.
    #[serde(flatten)]
    pub tally: Tally,
    /// Runs of updates that ended well, and otherwise.
    pub updated: u64,
    /// Runs that failed or were given up.
    pub failed: u64,
    /// Different byte strings on all disks together.
    pub distinct_stored: usize,
    /// Different contents of whole disks at the end: about one for each site that agrees.
    pub distinct_stores: usize,
    /// Decisions taken by all nodes.
    pub decisions: u64,
    /// Windows that opened, each for each machine that it reaches.
    pub windows: u64,
    /// Orders on their way.
    pub spreads: Vec<Spread>,
    /// When machines ran a new image, confirmed, ms, in order.
    pub updates_ms: Vec<u64>,
    /// Faults.
    pub faults: FaultCounts,
    /// Names of the checks that watched.
    pub checks: Vec<String>,
    /// Violations.
    pub violations: Vec<Violation>,
    /// Sites.
    pub sites: Vec<SiteFigures>,
}

impl Figures {
    /// The figures of a world that has ended.
    pub fn of(world: &mut World, replay: String, real_ms: u64) -> Self {
        let distinct_stored = world.distinct_stored();
        let world = &*world;
        let recorder = &world.recorder;
        let mut sent_bytes: Vec<u64> = world.hosts.iter().map(|host| host.sent_bytes).collect();
        sent_bytes.sort_unstable();
        let spread = |order: &Order| {
            let mut after_ms: Vec<u64> = order.after_ms.values().copied().collect();
            after_ms.sort_unstable();
            Spread { version: order.version.clone(), at_ms: order.at_ms, after_ms }
        };
        let stores: BTreeSet<u64> = world.hosts.iter().map(|host| host.disk.content()).collect();
        let sites = site_figures(world);
        let runs = || world.hosts.iter().flat_map(|host| &host.disk.state().finished);
        let updated = runs().filter(|run| run.status == "UPDATED").count() as u64;
        Self {
            scenario: world.scenario.name.clone(),
            about: world.scenario.about.clone(),
            replay,
            hosts: world.hosts.len(),
            virtual_ms: world.now_ms(),
            calm_ms: world.scenario.calm_after.0,
            real_ms,
            events: world.events(),
            events_by_kind: world.events_by_kind(),
            steps: world.hosts.iter().map(|host| host.steps).sum(),
            trace: world.trace().to_string(),
            sent_bytes,
            tally: recorder.tally,
            updated,
            failed: runs().count() as u64 - updated,
            distinct_stored,
            distinct_stores: stores.len(),
            decisions: world.hosts.iter().map(SimHost::decisions).sum(),
            windows: sites.iter().map(|site| (site.windows.len() * site.hosts) as u64).sum(),
            spreads: recorder.orders.iter().map(spread).collect(),
            updates_ms: recorder.updates.iter().map(|(at_ms, _)| *at_ms).collect(),
            faults: world.counts.clone(),
            checks: crate::checks::NAMES.map(str::to_owned).to_vec(),
            violations: world.violations().to_vec(),
            sites,
        }
    }

    /// The value below which a share of sorted values lies; 0 if there are none.
    pub fn percentile(sorted: &[u64], per_cent: usize) -> u64 {
        let place = (sorted.len() * per_cent).div_ceil(100).saturating_sub(1);
        sorted.get(place).copied().unwrap_or(0)
    }

    /// Bytes sent in a second by a host, on average.
    pub fn bytes_per_second(&self) -> u64 {
        let total: u64 = self.sent_bytes.iter().sum();
        total * 1_000 / self.virtual_ms.max(1) / self.hosts.max(1) as u64
    }
}

fn site_figures(world: &World) -> Vec<SiteFigures> {
    let of = |(number, name): (usize, &String)| {
        let members: Vec<usize> =
            (0..world.hosts.len()).filter(|host| world.hosts[*host].site == number).collect();
        let mut marks: Vec<(u64, Mark)> = members
            .iter()
            .flat_map(|host| world.recorder.marks.get(host).into_iter().flatten().copied())
            .collect();
        marks.sort_unstable();
        let mut versions = BTreeMap::new();
        for host in &members {
            let runs = world.hosts[*host].machine.runs();
            let version = runs.map_or("nothing", |image| &world.images.of(image).version);
            *versions.entry(version.to_owned()).or_insert(0) += 1;
        }
        SiteFigures {
            name: name.clone(),
            hosts: members.len(),
            windows: world.reference.windows(name),
            marks,
            versions,
        }
    };
    world.sites.iter().enumerate().map(of).collect()
}
