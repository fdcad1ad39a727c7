//! The sessions of one fetch: which sources are talked to, and when the others are tried again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daymark_core::fetch::{FetchPlan, FetchSource};
use daymark_protocol::id::KeyId;
use daymark_protocol::image::Index;
use daymark_protocol::time::MonoTime;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::peer::{PeerStreams, run_peer};
use super::session::{Ended, SessionEvent, SessionEvents};

/// How long opening a stream to a peer may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// First pause before a source that failed is tried again; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest such pause.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The chunks that a session is to ask for.
pub(super) type Requests = mpsc::UnboundedReceiver<Vec<u32>>;

/// The plan's time: milliseconds since the fetch began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(pub(super) Instant);

impl Clock {
    pub(super) fn now(self) -> MonoTime {
        self.at(Instant::now())
    }

    pub(super) fn at(self, instant: Instant) -> MonoTime {
        let ms = instant.saturating_duration_since(self.0).as_millis();
        MonoTime(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    pub(super) fn of(self, time: MonoTime) -> Instant {
        self.0 + Duration::from_millis(time.0)
    }
}

/// A running session with a source.
pub(super) struct Session {
    pub(super) number: u64,
    requests: mpsc::UnboundedSender<Vec<u32>>,
    task: Option<AbortHandle>,
}

/// The state of one fetch.
pub(super) struct Fetch {
    pub(super) index: Arc<Index>,
    pub(super) clock: Clock,
    pub(super) plan: FetchPlan,
    sender: mpsc::Sender<(FetchSource, u64, SessionEvent)>,
    pub(super) running: JoinSet<()>,
    pub(super) sessions: BTreeMap<FetchSource, Session>,
    /// When a source that ended may be tried again, and the pause after that.
    retries: BTreeMap<FetchSource, (Instant, Duration)>,
    sessions_begun: u64,
    /// Chunks handed to the writer and not yet written.
    pub(super) to_write: u64,
}

impl Fetch {
    /// A fetch that begins now and has no session yet.
    pub(super) fn new(
        index: Arc<Index>,
        clock: Clock,
        plan: FetchPlan,
        sender: mpsc::Sender<(FetchSource, u64, SessionEvent)>,
    ) -> Self {
        Self {
            index,
            clock,
            plan,
            sender,
            running: JoinSet::new(),
            sessions: BTreeMap::new(),
            retries: BTreeMap::new(),
            sessions_begun: 0,
            to_write: 0,
        }
    }

    /// A source brought something good: if it fails later, it is tried again soon.
    pub(super) fn forgive(&mut self, source: FetchSource) {
        self.retries.remove(&source);
    }

    /// Sends out whatever the plan wants asked now.
    pub(super) fn ask(&mut self) {
        let now = self.clock.now();
        for source in self.plan.sources() {
            let Some(session) = self.sessions.get(&source) else { continue };
            // The plan bounds what is in flight, and with it this channel.
            while let Some(run) = self.plan.next_request(now, source) {
                drop(session.requests.send(run));
            }
        }
    }

    /// Opens the books for a session, unless there is one or the source rests.
    pub(super) fn open(&mut self, source: FetchSource) -> Option<(SessionEvents, Requests)> {
        let resting = self.retries.get(&source).is_some_and(|(at, _)| *at > Instant::now());
        if resting || self.plan.is_blamed(source) || self.sessions.contains_key(&source) {
            return None;
        }
        self.sessions_begun += 1;
        let number = self.sessions_begun;
        let (requests, inbox) = mpsc::unbounded_channel();
        self.sessions.insert(source, Session { number, requests, task: None });
        let events = SessionEvents { source, session: number, sender: self.sender.clone() };
        Some((events, inbox))
    }

    /// Runs a session whose books are open.
    pub(super) fn spawn<F>(&mut self, events: SessionEvents, session: F)
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        let source = events.source;
        let task = self.running.spawn(async move {
            let ended = session.await;
            events.send(SessionEvent::Ended(ended)).await;
        });
        if let Some(session) = self.sessions.get_mut(&source) {
            session.task = Some(task);
        }
    }

    /// Ends a session. A source that failed rests longer each time.
    pub(super) fn close(&mut self, source: FetchSource, failed: bool) {
        self.plan.remove_source(source);
        if let Some(task) = self.sessions.remove(&source).and_then(|session| session.task) {
            task.abort();
        }
        let pause = self.retries.get(&source).map_or(RETRY_MIN, |(_, pause)| *pause);
        let next = if failed { (pause * 2).min(RETRY_MAX) } else { RETRY_MIN };
        self.retries.insert(source, (Instant::now() + pause, next));
    }
}

/// A whole session with a peer, opening included.
pub(super) async fn peer_session<P: PeerStreams>(
    peers: Arc<P>,
    peer: KeyId,
    index: Arc<Index>,
    requests: Requests,
    events: SessionEvents,
) -> Ended {
    match timeout(OPEN_TIMEOUT, peers.open(peer)).await {
        Ok(Ok(stream)) => run_peer(stream, index, requests, &events).await,
        Ok(Err(error)) => Ended::Failed(error.to_string()),
        Err(_) => Ended::Failed("the peer does not answer".to_owned()),
    }
}
