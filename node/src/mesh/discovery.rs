//! Finds peers of the same network segment by multicast DNS, and lets itself be found.
//!
//! It speaks on allowed interfaces only, announces only addresses that the rules allow, and
//! believes only addresses on a network that an allowed interface is on: an announcement cannot
//! make this node dial anywhere else. Whoever is found is a stranger until the core says more.

use std::net::IpAddr;
use std::sync::Arc;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use mdns_sd::{
    IfKind, IfPredicate, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo,
};

use super::config::MeshError;
use super::rules::{LocalAddress, NetworkRules, local_addresses};

/// The service type (RFC 6763); the port is TCP's, QUIC's is in the property `quic`.
const SERVICE: &str = "_daymark._tcp.local.";
/// Property: the peer id, as text.
const PEER: &str = "peer";
/// Property: the UDP port of QUIC, if it is listened on.
const QUIC: &str = "quic";
/// Addresses believed of one announcement.
const ADDRESSES_MAX: usize = 8;

/// A peer that announced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) peer: PeerId,
    pub(super) addresses: Vec<Multiaddr>,
}

/// The announcing and looking.
pub(super) struct Discovery {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    rules: Arc<NetworkRules>,
    own: PeerId,
}

impl Discovery {
    /// Starts to look; announces nothing yet.
    pub(super) fn start(rules: Arc<NetworkRules>, own: PeerId) -> Result<Self, MeshError> {
        let setup =
            |error: mdns_sd::Error| MeshError::Setup { part: "mDNS", reason: error.to_string() };
        let daemon = ServiceDaemon::new().map_err(setup)?;
        let allowed = Arc::clone(&rules);
        let may_use = IfPredicate::new(move |interface| {
            !interface.is_loopback()
                && allowed.allows_interface(&interface.name)
                && allowed.allows_remote(interface.ip())
        });
        daemon.disable_interface(IfKind::All).map_err(setup)?;
        daemon.enable_interface(IfKind::Predicate(may_use)).map_err(setup)?;
        let events = daemon.browse(SERVICE).map_err(setup)?;
        Ok(Self { daemon, events, rules, own })
    }

    /// Announces these listen addresses, in place of those announced before.
    pub(super) fn announce(&self, addresses: &[Multiaddr]) {
        let listening: Vec<(IpAddr, Port)> = addresses.iter().filter_map(endpoint).collect();
        let tcp = listening.iter().find_map(|(_, port)| port.tcp());
        let quic = listening.iter().find_map(|(_, port)| port.quic());
        let ips: Vec<IpAddr> = listening.iter().map(|(ip, _)| *ip).collect();
        let mut properties = vec![(PEER.to_owned(), self.own.to_string())];
        properties.extend(quic.map(|port| (QUIC.to_owned(), port.to_string())));
        let name = self.own.to_string();
        let host = format!("{name}.local.");
        let announced =
            ServiceInfo::new(SERVICE, &name, &host, &ips[..], tcp.unwrap_or(0), &properties[..])
                .and_then(|service| self.daemon.register(service));
        if let Err(error) = announced {
            tracing::warn!(%error, "cannot announce this node by mDNS");
        }
    }

    /// Waits for a peer that may be dialled.
    pub(super) async fn next(&self) -> Found {
        loop {
            match self.events.recv_async().await {
                Ok(ServiceEvent::ServiceResolved(service)) => {
                    let locals = local_addresses().unwrap_or_default();
                    if let Some(found) = self.believe(&service, &locals) {
                        return found;
                    }
                }
                Ok(_) => {}
                // The daemon is gone: nothing more will be found.
                Err(_) => std::future::pending().await,
            }
        }
    }

    fn believe(&self, service: &ResolvedService, locals: &[LocalAddress]) -> Option<Found> {
        let peer: PeerId = service.get_property_val_str(PEER)?.parse().ok()?;
        if peer == self.own {
            return None;
        }
        let quic: Option<u16> =
            service.get_property_val_str(QUIC).and_then(|port| port.parse().ok());
        let mut ips: Vec<IpAddr> =
            service.get_addresses().iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
        ips.sort();
        ips.retain(|ip| may_believe(*ip, &self.rules, locals));
        ips.truncate(ADDRESSES_MAX / 2);
        let mut addresses = Vec::new();
        for ip in ips {
            let base = Multiaddr::empty().with(ip.into());
            if service.get_port() != 0 {
                addresses.push(base.clone().with(Protocol::Tcp(service.get_port())));
            }
            if let Some(port) = quic {
                addresses.push(base.with(Protocol::Udp(port)).with(Protocol::QuicV1));
            }
        }
        addresses.iter_mut().for_each(|address| address.push(Protocol::P2p(peer)));
        (!addresses.is_empty()).then_some(Found { peer, addresses })
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        // It says goodbye in a thread of its own; nothing depends on that.
        let _ = self.daemon.shutdown();
    }
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery").field("own", &self.own).finish_non_exhaustive()
    }
}

/// Whether an announced address is on a network of an allowed interface. Link-local IPv6 is not
/// believed: it cannot be dialled without naming an interface.
fn may_believe(ip: IpAddr, rules: &NetworkRules, locals: &[LocalAddress]) -> bool {
    let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !link_local
        && rules.allows_remote(ip)
        && locals
            .iter()
            .any(|local| local.net.contains(&ip) && rules.allows_local(local.net.addr(), locals))
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Port {
    Tcp(u16),
    Quic(u16),
}

impl Port {
    fn tcp(self) -> Option<u16> {
        match self {
            Self::Tcp(port) => Some(port),
            Self::Quic(_) => None,
        }
    }

    fn quic(self) -> Option<u16> {
        match self {
            Self::Quic(port) => Some(port),
            Self::Tcp(_) => None,
        }
    }
}

pub(crate) fn endpoint(address: &Multiaddr) -> Option<(IpAddr, Port)> {
    let ip = super::rules::ip_of(address)?;
    let second = address.iter().nth(1)?;
    if let Protocol::Tcp(port) = second {
        Some((ip, Port::Tcp(port)))
    } else if let Protocol::Udp(port) = second {
        Some((ip, Port::Quic(port)))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_m7_only_addresses_of_an_allowed_network_are_believed() {
        let locals: Vec<LocalAddress> = [("eth0", "10.1.2.3/16"), ("wan0", "192.0.2.7/24")]
            .map(|(interface, net)| LocalAddress {
                interface: interface.into(),
                net: net.parse().unwrap(),
            })
            .to_vec();
        let believe =
            |ip: &str, rules: &NetworkRules| may_believe(ip.parse().unwrap(), rules, &locals);
        let open = NetworkRules::default();
        assert!(believe("10.1.77.1", &open));
        assert!(believe("192.0.2.9", &open));
        assert!(!believe("203.0.113.5", &open), "not on any network of this machine");
        assert!(!believe("fe80::1", &open));
        let eth = NetworkRules { interfaces: vec!["eth0".into()], allow: Vec::new() };
        assert!(believe("10.1.77.1", &eth));
        assert!(!believe("192.0.2.9", &eth));
        let net =
            NetworkRules { interfaces: Vec::new(), allow: vec!["192.0.2.0/24".parse().unwrap()] };
        assert!(!believe("10.1.77.1", &net));
        assert!(believe("192.0.2.9", &net));
    }
}
