//! Bridges: peers that gossip always goes on to.

use std::time::Duration;

use daymark_core::effect::Admission;
use daymark_node::mesh::MeshConfig;

use super::harness::{Node, admit_both, config, config_with_peers, gossip_reaches, topic};

/// As many as a gossip mesh takes.
const MESH_FULL: u8 = 8;

/// No heartbeat comes, so that nothing arrives but what is pushed.
fn without_heartbeats(config: MeshConfig) -> MeshConfig {
    MeshConfig { gossip_heartbeat: Duration::from_secs(3_600), ..config }
}

/// A member that dialled `hub`, once each hears the other's gossip and grafts are settled.
async fn neighbour(seed: u8, hub: &mut Node) -> Node {
    let mut node = Node::start(seed, without_heartbeats(config_with_peers(&[hub]))).await;
    node.mesh.subscribe(topic()).await;
    admit_both(&node, hub, Admission::Member).await;
    node.until_connected(hub.key(), Admission::Member).await;
    hub.until_connected(node.key(), Admission::Member).await;
    gossip_reaches(hub, &mut node).await;
    gossip_reaches(&node, hub).await;
    node
}

async fn hears(node: &mut Node, message: &[u8]) {
    while node.until_gossip().await != message {}
}

#[tokio::test]
async fn a_bridge_hears_at_once_what_a_full_mesh_would_keep_from_it() {
    let mut hub = Node::start(1, without_heartbeats(config())).await;
    hub.mesh.subscribe(topic()).await;
    let mut local = Vec::new();
    for seed in 2..2 + MESH_FULL {
        local.push(neighbour(seed, &mut hub).await);
    }
    let mut beyond = neighbour(100, &mut hub).await;
    local[0].mesh.publish(topic(), b"before".to_vec()).await;
    hears(&mut hub, b"before").await;

    hub.mesh.bridge(beyond.key(), true).await;
    local[0].mesh.publish(topic(), b"after".to_vec()).await;
    hears(&mut hub, b"after").await;
    hears(&mut beyond, b"after").await;
    let before = format!("{:?}", b"before");
    assert!(!beyond.saw(&before), "the mesh had room for one more: this test shows nothing");

    hub.mesh.bridge(beyond.key(), false).await;
    local[0].mesh.publish(topic(), b"closed".to_vec()).await;
    hears(&mut hub, b"closed").await;
    // What the hub says itself goes to all.
    hub.mesh.publish(topic(), b"last".to_vec()).await;
    hears(&mut beyond, b"last").await;
    let closed = format!("{:?}", b"closed");
    assert!(!beyond.saw(&closed), "it is a bridge no longer");
}
