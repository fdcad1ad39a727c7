//! One host's reports: the chain of its current generation and the view folded from it
//! (RULES D4 to D6).
//!
//! Reports are taken in order. One that comes early is held, a higher generation replaces the
//! chain, and of two different reports with one place both are evidence that the host's key signs
//! twice: the chain ends below them and the host's reports are unknown until its next generation.
//! How clones settle between themselves belongs to the owning host (RULES D6).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::closed::ClosedGeneration;
use crate::document::host_view::HostView;
use crate::document::report::{RefusedReport, SignedReport};
use crate::id::{Digest, FleetId, KeyId};
use crate::limits;

/// Where a host's chain stands: compared between peers to find what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainHead {
    /// The generation; zero if nothing is held.
    pub generation: u64,
    /// The count of the last report, or of the fork.
    pub count: u64,
    /// Its hash; of a fork, a hash over both sides.
    pub hash: Digest,
}

impl ChainHead {
    /// Sorts before, and after, all others.
    pub(crate) const LOWEST: Self = Self { generation: 0, count: 0, hash: Digest([0; 32]) };
    pub(crate) const HIGHEST: Self =
        Self { generation: u64::MAX, count: u64::MAX, hash: Digest([0xff; 32]) };
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainOutcome {
    /// It, or it and held ones after it, were added: how many.
    Added(usize),
    /// Already there.
    Known,
    /// Of a generation that has been replaced, or above a fork.
    Superseded,
    /// Held until the ones before it arrive.
    Held,
    /// Another report has its place: the generation is forked from here.
    Forked,
    /// Refused for good.
    Refused(RefusedReport),
}

/// The first reports that are missing before held ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportGap {
    /// The generation.
    pub generation: u64,
    /// First missing count: 1 when a held report should follow the chain and does not, since the
    /// two chains may part anywhere below.
    pub from: u64,
}

/// A report in a chain: its bytes and place. What it says is folded into the view, and of a large
/// site's reports nothing more stays in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainLink {
    generation: u64,
    count: u64,
    hash: Digest,
    bytes: Arc<[u8]>,
}

impl ChainLink {
    /// Its generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Its place in the generation, from 1; both sides of a fork have the same.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// SHA-256 of its bytes.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The report.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<&SignedReport> for ChainLink {
    fn from(report: &SignedReport) -> Self {
        Self {
            generation: report.report().generation,
            count: report.report().count,
            hash: report.hash(),
            bytes: report.bytes().into(),
        }
    }
}

/// The reports of one host.
#[derive(Clone, Debug)]
pub struct HostChain {
    fleet: Option<FleetId>,
    reports: Vec<ChainLink>,
    bytes: usize,
    view: HostView,
    /// Both sides of a fork, lowest digests first.
    fork: Option<[ChainLink; 2]>,
    held: BTreeMap<(u64, u64, Digest), SignedReport>,
}

impl HostChain {
    /// The empty chain of a host.
    pub fn new(host: KeyId) -> Self {
        Self {
            fleet: None,
            reports: Vec::new(),
            bytes: 0,
            view: HostView::new(host),
            fork: None,
            held: BTreeMap::new(),
        }
    }

    /// Takes one report of this host; its signature is checked here.
    pub fn accept(&mut self, report: SignedReport) -> ChainOutcome {
        match self.place(&report) {
            Some(outcome) => outcome,
            None => match report.verify() {
                Ok(()) => self.take(report),
                Err(refused) => ChainOutcome::Refused(refused),
            },
        }
    }

    /// Takes reports of this host in any order. Where they form one chain to their highest, only
    /// that one's signature is checked: it vouches for those below (RULES D5).
    pub fn accept_all(&mut self, reports: Vec<SignedReport>) -> Vec<ChainOutcome> {
        let mut order: Vec<usize> = (0..reports.len()).collect();
        order.sort_by_key(|index| place_of(&reports[*index]));
        let linked = order.windows(2).all(|pair| reports[pair[1]].follows(&reports[pair[0]]));
        let vouched = linked && order.last().is_some_and(|last| reports[*last].verify().is_ok());
        let mut outcomes = vec![ChainOutcome::Known; reports.len()];
        let mut reports: Vec<Option<SignedReport>> = reports.into_iter().map(Some).collect();
        for index in order {
            let Some(report) = reports[index].take() else { continue };
            outcomes[index] = match self.place(&report) {
                Some(outcome) => outcome,
                None if vouched => self.take(report),
                // Each by its own signature, still from the lowest up.
                None => self.accept(report),
            };
        }
        outcomes
    }

    /// The outcome of a report that changes nothing, without looking at its signature.
    fn place(&self, report: &SignedReport) -> Option<ChainOutcome> {
        let said = report.report();
        let generation = self.generation();
        if said.generation < generation {
            return Some(ChainOutcome::Superseded);
        }
        if self.held.contains_key(&place_of(report)) {
            return Some(ChainOutcome::Held);
        }
        if said.generation > generation {
            return None;
        }
        if let Some(fork) = &self.fork
            && (fork.iter().any(|side| side.hash() == report.hash())
                || said.count > self.length() + 1)
        {
            let known = fork.iter().any(|side| side.hash() == report.hash());
            return Some(if known { ChainOutcome::Known } else { ChainOutcome::Superseded });
        }
        let held = usize::try_from(said.count - 1).ok().and_then(|index| self.reports.get(index));
        (held?.hash() == report.hash()).then_some(ChainOutcome::Known)
    }

    fn take(&mut self, report: SignedReport) -> ChainOutcome {
        let (generation, count) = (report.report().generation, report.report().count);
        if generation > self.generation() {
            if count > 1 {
                return self.hold(report);
            }
            self.reset();
            return self.extend(report);
        }
        if count <= self.length() {
            return self.fork_at(count, report);
        }
        if let Some(sides) = self.fork.take() {
            self.fork = Some(lowest_two(sides, (&report).into()));
            return ChainOutcome::Forked;
        }
        if self.is_next(&report) { self.extend(report) } else { self.hold(report) }
    }

    /// Adds a report that follows, and the held ones that follow it.
    fn extend(&mut self, report: SignedReport) -> ChainOutcome {
        if let Err(refused) = self.push(report) {
            return ChainOutcome::Refused(refused);
        }
        let mut added = 1;
        while let Some(next) = self.next_held() {
            if self.push(next).is_err() {
                break;
            }
            added += 1;
        }
        let generation = self.generation();
        self.held.retain(|(held, _, _), _| *held >= generation);
        ChainOutcome::Added(added)
    }

    fn next_held(&mut self) -> Option<SignedReport> {
        let (generation, count) = (self.generation(), self.length() + 1);
        let place = self
            .held
            .range((generation, count, Digest([0; 32]))..=(generation, count, Digest([0xff; 32])))
            .find(|(_, report)| self.is_next(report))
            .map(|(place, _)| *place)?;
        self.held.remove(&place)
    }

    /// Whether a report is the next link: same fleet and generation, the next count, and it names
    /// the hash of the last.
    fn is_next(&self, report: &SignedReport) -> bool {
        let said = report.report();
        self.fleet == Some(said.fleet)
            && said.generation == self.generation()
            && said.count == self.length() + 1
            && self.reports.last().is_some_and(|last| last.hash == said.previous)
    }

    fn push(&mut self, report: SignedReport) -> Result<(), RefusedReport> {
        let bytes = self.bytes + report.bytes().len();
        if bytes > limits::GENERATION_BYTES_MAX {
            return Err(RefusedReport::GenerationFull);
        }
        self.view.apply(report.report())?;
        self.bytes = bytes;
        self.fleet = Some(report.report().fleet);
        self.reports.push((&report).into());
        Ok(())
    }

    /// A second report in a place that is taken: both sides stay as evidence, nothing above.
    fn fork_at(&mut self, count: u64, report: SignedReport) -> ChainOutcome {
        let keep = usize::try_from(count - 1).unwrap_or(usize::MAX);
        let mut above = self.reports.split_off(keep.min(self.reports.len()));
        if above.is_empty() {
            return ChainOutcome::Superseded;
        }
        let other = above.swap_remove(0);
        self.fork = Some(sorted_pair(other, (&report).into()));
        self.refold();
        let generation = self.generation();
        self.held.retain(|(held, _, _), _| *held > generation);
        ChainOutcome::Forked
    }

    fn refold(&mut self) {
        let mut view = HostView::new(self.view.host());
        self.bytes = 0;
        for report in self.decoded() {
            // They were applied in this order before.
            if view.apply(report.report()).is_ok() {
                self.bytes += report.bytes().len();
            }
        }
        self.view = view;
    }

    fn reset(&mut self) {
        self.reports.clear();
        self.fork = None;
        self.bytes = 0;
        self.view = HostView::new(self.view.host());
    }

    /// Holds a report that comes early. With no room left, the newest generation and there the
    /// lowest counts stay, whatever order they came in.
    fn hold(&mut self, report: SignedReport) -> ChainOutcome {
        let place = place_of(&report);
        self.held.insert(place, report);
        if self.held.len() > limits::REPORTS_HELD_PER_HOST_MAX {
            let newest = self.held.last_key_value().map_or(0, |(held, _)| held.0);
            let loser = match self.held.first_key_value() {
                Some((held, _)) if held.0 < newest => Some(*held),
                Some(_) | None => self.held.last_key_value().map(|(held, _)| *held),
            };
            if let Some(loser) = loser {
                self.held.remove(&loser);
                if loser == place {
                    return ChainOutcome::Superseded;
                }
            }
        }
        ChainOutcome::Held
    }

    /// The fleet of its reports; none before the first.
    pub(crate) fn fleet(&self) -> Option<FleetId> {
        self.fleet
    }

    /// Whether the head tells all of it apart from any other chain.
    pub(crate) fn is_its_head(&self) -> bool {
        self.fork.is_none() && self.held.is_empty()
    }

    /// The current generation; zero before the first report.
    pub fn generation(&self) -> u64 {
        self.reports
            .first()
            .or_else(|| self.fork.as_ref().map(|[side, _]| side))
            .map_or(0, |link| link.generation)
    }

    fn length(&self) -> u64 {
        self.reports.len() as u64
    }

    /// The reports of the current generation, in order. Of a forked generation, those below the
    /// fork.
    pub fn reports(&self) -> &[ChainLink] {
        &self.reports
    }

    /// The same, read again.
    pub fn decoded(&self) -> Vec<SignedReport> {
        // They were read before they were taken.
        self.reports.iter().filter_map(|link| SignedReport::decode(&link.bytes).ok()).collect()
    }

    /// All that is to be stored and passed on: the chain, then both sides of a fork.
    pub fn evidence(&self) -> impl Iterator<Item = &ChainLink> {
        self.reports.iter().chain(self.fork.iter().flatten())
    }

    /// What the chain says, below a fork if there is one.
    pub fn view(&self) -> &HostView {
        &self.view
    }

    /// Whether the host's key signed two reports for one place: its reports are unknown until its
    /// next generation (RULES D6).
    pub fn is_forked(&self) -> bool {
        self.fork.is_some()
    }

    /// Where the chain stands.
    pub fn head(&self) -> ChainHead {
        let generation = self.generation();
        match (&self.fork, self.reports.last()) {
            (Some([one, other]), _) => ChainHead {
                generation,
                count: self.length() + 1,
                hash: Digest::of_parts(&[one.hash().as_bytes(), other.hash().as_bytes()]),
            },
            (None, Some(last)) => ChainHead { generation, count: self.length(), hash: last.hash() },
            (None, None) => ChainHead::LOWEST,
        }
    }

    /// What is missing before the lowest held report of the newest generation.
    pub fn gap(&self) -> Option<ReportGap> {
        let newest = self.held.last_key_value()?.0.0;
        let (lowest, _) = self.held.range((newest, 0, Digest([0; 32]))..).next()?;
        let next = if newest == self.generation() { self.length() + 1 } else { 1 };
        // One that should follow and does not: the chains part somewhere below.
        let from = if lowest.1 <= next { 1 } else { next };
        Some(ReportGap { generation: newest, from })
    }

    /// The current generation as the blob that the next one names.
    pub fn closed(&self) -> Option<ClosedGeneration> {
        ClosedGeneration::of(self.reports.iter().map(ChainLink::bytes))
    }
}

fn place_of(report: &SignedReport) -> (u64, u64, Digest) {
    (report.report().generation, report.report().count, report.hash())
}

fn sorted_pair(one: ChainLink, other: ChainLink) -> [ChainLink; 2] {
    if one.hash() <= other.hash() { [one, other] } else { [other, one] }
}

fn lowest_two([one, two]: [ChainLink; 2], three: ChainLink) -> [ChainLink; 2] {
    if three.hash() < two.hash() { sorted_pair(one, three) } else { [one, two] }
}
