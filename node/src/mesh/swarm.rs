//! Puts the swarm together: transports, and which behaviours sit behind which gate.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::IdentityTransform;
use libp2p::identity::Keypair;
use libp2p::swarm::{self, NetworkBehaviour, StreamProtocol};
use libp2p::{
    PeerId, Swarm, connection_limits, identify, memory_connection_limits, ping, quic, tcp, tls,
    yamux,
};
use tokio::sync::mpsc;

use super::admissions::Admissions;
use super::config::{MeshConfig, MeshError};
use super::counting::{Counted, Counters};
use super::gate::{self, Gate};
use super::gossip::{self, Gossip};
use super::guard::{Guard, Room};
use super::streams::Streams;

/// Open to strangers, at the pace of `pace.rs`.
pub(super) const JOIN_PROTOCOL: StreamProtocol = StreamProtocol::new("/daymark/join/1");
/// For peers admitted to authority data.
pub(super) const SYNC_PROTOCOL: StreamProtocol = StreamProtocol::new("/daymark/sync/1");
/// For laptops that were let in: a request of the control API on each stream.
pub(super) const CONTROL_PROTOCOL: StreamProtocol = StreamProtocol::new("/daymark/control/1");
/// For members.
pub(super) const CHUNKS_PROTOCOL: StreamProtocol = StreamProtocol::new("/daymark/chunks/1");
/// What identify says of this node, to anyone: the protocol, no product and no version (RULES A1).
pub(super) const IDENTIFY_PROTOCOL: &str = "/daymark/1";

/// Time for making a connection, security and muxer included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A ping unanswered for so long ends the connection.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections that may be in the making, each way.
const PENDING_MAX: u32 = 32;
/// Streams whose protocol is being settled, in one connection.
const NEGOTIATING_MAX: usize = 16;
/// QUIC's own keep-alive; a third of the silence after which it gives up.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(20);
const QUIC_SILENCE_MS: u32 = 60_000;

/// Everything a connection may carry. Those that refuse connections come first, so that the
/// others never see a connection that does not come about.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) pending: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) guard: Guard,
    pub(super) identify: identify::Behaviour,
    pub(super) join: Streams,
    pub(super) ping: Gate<ping::Behaviour>,
    pub(super) control: Gate<Streams>,
    pub(super) sync: Gate<Streams>,
    pub(super) gossip: Gate<Gossip>,
    pub(super) chunks: Gate<Streams>,
}

/// A swarm that listens nowhere yet. What panics in a connection's task is told to `panics`.
pub(super) fn build(
    config: &MeshConfig,
    keypair: &Keypair,
    admissions: &Admissions,
    counters: &Arc<Counters>,
    panics: mpsc::Sender<String>,
) -> Result<Swarm<Behaviour>, MeshError> {
    let transport = transport(keypair, counters)?;
    let behaviour = behaviour(config, keypair, admissions)?;
    let executor = move |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let panics = panics.clone();
        tokio::spawn(async move {
            if let Err(panic) = std::panic::AssertUnwindSafe(task).catch_unwind().await {
                // One is enough to restart everything.
                let _ = panics.try_send(super::supervisor::panic_text(panic.as_ref()));
            }
        });
    };
    let swarm_config = swarm::Config::with_executor(executor)
        .with_idle_connection_timeout(config.stranger_idle)
        .with_max_negotiating_inbound_streams(NEGOTIATING_MAX);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), swarm_config))
}

pub(super) fn transport(
    keypair: &Keypair,
    counters: &Arc<Counters>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, MeshError> {
    let tls = tls::Config::new(keypair)
        .map_err(|error| MeshError::Setup { part: "TLS", reason: error.to_string() })?;
    let counted = Arc::clone(counters);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(tls)
        .multiplex(yamux::Config::default())
        .timeout(CONNECT_TIMEOUT)
        .map(move |(peer, muxer), _| {
            (peer, StreamMuxerBox::new(Counted::new(muxer, Arc::clone(&counted))))
        });
    let counted = Arc::clone(counters);
    let mut quic_config = quic::Config::new(keypair);
    quic_config.keep_alive_interval = QUIC_KEEP_ALIVE;
    quic_config.max_idle_timeout = QUIC_SILENCE_MS;
    quic_config.handshake_timeout = CONNECT_TIMEOUT;
    let quic = quic::tokio::Transport::new(quic_config).map(move |(peer, muxer), _| {
        (peer, StreamMuxerBox::new(Counted::new(muxer, Arc::clone(&counted))))
    });
    Ok(OrTransport::new(quic, tcp).map(|either, _| either.into_inner()).boxed())
}

fn behaviour(
    config: &MeshConfig,
    keypair: &Keypair,
    admissions: &Admissions,
) -> Result<Behaviour, MeshError> {
    let room = Room {
        total: config.connections_max,
        strangers: config.strangers_max,
        stranger_time: config.stranger_idle,
    };
    let pending = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MAX))
        .with_max_pending_outgoing(Some(PENDING_MAX));
    let identify = identify::Config::new(IDENTIFY_PROTOCOL.to_owned(), keypair.public())
        .with_agent_version(String::new())
        .with_hide_listen_addrs(true)
        .with_cache_size(0)
        // Nothing in it changes; the protocol has no way to say "never".
        .with_interval(Duration::from_secs(7 * 24 * 3600));
    let pings = ping::Config::new().with_interval(config.ping_interval).with_timeout(PING_TIMEOUT);
    let gossip = gossip::behaviour(config.gossip_heartbeat, IdentityTransform)?;
    Ok(Behaviour {
        pending: connection_limits::Behaviour::new(pending),
        memory: memory_connection_limits::Behaviour::with_max_bytes(config.memory_bytes_max),
        guard: Guard::new(Arc::new(config.rules.clone()), admissions.clone(), room),
        identify: identify::Behaviour::new(identify),
        join: Streams::new(JOIN_PROTOCOL, false),
        ping: Gate::new(ping::Behaviour::new(pings), gate::ADMITTED, admissions.clone()),
        control: Gate::new(
            Streams::new(CONTROL_PROTOCOL, true),
            gate::VISITORS,
            admissions.clone(),
        ),
        sync: Gate::new(Streams::new(SYNC_PROTOCOL, true), gate::AUTHORITY, admissions.clone()),
        gossip: Gate::new(gossip, gate::MEMBERS, admissions.clone()),
        chunks: Gate::new(Streams::new(CHUNKS_PROTOCOL, true), gate::MEMBERS, admissions.clone()),
    })
}
