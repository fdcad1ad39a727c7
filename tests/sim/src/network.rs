//! Links between machines: latency, loss, duplication, reordering and partitions.

use std::collections::{BTreeMap, BTreeSet};

use daymark_core::effect::Admission;

use crate::random::Dice;

/// What the network does to messages.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest time that a message takes, ms.
    pub latency_ms: u64,
    /// Most that chance adds, ms: messages overtake each other.
    pub jitter_ms: u64,
    /// Messages lost, in a thousand.
    pub loss_per_mille: u64,
    /// Messages that arrive twice, in a thousand.
    pub duplicate_per_mille: u64,
}

/// A pair of machines, lower number first.
pub type Pair = (usize, usize);

/// A pair in order.
pub fn pair(a: usize, b: usize) -> Pair {
    (a.min(b), a.max(b))
}

/// A connection.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// What the lower and the higher end let through.
    pub admissions: [Admission; 2],
    /// Tells this connection from an earlier one of the same pair.
    pub epoch: u64,
}

impl Link {
    /// Whether both ends have a handler for what needs `admission`.
    pub fn carries(&self, admission: Admission) -> bool {
        self.admissions.iter().all(|end| *end >= admission)
    }
}

/// The network.
#[derive(Debug)]
pub struct Network {
    weather: Weather,
    dice: Dice,
    /// Pairs that are connected whenever both run and no partition is between them.
    pub(crate) wanted: BTreeSet<Pair>,
    /// Pairs that are connected.
    pub(crate) links: BTreeMap<Pair, Link>,
    /// The side of each machine while there is a partition.
    pub(crate) sides: Option<Vec<bool>>,
    epochs: u64,
    /// Bytes that were sent, lost ones included.
    pub sent_bytes: u64,
    /// Messages that were lost.
    pub lost: u64,
}

impl Network {
    pub(crate) fn new(weather: Weather, seed: u64, hosts: usize) -> Self {
        let mut network = Self {
            weather,
            dice: Dice::new(seed, "network"),
            wanted: BTreeSet::new(),
            links: BTreeMap::new(),
            sides: None,
            epochs: 0,
            sent_bytes: 0,
            lost: 0,
        };
        // Two rings in one, so that every other machine also forms one, and as many chords.
        for host in 0..hosts {
            network.wanted.insert(pair(host, (host + 1) % hosts));
            network.wanted.insert(pair(host, (host + 2) % hosts));
            let other = usize::try_from(network.dice.below(hosts as u64)).unwrap_or(0);
            network.wanted.insert(pair(host, other));
        }
        network.wanted.retain(|(a, b)| a != b);
        network
    }

    /// Whether a partition lies between two machines.
    pub(crate) fn cut(&self, (a, b): Pair) -> bool {
        self.sides.as_ref().is_some_and(|sides| sides[a] != sides[b])
    }

    pub(crate) fn open(&mut self, pair: Pair, admissions: [Admission; 2]) {
        self.epochs += 1;
        self.links.insert(pair, Link { admissions, epoch: self.epochs });
    }

    /// Machines that a machine is connected with.
    pub(crate) fn neighbours(&self, host: usize) -> Vec<usize> {
        let other = |(a, b): &Pair| match (*a == host, *b == host) {
            (true, _) => Some(*b),
            (_, true) => Some(*a),
            (false, false) => None,
        };
        self.links.keys().filter_map(other).collect()
    }

    /// When a message of so many bytes arrives: never, once or twice, in ms from now.
    pub(crate) fn arrivals(&mut self, bytes: usize) -> Vec<u64> {
        self.sent_bytes += bytes as u64;
        if self.dice.happens(self.weather.loss_per_mille) {
            self.lost += 1;
            return vec![];
        }
        let copies = 1 + usize::from(self.dice.happens(self.weather.duplicate_per_mille));
        let jitter_ms = self.weather.jitter_ms + 1;
        (0..copies).map(|_| self.weather.latency_ms + self.dice.below(jitter_ms)).collect()
    }
}
