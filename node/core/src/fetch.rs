//! Which chunk is asked of whom: the plan of fetching an image from several sources at once.
//!
//! Pure and deterministic. It moves no bytes and trusts none: the host asks it what to request,
//! and tells it what came. Each chunk is requested from one source at a time; what a source fails
//! to bring goes to another. Chunks are numbered as in the image's index; of equal chunks only
//! one should be wanted.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::KeyId;
use daymark_protocol::image::{ChunkSet, Index};
use daymark_protocol::time::MonoTime;

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
    /// Most bytes asked of all sources together: bounds memory.
    pub total_bytes_max: u64,
    /// Most bytes of one request, unless a single chunk is larger.
    pub request_bytes_max: u64,
    /// After this time without progress what was asked of a source goes to others, ms.
    pub stall_ms: u64,
    /// How long a source that said it is busy is left alone, ms.
    pub busy_ms: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            source_bytes_max: 4 * 1024 * 1024,
            total_bytes_max: 32 * 1024 * 1024,
            request_bytes_max: 1024 * 1024,
            stall_ms: 5_000,
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
    in_flight: BTreeSet<u32>,
    in_flight_bytes: u64,
    /// Asked here, then given to others: may still come.
    overdue: BTreeSet<u32>,
    last_progress: MonoTime,
    rests_until: MonoTime,
    stalls: u32,
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
    /// How many peers have each chunk.
    rarity: Vec<u32>,
    sources: BTreeMap<FetchSource, SourceState>,
    blamed: BTreeSet<FetchSource>,
    /// Where this node begins, so that nodes with one source begin at different places.
    start: u32,
    origin_after: MonoTime,
    last_progress: MonoTime,
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
            blamed: BTreeSet::new(),
            origin_after,
            last_progress: now,
        }
    }

    /// Adds a source that has `has`. Ignored for a source that was blamed, or is there already.
    pub fn add_source(&mut self, now: MonoTime, source: FetchSource, has: ChunkSet) {
        if self.blamed.contains(&source) || self.sources.contains_key(&source) {
            return;
        }
        self.count_rarity(source, &has, true);
        let state = SourceState {
            has,
            in_flight: BTreeSet::new(),
            in_flight_bytes: 0,
            overdue: BTreeSet::new(),
            last_progress: now,
            rests_until: now,
            stalls: 0,
        };
        self.sources.insert(source, state);
    }

    /// A source has more chunks now.
    pub fn extend_source(&mut self, source: FetchSource, chunks: impl Iterator<Item = u32>) {
        let Some(state) = self.sources.get_mut(&source) else { return };
        for chunk in chunks {
            let new = state.has.insert(chunk);
            if let (true, FetchSource::Peer(_), Some(count)) =
                (new, source, self.rarity.get_mut(chunk as usize))
            {
                *count += 1;
            }
        }
    }

    /// A source is gone; what it was asked for is open again.
    pub fn remove_source(&mut self, source: FetchSource) {
        let Some(state) = self.sources.remove(&source) else { return };
        self.count_rarity(source, &state.has, false);
        self.reopen(state.in_flight);
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
        let first = self.rarest_open(now, source)?;
        let mut run = Vec::new();
        let mut run_bytes = 0;
        let mut chunk = first;
        while self.is_candidate(now, source, chunk) {
            let bytes = u64::from(self.sizes[chunk as usize]);
            if run_bytes + bytes > room && !run.is_empty() {
                break;
            }
            run_bytes += bytes;
            run.push(chunk);
            chunk += 1;
        }
        let state = self.sources.get_mut(&source)?;
        if state.in_flight.is_empty() {
            state.last_progress = now;
        }
        for chunk in &run {
            self.open.remove(*chunk);
            state.in_flight.insert(*chunk);
        }
        state.in_flight_bytes += run_bytes;
        Some(run)
    }

    /// A chunk came, and its bytes are the right ones.
    pub fn received(&mut self, now: MonoTime, source: FetchSource, chunk: u32) -> Arrival {
        let bytes = self.sizes.get(chunk as usize).copied().map_or(0, u64::from);
        let Some(state) = self.sources.get_mut(&source) else { return Arrival::Unasked };
        if state.in_flight.remove(&chunk) {
            state.in_flight_bytes -= bytes;
        } else if !state.overdue.remove(&chunk) {
            return Arrival::Unasked;
        }
        state.last_progress = now;
        state.stalls = 0;
        if !self.wanted.remove(chunk) {
            return Arrival::Late;
        }
        self.open.remove(chunk);
        self.last_progress = now;
        Arrival::Needed
    }

    /// A source no longer has a chunk.
    pub fn gone(&mut self, source: FetchSource, chunk: u32) {
        let Some(state) = self.sources.get_mut(&source) else { return };
        if state.has.remove(chunk)
            && let (FetchSource::Peer(_), Some(count)) =
                (source, self.rarity.get_mut(chunk as usize))
        {
            *count -= 1;
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

    /// Takes back what was asked of sources that make no progress. Returns those that did this
    /// three times in a row: their connections are worth renewing.
    pub fn expire(&mut self, now: MonoTime) -> Vec<FetchSource> {
        let mut dead = Vec::new();
        let mut reopened = Vec::new();
        for (source, state) in &mut self.sources {
            let waited_ms = now.since_ms(state.last_progress);
            if state.in_flight.is_empty() || waited_ms < self.limits.stall_ms {
                continue;
            }
            state.stalls += 1;
            state.last_progress = now;
            state.rests_until = now.plus_ms(self.limits.stall_ms);
            state.in_flight_bytes = 0;
            reopened.extend(state.in_flight.iter().copied());
            state.overdue.append(&mut state.in_flight);
            if state.stalls >= 3 {
                dead.push(*source);
            }
        }
        self.reopen(reopened);
        dead
    }

    /// When the plan must be asked again, if nothing happens before.
    pub fn next_deadline(&self, now: MonoTime) -> Option<MonoTime> {
        let stall = |state: &SourceState| {
            let busy = !state.in_flight.is_empty();
            busy.then(|| state.last_progress.plus_ms(self.limits.stall_ms))
        };
        let rest = |state: &SourceState| (state.rests_until > now).then_some(state.rests_until);
        let of_sources = self.sources.values().flat_map(|state| [stall(state), rest(state)]);
        let despair = self.last_progress.plus_ms(self.limits.stall_ms);
        let own = [self.origin_after, despair].map(|at| (at > now).then_some(at));
        of_sources.chain(own).flatten().min()
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
        let in_source = self.limits.source_bytes_max.saturating_sub(state.in_flight_bytes);
        let in_total = self.limits.total_bytes_max.saturating_sub(total);
        let room = in_source.min(in_total).min(self.limits.request_bytes_max);
        // A request is worth its round trip if it is a whole one, or the source has nothing to do.
        let worthwhile = room >= self.limits.request_bytes_max || state.in_flight.is_empty();
        let rested = state.rests_until <= now;
        let allowed = match source {
            FetchSource::Peer(_) => true,
            FetchSource::Origin(place) => self.may_ask_origin(now, place),
        };
        (room > 0 && worthwhile && rested && allowed).then_some(room)
    }

    /// Origins are asked late, and a later one only while no earlier one works.
    fn may_ask_origin(&self, now: MonoTime, place: u32) -> bool {
        let earlier = self.sources.range(FetchSource::Origin(0)..FetchSource::Origin(place));
        let mut working = earlier.filter(|(_, state)| state.stalls == 0);
        now >= self.origin_after && working.next().is_none()
    }

    /// Whether a chunk may be asked of a source: it is open and there, and for an origin, no peer
    /// has it, or nothing has moved for a while.
    fn is_candidate(&self, now: MonoTime, source: FetchSource, chunk: u32) -> bool {
        let there = self.sources.get(&source).is_some_and(|state| state.has.contains(chunk));
        let polite = match source {
            FetchSource::Peer(_) => true,
            FetchSource::Origin(_) => {
                let rare = self.rarity.get(chunk as usize) == Some(&0);
                rare || now.since_ms(self.last_progress) >= self.limits.stall_ms
            }
        };
        there && polite && self.open.contains(chunk)
    }

    fn rarest_open(&self, now: MonoTime, source: FetchSource) -> Option<u32> {
        let chunks = self.open.chunks();
        let rotated = (self.start..chunks).chain(0..self.start);
        let candidates = rotated.filter(|chunk| self.is_candidate(now, source, *chunk));
        candidates.min_by_key(|chunk| self.rarity.get(*chunk as usize).copied())
    }

    fn give_back(&mut self, source: FetchSource, chunk: u32) {
        let bytes = self.sizes.get(chunk as usize).copied().map_or(0, u64::from);
        let Some(state) = self.sources.get_mut(&source) else { return };
        state.overdue.remove(&chunk);
        if state.in_flight.remove(&chunk) {
            state.in_flight_bytes -= bytes;
            self.reopen([chunk]);
        }
    }

    fn reopen(&mut self, chunks: impl IntoIterator<Item = u32>) {
        for chunk in chunks {
            if self.wanted.contains(chunk) {
                self.open.insert(chunk);
            }
        }
    }

    fn count_rarity(&mut self, source: FetchSource, has: &ChunkSet, more: bool) {
        let FetchSource::Peer(_) = source else { return };
        for chunk in has.iter() {
            if let Some(count) = self.rarity.get_mut(chunk as usize) {
                *count = if more { *count + 1 } else { *count - 1 };
            }
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
