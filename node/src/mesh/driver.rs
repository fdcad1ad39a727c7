//! Runs one swarm: turns commands into calls, and what happens into events.
//!
//! While the host does not take events, the swarm rests: peers are slowed down instead of
//! messages piling up. Commands are taken all the same, so the two cannot wait for each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use daymark_core::effect::{Admission, Channel};
use daymark_core::event::GossipId;
use futures::StreamExt as _;
use libp2p::gossipsub::MessageId;
use libp2p::identity::Keypair;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use tokio::sync::{mpsc, oneshot};

use super::config::{MeshConfig, MeshError};
use super::connections::Connections;
use super::counting::Counters;
use super::dialer::{Attempt, TargetId};
use super::discovery::{Discovery, Found};
use super::event::MeshEvent;
use super::handle::Command;
use super::lane::Arrived;
use super::listen::Listeners;
use super::pace::JoinTotal;
use super::rules::{NetworkRules, local_addresses};
use super::state::State;
use super::swarm::{self, Behaviour, BehaviourEvent};

/// Messages that wait between the tasks that read streams and the driver.
const ARRIVED_MAX: usize = 32;
/// How often the machine's addresses, and listeners that ended, are looked up again.
const FOLLOW_EVERY: Duration = Duration::from_secs(15);

/// What stays the same over all restarts.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) config: MeshConfig,
    pub(super) listen: Vec<Multiaddr>,
    pub(super) rules: Arc<NetworkRules>,
    pub(super) keypair: Keypair,
    pub(super) counters: Arc<Counters>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// As asked; to be confirmed.
    Stopped(Option<oneshot::Sender<()>>),
    /// It cannot go on.
    Failed(String),
}

/// An attempt at a named address, and what the name stands for.
pub(super) type Resolved = (Attempt, Vec<Multiaddr>);

/// Something to deal with.
enum Input {
    Command(Option<Command>),
    Swarm(Box<SwarmEvent<BehaviourEvent>>),
    Arrived(Arrived),
    Resolved(Attempt, Vec<Multiaddr>),
    Found(Found),
    Failed(String),
    HostGone,
    Wake,
}

/// One swarm and what belongs to it.
pub(super) struct Driver {
    pub(super) fixed: Arc<Fixed>,
    pub(super) state: State,
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) listeners: Listeners,
    pub(super) discovery: Option<Discovery>,
    pub(super) connections: Connections,
    pub(super) dialling: BTreeMap<ConnectionId, TargetId>,
    pub(super) resolving: usize,
    pub(super) verdicts: BTreeMap<GossipId, (MessageId, PeerId)>,
    pub(super) join_total: JoinTotal,
    pub(super) arrived: (mpsc::Sender<Arrived>, mpsc::Receiver<Arrived>),
    pub(super) resolved: (mpsc::Sender<Resolved>, mpsc::Receiver<Resolved>),
    panics: mpsc::Receiver<String>,
    next_follow: Instant,
}

impl Driver {
    /// Builds a swarm and listens. Gives the state back if that fails.
    pub(super) fn start(
        fixed: &Arc<Fixed>,
        mut state: State,
    ) -> Result<Self, Box<(MeshError, State)>> {
        let (panic_sender, panics) = mpsc::channel(1);
        let built = Self::listen(fixed, &state, panic_sender);
        let (mut swarm, listeners, discovery) = match built {
            Ok(built) => built,
            Err(error) => return Err(Box::new((error, state))),
        };
        for topic in &state.topics {
            super::gossip::subscribe(swarm.behaviour_mut().gossip.inner(), topic);
        }
        state.dialer.reset(Instant::now());
        Ok(Self {
            fixed: Arc::clone(fixed),
            state,
            swarm,
            listeners,
            discovery,
            connections: Connections::default(),
            dialling: BTreeMap::new(),
            resolving: 0,
            verdicts: BTreeMap::new(),
            join_total: JoinTotal::new(Instant::now()),
            arrived: mpsc::channel(ARRIVED_MAX),
            resolved: mpsc::channel(super::dialling::DIALS_MAX),
            panics,
            next_follow: Instant::now() + FOLLOW_EVERY,
        })
    }

    fn listen(
        fixed: &Fixed,
        state: &State,
        panics: mpsc::Sender<String>,
    ) -> Result<(Swarm<Behaviour>, Listeners, Option<Discovery>), MeshError> {
        let locals = local_addresses().map_err(MeshError::Interfaces)?;
        let mut swarm = swarm::build(
            &fixed.config,
            &fixed.keypair,
            &state.admissions,
            &fixed.counters,
            panics,
        )?;
        let listeners = Listeners::start(&mut swarm, &fixed.listen, &fixed.rules, &locals)?;
        let discovery = fixed.config.mdns.then(|| discover(fixed, *swarm.local_peer_id()));
        Ok((swarm, listeners, discovery.flatten()))
    }

    /// Ends the swarm and keeps the state.
    pub(super) fn stop(self) -> State {
        let Self { state, swarm, .. } = self;
        // What panicked may be in a state that does not take being dropped well either.
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(swarm)));
        if dropped.is_err() {
            tracing::error!("the failed mesh could not be cleaned up");
        }
        state
    }

    /// Runs until told to stop, or until it cannot go on.
    pub(super) async fn run(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        events: &mpsc::Sender<MeshEvent>,
    ) -> Ended {
        loop {
            match self.next(commands, events).await {
                Input::Command(None) | Input::HostGone => return Ended::Stopped(None),
                Input::Command(Some(Command::Shutdown(reply))) => {
                    return Ended::Stopped(Some(reply));
                }
                Input::Command(Some(command)) => self.on_command(command),
                Input::Swarm(event) => self.on_swarm_event(*event),
                Input::Arrived(arrived) => self.on_arrived(arrived),
                Input::Resolved(attempt, addresses) => self.on_resolved(&attempt, addresses),
                Input::Found(found) => self.on_found(found),
                Input::Failed(reason) => return Ended::Failed(reason),
                Input::Wake => self.on_wake(),
            }
            self.dial_due();
            let connections = self.connections.len() as u64;
            self.fixed.counters.connections.store(connections, Ordering::Relaxed);
        }
    }

    async fn next(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        events: &mpsc::Sender<MeshEvent>,
    ) -> Input {
        let waiting = !self.state.outbox.is_empty();
        let wake = tokio::time::Instant::from_std(self.next_wake());
        tokio::select! {
            command = commands.recv() => Input::Command(command),
            permit = events.reserve(), if waiting => match permit {
                Ok(permit) => {
                    if let Some(event) = self.state.outbox.pop_front() {
                        permit.send(event);
                    }
                    Input::Wake
                }
                Err(_) => Input::HostGone,
            },
            event = self.swarm.select_next_some(), if !waiting => Input::Swarm(Box::new(event)),
            Some(arrived) = self.arrived.1.recv(), if !waiting => Input::Arrived(arrived),
            Some((attempt, addresses)) = self.resolved.1.recv() => {
                Input::Resolved(attempt, addresses)
            }
            found = next_found(self.discovery.as_ref()) => Input::Found(found),
            Some(reason) = self.panics.recv() => Input::Failed(reason),
            () = tokio::time::sleep_until(wake) => Input::Wake,
        }
    }

    fn next_wake(&self) -> Instant {
        let dial = self.next_dial();
        dial.map_or(self.next_follow, |dial| dial.min(self.next_follow))
    }

    fn on_wake(&mut self) {
        let now = Instant::now();
        if now < self.next_follow {
            return;
        }
        self.next_follow = now + FOLLOW_EVERY;
        if let Ok(locals) = local_addresses() {
            let fixed = Arc::clone(&self.fixed);
            self.listeners.follow(&mut self.swarm, &fixed.listen, &fixed.rules, &locals);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Send { peer, channel, bytes } => self.send(peer, channel, bytes),
            Command::Subscribe(topic) => {
                super::gossip::subscribe(self.swarm.behaviour_mut().gossip.inner(), &topic);
                self.state.topics.insert(topic);
            }
            Command::Unsubscribe(topic) => {
                super::gossip::unsubscribe(self.swarm.behaviour_mut().gossip.inner(), &topic);
                self.state.topics.remove(&topic);
            }
            Command::Publish { topic, bytes } => {
                super::gossip::publish(self.swarm.behaviour_mut().gossip.inner(), &topic, bytes);
            }
            Command::Verdict { id, verdict } => self.on_verdict(id, verdict),
            Command::Admit { peer, admission } => {
                self.state.admit(peer, admission);
                self.close_misadmitted(peer);
            }
            Command::Bridge { peer, open } => self.bridge(peer, open),
            Command::Dial { peer, addresses } => self.state.dial(peer, &addresses),
            Command::OpenChunks { peer, reply } => self.open_chunks(peer, reply),
            Command::Peers(reply) => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(self.connections.peers());
            }
            Command::Shutdown(reply) => drop(reply),
            #[cfg(test)]
            Command::Panic => panic!("as the test asked"),
        }
    }

    /// Tells the host, and the neighbourhood, of the addresses listened on.
    pub(super) fn tell_addresses(&mut self) {
        let locals = local_addresses().unwrap_or_default();
        let addresses = self.listeners.advertised(&self.fixed.rules, &locals);
        if let Some(discovery) = &self.discovery {
            discovery.announce(&addresses);
        }
        let own = *self.swarm.local_peer_id();
        let addresses = addresses
            .into_iter()
            .map(|address| address.with(libp2p::multiaddr::Protocol::P2p(own)).to_string())
            .collect();
        self.state.outbox.push_back(MeshEvent::Listening { addresses });
    }
}

/// The admission that a channel needs.
pub(super) fn needed(channel: Channel) -> Admission {
    match channel {
        Channel::Join => Admission::Stranger,
        Channel::Sync => Admission::Authority,
    }
}

/// A machine without multicast can still be told its peers: that is no reason not to start.
fn discover(fixed: &Fixed, own: PeerId) -> Option<Discovery> {
    let started = Discovery::start(Arc::clone(&fixed.rules), own);
    started
        .inspect_err(|error| {
            tracing::warn!(%error, "peers are not discovered; name them in network.peers");
        })
        .ok()
}

async fn next_found(discovery: Option<&Discovery>) -> Found {
    match discovery {
        Some(discovery) => discovery.next().await,
        None => std::future::pending().await,
    }
}
