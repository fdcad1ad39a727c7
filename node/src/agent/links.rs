//! Between the agent and the mesh: configuration, events, and streams for chunks.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use daymark_core::Event;
use daymark_core::effect::Admission;
use daymark_protocol::id::KeyId;

use super::{Agent, AgentError};
use crate::mesh::{MeshConfig, MeshEvent, MeshHandle, NetworkRules, PeerStream};
use crate::settings::Settings;
use crate::transfer::PeerStreams;

/// The mesh as configured. `IP:PORT` stands for TCP and QUIC at that address when listening, and
/// for TCP when dialling; what is not `IP:PORT` goes through as a multiaddr.
pub(super) fn mesh_config(settings: &Settings) -> MeshConfig {
    let network = &settings.network;
    let connections_max = usize::try_from(network.connections_max).unwrap_or(usize::MAX);
    let defaults = MeshConfig::default();
    // Strangers keep their share of however many there may be.
    let share = |part: usize| (connections_max * part).div_ceil(defaults.connections_max);
    MeshConfig {
        listen: network.listen.iter().flat_map(|text| multiaddrs(text, true)).collect(),
        peers: network.peers.iter().flat_map(|text| multiaddrs(text, false)).collect(),
        rules: NetworkRules {
            interfaces: network.interfaces.clone(),
            allow: network.allow.clone(),
        },
        mdns: network.mdns,
        connections_max,
        strangers_max: share(defaults.strangers_max),
        connections_wanted: defaults.connections_wanted.min(connections_max),
        ..defaults
    }
}

fn multiaddrs(text: &str, quic: bool) -> Vec<String> {
    let Ok(address) = text.parse::<SocketAddr>() else { return vec![text.to_owned()] };
    let kind = if address.is_ipv4() { "ip4" } else { "ip6" };
    let (ip, port) = (address.ip(), address.port());
    let mut addresses = vec![format!("/{kind}/{ip}/tcp/{port}")];
    if quic {
        addresses.push(format!("/{kind}/{ip}/udp/{port}/quic-v1"));
    }
    addresses
}

/// The members that are connected now; clones share the set.
#[derive(Clone, Debug, Default)]
pub(super) struct Members(Arc<RwLock<BTreeSet<KeyId>>>);

impl Members {
    fn change(&self, change: impl FnOnce(&mut BTreeSet<KeyId>)) -> usize {
        // The set is consistent between any two statements.
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut members);
        members.len()
    }
}

/// Streams to members, for staging.
#[derive(Clone, Debug)]
pub(super) struct MeshStreams {
    pub(super) mesh: MeshHandle,
    pub(super) members: Members,
}

impl PeerStreams for MeshStreams {
    type Stream = PeerStream;

    fn peers(&self) -> Vec<KeyId> {
        let members = self.members.0.read().unwrap_or_else(PoisonError::into_inner);
        members.iter().copied().collect()
    }

    async fn open(&self, peer: KeyId) -> io::Result<PeerStream> {
        self.mesh.open_chunks(peer).await.map_err(io::Error::other)
    }
}

impl Agent {
    pub(super) async fn mesh_event(&mut self, event: MeshEvent) -> Result<(), AgentError> {
        let event = match event {
            MeshEvent::Connected { peer, address, admission, dialled: _ } => {
                self.peer_came(peer, admission);
                Event::Connected { peer, address, admission }
            }
            MeshEvent::Disconnected { peer } => {
                let members = self.members.change(|members| {
                    members.remove(&peer);
                });
                self.peers.send_replace(members);
                Event::Disconnected { peer }
            }
            MeshEvent::Received { peer, channel, bytes } => {
                Event::Received { peer, channel, bytes }
            }
            MeshEvent::Gossip { id, from, bytes } => Event::Gossip { id, from, bytes },
            MeshEvent::Listening { addresses } => {
                tracing::info!(?addresses, "listening");
                self.view.listening(&addresses);
                Event::Listening { addresses }
            }
            MeshEvent::ChunkStream { peer, stream } => {
                self.serve_chunks(peer, stream);
                return Ok(());
            }
            MeshEvent::ControlStream { peer, stream } => {
                self.visits.serve(peer, stream);
                return Ok(());
            }
            MeshEvent::Restarted { reason } => {
                tracing::error!(reason, "the mesh failed and was started again");
                return Ok(());
            }
        };
        self.step(event).await
    }

    fn peer_came(&mut self, peer: KeyId, admission: Admission) {
        let members = self.members.change(|members| match admission {
            Admission::Member => {
                members.insert(peer);
            }
            Admission::Stranger | Admission::Visitor | Admission::Authority => {}
        });
        self.peers.send_replace(members);
    }

    fn serve_chunks(&self, peer: KeyId, stream: PeerStream) {
        let Some(server) = self.chunks.clone() else { return };
        tokio::spawn(async move {
            if let Err(error) = server.serve(stream, peer).await {
                tracing::debug!(peer = %peer.short(), %error, "a chunk stream ended");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_become_multiaddrs_and_others_pass() {
        assert_eq!(
            multiaddrs("127.0.0.11:7440", true),
            ["/ip4/127.0.0.11/tcp/7440", "/ip4/127.0.0.11/udp/7440/quic-v1"]
        );
        assert_eq!(multiaddrs("[::1]:1", false), ["/ip6/::1/tcp/1"]);
        assert_eq!(multiaddrs("/dns/gw/tcp/7440", true), ["/dns/gw/tcp/7440"]);
    }
}
