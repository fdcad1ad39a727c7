//! Turns the name an address begins with into IP addresses, by the system's resolver.

use std::io;
use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Addresses taken from one answer.
const ANSWERS_MAX: usize = 8;

/// Whether an address begins with a name.
pub(super) fn is_named(address: &Multiaddr) -> bool {
    name_of(address).is_some()
}

/// Which IP addresses of a name will do.
type Fits = fn(&IpAddr) -> bool;

fn name_of(address: &Multiaddr) -> Option<(String, Fits)> {
    let first = address.iter().next()?;
    if let Protocol::Dns(name) = first {
        Some((name.into_owned(), |_| true))
    } else if let Protocol::Dns4(name) = first {
        Some((name.into_owned(), IpAddr::is_ipv4))
    } else if let Protocol::Dns6(name) = first {
        Some((name.into_owned(), IpAddr::is_ipv6))
    } else {
        None
    }
}

/// The addresses that a named address stands for; an address without a name stands for itself.
pub(super) async fn resolve(address: &Multiaddr) -> io::Result<Vec<Multiaddr>> {
    let Some((name, fits)) = name_of(address) else {
        return Ok(vec![address.clone()]);
    };
    let answers = tokio::net::lookup_host((name, 0)).await?;
    Ok(answers
        .map(|answer| answer.ip())
        .filter(fits)
        .take(ANSWERS_MAX)
        .map(|ip| std::iter::once(ip.into()).chain(address.iter().skip(1)).collect())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_becomes_addresses_and_keeps_the_rest() {
        let named: Multiaddr = "/dns4/localhost/tcp/7440".parse().unwrap();
        let expected: Multiaddr = "/ip4/127.0.0.1/tcp/7440".parse().unwrap();
        assert!(is_named(&named) && !is_named(&expected));
        assert!(resolve(&named).await.unwrap().contains(&expected));
        assert_eq!(resolve(&expected).await.unwrap(), [expected]);
    }
}
