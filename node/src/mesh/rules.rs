//! Which addresses the mesh may use: `network.interfaces` and `network.allow`.
//!
//! Both rules bind listening, dialling, discovery and the addresses that are told to others. They
//! are no firewall: what reaches an allowed address over another interface is the kernel's matter.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use ipnet::IpNet;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The rules; empty lists allow everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkRules {
    /// Names of the interfaces that may be used, as `ip link` shows them.
    pub interfaces: Vec<String>,
    /// Networks that own and other machines' addresses must lie in.
    pub allow: Vec<IpNet>,
}

/// One address of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalAddress {
    /// The interface's name.
    pub(super) interface: String,
    /// The address with the network it is on.
    pub(super) net: IpNet,
}

/// The addresses of this machine.
pub(super) fn local_addresses() -> io::Result<Vec<LocalAddress>> {
    let found = if_addrs::get_if_addrs()?;
    Ok(found
        .into_iter()
        .filter_map(|interface| {
            let prefix = match &interface.addr {
                if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                if_addrs::IfAddr::V6(v6) => v6.prefixlen,
            };
            let net = IpNet::new(interface.ip(), prefix).ok()?;
            Some(LocalAddress { interface: interface.name, net })
        })
        .collect())
}

impl NetworkRules {
    /// Whether there is nothing to check.
    pub fn allow_all(&self) -> bool {
        self.interfaces.is_empty() && self.allow.is_empty()
    }

    /// Whether another machine may have this address.
    pub fn allows_remote(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.allow.is_empty() || self.allow.iter().any(|net| net.contains(&ip))
    }

    /// Whether an interface of this name may be used.
    pub fn allows_interface(&self, name: &str) -> bool {
        self.interfaces.is_empty() || self.interfaces.iter().any(|allowed| allowed == name)
    }

    /// Whether this machine may use this address of its own.
    pub(super) fn allows_local(&self, ip: IpAddr, locals: &[LocalAddress]) -> bool {
        let ip = ip.to_canonical();
        let on_allowed_interface = self.interfaces.is_empty()
            || locals.iter().any(|local| {
                let same = local.net.addr() == ip
                    // All of 127.0.0.0/8 is this machine, though the interface lists one address.
                    || (ip.is_loopback() && local.net.contains(&ip));
                same && self.allows_interface(&local.interface)
            });
        on_allowed_interface && self.allows_remote(ip)
    }

    /// Whether this machine may dial this address: the address is allowed, and the kernel would
    /// send from an address that is allowed.
    pub(super) fn allows_dial(&self, ip: IpAddr, locals: &[LocalAddress]) -> bool {
        self.allows_remote(ip)
            && (self.interfaces.is_empty()
                || source_for(ip).is_some_and(|source| self.allows_local(source, locals)))
    }
}

/// The address that the kernel would send from to `ip`. Sends nothing.
fn source_for(ip: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The discard port: connecting a datagram socket only looks up the route.
    socket.connect((ip, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The IP address a multiaddr begins with.
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    let first = address.iter().next()?;
    if let Protocol::Ip4(ip) = first {
        Some(ip.into())
    } else if let Protocol::Ip6(ip) = first {
        Some(ip.into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locals() -> Vec<LocalAddress> {
        [("lo", "127.0.0.1/8"), ("eth0", "10.1.2.3/16"), ("wan0", "192.0.2.7/24")]
            .map(|(interface, net)| LocalAddress {
                interface: interface.into(),
                net: net.parse().unwrap(),
            })
            .to_vec()
    }

    fn rules(interfaces: &[&str], allow: &[&str]) -> NetworkRules {
        NetworkRules {
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_rules_allow_everything() {
        let open = rules(&[], &[]);
        assert!(open.allow_all());
        assert!(open.allows_local(ip("192.0.2.7"), &locals()));
        assert!(open.allows_dial(ip("203.0.113.1"), &locals()));
    }

    #[test]
    fn allow_binds_own_and_other_addresses() {
        let site = rules(&[], &["10.1.0.0/16", "fd00::/8"]);
        assert!(site.allows_local(ip("10.1.2.3"), &locals()));
        assert!(!site.allows_local(ip("192.0.2.7"), &locals()));
        assert!(!site.allows_local(ip("127.0.0.1"), &locals()));
        assert!(site.allows_remote(ip("10.1.200.1")));
        assert!(site.allows_remote(ip("fd12::1")));
        assert!(!site.allows_remote(ip("10.2.0.1")));
        assert!(!site.allows_dial(ip("192.0.2.1"), &locals()));
    }

    #[test]
    fn ipv4_mapped_addresses_cannot_slip_through() {
        let site = rules(&[], &["10.1.0.0/16"]);
        assert!(site.allows_remote(ip("::ffff:10.1.0.9")));
        assert!(!site.allows_remote(ip("::ffff:192.0.2.1")));
        assert!(!rules(&[], &["::/0"]).allows_remote(ip("::ffff:192.0.2.1")));
    }

    #[test]
    fn interfaces_bind_own_addresses() {
        let eth = rules(&["eth0"], &[]);
        assert!(eth.allows_local(ip("10.1.2.3"), &locals()));
        assert!(!eth.allows_local(ip("192.0.2.7"), &locals()));
        assert!(!eth.allows_local(ip("127.0.0.1"), &locals()));
        assert!(rules(&["lo"], &[]).allows_local(ip("127.0.0.9"), &locals()));
    }

    #[test]
    fn dialling_out_of_another_interface_is_refused() {
        // The kernel reaches 127.0.0.1 from 127.0.0.1, which is on `lo`.
        assert!(rules(&["lo"], &[]).allows_dial(ip("127.0.0.1"), &locals()));
        assert!(!rules(&["eth0"], &[]).allows_dial(ip("127.0.0.1"), &locals()));
    }
}
