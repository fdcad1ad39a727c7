//! Which node a command talks to: its control socket, or its place on the network.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// A node, as `--node` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeAt {
    /// The control socket of an agent on this machine.
    Socket(PathBuf),
    /// `HOST:PORT`, an IP address or a multiaddr.
    Address(String),
    /// A host's name, or a name of the network's.
    Name(String),
}

impl NodeAt {
    /// What a text means. A path is one that has a slash, or is there; a multiaddr begins with a
    /// protocol of the network.
    pub(crate) fn parse(text: &str) -> Self {
        let multiaddr = ["/ip4/", "/ip6/", "/dns/", "/dns4/", "/dns6/"];
        if multiaddr.iter().any(|start| text.starts_with(start)) {
            return Self::Address(text.to_owned());
        }
        let path = Path::new(text);
        let socket = path.extension().is_some_and(|end| end == "sock" || end == "socket");
        if text.contains('/') || socket || path.exists() {
            return Self::Socket(path.to_owned());
        }
        if text.parse::<IpAddr>().is_ok() || text.contains(':') {
            return Self::Address(text.to_owned());
        }
        Self::Name(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_addresses_and_names_are_told_apart() {
        let socket = |text: &str| NodeAt::Socket(text.into());
        for path in ["/run/daymark/control.sock", "./a", "here.sock", "/ip4"] {
            assert_eq!(NodeAt::parse(path), socket(path));
        }
        for address in ["10.0.0.7", "10.0.0.7:7440", "gw.example:7440", "::1", "[::1]:9"] {
            assert_eq!(NodeAt::parse(address), NodeAt::Address(address.into()));
        }
        let multiaddr = "/ip4/10.0.0.7/tcp/7440";
        assert_eq!(NodeAt::parse(multiaddr), NodeAt::Address(multiaddr.into()));
        for name in ["press-07", "press-07.example"] {
            assert_eq!(NodeAt::parse(name), NodeAt::Name(name.into()));
        }
    }
}
