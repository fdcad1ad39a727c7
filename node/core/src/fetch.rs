//! Which chunk is asked of whom: the plan of fetching an image from several sources at once.
//!
//! Pure and deterministic. It moves no bytes and trusts none: the host asks it what to request,
//! and tells it what came. Each chunk is requested from one source at a time; what a source fails
//! to bring in time goes to another. A source that brings little is asked for little, so that it
//! holds up little. Chunks are numbered as in the image's index; of equal chunks only one should be
//! wanted.

mod pace;

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::KeyId;
use daymark_protocol::image::{ChunkSet, Index};
use daymark_protocol::rules::{Rule, holds};
use daymark_protocol::time::MonoTime;

use self::pace::Pace;

/// Someone who has chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchSource {
    /// Another node.
    Peer(KeyId),
    /// A release source, by its place in the configuration. It has every chunk.
    Origin(u32),
}

/// The plan's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Most bytes asked of one source and not yet answered: fills a 1 Gbit/s line at 30 ms.
    pub source_bytes_max: u64,
    /// The same for a source that is slow: the largest chunk.
    pub source_bytes_min: u64,
    /// Most bytes asked of all sources together: bounds memory.
    pub total_bytes_max: u64,
    /// Most bytes of one request, unless a single chunk is larger.
    pub request_bytes_max: u64,
    /// Time that a source has for a chunk, ms; then others are asked for it too. Also the time
    /// over which sources are measured, and that all peers together may be behind.
    pub stall_ms: u64,
    /// A source that brings fewer bytes a second is slow: what only slow peers have is asked of
    /// the origins too. Below what any link has that images are sent over.
    pub source_rate_min: u64,
    /// While the peers together bring fewer bytes a second, origins are asked for everything.
    pub peers_rate_min: u64,
    /// How long a source that said it is busy is left alone, ms.
    pub busy_ms: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            source_bytes_max: 4 * 1024 * 1024,
            source_bytes_min: 256 * 1024,
            total_bytes_max: 32 * 1024 * 1024,
            request_bytes_max: 1024 * 1024,
            stall_ms: 5_000,
            source_rate_min: 64 * 1024,
            peers_rate_min: 256 * 1024,
            busy_ms: 500,
        }
    }
}

/// What a chunk that came is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was asked for and is needed: write it.
    Needed,
    /// It was asked for, but another source was quicker.
    Late,
    /// It was never asked of this source: a breach of the protocol.
    Unasked,
}

#[derive(Debug)]
struct SourceState {
    has: ChunkSet,
    /// Asked here, and when.
    in_flight: BTreeMap<u32, MonoTime>,
    in_flight_bytes: u64,
    /// Asked here, then given to others: may still come, and is not asked here again.
    overdue: BTreeSet<u32>,
    overdue_bytes: u64,
    pace: Pace,
    /// Since when nothing came of what it owes.
    silent_since: MonoTime,
    rests_until: MonoTime,
    stalls: u32,
}

impl SourceState {
    fn owes(&self) -> bool {
        !(self.in_flight.is_empty() && self.overdue.is_empty())
    }

    /// What it was asked for is settled; whether it was asked.
    fn settle(&mut self, chunk: u32, bytes: u64) -> bool {
        if self.in_flight.remove(&chunk).is_some() {
            self.in_flight_bytes -= bytes;
            return true;
        }
        let overdue = self.overdue.remove(&chunk);
        if overdue {
            self.overdue_bytes -= bytes;
        }
        overdue
    }
}

/// The plan for one image.
#[derive(Debug)]
pub struct FetchPlan {
    limits: FetchLimits,
    sizes: Vec<u32>,
    /// Not yet received.
    wanted: ChunkSet,
    /// Wanted, and in no source's `in_flight`.
    open: ChunkSet,
    /// How many peers that are not slow have each chunk.
    rarity: Vec<u32>,
    sources: BTreeMap<FetchSource, SourceState>,
    /// The pace of sources that left: coming back does not make them quick.
    paces: BTreeMap<FetchSource, Pace>,
    blamed: BTreeSet<FetchSource>,
    /// Where this node begins, so that nodes with one source begin at different places.
    start: u32,
    origin_after: MonoTime,
    /// Since when the peers together are measured, and what they brought since.
    measured_since: MonoTime,
    peer_bytes: u64,
    peers_behind: bool,
}

impl FetchPlan {
    /// A plan to fetch `wanted` of `index`. Nodes differ in `start` (any number). Until
    /// `origin_after` no origin is asked.
    pub fn new(
        index: &Index,
        wanted: ChunkSet,
        start: u32,
        now: MonoTime,
        origin_after: MonoTime,
        limits: FetchLimits,
    ) -> Self {
        let sizes: Vec<u32> = index.chunks().iter().map(|chunk| chunk.bytes).collect();
        Self {
            limits,
            rarity: vec![0; sizes.len()],
            start: start % index.chunk_count().max(1),
            sizes,
            open: wanted.clone(),
            wanted,
            sources: BTreeMap::new(),
            paces: BTreeMap::new(),
            blamed: BTreeSet::new(),
            origin_after,
            measured_since: now,
            peer_bytes: 0,
            peers_behind: false,
        }
    }

    /// Adds a source that has `has`. Ignored for a source that was blamed, or is there already, and
    /// for a set of another image.
    pub fn add_source(&mut self, now: MonoTime, source: FetchSource, has: ChunkSet) {
        let of_this_image = has.chunks() == self.wanted.chunks();
        if !of_this_image || self.is_blamed(source) || self.sources.contains_key(&source) {
            return;
        }
        let pace = self.paces.remove(&source).unwrap_or_else(|| Pace::unknown(&self.limits));
        let state = SourceState {
            has,
            in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            overdue: BTreeSet::new(),
            overdue_bytes: 0,
            pace,
            silent_since: now,
            rests_until: now,
            stalls: 0,
        };
        count_rarity(&mut self.rarity, source, &state, true);
        self.sources.insert(source, state);
    }

    /// A source has more chunks now.
    pub fn extend_source(&mut self, source: FetchSource, chunks: impl Iterator<Item = u32>) {
        let Some(state) = self.sources.get_mut(&source) else { return };
        for chunk in chunks {
            let new = state.has.insert(chunk);
            if new && counts(source, state) {
                self.rarity[chunk as usize] += 1;
            }
        }
    }

    /// A source is gone; what it was asked for is open again.
    pub fn remove_source(&mut self, source: FetchSource) {
        let Some(mut state) = self.sources.remove(&source) else { return };
        count_rarity(&mut self.rarity, source, &state, false);
        state.pace.stop();
        self.paces.insert(source, state.pace);
        self.reopen(state.in_flight.into_keys());
    }

    /// A source sent wrong bytes: it is dropped for this image and never added again.
    pub fn blame(&mut self, source: FetchSource) {
        self.blamed.insert(source);
        self.remove_source(source);
    }

    /// Whether a source was blamed.
    pub fn is_blamed(&self, source: FetchSource) -> bool {
        self.blamed.contains(&source)
    }

    /// The next chunks to ask of a source: a run within one request's bounds, or `None` if it is
    /// to be left alone for now. Rarest first; among equals from this node's own start.
    pub fn next_request(&mut self, now: MonoTime, source: FetchSource) -> Option<Vec<u32>> {
        let room = self.room(now, source)?;
        let first = self.rarest_open(source)?;
        let mut run = Vec::new();
        let mut run_bytes = 0;
        let mut chunk = first;
        while self.is_candidate(source, chunk) {
            let bytes = u64::from(self.sizes[chunk as usize]);
            if run_bytes + bytes > room && !run.is_empty() {
                break;
            }
            run_bytes += bytes;
            run.push(chunk);
            chunk += 1;
        }
        let state = self.sources.get_mut(&source)?;
        if !state.owes() {
            state.silent_since = now;
        }
        for chunk in &run {
            self.open.remove(*chunk);
            state.in_flight.insert(*chunk, now);
        }
        state.in_flight_bytes += run_bytes;
        self.measure(now, source);
        Some(run)
    }

    /// A chunk came, and its bytes are the right ones.
    pub fn received(&mut self, now: MonoTime, source: FetchSource, chunk: u32) -> Arrival {
        let bytes = self.sizes.get(chunk as usize).copied().map_or(0, u64::from);
        let Some(state) = self.sources.get_mut(&source) else { return Arrival::Unasked };
        if !state.settle(chunk, bytes) {
            return Arrival::Unasked;
        }
        state.pace.brought(bytes);
        state.silent_since = now;
        state.stalls = 0;
        self.measure(now, source);
        if !self.wanted.remove(chunk) {
            return Arrival::Late;
        }
        self.open.remove(chunk);
        if let FetchSource::Peer(_) = source {
            self.peer_bytes += bytes;
        }
        self.measure_peers(now);
        Arrival::Needed
    }

    /// A source no longer has a chunk.
    pub fn gone(&mut self, source: FetchSource, chunk: u32) {
        let Some(state) = self.sources.get_mut(&source) else { return };
        if state.has.remove(chunk) && counts(source, state) {
            self.rarity[chunk as usize] -= 1;
        }
        self.give_back(source, chunk);
    }

    /// A source cannot serve a chunk now.
    pub fn busy(&mut self, now: MonoTime, source: FetchSource, chunk: u32) {
        if let Some(state) = self.sources.get_mut(&source) {
            state.rests_until = now.plus_ms(self.limits.busy_ms);
        }
        self.give_back(source, chunk);
    }

    /// Gives to others what sources did not bring in time. Returns those of which nothing came
    /// three times in a row: their connections are worth renewing.
    pub fn expire(&mut self, now: MonoTime) -> Vec<FetchSource> {
        let stall_ms = self.limits.stall_ms;
        let mut dead = Vec::new();
        let mut reopened = Vec::new();
        for (source, state) in &mut self.sources {
            let late = |_: &u32, asked: &mut MonoTime| {
                now.since_ms(*asked) >= stall_ms && holds(Rule::I1Stall)
            };
            for (chunk, _) in state.in_flight.extract_if(.., late) {
                let bytes = u64::from(self.sizes[chunk as usize]);
                state.in_flight_bytes -= bytes;
                state.overdue_bytes += bytes;
                state.overdue.insert(chunk);
                reopened.push(chunk);
            }
            if state.owes() && now.since_ms(state.silent_since) >= stall_ms {
                state.stalls += 1;
                state.rests_until = now.plus_ms(stall_ms);
                state.silent_since = state.rests_until;
                if state.stalls >= 3 {
                    dead.push(*source);
                }
            }
        }
        self.reopen(reopened);
        self.sources().into_iter().for_each(|source| self.measure(now, source));
        self.measure_peers(now);
        dead
    }

    /// When the plan must be asked again, if nothing happens before.
    pub fn next_deadline(&self, now: MonoTime) -> Option<MonoTime> {
        let stall_ms = self.limits.stall_ms;
        let of_source = |state: &SourceState| {
            let late = state.in_flight.values().min().map(|asked| asked.plus_ms(stall_ms));
            let silent = state.owes().then(|| state.silent_since.plus_ms(stall_ms));
            let rested = (state.rests_until > now).then_some(state.rests_until);
            [late, silent, rested].into_iter().flatten().min()
        };
        let of_sources = self.sources.values().filter_map(of_source);
        let own = [self.origin_after, self.measured_since.plus_ms(stall_ms)];
        of_sources.chain(own.into_iter().filter(|at| *at > now)).min()
    }

    /// Sources that take part, in order.
    pub fn sources(&self) -> Vec<FetchSource> {
        self.sources.keys().copied().collect()
    }

    /// Chunks not yet received.
    pub fn remaining(&self) -> u32 {
        self.wanted.count()
    }

    /// The room for a request to a source that may be asked now, bytes.
    fn room(&self, now: MonoTime, source: FetchSource) -> Option<u64> {
        let state = self.sources.get(&source)?;
        let total: u64 = self.sources.values().map(|state| state.in_flight_bytes).sum();
        let allowed = state.pace.allowed_bytes();
        let in_source = allowed.saturating_sub(state.in_flight_bytes + state.overdue_bytes);
        let in_total = self.limits.total_bytes_max.saturating_sub(total);
        let room = in_source.min(in_total).min(self.limits.request_bytes_max);
        // A request is worth its round trip if it is a whole one, or the source has nothing to do.
        let whole = self.limits.request_bytes_max.min(allowed / 4);
        let worthwhile = room >= whole || state.in_flight.is_empty();
        let rested = state.rests_until <= now;
        let may_ask = match source {
            FetchSource::Peer(_) => true,
            FetchSource::Origin(place) => self.may_ask_origin(now, place),
        };
        (room > 0 && worthwhile && rested && may_ask).then_some(room)
    }

    /// Origins are asked late, and a later one only while no earlier one works.
    fn may_ask_origin(&self, now: MonoTime, place: u32) -> bool {
        let earlier = self.sources.range(FetchSource::Origin(0)..FetchSource::Origin(place));
        let mut working = earlier.filter(|(_, state)| state.stalls == 0 && !state.pace.is_slow());
        now >= self.origin_after && working.next().is_none()
    }

    /// Whether a chunk may be asked of a source: it is open and there, and for an origin, no peer
    /// has it that is quick enough, or the peers together are not.
    fn is_candidate(&self, source: FetchSource, chunk: u32) -> bool {
        let polite = match source {
            FetchSource::Peer(_) => true,
            FetchSource::Origin(_) => {
                self.peers_behind || self.rarity.get(chunk as usize) == Some(&0)
            }
        };
        let there =
            |state: &SourceState| state.has.contains(chunk) && !state.overdue.contains(&chunk);
        self.open.contains(chunk) && polite && self.sources.get(&source).is_some_and(there)
    }

    fn rarest_open(&self, source: FetchSource) -> Option<u32> {
        if self.open.count() == 0 {
            return None;
        }
        let state = self.sources.get(&source)?;
        // Nothing that a counted peer has is rarer than this, so that the first such is the one.
        let rarest = u32::from(counts(source, state));
        let mut best: Option<(u32, u32)> = None;
        for chunk in (self.start..self.open.chunks()).chain(0..self.start) {
            if !self.is_candidate(source, chunk) {
                continue;
            }
            let rarity = self.rarity[chunk as usize];
            if best.is_none_or(|(least, _)| rarity < least) {
                best = Some((rarity, chunk));
            }
            if rarity <= rarest {
                break;
            }
        }
        best.map(|(_, chunk)| chunk)
    }

    fn give_back(&mut self, source: FetchSource, chunk: u32) {
        let bytes = self.sizes.get(chunk as usize).copied().map_or(0, u64::from);
        let Some(state) = self.sources.get_mut(&source) else { return };
        // Of what is overdue, others were asked already.
        let reopens = state.in_flight.contains_key(&chunk);
        state.settle(chunk, bytes);
        if !state.owes() {
            state.pace.stop();
        }
        if reopens {
            self.reopen([chunk]);
        }
    }

    /// Lets a source's pace count until now; a peer that became slow or quick is counted anew.
    fn measure(&mut self, now: MonoTime, source: FetchSource) {
        let Some(state) = self.sources.get_mut(&source) else { return };
        let mut pace = state.pace.clone();
        pace.settle(now, state.owes(), &self.limits);
        if pace.is_slow() == state.pace.is_slow() {
            state.pace = pace;
            return;
        }
        count_rarity(&mut self.rarity, source, state, false);
        state.pace = pace;
        count_rarity(&mut self.rarity, source, state, true);
    }

    fn measure_peers(&mut self, now: MonoTime) {
        let elapsed_ms = now.since_ms(self.measured_since);
        if elapsed_ms >= self.limits.stall_ms {
            let expected = self.limits.peers_rate_min.saturating_mul(elapsed_ms) / 1000;
            self.peers_behind = self.peer_bytes < expected;
            self.measured_since = now;
            self.peer_bytes = 0;
        }
    }

    fn reopen(&mut self, chunks: impl IntoIterator<Item = u32>) {
        for chunk in chunks {
            if self.wanted.contains(chunk) {
                self.open.insert(chunk);
            }
        }
    }
}

/// Whether what a source has counts as had: by a peer, and one that is not slow.
fn counts(source: FetchSource, state: &SourceState) -> bool {
    match source {
        FetchSource::Peer(_) => !state.pace.is_slow(),
        FetchSource::Origin(_) => false,
    }
}

fn count_rarity(rarity: &mut [u32], source: FetchSource, state: &SourceState, more: bool) {
    if counts(source, state) {
        for chunk in state.has.iter() {
            let count = &mut rarity[chunk as usize];
            *count = if more { *count + 1 } else { *count - 1 };
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
