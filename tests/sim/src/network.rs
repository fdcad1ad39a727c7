//! Links and cuts: what becomes of a message between two machines.

use crate::faults::{Fault, FaultCounts};
use crate::heard::QuickMap;
use crate::random::{Dice, child};
use crate::scenario::{Link, Network as Links};

/// Something that keeps messages from some machines from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Machines of even and odd number.
    Halves,
    /// Each site by itself.
    Sites,
    /// Two parts, drawn.
    Split(u64),
    /// What one machine sends to another.
    OneWay(usize, usize),
}

impl Cut {
    /// What kind of fault it is.
    pub fn fault(self) -> Fault {
        match self {
            Self::OneWay(..) => Fault::OneWayCut,
            Self::Halves | Self::Sites | Self::Split(_) => Fault::Partition,
        }
    }
}

/// One end of a link: a machine and its site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) host: usize,
    pub(crate) site: usize,
}

/// One direction of one link.
#[derive(Debug)]
struct Direction {
    dice: Dice,
    /// When the line is free again, ms.
    free_ms: u64,
    /// When the newest message arrives: those after it come later, unless it is held back.
    last_ms: u64,
    /// When one that is held back arrives.
    held_ms: u64,
}

/// When a copy of a message arrives, and whether a byte of it was changed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) at_ms: u64,
    pub(crate) corrupt: Option<u64>,
    /// What the counters note when it is heard.
    pub(crate) taint: Option<Fault>,
}

/// The network.
#[derive(Debug)]
pub struct Network {
    seed: u64,
    links: Links,
    /// By sender, then by receiver.
    directions: Vec<QuickMap<usize, Direction>>,
    cuts: Vec<(u64, Cut)>,
    epochs: u32,
    calm: bool,
}

impl Network {
    pub(crate) fn new(seed: u64, links: Links) -> Self {
        Self { seed, links, directions: vec![], cuts: vec![], epochs: 0, calm: false }
    }

    pub(crate) fn next_epoch(&mut self) -> u32 {
        self.epochs += 1;
        self.epochs
    }

    /// From now on links are good.
    pub(crate) fn calm(&mut self) {
        self.calm = true;
        self.cuts.clear();
    }

    pub(crate) fn cut(&mut self, number: u64, cut: Cut) {
        self.cuts.push((number, cut));
    }

    pub(crate) fn mend(&mut self, number: u64) {
        self.cuts.retain(|(other, _)| *other != number);
    }

    /// What keeps messages of one end from the other, if anything does.
    pub(crate) fn cut_between(&self, from: End, to: End) -> Option<Cut> {
        let side = |salt: u64, end: End| Dice::numbered(salt, 0, end.host as u64).below(2);
        if self.links.air_gap && from.site != to.site {
            return Some(Cut::Sites);
        }
        self.cuts.iter().map(|(_, cut)| *cut).find(|cut| match cut {
            Cut::Halves => from.host % 2 != to.host % 2,
            Cut::Sites => from.site != to.site,
            Cut::Split(salt) => side(*salt, from) != side(*salt, to),
            Cut::OneWay(one, other) => (*one, *other) == (from.host, to.host),
        })
    }

    /// Shortest time between two ends, ms.
    pub(crate) fn latency_ms(&self, from: End, to: End) -> u64 {
        self.link(from, to).latency_ms.max(1)
    }

    fn link(&self, from: End, to: End) -> &Link {
        if from.site == to.site { &self.links.lan } else { &self.links.wan }
    }

    /// Sends a message of so many bytes: when its copies arrive. `heard` is whether a running
    /// node is at the other end.
    pub(crate) fn send(
        &mut self,
        now_ms: u64,
        from: End,
        to: End,
        bytes: usize,
        counts: &mut FaultCounts,
    ) -> [Option<Arrival>; 2] {
        if let Some(cut) = self.cut_between(from, to) {
            counts.bit(cut.fault());
            return [None, None];
        }
        let link = *self.link(from, to);
        let (seed, calm) = (self.seed, self.calm);
        if self.directions.len() <= from.host {
            self.directions.resize_with(from.host + 1, QuickMap::default);
        }
        let direction = self.directions[from.host].entry(to.host).or_insert_with(|| {
            let name = child(seed, "links");
            let salt = u64::from_be_bytes(std::array::from_fn(|at| name[at]));
            let pair = ((from.host as u64) << 32) | to.host as u64;
            let dice = Dice::numbered(salt, 1, pair);
            Direction { dice, free_ms: 0, last_ms: 0, held_ms: 0 }
        });
        let sending_ms = bytes as u64 * 1_000 / link.bytes_per_second;
        direction.free_ms = direction.free_ms.max(now_ms) + sending_ms;
        let sent_ms = direction.free_ms;
        if !calm && direction.dice.happens(link.loss_per_mille) {
            counts.happened(Fault::Loss);
            counts.bit(Fault::Loss);
            return [None, None];
        }
        let first = Some(direction.arrival(sent_ms, &link, calm, counts));
        let twice = !calm && direction.dice.happens(link.duplicate_per_mille);
        let second = twice.then(|| {
            counts.happened(Fault::Duplicate);
            let mut copy = direction.arrival(sent_ms, &link, calm, counts);
            copy.taint = copy.taint.or(Some(Fault::Duplicate));
            copy
        });
        [first, second]
    }
}

impl Direction {
    fn arrival(
        &mut self,
        sent_ms: u64,
        link: &Link,
        calm: bool,
        counts: &mut FaultCounts,
    ) -> Arrival {
        let mut at_ms = sent_ms + link.latency_ms + self.dice.below(link.spread_ms + 1);
        if self.dice.happens(link.tail_per_mille) {
            at_ms += self.dice.below(link.tail_ms + 1);
        }
        if !calm && self.dice.happens(link.reorder_per_mille) {
            counts.happened(Fault::Reorder);
            at_ms += self.dice.between(1, 2 * link.latency_ms + 50);
            self.held_ms = at_ms;
        } else {
            at_ms = at_ms.max(self.last_ms);
            self.last_ms = at_ms;
            if at_ms < self.held_ms {
                counts.bit(Fault::Reorder);
                self.held_ms = 0;
            }
        }
        let corrupt = !calm && self.dice.happens(link.corrupt_per_mille);
        let corrupt = corrupt.then(|| {
            counts.happened(Fault::Corrupt);
            self.dice.draw()
        });
        Arrival { at_ms, corrupt, taint: corrupt.map(|_| Fault::Corrupt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(host: usize, site: usize) -> End {
        End { host, site }
    }

    fn links(edit: impl Fn(&mut Link)) -> Links {
        let mut links = Links::default();
        edit(&mut links.lan);
        links
    }

    #[test]
    fn messages_arrive_in_order_unless_they_are_held_back() {
        let mut counts = FaultCounts::default();
        let mut arrivals = |links: Links| {
            let mut network = Network::new(1, links);
            let mut sent = |now_ms| network.send(now_ms, end(0, 0), end(1, 0), 100, &mut counts);
            (0..2_000).filter_map(|now_ms| Some(sent(now_ms)[0]?.at_ms)).collect::<Vec<_>>()
        };
        let sorted = arrivals(links(|link| link.spread_ms = 50));
        assert!(sorted.is_sorted() && sorted.len() == 2_000);
        let mixed = arrivals(links(|link| link.reorder_per_mille = 100.0));
        assert!(!mixed.is_sorted());
        let fewer = arrivals(links(|link| link.loss_per_mille = 500.0)).len();
        assert!((900..1_100).contains(&fewer), "{fewer}");
        assert!(counts.0[&Fault::Reorder].bit > 100 && counts.0[&Fault::Loss].bit > 900);
    }

    #[test]
    fn a_narrow_line_makes_messages_wait() {
        let slow = links(|link| link.bytes_per_second = 1_000);
        let mut network = Network::new(1, slow);
        let counts = &mut FaultCounts::default();
        let at = |arrival: Option<Arrival>| arrival.map_or(0, |arrival| arrival.at_ms);
        let first = at(network.send(0, end(0, 0), end(1, 0), 1_000, counts)[0]);
        let second = at(network.send(0, end(0, 0), end(1, 0), 1_000, counts)[0]);
        assert!(first >= 1_001 && second >= 2_001, "{first} {second}");
    }

    #[test]
    fn cuts_keep_what_they_say_and_are_mended() {
        let mut network = Network::new(1, Links::default());
        network.cut(1, Cut::OneWay(0, 1));
        assert!(network.cut_between(end(0, 0), end(1, 0)).is_some());
        assert!(network.cut_between(end(1, 0), end(0, 0)).is_none());
        network.cut(2, Cut::Sites);
        assert!(network.cut_between(end(1, 0), end(2, 1)).is_some());
        network.mend(2);
        assert!(network.cut_between(end(1, 0), end(2, 1)).is_none());
    }

    #[test]
    fn draws_on_one_link_move_nothing_on_another() {
        let arrivals = |busy: bool| {
            let mut network = Network::new(1, links(|link| link.loss_per_mille = 100.0));
            let counts = &mut FaultCounts::default();
            (0..100)
                .map(|now_ms| {
                    if busy {
                        network.send(now_ms, end(2, 0), end(3, 0), 10, counts);
                    }
                    network.send(now_ms, end(0, 0), end(1, 0), 10, counts)
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(arrivals(false), arrivals(true));
    }
}
