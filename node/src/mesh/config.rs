//! What the mesh is configured with, and why it may not start.

use std::io;
use std::time::Duration;

use libp2p::Multiaddr;

use super::rules::NetworkRules;

/// The port that a node listens on unless told otherwise: TCP, and UDP for QUIC.
pub const DEFAULT_PORT: u16 = 7764;

/// Configuration of the mesh.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// Multiaddrs to listen on, such as `/ip4/0.0.0.0/tcp/7764`. An unspecified address stands for
    /// every address that [`Self::rules`] allow.
    pub listen: Vec<String>,
    /// Multiaddrs of peers to stay connected with, with or without `/p2p/…` at the end; names
    /// (`/dns/…`) are resolved at each attempt.
    pub peers: Vec<String>,
    /// Which interfaces and networks may be used.
    pub rules: NetworkRules,
    /// Whether peers are looked for, and this node announced, by multicast DNS.
    pub mdns: bool,
    /// Most established connections.
    pub connections_max: usize,
    /// Most established connections with strangers; part of [`Self::connections_max`].
    pub strangers_max: usize,
    /// Established connections from which on discovered peers are no longer dialled.
    pub connections_wanted: usize,
    /// Resident bytes of this process above which no new connection is accepted.
    pub memory_bytes_max: usize,
    /// How often gossip tends its mesh.
    pub gossip_heartbeat: Duration,
    /// How often an admitted peer is pinged; a ping unanswered for 20 s closes the connection.
    pub ping_interval: Duration,
    /// First pause before dialling again; doubles up to five minutes.
    pub redial_pause: Duration,
    /// How long a connection with a stranger may stay idle, and how long it is safe from being
    /// closed in favour of another.
    pub stranger_idle: Duration,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            listen: vec![
                format!("/ip4/0.0.0.0/tcp/{DEFAULT_PORT}"),
                format!("/ip4/0.0.0.0/udp/{DEFAULT_PORT}/quic-v1"),
                format!("/ip6/::/tcp/{DEFAULT_PORT}"),
                format!("/ip6/::/udp/{DEFAULT_PORT}/quic-v1"),
            ],
            peers: Vec::new(),
            rules: NetworkRules::default(),
            mdns: true,
            connections_max: 64,
            strangers_max: 16,
            connections_wanted: 12,
            memory_bytes_max: 512 * 1024 * 1024,
            gossip_heartbeat: Duration::from_secs(1),
            ping_interval: Duration::from_secs(60),
            redial_pause: Duration::from_millis(500),
            stranger_idle: Duration::from_secs(120),
        }
    }
}

/// Why the mesh could not start.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// A configured address is no multiaddr.
    #[error("{text:?} is not an address; write it like /ip4/10.1.2.3/tcp/7764")]
    Address {
        /// What was configured.
        text: String,
        /// Why it does not parse.
        source: libp2p::multiaddr::Error,
    },
    /// An address to listen on is not covered by the rules.
    #[error(
        "{address} is not covered by network.interfaces and network.allow; \
         listen on an address that is, or widen them"
    )]
    NotAllowed {
        /// The address.
        address: String,
    },
    /// Another program, or another node, has the port.
    #[error(
        "{address} is in use already; stop the other program (ss -lntup shows it) \
         or set another port in network.listen"
    )]
    InUse {
        /// The address.
        address: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Listening failed for another reason.
    #[error("cannot listen on {address}; check that this machine has the address")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The machine's own addresses could not be read.
    #[error("cannot list this machine's network addresses")]
    Interfaces(#[source] io::Error),
    /// A part of the mesh could not be set up.
    #[error("cannot set up {part}: {reason}")]
    Setup {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

/// Parses configured addresses.
pub(super) fn parse_addresses(texts: &[String]) -> Result<Vec<Multiaddr>, MeshError> {
    texts
        .iter()
        .map(|text| {
            text.parse().map_err(|source| MeshError::Address { text: text.clone(), source })
        })
        .collect()
}
