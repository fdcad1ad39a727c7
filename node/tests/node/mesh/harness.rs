//! A node with its events.

use std::time::Duration;

use daymark_core::effect::{Admission, Channel, Topic, Verdict};
use daymark_core::event::GossipId;
use daymark_node::mesh::{self, MeshConfig, MeshEvent, MeshHandle};
use daymark_protocol::id::KeyId;
use tokio::sync::mpsc;

/// Ends a test that hangs; no test passes or fails by how long it takes.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// A configuration that listens on a free TCP port of 127.0.0.1 and looks for nobody.
pub(crate) fn config() -> MeshConfig {
    MeshConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        mdns: false,
        gossip_heartbeat: Duration::from_millis(100),
        redial_pause: Duration::from_millis(50),
        ..MeshConfig::default()
    }
}

/// The same, staying connected with other nodes.
pub(crate) fn config_with_peers(peers: &[&Node]) -> MeshConfig {
    MeshConfig { peers: peers.iter().map(|node| node.address.clone()).collect(), ..config() }
}

pub(crate) struct Node {
    pub(crate) mesh: MeshHandle,
    /// The first address it listens on, with its peer id.
    pub(crate) address: String,
    /// Everything that happened, in words.
    pub(crate) log: Vec<String>,
    events: mpsc::Receiver<MeshEvent>,
}

impl Node {
    /// Starts a node and waits until it listens.
    pub(crate) async fn start(seed: u8, config: MeshConfig) -> Self {
        let (sender, events) = mpsc::channel(1024);
        let mesh = mesh::start(config, [seed; 32], sender).unwrap();
        let mut node = Self { mesh, address: String::new(), log: Vec::new(), events };
        node.address = node
            .until("it listens", |event| match event {
                MeshEvent::Listening { addresses } => addresses.first().cloned(),
                _ => None,
            })
            .await;
        node
    }

    pub(crate) fn key(&self) -> KeyId {
        self.mesh.key()
    }

    /// The address without the peer id.
    pub(crate) fn bare_address(&self) -> String {
        self.address.split("/p2p/").next().unwrap().to_owned()
    }

    /// Waits for an event; accepts all gossip on the way.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(MeshEvent) -> Option<T>,
    ) -> T {
        let picked = tokio::time::timeout(HANGS_AFTER, async {
            loop {
                let event = self.events.recv().await.expect("the mesh runs");
                self.log.push(format!("{event:?}"));
                if let MeshEvent::Gossip { id, .. } = event {
                    self.mesh.verdict(id, Verdict::Accept).await;
                }
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await;
        picked.unwrap_or_else(|_| panic!("waited in vain until {what}; events: {:#?}", self.log))
    }

    /// Waits for a connection of this admission; gives its address.
    pub(crate) async fn until_connected(&mut self, key: KeyId, wanted: Admission) -> String {
        self.until("it is connected", |event| match event {
            MeshEvent::Connected { peer, address, admission, .. }
                if peer == key && admission == wanted =>
            {
                Some(address)
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn until_disconnected(&mut self, key: KeyId) {
        self.until("it is disconnected", |event| {
            matches!(event, MeshEvent::Disconnected { peer } if peer == key).then_some(())
        })
        .await;
    }

    /// Waits for the next message on a channel.
    pub(crate) async fn until_received(&mut self, wanted: Channel) -> (KeyId, Vec<u8>) {
        self.until("a message arrives", |event| match event {
            MeshEvent::Received { peer, channel, bytes } if channel == wanted => {
                Some((peer, bytes))
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn until_gossip(&mut self) -> Vec<u8> {
        self.until("gossip arrives", |event| match event {
            MeshEvent::Gossip { bytes, .. } => Some(bytes),
            _ => None,
        })
        .await
    }

    /// Waits for a gossip message and leaves the verdict to the caller.
    pub(crate) async fn until_unjudged(
        &mut self,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> (GossipId, Vec<u8>) {
        loop {
            let event = self.events.recv().await.expect("the mesh runs");
            if let MeshEvent::Gossip { id, bytes, .. } = event
                && wanted(&bytes)
            {
                return (id, bytes);
            }
        }
    }

    /// Whether an event of this kind was seen so far.
    pub(crate) fn saw(&self, words: &str) -> bool {
        self.log.iter().any(|line| line.contains(words))
    }
}

pub(crate) fn topic() -> Topic {
    Topic("daymark/site".to_owned())
}

/// Admits two nodes to each other.
pub(crate) async fn admit_both(a: &Node, b: &Node, admission: Admission) {
    a.mesh.admit(b.key(), admission).await;
    b.mesh.admit(a.key(), admission).await;
}

/// Two members, `b` having dialled `a`, both subscribed, with gossip flowing from `b` to `a`.
pub(crate) async fn gossiping_pair() -> (Node, Node) {
    let mut a = Node::start(1, config()).await;
    let mut b = Node::start(2, config_with_peers(&[&a])).await;
    a.mesh.subscribe(topic()).await;
    b.mesh.subscribe(topic()).await;
    admit_both(&a, &b, Admission::Member).await;
    b.until_connected(a.key(), Admission::Member).await;
    a.until_connected(b.key(), Admission::Member).await;
    gossip_reaches(&b, &mut a).await;
    (a, b)
}

/// Publishes until a message gets through: subscriptions take a moment to be known.
pub(crate) async fn gossip_reaches(from: &Node, to: &mut Node) {
    let publishing = async {
        for number in 0_u64.. {
            from.mesh.publish(topic(), format!("knock {number}").into_bytes()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = publishing => {}
        _ = to.until_gossip() => {}
    }
}
