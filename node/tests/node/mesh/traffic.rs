//! Messages, chunk streams, transports, limits and starting.

use std::net::TcpListener;

use daymark_core::effect::{Admission, Channel};
use daymark_node::mesh::{self, MeshConfig, MeshError, MeshEvent, NetworkRules};
use daymark_protocol::limits::MESSAGE_BYTES_MAX;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::harness::{Node, admit_both, config, config_with_peers, gossiping_pair, topic};

#[tokio::test]
async fn messages_arrive_in_order_and_up_to_the_limit() {
    let (mut a, b) = gossiping_pair().await;
    for number in 0..100_u8 {
        b.mesh.send(a.key(), Channel::Sync, vec![number; 1000]).await;
    }
    b.mesh.send(a.key(), Channel::Sync, vec![1; MESSAGE_BYTES_MAX + 1]).await;
    b.mesh.send(a.key(), Channel::Sync, vec![2; MESSAGE_BYTES_MAX]).await;
    for number in 0..100_u8 {
        assert_eq!(a.until_received(Channel::Sync).await, (b.key(), vec![number; 1000]));
    }
    assert_eq!(a.until_received(Channel::Sync).await.1, vec![2; MESSAGE_BYTES_MAX]);
    assert_eq!(b.mesh.stats().dropped_messages, 0);
}

#[tokio::test]
async fn gossip_carries_the_largest_message_once() {
    let (mut a, b) = gossiping_pair().await;
    b.mesh.publish(topic(), vec![1; MESSAGE_BYTES_MAX + 1]).await;
    for _ in 0..3 {
        b.mesh.publish(topic(), vec![2; MESSAGE_BYTES_MAX]).await;
    }
    b.mesh.publish(topic(), b"last".to_vec()).await;
    let mut sizes = Vec::new();
    loop {
        let message = a.until_gossip().await;
        if message == b"last" {
            break;
        }
        sizes.push(message.len());
    }
    sizes.retain(|size| *size > 1000);
    assert_eq!(sizes, [MESSAGE_BYTES_MAX]);
}

/// Forwarding waits for the verdict: in a chain a - b - c, what `b` rejects never reaches `c`.
#[tokio::test]
async fn gossip_is_forwarded_only_when_accepted() {
    use daymark_core::effect::Verdict;
    let mut b = Node::start(2, config()).await;
    let mut a = Node::start(1, config_with_peers(&[&b])).await;
    let mut c = Node::start(3, config_with_peers(&[&b])).await;
    for node in [&a, &b, &c] {
        node.mesh.subscribe(topic()).await;
    }
    admit_both(&a, &b, Admission::Member).await;
    admit_both(&c, &b, Admission::Member).await;
    a.until_connected(b.key(), Admission::Member).await;
    c.until_connected(b.key(), Admission::Member).await;
    super::harness::gossip_reaches(&a, &mut b).await;
    super::harness::gossip_reaches(&b, &mut c).await;

    a.mesh.publish(topic(), b"bad".to_vec()).await;
    a.mesh.publish(topic(), b"good".to_vec()).await;
    let mesh = b.mesh.clone();
    for _ in 0..2 {
        let (id, bytes) = b.until_unjudged(|bytes| bytes == b"bad" || bytes == b"good").await;
        let verdict = if bytes == b"bad" { Verdict::Reject } else { Verdict::Accept };
        mesh.verdict(id, verdict).await;
    }
    while c.until_gossip().await != b"good" {}
    let bad = format!("{:?}", b"bad");
    assert!(!c.saw(&bad), "{:#?}", c.log);
}

#[tokio::test]
async fn chunk_streams_carry_bytes_both_ways() {
    let (mut a, b) = gossiping_pair().await;
    let mut near = b.mesh.open_chunks(a.key()).await.unwrap();
    let payload: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let sent = payload.clone();
    let sending = tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        near.flush().await.unwrap();
        let mut answer = [0; 4];
        near.read_exact(&mut answer).await.unwrap();
        answer
    });
    let (peer, mut far) = a
        .until("a chunk stream arrives", |event| match event {
            MeshEvent::ChunkStream { peer, stream } => Some((peer, stream)),
            _ => None,
        })
        .await;
    assert_eq!(peer, b.key());
    let mut received = vec![0; payload.len()];
    far.read_exact(&mut received).await.unwrap();
    assert_eq!(received, payload);
    far.write_all(b"done").await.unwrap();
    far.flush().await.unwrap();
    assert_eq!(&sending.await.unwrap(), b"done");
    assert!(a.mesh.stats().bytes_in >= 1_000_000);
    assert!(b.mesh.stats().bytes_out >= 1_000_000);
}

#[tokio::test]
async fn quic_is_spoken_where_tcp_is_not() {
    let quic = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
    let mut a = Node::start(1, MeshConfig { listen: quic.clone(), ..config() }).await;
    let peers = vec![a.bare_address()];
    let mut b = Node::start(2, MeshConfig { listen: quic, peers, ..config() }).await;
    admit_both(&a, &b, Admission::Authority).await;
    b.until_connected(a.key(), Admission::Authority).await;
    a.until_connected(b.key(), Admission::Authority).await;
    b.mesh.send(a.key(), Channel::Sync, b"over UDP".to_vec()).await;
    assert_eq!(a.until_received(Channel::Sync).await.1, b"over UDP");
}

#[tokio::test]
async fn peers_and_shutdown_tell_the_truth() {
    let (mut a, b) = gossiping_pair().await;
    let peers = b.mesh.peers().await;
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].peer, peers[0].admission), (a.key(), Admission::Member));
    assert_eq!((peers[0].dialled, &peers[0].addresses[..]), (true, &[a.address.clone()][..]));
    assert_eq!(b.mesh.stats().connections, 1);
    b.mesh.shutdown().await;
    a.until_disconnected(b.key()).await;
    assert_eq!(b.mesh.peers().await, []);
}

#[tokio::test]
async fn an_occupied_port_is_named_with_the_next_step() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = vec![other.local_addr().unwrap().to_string()];
    let (sender, _events) = mpsc::channel(1);
    let error = mesh::start(MeshConfig { listen, ..config() }, [1; 32], sender).unwrap_err();
    assert!(matches!(error, MeshError::InUse { .. }), "{error:?}");
    let text = error.to_string();
    let port = other.local_addr().unwrap().port().to_string();
    assert!(text.contains(&port) && text.contains("network.listen"), "{text}");
}

/// Another node on the same port would otherwise share it without a word.
#[tokio::test]
async fn a_second_node_on_the_port_is_refused() {
    let first = Node::start(1, config()).await;
    let (sender, _events) = mpsc::channel(1);
    let listen = vec![first.bare_address()];
    let error = mesh::start(MeshConfig { listen, ..config() }, [2; 32], sender).unwrap_err();
    assert!(matches!(error, MeshError::InUse { .. }), "{error:?}");
}

fn only(allow: &str) -> NetworkRules {
    NetworkRules { interfaces: Vec::new(), allow: vec![allow.parse().unwrap()] }
}

#[tokio::test]
async fn listening_outside_the_rules_is_refused() {
    for rules in [
        only("10.0.0.0/8"),
        NetworkRules { interfaces: vec!["nosuch0".to_owned()], allow: Vec::new() },
    ] {
        let (sender, _events) = mpsc::channel(1);
        let error = mesh::start(MeshConfig { rules, ..config() }, [1; 32], sender).unwrap_err();
        assert!(matches!(error, MeshError::NotAllowed { .. }), "{error:?}");
    }
}

/// `b` comes from 127.0.0.1, which `closed` does not allow; `open` shows that `b` dials at all.
#[tokio::test]
async fn connections_from_outside_the_rules_are_refused() {
    let listen = vec!["/ip4/127.0.0.2/tcp/0".to_owned()];
    let closed_config = MeshConfig { listen, rules: only("127.0.0.2/32"), ..config() };
    let closed = Node::start(1, closed_config).await;
    let open = Node::start(2, config()).await;
    let mut b = Node::start(3, config_with_peers(&[&closed, &open])).await;
    b.until_connected(open.key(), Admission::Stranger).await;
    assert!(!b.mesh.peers().await.iter().any(|status| status.peer == closed.key()));
    assert_eq!(closed.mesh.stats().connections, 0);
}

#[tokio::test]
async fn dialling_outside_the_rules_is_refused() {
    let closed = Node::start(1, config()).await;
    let listen = vec!["/ip4/127.0.0.2/tcp/0".to_owned()];
    let open = Node::start(2, MeshConfig { listen, ..config() }).await;
    let dialler = MeshConfig {
        listen: Vec::new(),
        rules: only("127.0.0.2/32"),
        peers: vec![closed.address.clone(), open.bare_address()],
        ..config()
    };
    let (sender, mut events) = mpsc::channel(64);
    let mesh = mesh::start(dialler, [3; 32], sender).unwrap();
    let connected = events.recv().await.unwrap();
    assert!(matches!(connected, MeshEvent::Connected { peer, .. } if peer == open.key()));
    assert_eq!(mesh.peers().await.len(), 1);
    assert_eq!(closed.mesh.stats().connections, 0);
}
