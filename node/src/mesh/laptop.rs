//! A person's laptop: one connection with one node, under a peer key made for one command, for the
//! join exchange and the control channel. It listens nowhere, serves nothing and joins no mesh.
//!
//! It carries messages and opens streams. Whom to believe, and what to show, is its host's matter.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use daymark_core::effect::Channel;
use daymark_protocol::codec::DecodeError;
use daymark_protocol::id::KeyId;
use daymark_protocol::wire::JoinMessage;
use futures::StreamExt as _;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{self, ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, ping};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::config::{self, DEFAULT_PORT, MeshError};
use super::counting::Counters;
use super::discovery::Discovery;
use super::event::PeerStream;
use super::identity;
use super::lane::{self, Arrived};
use super::resolve;
use super::rules::NetworkRules;
use super::streams::{OpenError, OpenReply, Streams};
use super::swarm::{CONTROL_PROTOCOL, IDENTIFY_PROTOCOL, JOIN_PROTOCOL, PING_TIMEOUT, transport};

/// Addresses that are tried at once.
const ADDRESSES_MAX: usize = 16;
/// How long a connection may take to come about, all addresses together.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// How long an answer in the join exchange may take: strangers are slowed down.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How often a stream is tried: admission closes the connection and lets the next one through.
const OPEN_TRIES: u32 = 5;
/// Pause before the next try; longer each time.
const OPEN_PAUSE: Duration = Duration::from_millis(150);
/// Messages that wait: a node says three at most before it waits for an answer.
const HEARD_MAX: usize = 16;

/// Why a node could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum LaptopError {
    /// An address is none.
    #[error(transparent)]
    Address(#[from] MeshError),
    /// Nobody answered.
    #[error("no node answers at {tried}: {why}")]
    Unreachable {
        /// The addresses.
        tried: String,
        /// What became of the last.
        why: String,
    },
    /// Somebody else answered.
    #[error("who answers at {address} is peer {met}, not the node that was asked for")]
    Another {
        /// The address.
        address: String,
        /// Who it is.
        met: String,
    },
    /// The node closed the connection, or did not answer in time.
    #[error("the node broke off the join exchange")]
    BrokenOff,
    /// The node sent what is no message.
    #[error("the node's answer cannot be read; is it of another version?")]
    Garbled(#[from] DecodeError),
    /// The node does not let this laptop in, or no longer.
    #[error("the node does not let this laptop in: {0}")]
    NotLetIn(#[source] OpenError),
}

/// Who was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The node's key id, proven by the connection.
    pub host: KeyId,
    /// Its peer id, as text.
    pub peer_id: String,
    /// Its address, ending in `/p2p/…`.
    pub address: String,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    join: Streams,
    control: Streams,
}

enum Command {
    Dial { addresses: Vec<Multiaddr>, host: Option<KeyId>, reply: oneshot::Sender<Dialled> },
    Say(Vec<u8>),
    OpenControl(OpenReply),
    HangUp,
}

type Dialled = Result<Met, LaptopError>;

/// The laptop's end; clones share the connection, which closes with the last.
#[derive(Clone, Debug)]
pub struct Laptop {
    commands: mpsc::Sender<Command>,
    heard: Arc<Mutex<mpsc::Receiver<Vec<u8>>>>,
    own: KeyId,
    met: Arc<std::sync::Mutex<Option<Met>>>,
}

impl Laptop {
    /// Starts one; call it within a Tokio runtime. `seed` is 32 bytes drawn for this one use.
    ///
    /// # Errors
    /// If a part of the network stack cannot be set up.
    pub fn start(seed: [u8; 32]) -> Result<Self, LaptopError> {
        let keypair = identity::keypair(seed);
        let peer = keypair.public().to_peer_id();
        let own = identity::key_id(&peer).expect("the key pair is Ed25519");
        let transport = transport(&keypair, &Arc::new(Counters::default()))?;
        let identify = identify::Config::new(IDENTIFY_PROTOCOL.to_owned(), keypair.public())
            .with_agent_version(String::new())
            .with_hide_listen_addrs(true);
        let behaviour = Behaviour {
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping::Config::new().with_timeout(PING_TIMEOUT)),
            join: Streams::new(JOIN_PROTOCOL, true),
            control: Streams::new(CONTROL_PROTOCOL, true),
        };
        let config = swarm::Config::with_tokio_executor();
        let swarm = Swarm::new(transport, behaviour, peer, config);
        let (commands, asked) = mpsc::channel(8);
        let (told, heard) = mpsc::channel(HEARD_MAX);
        tokio::spawn(Line::new(swarm, told).run(asked));
        Ok(Self { commands, heard: Arc::new(Mutex::new(heard)), own, met: Arc::default() })
    }

    /// The key id of the peer key that was made for this use.
    pub fn key(&self) -> KeyId {
        self.own
    }

    /// Connects with a node: the one with this key id, or whoever answers. `addresses` are
    /// `HOST:PORT`, an IP address alone, or multiaddrs; they are tried together.
    ///
    /// # Errors
    /// If nobody answers, or somebody else.
    pub async fn connect(
        &self,
        addresses: &[String],
        host: Option<KeyId>,
    ) -> Result<Met, LaptopError> {
        let mut dialled = Vec::new();
        for address in addresses {
            dialled.extend(addresses_of(address).await?);
        }
        dialled.truncate(ADDRESSES_MAX);
        // What was left over of the connection before.
        while self.heard.lock().await.try_recv().is_ok() {}
        let (reply, met) = oneshot::channel();
        self.command(Command::Dial { addresses: dialled, host, reply }).await;
        let met = tokio::time::timeout(CONNECT_WITHIN, met).await;
        let gone = |why: &str| LaptopError::Unreachable {
            tried: addresses.join(", "),
            why: why.to_owned(),
        };
        let met = met.map_err(|_| gone("it did not answer in time"))?;
        let met = met.map_err(|_| gone("the connection was given up"))??;
        *self.met.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(met.clone());
        Ok(met)
    }

    /// Says something in the join exchange.
    pub async fn say(&self, message: &JoinMessage) {
        self.command(Command::Say(message.encode())).await;
    }

    /// Hears what the node says next in the join exchange.
    ///
    /// # Errors
    /// If it says nothing for long, breaks off, or says what is no message.
    pub async fn hear(&self) -> Result<JoinMessage, LaptopError> {
        let mut heard = self.heard.lock().await;
        let bytes = tokio::time::timeout(ANSWER_WITHIN, heard.recv()).await;
        let bytes = bytes.ok().flatten().filter(|bytes| !bytes.is_empty());
        Ok(JoinMessage::decode(&bytes.ok_or(LaptopError::BrokenOff)?)?)
    }

    /// Opens a stream for one request of the control API, connecting again if the node closed the
    /// connection to let the next one through.
    ///
    /// # Errors
    /// If the node cannot be reached any more, or does not let this laptop in.
    pub async fn open_control(&self) -> Result<PeerStream, LaptopError> {
        let mut refused = OpenError::NotConnected;
        for attempt in 0..OPEN_TRIES {
            if attempt > 0 {
                self.command(Command::HangUp).await;
                tokio::time::sleep(OPEN_PAUSE * attempt).await;
                self.reconnect().await?;
            }
            let (reply, opened) = oneshot::channel();
            self.command(Command::OpenControl(reply)).await;
            match opened.await.unwrap_or(Err(OpenError::NotConnected)) {
                Ok(stream) => return Ok(PeerStream::new(stream, None)),
                Err(error) => refused = error,
            }
        }
        Err(LaptopError::NotLetIn(refused))
    }

    /// Connects anew with the node that was met.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn reconnect(&self) -> Result<(), LaptopError> {
        let met = self.met.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let met = met.ok_or(LaptopError::BrokenOff)?;
        self.connect(&[met.address], Some(met.host)).await.map(drop)
    }

    async fn command(&self, command: Command) {
        // An error means that the task failed: whoever waits for an answer sees it.
        let _ = self.commands.send(command).await;
    }

    /// Looks for a node of this key id by multicast DNS.
    ///
    /// # Errors
    /// If this machine has no multicast.
    pub async fn find(&self, host: &KeyId, within: Duration) -> Result<Vec<String>, LaptopError> {
        let own = identity::keypair([0; 32]).public().to_peer_id();
        let discovery = Discovery::start(Arc::new(NetworkRules::default()), own)?;
        let looked = tokio::time::timeout(within, async {
            loop {
                let found = discovery.next().await;
                if identity::key_id(&found.peer) == Some(*host) {
                    return found.addresses.iter().map(Multiaddr::to_string).collect();
                }
            }
        });
        Ok(looked.await.unwrap_or_default())
    }
}

/// The addresses that a text stands for.
async fn addresses_of(text: &str) -> Result<Vec<Multiaddr>, LaptopError> {
    let with_port = match text.parse::<std::net::IpAddr>() {
        Ok(ip) => std::net::SocketAddr::new(ip, DEFAULT_PORT).to_string(),
        Err(_) => text.to_owned(),
    };
    let mut addresses = Vec::new();
    for address in config::parse(&with_port)? {
        let resolved = resolve::resolve(&address).await;
        let failed = |error: io::Error| LaptopError::Unreachable {
            tried: text.to_owned(),
            why: error.to_string(),
        };
        addresses.extend(resolved.map_err(failed)?);
    }
    Ok(addresses)
}

/// Who is being dialled, until somebody answers or nobody is left.
struct Dialling {
    host: Option<KeyId>,
    left: BTreeMap<ConnectionId, Multiaddr>,
    tried: Vec<String>,
    reply: oneshot::Sender<Dialled>,
}

/// The connection, and the task that runs it.
struct Line {
    swarm: Swarm<Behaviour>,
    dialling: Option<Dialling>,
    connected: Option<(ConnectionId, PeerId)>,
    sender: Option<lane::Sender>,
    told: mpsc::Sender<Vec<u8>>,
    arrived: (mpsc::Sender<Arrived>, mpsc::Receiver<Arrived>),
}

impl Line {
    fn new(swarm: Swarm<Behaviour>, told: mpsc::Sender<Vec<u8>>) -> Self {
        let arrived = mpsc::channel(HEARD_MAX);
        Self { swarm, dialling: None, connected: None, sender: None, told, arrived }
    }

    async fn run(mut self, mut asked: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                command = asked.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(arrived) = self.arrived.1.recv() => {
                    // One that nobody waits for is one too many: the node repeats itself.
                    if self.connected.is_some_and(|(id, _)| id == arrived.connection) {
                        let _ = self.told.try_send(arrived.bytes);
                    }
                }
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial { addresses, host, reply } => self.dial(&addresses, host, reply),
            Command::Say(bytes) => self.say(bytes),
            Command::OpenControl(reply) => match self.connected {
                Some((id, peer)) => self.swarm.behaviour_mut().control.open(peer, id, reply),
                None => {
                    let _ = reply.send(Err(OpenError::NotConnected));
                }
            },
            Command::HangUp => self.hang_up(),
        }
    }

    fn hang_up(&mut self) {
        self.sender = None;
        if let Some((id, _)) = self.connected.take() {
            self.swarm.close_connection(id);
        }
    }

    fn dial(
        &mut self,
        addresses: &[Multiaddr],
        host: Option<KeyId>,
        reply: oneshot::Sender<Dialled>,
    ) {
        self.hang_up();
        let tried = addresses.iter().map(Multiaddr::to_string).collect();
        let mut left = BTreeMap::new();
        for address in addresses {
            let options = DialOpts::unknown_peer_id().address(address.clone()).build();
            let id = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => drop(left.insert(id, address.clone())),
                Err(error) => tracing::debug!(%address, %error, "cannot dial"),
            }
        }
        self.dialling = Some(Dialling { host, left, tried, reply });
        self.give_up("no address can be dialled".to_owned());
    }

    /// Answers whoever dialled once no address is left.
    fn give_up(&mut self, why: String) {
        if self.dialling.as_ref().is_some_and(|dialling| dialling.left.is_empty())
            && let Some(Dialling { tried, reply, .. }) = self.dialling.take()
        {
            let tried = tried.join(", ");
            let _ = reply.send(Err(LaptopError::Unreachable { tried, why }));
        }
    }

    fn say(&mut self, bytes: Vec<u8>) {
        let Some((id, peer)) = self.connected else { return };
        if self.sender.as_ref().is_none_or(lane::Sender::is_closed) {
            let (reply, opened) = oneshot::channel();
            self.swarm.behaviour_mut().join.open(peer, id, reply);
            self.sender = Some(lane::Sender::start(opened));
        }
        if let Some(sender) = &self.sender {
            sender.send(bytes);
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events; the others need no answer"
    )]
    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. }
                if self.connected.is_some_and(|(id, _)| id == connection_id) =>
            {
                self.connected = None;
                self.sender = None;
                // Whoever listens hears that it ended.
                let _ = self.told.try_send(Vec::new());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(dialling) = &mut self.dialling {
                    dialling.left.remove(&connection_id);
                }
                self.give_up(error.to_string());
            }
            SwarmEvent::Behaviour(BehaviourEvent::Join(incoming)) => {
                let arrived = self.arrived.0.clone();
                let (stream, id) = (incoming.stream, incoming.connection);
                tokio::spawn(lane::read_all(stream, id, Channel::Join, None, arrived));
            }
            // A stream that a node opens for requests is dropped: a laptop answers none.
            _ => {}
        }
    }

    fn established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(dialling) = self.dialling.take() else {
            self.swarm.close_connection(id);
            return;
        };
        let Dialling { host, mut left, tried, reply } = dialling;
        left.remove(&id);
        let address = endpoint.get_remote_address();
        let plain: Multiaddr =
            address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
        let met = identity::key_id(&peer);
        match met {
            Some(key) if host.is_none_or(|host| host == key) => {
                self.connected = Some((id, peer));
                self.sender = None;
                let address = plain.with(Protocol::P2p(peer)).to_string();
                let met = Met { host: key, peer_id: peer.to_string(), address };
                let _ = reply.send(Ok(met));
            }
            Some(_) | None if left.is_empty() => {
                self.swarm.close_connection(id);
                let (address, met) = (plain.to_string(), peer.to_string());
                let _ = reply.send(Err(LaptopError::Another { address, met }));
            }
            Some(_) | None => {
                self.swarm.close_connection(id);
                self.dialling = Some(Dialling { host, left, tried, reply });
            }
        }
    }
}
