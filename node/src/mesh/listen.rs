//! Listening: at the configured addresses, as far as the rules allow.
//!
//! With rules, an unspecified address (`0.0.0.0`, `::`) stands for the allowed addresses that the
//! machine has, looked up again now and then, since interfaces come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm};

use super::config::MeshError;
use super::rules::{LocalAddress, NetworkRules, ip_of};
use super::swarm::Behaviour;

/// What is listened on.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    wanted: BTreeMap<Multiaddr, ListenerId>,
    bound: BTreeSet<Multiaddr>,
}

impl Listeners {
    /// Starts to listen.
    pub(super) fn start(
        swarm: &mut Swarm<Behaviour>,
        configured: &[Multiaddr],
        rules: &NetworkRules,
        locals: &[LocalAddress],
    ) -> Result<Self, MeshError> {
        for address in configured {
            let fixed = ip_of(address).filter(|ip| !ip.is_unspecified());
            if fixed.is_some_and(|ip| !rules.allows_local(ip, locals)) {
                return Err(MeshError::NotAllowed { address: address.to_string() });
            }
        }
        let addresses = expand(configured, rules, locals);
        // All before the first is taken: a probe of `::` covers `0.0.0.0` too.
        let mut usable = Vec::new();
        for address in addresses {
            match probe(&address) {
                Ok(()) => usable.push(address),
                Err(error) if is_missing_ipv6(&address, &error) => {
                    tracing::info!(%address, "not listening: this machine has no IPv6");
                }
                Err(source) => return Err(listen_error(&address, source)),
            }
        }
        let mut listeners = Self::default();
        for address in usable {
            listeners.add(swarm, address)?;
        }
        Ok(listeners)
    }

    fn add(&mut self, swarm: &mut Swarm<Behaviour>, address: Multiaddr) -> Result<(), MeshError> {
        let listener = swarm.listen_on(address.clone()).map_err(|error| {
            let source = match error {
                TransportError::Other(source) => source,
                TransportError::MultiaddrNotSupported(_) => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it is neither …/tcp/PORT nor …/udp/PORT/quic-v1",
                ),
            };
            listen_error(&address, source)
        })?;
        self.wanted.insert(address, listener);
        Ok(())
    }

    /// Follows interfaces that came and went, and listens again where a listener ended.
    pub(super) fn follow(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        configured: &[Multiaddr],
        rules: &NetworkRules,
        locals: &[LocalAddress],
    ) {
        let wanted = expand(configured, rules, locals);
        let gone: Vec<Multiaddr> =
            self.wanted.keys().filter(|address| !wanted.contains(address)).cloned().collect();
        for address in gone {
            if let Some(listener) = self.wanted.remove(&address) {
                swarm.remove_listener(listener);
            }
        }
        for address in wanted {
            if !self.wanted.contains_key(&address)
                && let Err(error) = self.add(swarm, address)
            {
                tracing::debug!(%error, "still not listening");
            }
        }
    }

    /// A listener reports an address of its own.
    pub(super) fn bound(&mut self, address: Multiaddr) {
        self.bound.insert(address);
    }

    /// A listener lost an address.
    pub(super) fn unbound(&mut self, address: &Multiaddr) {
        self.bound.remove(address);
    }

    /// A listener ended.
    pub(super) fn closed(&mut self, listener: ListenerId) {
        self.wanted.retain(|_, wanted| *wanted != listener);
    }

    /// Addresses worth telling others: those the rules allow; loopback only if there is no other.
    pub(super) fn advertised(
        &self,
        rules: &NetworkRules,
        locals: &[LocalAddress],
    ) -> Vec<Multiaddr> {
        let usable = |address: &&Multiaddr| {
            ip_of(address).is_some_and(|ip| !is_link_local(&ip) && rules.allows_local(ip, locals))
        };
        let is_loopback = |address: &Multiaddr| ip_of(address).is_some_and(|ip| ip.is_loopback());
        let (loopback, others): (Vec<_>, Vec<_>) =
            self.bound.iter().filter(usable).cloned().partition(is_loopback);
        if others.is_empty() { loopback } else { others }
    }
}

/// The addresses to listen on.
fn expand(
    configured: &[Multiaddr],
    rules: &NetworkRules,
    locals: &[LocalAddress],
) -> BTreeSet<Multiaddr> {
    let mut addresses = BTreeSet::new();
    for address in configured {
        let Some(any) = ip_of(address).filter(|ip| ip.is_unspecified() && !rules.allow_all())
        else {
            addresses.insert(address.clone());
            continue;
        };
        let own = locals.iter().map(|local| local.net.addr()).filter(|ip| {
            ip.is_ipv4() == any.is_ipv4() && !is_link_local(ip) && rules.allows_local(*ip, locals)
        });
        addresses.extend(own.map(|ip| {
            std::iter::once(Protocol::from(ip)).chain(address.iter().skip(1)).collect::<Multiaddr>()
        }));
    }
    addresses
}

/// An IPv6 link-local address means nothing without its interface.
fn is_link_local(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Whether the port is free. libp2p shares ports between sockets of one user (`SO_REUSEPORT`), so
/// a second node would otherwise take half of the connections without a word.
fn probe(address: &Multiaddr) -> io::Result<()> {
    let Some(ip) = ip_of(address) else { return Ok(()) };
    let second = address.iter().nth(1);
    if let Some(Protocol::Tcp(port)) = second {
        TcpListener::bind(SocketAddr::new(ip, port)).map(drop)
    } else if let Some(Protocol::Udp(port)) = second {
        UdpSocket::bind(SocketAddr::new(ip, port)).map(drop)
    } else {
        Ok(())
    }
}

fn is_missing_ipv6(address: &Multiaddr, error: &io::Error) -> bool {
    let unspecified = ip_of(address).is_some_and(|ip| ip.is_ipv6() && ip.is_unspecified());
    let no_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    unspecified && (no_family || error.kind() == io::ErrorKind::AddrNotAvailable)
}

fn listen_error(address: &Multiaddr, source: io::Error) -> MeshError {
    let address = address.to_string();
    if source.kind() == io::ErrorKind::AddrInUse {
        MeshError::InUse { address, source }
    } else {
        MeshError::Listen { address, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_rules_an_unspecified_address_stands_for_the_allowed_ones() {
        let locals: Vec<LocalAddress> =
            [("lo", "127.0.0.1/8"), ("eth0", "10.1.2.3/16"), ("eth0", "fe80::1/64")]
                .map(|(interface, net)| LocalAddress {
                    interface: interface.into(),
                    net: net.parse().unwrap(),
                })
                .to_vec();
        let configured: Vec<Multiaddr> = ["/ip4/0.0.0.0/tcp/7440", "/ip6/::/udp/7440/quic-v1"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let eth = NetworkRules { interfaces: vec!["eth0".into()], allow: Vec::new() };
        let expected: BTreeSet<Multiaddr> = ["/ip4/10.1.2.3/tcp/7440".parse().unwrap()].into();
        assert_eq!(expand(&configured, &eth, &locals), expected);
        let unchanged = expand(&configured, &NetworkRules::default(), &locals);
        assert_eq!(unchanged, configured.into_iter().collect());
    }
}
