//! Multicast DNS, where this machine has an interface for it.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use daymark_core::effect::Admission;
use daymark_node::mesh::{MeshConfig, NetworkRules};

use super::harness::{Node, config};

/// An interface whose multicast comes back to this machine.
fn multicast_interface() -> Option<(String, Ipv4Addr)> {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    if_addrs::get_if_addrs().ok()?.into_iter().find_map(|interface| {
        let if_addrs::IfAddr::V4(address) = &interface.addr else { return None };
        if interface.is_loopback() {
            return None;
        }
        let sender = UdpSocket::bind((address.ip, 0)).ok()?;
        let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        receiver.join_multicast_v4(&group, &address.ip).ok()?;
        receiver.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        sender.send_to(b"probe", (group, receiver.local_addr().ok()?.port())).ok()?;
        receiver.recv(&mut [0; 5]).ok()?;
        Some((interface.name.clone(), address.ip))
    })
}

#[tokio::test]
async fn q20_nodes_on_an_allowed_interface_find_each_other() {
    let Some((interface, ip)) = multicast_interface() else {
        println!("skipped: no interface of this machine returns multicast");
        return;
    };
    let config = |interface: &str| MeshConfig {
        listen: vec!["/ip4/0.0.0.0/tcp/0".to_owned()],
        rules: NetworkRules { interfaces: vec![interface.to_owned()], allow: Vec::new() },
        mdns: true,
        ..config()
    };
    let mut a = Node::start(1, config(&interface)).await;
    assert!(a.address.starts_with(&format!("/ip4/{ip}/tcp/")), "{}", a.address);
    // Looks and announces on another interface only, so nobody finds it.
    let hidden = Node::start(3, config("lo")).await;
    let mut b = Node::start(2, config(&interface)).await;
    a.until_connected(b.key(), Admission::Stranger).await;
    b.until_connected(a.key(), Admission::Stranger).await;
    assert_eq!(hidden.mesh.stats().connections, 0);
}
