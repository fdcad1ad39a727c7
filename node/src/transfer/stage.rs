//! Staging: one image into one slot, from its own slots, peers and release sources.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daymark_core::event::StageProgress;
use daymark_core::fetch::{Arrival, FetchLimits, FetchPlan, FetchSource};
use daymark_protocol::image::Index;
use daymark_protocol::limits::INDEX_BYTES_MAX;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::index_fetch::fetch_index;
use super::origin::{ReleaseSource, run_origin};
use super::peer::PeerStreams;
use super::progress::Tally;
use super::session::{Ended, SessionEvent};
use super::sessions::{Clock, Fetch, peer_session};
use super::write::{WriteThread, seed, wanted};
use crate::slots::{BootState, ImageIdentity, SlotError, SlotWriter, Slots};

/// Events of sessions on their way: at most 16 MiB of chunks.
const EVENTS_MAX: usize = 64;
/// How often sources are looked for again and the journal may catch up.
const TICK: Duration = Duration::from_millis(250);
/// How often bytes that changed on the disk after they were written are fetched again.
const REPAIRS_MAX: u32 = 3;

/// What to stage, and where.
#[derive(Clone, Debug)]
pub struct StageRequest {
    /// The slot to write.
    pub slot: String,
    /// What the boot switch says, so that the running slot is never the one.
    pub boot: BootState,
    /// The image, as the signed profile names it.
    pub image: ImageIdentity,
    /// The signed size of its index, bytes.
    pub index_bytes: u64,
}

/// Where chunks may come from.
#[derive(Debug)]
pub struct StageSources<P> {
    /// Other nodes.
    pub peers: Arc<P>,
    /// Release sources, the preferred first (RULES Q16).
    pub origins: Vec<ReleaseSource>,
}

/// How to fetch.
#[derive(Clone, Copy, Debug)]
pub struct StageSettings {
    /// Shortest and longest wait before a release source is asked, ms: time for a peer to turn up
    /// that has the image. Each staging draws its own.
    pub origin_wait_ms: (u64, u64),
    /// How long a release source rests after wrong bytes, ms: the first time, doubling up to the
    /// longest. Unlike a peer it is asked again: it may be mended, and there may be no other.
    pub origin_rest_ms: (u64, u64),
    /// Bounds of the fetch.
    pub limits: FetchLimits,
}

impl Default for StageSettings {
    fn default() -> Self {
        Self {
            origin_wait_ms: (2_000, 5_000),
            origin_rest_ms: (30_000, 600_000),
            limits: FetchLimits::default(),
        }
    }
}

/// A staging that did not end with a complete slot. What was verified stays for the next try.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// It was called off.
    #[error("staging was called off")]
    Cancelled,
    /// The signed index is larger than any index may be.
    #[error("the profile signs an index of {0} bytes; at most {INDEX_BYTES_MAX} are allowed")]
    IndexTooLarge(u64),
    /// The slot cannot be written or verified.
    #[error("slot {slot} cannot be staged")]
    Slot {
        /// The slot.
        slot: String,
        /// Why.
        source: SlotError,
    },
    /// The thread that writes the slot failed.
    #[error("the thread that writes slot {0} ended unexpectedly")]
    Thread(String),
}

/// Fetches the image of `request` into its slot: every chunk proven before it is written, every
/// part's signed SHA-256 found at the end. Goes on asking until all is there or `cancel` is set;
/// what was written before counts (restart resumes).
///
/// # Errors
/// If it is called off, or the slot cannot be written or does not verify. A source never is a
/// reason to fail.
pub async fn stage<P: PeerStreams>(
    slots: Arc<Slots>,
    request: StageRequest,
    sources: StageSources<P>,
    settings: StageSettings,
    watchers: watch::Sender<StageProgress>,
    cancel: CancellationToken,
) -> Result<StageProgress, StageError> {
    if request.index_bytes > INDEX_BYTES_MAX as u64 {
        return Err(StageError::IndexTooLarge(request.index_bytes));
    }
    let (shortest, longest) = settings.origin_wait_ms;
    let draw = u64::from(getrandom::u32().unwrap_or(0));
    let wait_ms = shortest + draw % (longest.saturating_sub(shortest) + 1);
    let mut stager = Stager {
        slot: request.slot.clone(),
        sources,
        settings,
        origin_after: Instant::now() + Duration::from_millis(wait_ms),
        tally: Tally::new(watchers),
        cancel: cancel.clone(),
        blamed: Vec::new(),
        rests: BTreeMap::new(),
    };
    let index = tokio::select! {
        index = fetch_index(
            &slots, &request, &stager.sources, stager.origin_after, &mut stager.tally,
            &mut stager.blamed,
        ) => index,
        () = cancel.cancelled() => return Err(StageError::Cancelled),
    };
    let mut writer = stager.begin(&slots, request, index).await?;
    for _ in 0..REPAIRS_MAX {
        writer = stager.fetch(writer).await?;
        let (given_back, finished) = stager.finish(writer).await?;
        writer = given_back;
        match finished {
            Ok(()) => return Ok(stager.tally.progress().clone()),
            Err(SlotError::Rotten { chunks, .. }) => {
                stager.tally.trouble(format!("{chunks} chunks changed on the disk; again"));
            }
            Err(error) => return Err(stager.slot_error(error)),
        }
    }
    let chunks = writer.image().index().chunk_count() - writer.image().held().count();
    Err(stager.slot_error(SlotError::Rotten { slot: stager.slot.clone(), chunks }))
}

struct Stager<P> {
    slot: String,
    sources: StageSources<P>,
    settings: StageSettings,
    origin_after: Instant,
    tally: Tally,
    cancel: CancellationToken,
    blamed: Vec<FetchSource>,
    /// Release sources that sent wrong bytes, by place: when each may be asked again, and how long
    /// it rests the next time.
    rests: BTreeMap<u32, (Instant, Duration)>,
}

impl<P: PeerStreams> Stager<P> {
    fn slot_error(&self, source: SlotError) -> StageError {
        StageError::Slot { slot: self.slot.clone(), source }
    }

    /// Opens the slot and takes what the own slots have.
    async fn begin(
        &mut self,
        slots: &Arc<Slots>,
        request: StageRequest,
        index: Arc<Index>,
    ) -> Result<SlotWriter, StageError> {
        let own = Arc::clone(slots);
        let cancel = self.cancel.clone();
        let watchers = self.tally.watchers().clone();
        let mut progress =
            StageProgress { total_bytes: index.total_bytes(), ..self.tally.progress().clone() };
        let begun = tokio::task::spawn_blocking(move || {
            let mut writer = own.begin(&request.slot, &request.boot, &request.image, index)?;
            let before: u64 = verified_bytes(&writer);
            let own_bytes = seed(&mut writer, &own.images(), &cancel, |taken| {
                progress.own_bytes = taken;
                progress.verified_bytes = before + taken;
                watchers.send_replace(progress.clone());
            })?;
            Ok((writer, own_bytes))
        });
        let begun = begun.await.map_err(|_| StageError::Thread(self.slot.clone()))?;
        let (writer, own_bytes) = begun.map_err(|error| self.slot_error(error))?;
        self.tally.update(|progress| {
            progress.total_bytes = writer.image().index().total_bytes();
            progress.own_bytes = own_bytes;
            progress.verified_bytes = verified_bytes(&writer);
        });
        Ok(writer)
    }

    /// Fetches what is missing.
    async fn fetch(&mut self, writer: SlotWriter) -> Result<SlotWriter, StageError> {
        let image = Arc::clone(writer.image());
        let wanted = wanted(&image);
        if wanted.count() == 0 {
            return Ok(writer);
        }
        let clock = Clock(Instant::now());
        let origin_after = clock.at(self.origin_after);
        // Nodes that fetch from one another start at different places.
        let start = getrandom::u32().unwrap_or(0);
        let index = image.index();
        let limits = self.settings.limits;
        let mut plan = FetchPlan::new(index, wanted, start, clock.now(), origin_after, limits);
        self.blamed.iter().for_each(|source| plan.blame(*source));
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut fetch = Fetch::new(Arc::clone(index), clock, plan, sender);
        let mut thread = WriteThread::start(writer);
        let result = self.run(&mut fetch, events, &mut thread).await;
        fetch.running.shutdown().await;
        let writer = thread.stop().await.ok_or_else(|| StageError::Thread(self.slot.clone()))?;
        result.map(|()| writer)
    }

    async fn run(
        &mut self,
        fetch: &mut Fetch,
        mut events: mpsc::Receiver<(FetchSource, u64, SessionEvent)>,
        thread: &mut WriteThread,
    ) -> Result<(), StageError> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while fetch.plan.remaining() > 0 || fetch.to_write > 0 {
            fetch.ask();
            let deadline = fetch.plan.next_deadline(fetch.clock.now());
            let deadline = deadline.map_or_else(|| Instant::now() + TICK, |at| fetch.clock.of(at));
            tokio::select! {
                () = self.cancel.cancelled() => return Err(StageError::Cancelled),
                Some((source, session, event)) = events.recv() => {
                    self.heard(fetch, thread, source, session, event).await;
                }
                written = thread.done.recv() => match written {
                    Some(Ok(new_bytes)) => {
                        fetch.to_write = fetch.to_write.saturating_sub(1);
                        self.tally.update(|progress| progress.verified_bytes += new_bytes);
                    }
                    Some(Err(error)) => return Err(self.slot_error(error)),
                    None => return Err(StageError::Thread(self.slot.clone())),
                },
                _ = tick.tick() => {
                    thread.tick();
                    self.find_sources(fetch);
                }
                () = sleep_until(deadline) => self.expire(fetch),
            }
        }
        Ok(())
    }

    fn expire(&mut self, fetch: &mut Fetch) {
        for source in fetch.plan.expire(fetch.clock.now()) {
            self.tally.trouble(format!("{} makes no progress", self.name(source)));
            fetch.close(source, true);
        }
    }

    /// Begins a session with every source that has none and is not resting.
    fn find_sources(&mut self, fetch: &mut Fetch) {
        for peer in self.sources.peers.peers() {
            if let Some((events, requests)) = fetch.open(FetchSource::Peer(peer)) {
                let (peers, index) = (Arc::clone(&self.sources.peers), Arc::clone(&fetch.index));
                let session = peer_session(peers, peer, index, requests, events.clone());
                fetch.spawn(events, session);
            }
        }
        if fetch.clock.now() < fetch.clock.at(self.origin_after) {
            return;
        }
        for (place, origin) in (0..).zip(self.sources.origins.clone()) {
            if self.rests.get(&place).is_some_and(|(until, _)| *until > Instant::now()) {
                continue;
            }
            if let Some((events, requests)) = fetch.open(FetchSource::Origin(place)) {
                let index = Arc::clone(&fetch.index);
                let session = run_origin(origin, index, requests, events.clone());
                fetch.spawn(events, session);
            }
        }
    }

    async fn heard(
        &mut self,
        fetch: &mut Fetch,
        thread: &WriteThread,
        source: FetchSource,
        session: u64,
        event: SessionEvent,
    ) {
        if fetch.sessions.get(&source).map(|running| running.number) != Some(session) {
            return;
        }
        let now = fetch.clock.now();
        match event {
            SessionEvent::Has(chunks) => fetch.plan.add_source(now, source, chunks),
            SessionEvent::HasMore(runs) => {
                // The session let no chunk through that was told before or is beyond the image.
                for (first, count) in runs {
                    fetch.plan.extend_source(source, first..first.saturating_add(count));
                }
            }
            SessionEvent::Chunk { chunk, stored_bytes } => {
                self.tally.arrived(source, stored_bytes);
                match fetch.plan.received(now, source, chunk.number()) {
                    Arrival::Needed => {
                        fetch.forgive(source);
                        fetch.to_write += 1;
                        thread.put(chunk).await;
                    }
                    Arrival::Late => {}
                    Arrival::Unasked => {
                        self.tally
                            .trouble(format!("{} sent what nobody asked for", self.name(source)));
                        fetch.close(source, true);
                    }
                }
            }
            SessionEvent::Wrong(number) => {
                self.tally.refused(source);
                let follows = self.punish(fetch, source);
                let trouble = format!(
                    "{} sent wrong bytes for chunk {number} and {follows}",
                    self.name(source)
                );
                tracing::warn!("{trouble}");
                self.tally.trouble(trouble);
            }
            SessionEvent::Busy(number) => fetch.plan.busy(now, source, number),
            SessionEvent::Gone(number) => fetch.plan.gone(source, number),
            SessionEvent::Ended(Ended::NotThere) => fetch.close(source, false),
            SessionEvent::Ended(Ended::Failed(why)) => {
                self.tally.trouble(format!("{}: {why}", self.name(source)));
                fetch.close(source, true);
            }
        }
    }

    /// What follows for a source that sent wrong bytes, in words: a peer is not asked again for
    /// this image, a release source rests, longer each time.
    fn punish(&mut self, fetch: &mut Fetch, source: FetchSource) -> String {
        fetch.close(source, false);
        match source {
            FetchSource::Peer(_) => {
                self.blamed.push(source);
                fetch.plan.blame(source);
                "is not asked again".to_owned()
            }
            FetchSource::Origin(place) => {
                let (first_ms, longest_ms) = self.settings.origin_rest_ms;
                let first = Duration::from_millis(first_ms);
                let rest = self.rests.get(&place).map_or(first, |(_, next)| *next);
                let next = (rest * 2).min(Duration::from_millis(longest_ms));
                self.rests.insert(place, (Instant::now() + rest, next));
                format!("is asked again in {} s", rest.as_secs())
            }
        }
    }

    /// Reads the slot back; the writer comes back with the answer.
    async fn finish(
        &mut self,
        mut writer: SlotWriter,
    ) -> Result<(SlotWriter, Result<(), SlotError>), StageError> {
        let finished = tokio::task::spawn_blocking(move || {
            let finished = writer.finish(&mut |_| {});
            (writer, finished)
        });
        let finished = finished.await.map_err(|_| StageError::Thread(self.slot.clone()))?;
        let verified = verified_bytes(&finished.0);
        self.tally.update(|progress| progress.verified_bytes = verified);
        Ok(finished)
    }

    fn name(&self, source: FetchSource) -> String {
        match source {
            FetchSource::Peer(peer) => format!("peer {}", peer.short()),
            FetchSource::Origin(place) => {
                let origin = self.sources.origins.get(place as usize);
                origin.map_or_else(|| "a release source".to_owned(), ToString::to_string)
            }
        }
    }
}

fn verified_bytes(writer: &SlotWriter) -> u64 {
    let index = writer.image().index();
    let held = writer.image().held();
    held.iter().filter_map(|chunk| index.chunk(chunk)).map(|chunk| u64::from(chunk.bytes)).sum()
}
