//! The agent: moves data between the core and the world. Event → step → immediate effects →
//! durable writes → the effects that rely on them. No branch here depends on what the core
//! decided.

mod acts;
mod binding;
mod links;
mod persist;
mod recorder;
mod view;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use daymark_core::effect::{Effect, OpId, Reply};
use daymark_core::event::{RequestId, StageProgress};
use daymark_core::{ClockTrust, CoreConfig, Event, Node, Start};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::SigningKey;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::links::Members;
use self::persist::Disk;
use self::recorder::Recorder;
use crate::clock::Clock;
use crate::control::{ControlError, ControlServer, Replica, Request, Visits};
use crate::durable::{DurableError, FORMATS_READ, HostKeyFile};
use crate::mesh::{MeshError, MeshEvent, MeshHandle};
use crate::notify::Notifier;
use crate::platform::{Backend, Machine};
use crate::settings::{ClockSource, Settings};
use crate::slots::SlotError;
use crate::store::StoreError;
use crate::transfer::{ChunkServer, InvalidSource};

/// Events of the mesh on their way; peers wait while they are not taken.
const MESH_EVENTS_MAX: usize = 256;
/// Requests of the control socket on their way.
const REQUESTS_MAX: usize = 32;
/// Ends and progress of operations on their way.
const OUTCOMES_MAX: usize = 256;
/// How often the machine is looked at if nothing else calls for it.
const INSPECT_EVERY: Duration = Duration::from_secs(30);
/// Longest sleep, so that a wall clock that jumps is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Time that clients of the control socket get to finish when the agent ends.
const CONTROL_GRACE: Duration = Duration::from_secs(5);
/// Links that the core keeps up by itself, within what the configuration allows.
const LINKS: usize = 8;

/// Why the agent cannot run, or had to stop.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs, reason = "each wraps the error of the part that it names")]
pub enum AgentError {
    Durable(#[from] DurableError),
    Store(#[from] StoreError),
    Slots(#[from] SlotError),
    Mesh(#[from] MeshError),
    Control(#[from] ControlError),
    Config(#[from] daymark_core::InvalidConfig),
    Source(#[from] InvalidSource),
    /// A line of the floor journal that this version does not understand.
    #[error(
        "the floor journal holds a line that this agent cannot read: a newer agent wrote it, or it \
         is damaged; start the newer version, or if none ever ran here, enrol the machine anew \
         with `daymark-node init` on an empty data_dir"
    )]
    Floor,
    /// No random numbers, signals or threads.
    #[error("the operating system refuses: {0}")]
    System(String),
}

/// How the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// The machine is to restart.
    Reboot,
}

/// What tasks report back to the loop.
#[derive(Debug)]
enum Outcome {
    /// Something for the core.
    Event(Event),
    /// The machine is to restart.
    Leave,
}

/// A running agent.
struct Agent {
    node: Node,
    disk: Disk,
    identity: HostKeyFile,
    clock: Arc<Clock>,
    machine: Machine,
    mesh: MeshHandle,
    members: Members,
    peers: watch::Sender<usize>,
    chunks: Option<Arc<ChunkServer>>,
    visits: Visits,
    recorder: Option<Recorder>,
    settings: Arc<Settings>,
    outcomes: mpsc::Sender<Outcome>,
    look: Arc<tokio::sync::Notify>,
    running: BTreeMap<OpId, CancellationToken>,
    progress: Option<watch::Receiver<StageProgress>>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    requests: u64,
    view: view::View,
    leaving: Option<Ended>,
}

/// Runs the agent until `stop` is set or the machine is to restart.
///
/// # Errors
/// [`AgentError`]: it could not start, or could no longer make its state durable.
pub async fn run(settings: Settings, stop: CancellationToken) -> Result<Ended, AgentError> {
    run_recorded(settings, None, stop).await
}

/// Runs the agent and writes down in a folder, if one is named, what its core is told and what
/// comes of it ([`daymark_core::recording`]).
///
/// # Errors
/// As [`run`], and if the recording cannot be begun.
pub async fn run_recorded(
    settings: Settings,
    record: Option<&Path>,
    stop: CancellationToken,
) -> Result<Ended, AgentError> {
    run_with(settings, FORMATS_READ, record, stop).await
}

/// Runs the agent as a version that knows these layouts of the data folder: it reads all of them,
/// writes the one that it finds, and moves to the last only once the running boot is confirmed
/// (DESIGN section 8).
///
/// # Errors
/// As [`run`].
pub async fn run_as(
    settings: Settings,
    formats: RangeInclusive<u32>,
    stop: CancellationToken,
) -> Result<Ended, AgentError> {
    run_with(settings, formats, None, stop).await
}

async fn run_with(
    settings: Settings,
    formats: RangeInclusive<u32>,
    record: Option<&Path>,
    stop: CancellationToken,
) -> Result<Ended, AgentError> {
    let settings = Arc::new(settings);
    let (disk, durable) = Disk::open(&settings.data_dir, formats)?;
    let identity = HostKeyFile::read(&settings.data_dir)?;
    let (peers, peers_seen) = watch::channel(0);
    let machine = Machine::open(Arc::clone(&settings), peers_seen)?;
    let control = ControlServer::bind(&settings.control_socket).await?;
    let (mesh_sender, mut mesh_events) = mpsc::channel(MESH_EVENTS_MAX);
    let mesh = crate::mesh::start(links::mesh_config(&settings), identity.seed, mesh_sender)?;
    let (outcomes, mut ends) = mpsc::channel(OUTCOMES_MAX);
    let (requests, mut asked) = mpsc::channel(REQUESTS_MAX);
    let (stop_control, control_stopped) = watch::channel(false);
    let replica = Replica { store: disk.store().clone(), roots: disk.roots() };
    let visits = Visits::new(requests.clone(), replica.clone());
    let control = tokio::spawn(control.serve(requests, replica, control_stopped));

    let clock = Arc::new(Clock::default());
    clock.refresh().await;
    let start = start_of(&identity, durable)?;
    let config = core_config(&settings)?;
    let reading = clock.read();
    let mut recorder = match record {
        Some(folder) => Some(Recorder::begin(folder, &config, &start, reading)?),
        None => None,
    };
    let (node, batch) = Node::new(config, start, reading);
    if let Some(recorder) = &mut recorder {
        recorder.note(None, &batch);
    }
    let chunks = chunk_server(&machine);
    let mut agent = Agent {
        node,
        disk,
        identity,
        clock,
        machine,
        mesh,
        members: Members::default(),
        peers,
        chunks,
        visits,
        recorder,
        settings,
        outcomes,
        look: Arc::default(),
        running: BTreeMap::new(),
        progress: None,
        waiting: BTreeMap::new(),
        requests: 0,
        view: view::View::new(reading.wall),
        leaving: None,
    };
    agent.perform(batch).await?;
    agent.compare_board().await?;
    agent.watch_machine(&stop);
    let mut notifier = Notifier::new();
    notifier.ready();
    let ended = agent.turn(&stop, &mut mesh_events, &mut asked, &mut ends, &mut notifier).await;
    notifier.stopping();
    stop.cancel();
    let _ = stop_control.send(true);
    drop(asked);
    // Whoever still waits for an answer is told that there is none, or the socket would not close.
    agent.waiting.clear();
    agent.mesh.shutdown().await;
    if tokio::time::timeout(CONTROL_GRACE, control).await.is_err() {
        tracing::warn!("a client holds the control socket open; leaving without it");
    }
    agent.disk.close()?;
    ended
}

/// What serves the own slots to peers.
fn chunk_server(machine: &Machine) -> Option<Arc<ChunkServer>> {
    match machine.backend() {
        Backend::Slots { slots, .. } | Backend::Program { area: slots, .. } => {
            Some(Arc::new(ChunkServer::new(Arc::clone(slots))))
        }
        Backend::None => None,
    }
}

fn core_config(settings: &Settings) -> Result<CoreConfig, AgentError> {
    let trust = match settings.clock {
        ClockSource::Os => ClockTrust::Synchronised,
        ClockSource::Rtc => ClockTrust::Rtc,
    };
    let links = usize::try_from(settings.network.connections_max).unwrap_or(LINKS).min(LINKS);
    Ok(CoreConfig::new(trust, built(), links)?)
}

/// When this agent was built.
fn built() -> WallTime {
    WallTime::from_seconds(env!("DAYMARK_BUILT_S").parse().unwrap_or_default())
}

fn start_of(identity: &HostKeyFile, durable: persist::Read) -> Result<Start, AgentError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| AgentError::System(error.to_string()))?;
    Ok(Start {
        key: SigningKey::from_seed(identity.seed),
        seed,
        durable: durable.state,
        roots: durable.roots,
        entries: durable.stored.entries,
        reports: durable.stored.reports,
        blobs: durable.stored.blobs,
        floors: durable.floors,
    })
}

impl Agent {
    async fn turn(
        &mut self,
        stop: &CancellationToken,
        mesh_events: &mut mpsc::Receiver<MeshEvent>,
        asked: &mut mpsc::Receiver<Request>,
        ends: &mut mpsc::Receiver<Outcome>,
        notifier: &mut Notifier,
    ) -> Result<Ended, AgentError> {
        loop {
            if let Some(ended) = self.leaving {
                return Ok(ended);
            }
            notifier.status(self.headline());
            let sleep = self.sleep();
            tokio::select! {
                () = stop.cancelled() => return Ok(Ended::Stopped),
                Some(event) = mesh_events.recv() => self.mesh_event(event).await?,
                Some(request) = asked.recv() => self.request(request).await?,
                Some(outcome) = ends.recv() => match outcome {
                    Outcome::Leave => self.leaving = Some(Ended::Reboot),
                    Outcome::Event(event) => self.outcome(event).await?,
                },
                () = notifier.due() => notifier.alive(),
                () = tokio::time::sleep(sleep) => self.step(Event::Wake).await?,
            }
        }
    }

    /// Until the core's next deadline, at most [`SLEEP_MAX`].
    fn sleep(&self) -> Duration {
        let now = self.clock.read().mono;
        let deadline = self.node.next_deadline();
        let until = deadline.map(|(at, _)| Duration::from_millis(at.since_ms(now)));
        until.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    async fn outcome(&mut self, event: Event) -> Result<(), AgentError> {
        if let Event::OpDone { op, .. } = &event {
            self.running.remove(op);
            self.look.notify_one();
        }
        if let Event::Inspected(inspection) = &event {
            self.view.inspected(inspection);
            if !inspection.boot_unconfirmed {
                self.disk.boot_is_confirmed()?;
            }
        }
        self.step(event).await
    }

    async fn step(&mut self, event: Event) -> Result<(), AgentError> {
        let reading = self.clock.read();
        let told = self.recorder.as_ref().map(|_| (reading, event.clone()));
        let batch = self.node.step(reading, event);
        if let (Some(recorder), Some(told)) = (&mut self.recorder, told) {
            recorder.note(Some(told), &batch);
        }
        self.perform(batch).await
    }

    /// The order is the point: what promises nothing, then the disk, then what relies on it.
    async fn perform(&mut self, mut batch: daymark_core::Batch) -> Result<(), AgentError> {
        for effect in batch.take_immediate() {
            self.effect(effect).await;
        }
        tokio::task::block_in_place(|| self.disk.write(batch.writes()))?;
        if self.disk.wants_compact_floors()
            && let Some(live) = self.node.compact_floors()
        {
            tokio::task::block_in_place(|| self.disk.rewrite_floors(&live))?;
        }
        for effect in batch.confirm_durable() {
            self.effect(effect).await;
        }
        Ok(())
    }

    async fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send { peer, channel, bytes } => self.mesh.send(peer, channel, bytes).await,
            Effect::Subscribe(topic) => self.mesh.subscribe(topic).await,
            Effect::Unsubscribe(topic) => self.mesh.unsubscribe(topic).await,
            Effect::Publish { topic, bytes } => self.mesh.publish(topic, bytes).await,
            Effect::Verdict { id, verdict } => self.mesh.verdict(id, verdict).await,
            Effect::Admit { peer, admission } => self.mesh.admit(peer, admission).await,
            Effect::Bridge { peer, open } => self.mesh.bridge(peer, open).await,
            Effect::Dial { peer, addresses } => self.mesh.dial(peer, addresses).await,
            Effect::Reply { request, reply } => {
                if let Some(waiting) = self.waiting.remove(&request) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(reply);
                }
                self.look.notify_one();
            }
            Effect::Perform { op, act } => self.start(op, act),
            Effect::Cancel { op } => {
                if let Some(token) = self.running.get(&op) {
                    token.cancel();
                }
            }
        }
    }

    /// Looks at the machine regularly and when called for, beside the loop.
    fn watch_machine(&self, stop: &CancellationToken) {
        let (machine, look, clock) =
            (self.machine.clone(), Arc::clone(&self.look), Arc::clone(&self.clock));
        let (outcomes, stop) = (self.outcomes.clone(), stop.clone());
        tokio::spawn(async move {
            loop {
                clock.refresh().await;
                let inspection = Box::new(machine.inspect().await);
                let sent = outcomes.send(Outcome::Event(Event::Inspected(inspection))).await;
                if sent.is_err() {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = look.notified() => {}
                    () = tokio::time::sleep(INSPECT_EVERY) => {}
                }
            }
        });
    }

    async fn request(&mut self, request: Request) -> Result<(), AgentError> {
        self.requests += 1;
        let id = RequestId(self.requests);
        let (event, reply) = match request {
            // Whoever asked may have gone: the answer then goes nowhere.
            Request::Status(answer) => {
                let _ = answer.send(self.status());
                return Ok(());
            }
            Request::Decision(answer) => {
                let _ = answer.send(self.decision());
                return Ok(());
            }
            Request::Peers(answer) => {
                let _ = answer.send(self.peer_list().await);
                return Ok(());
            }
            Request::Metrics(answer) => {
                let _ = answer.send(self.metrics());
                return Ok(());
            }
            Request::Submit { items, visitor, reply } => {
                (Event::Submit { request: id, items, visitor }, reply)
            }
            Request::Join(pin, items, reply) => (Event::Join { request: id, pin, items }, reply),
            Request::Rebind(seen, reply) => {
                if let Err(refused) = self.bind_to_this_board(&seen) {
                    let _ = reply.send(Reply::Refused(refused));
                    return Ok(());
                }
                (Event::Rebind { request: id }, reply)
            }
            Request::Inhibit(why, until, reply) => {
                (Event::Inhibit { request: id, why, until }, reply)
            }
        };
        self.waiting.insert(id, reply);
        self.step(event).await
    }
}
