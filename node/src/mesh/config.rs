//! What the mesh is configured with, and why it may not start.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::rules::NetworkRules;

/// The port that a node listens on unless told otherwise: TCP, and UDP for QUIC.
pub const DEFAULT_PORT: u16 = 7440;

/// Configuration of the mesh.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// Where to listen: `IP:PORT` for TCP and QUIC, or a multiaddr such as
    /// `/ip4/0.0.0.0/tcp/7440`. An unspecified IP stands for every address that [`Self::rules`]
    /// allow. None: dial only.
    pub listen: Vec<String>,
    /// Peers to stay connected with: `HOST:PORT`, or a multiaddr with or without `/p2p/…` at the
    /// end. Names are resolved at each attempt.
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
            listen: vec![format!("0.0.0.0:{DEFAULT_PORT}"), format!("[::]:{DEFAULT_PORT}")],
            peers: Vec::new(),
            rules: NetworkRules::default(),
            mdns: true,
            connections_max: 64,
            strangers_max: 16,
            connections_wanted: 12,
            // Below `MemoryHigh` of the systemd unit, which would slow the agent down first.
            memory_bytes_max: 384 * 1024 * 1024,
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
    /// A configured address is none.
    #[error("{text:?} is not an address; write it like 10.1.2.3:7440 or /ip4/10.1.2.3/tcp/7440")]
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

/// Parses an address: `HOST:PORT`, which stands for TCP and QUIC, or a multiaddr.
pub(crate) fn parse(text: &str) -> Result<Vec<Multiaddr>, MeshError> {
    let Some((base, port)) = split_port(text) else {
        // An empty text is an empty multiaddr, which leads nowhere.
        let parsed = if text.is_empty() {
            Err(libp2p::multiaddr::Error::InvalidMultiaddr)
        } else {
            text.parse()
        };
        let address =
            parsed.map_err(|source| MeshError::Address { text: text.to_owned(), source })?;
        return Ok(vec![address]);
    };
    let base = Multiaddr::empty().with(base);
    let tcp = base.clone().with(Protocol::Tcp(port));
    Ok(vec![tcp, base.with(Protocol::Udp(port)).with(Protocol::QuicV1)])
}

fn split_port(text: &str) -> Option<(Protocol<'_>, u16)> {
    if text.starts_with('/') {
        return None;
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some((socket.ip().into(), socket.port()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let is_name = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_name.then_some((Protocol::Dns(host.into()), port.parse().ok()?))
}

/// The addresses to listen on.
pub(super) fn listen_addresses(texts: &[String]) -> Result<Vec<Multiaddr>, MeshError> {
    Ok(peer_addresses(texts)?.into_iter().flatten().collect())
}

/// The addresses of each configured peer.
pub(super) fn peer_addresses(texts: &[String]) -> Result<Vec<Vec<Multiaddr>>, MeshError> {
    texts.iter().map(|text| parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        parse(text).unwrap().iter().map(Multiaddr::to_string).collect()
    }

    #[test]
    fn host_and_port_stand_for_both_transports() {
        let both = ["/ip4/10.1.2.3/tcp/7440", "/ip4/10.1.2.3/udp/7440/quic-v1"];
        assert_eq!(parsed("10.1.2.3:7440"), both);
        assert_eq!(parsed("[fd00::1]:1")[0], "/ip6/fd00::1/tcp/1");
        assert_eq!(parsed("depot.example:7440")[0], "/dns/depot.example/tcp/7440");
        assert_eq!(parsed(both[1]), both[1..]);
    }

    #[test]
    fn what_is_no_address_is_named() {
        for text in ["", "10.1.2.3", "10.1.2.3:99999", "a b:1", "/ip4/10.1.2.3/tpc/1"] {
            let refused = parse(text).unwrap_err().to_string();
            assert!(refused.contains(&format!("{text:?}")), "{refused}");
        }
    }
}
