//! What a plain libp2p node sees, one that runs none of this program.

use std::time::Duration;

use daymark_core::effect::{Admission, Channel};
use futures::StreamExt as _;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, gossipsub, identify, tcp, tls, yamux};

use super::harness::{gossiping_pair, topic};

#[derive(NetworkBehaviour)]
struct Plain {
    identify: identify::Behaviour,
    gossip: gossipsub::Behaviour,
}

fn plain() -> Swarm<Plain> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), tls::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| {
            let config = gossipsub::ConfigBuilder::default()
                .validation_mode(gossipsub::ValidationMode::Anonymous)
                .heartbeat_interval(Duration::from_millis(100))
                .build()
                .unwrap();
            let anonymous = gossipsub::MessageAuthenticity::Anonymous;
            Plain {
                identify: identify::Behaviour::new(identify::Config::new(
                    "/plain".to_owned(),
                    key.public(),
                )),
                gossip: gossipsub::Behaviour::new(anonymous, config).unwrap(),
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    let topic = gossipsub::IdentTopic::new(topic().0);
    swarm.behaviour_mut().gossip.subscribe(&topic).unwrap();
    swarm
}

/// Red team S1: gossipsub alone hands every message to a stranger, even to a blacklisted one.
#[tokio::test]
async fn a1_a_plain_gossipsub_node_is_told_nothing() {
    let (mut a, b) = gossiping_pair().await;
    let mut swarm = plain();
    swarm.dial(a.address.parse::<Multiaddr>().unwrap()).unwrap();
    let mut identified = None;
    let mut leaked = Vec::new();
    let mut published = 0;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    // Some forty heartbeats of the stranger's gossipsub: a mesh would long have formed.
    while published < 80 {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(PlainEvent::Identify(identify::Event::Received {
                    info, ..
                })) => identified = Some(info),
                SwarmEvent::Behaviour(PlainEvent::Gossip(event)) => match event {
                    gossipsub::Event::GossipsubNotSupported { .. } => {}
                    other => leaked.push(other),
                },
                SwarmEvent::ConnectionClosed { cause, .. } => panic!("closed: {cause:?}"),
                _ => {}
            },
            _ = tick.tick() => {
                b.mesh.publish(topic(), format!("inventory {published}").into_bytes()).await;
                a.until_gossip().await;
                published += 1;
            }
        }
    }
    assert!(leaked.is_empty(), "{leaked:?}");
    assert_eq!(a.mesh.peers().await.len(), 2, "the stranger was not connected");

    let info = identified.expect("identify is open to strangers");
    assert_eq!((&info.protocol_version[..], &info.agent_version[..]), ("/daymark/1", ""));
    assert!(info.listen_addrs.is_empty(), "{:?}", info.listen_addrs);
    let mut protocols: Vec<&str> = info.protocols.iter().map(AsRef::as_ref).collect();
    protocols.sort_unstable();
    assert_eq!(protocols, ["/daymark/join/1", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"]);

    // Nor did it disturb the members.
    b.mesh.send(a.key(), Channel::Sync, b"still here".to_vec()).await;
    assert_eq!(a.until_received(Channel::Sync).await.1, b"still here");
    assert!(b.mesh.peers().await.iter().all(|status| status.admission == Admission::Member));
}
