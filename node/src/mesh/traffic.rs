//! The driver's part that moves messages, and watches connections come and go.

use std::sync::atomic::Ordering;
use std::time::Instant;

use daymark_core::effect::{Admission, Channel, Verdict};
use daymark_core::event::GossipId;
use daymark_protocol::id::KeyId;
use daymark_protocol::limits::MESSAGE_BYTES_MAX;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, gossipsub, ping};
use tokio::sync::oneshot;

use super::connections::Connection;
use super::driver::{Driver, needed};
use super::event::{MeshEvent, PeerStream};
use super::identity;
use super::lane::{self, Arrived};
use super::streams::{Incoming, OpenError, OpenReply};
use super::swarm::BehaviourEvent;

/// Gossip messages that may await a verdict; the core gives it in the same step.
const VERDICTS_MAX: usize = 1024;

impl Driver {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events; the others need no answer"
    )]
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                tracing::debug!(%connection_id, ?cause, "connection closed");
                self.on_closed(connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                tracing::debug!(%connection_id, %error, "dial failed");
                if let Some(target) = self.dialling.remove(&connection_id) {
                    self.state.dialer.failed(target, Instant::now());
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "connection refused");
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.listeners.bound(address);
                self.tell_addresses();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "no longer listening");
                self.listeners.unbound(&address);
                self.tell_addresses();
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                tracing::warn!(?addresses, ?reason, "a listener ended");
                self.listeners.closed(listener_id);
                addresses.iter().for_each(|address| self.listeners.unbound(address));
                self.tell_addresses();
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener failed to accept a connection");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Pending(never)
            | BehaviourEvent::Memory(never)
            | BehaviourEvent::Guard(never) => match never {},
            // Nothing that a peer says of itself is used.
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Join(incoming) => self.on_lane(incoming, Channel::Join),
            BehaviourEvent::Sync(incoming) => self.on_lane(incoming, Channel::Sync),
            BehaviourEvent::Chunks(incoming) => self.on_chunks(incoming),
            BehaviourEvent::Control(incoming) => self.on_control(incoming),
            BehaviourEvent::Ping(ping::Event { connection, result, .. }) => match result {
                // A peer that does not admit this node does not answer its pings either.
                Ok(_) | Err(ping::Failure::Unsupported) => {}
                Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                    self.swarm.close_connection(connection);
                }
            },
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => self.on_gossip(propagation_source, message_id, message),
            BehaviourEvent::Gossip(_) => {}
        }
    }

    fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let target = self.dialling.remove(&id);
        let admission = self.swarm.behaviour().guard.admission(id);
        let (Some(key), Some(admission)) = (identity::key_id(&peer), admission) else {
            // Let in and closed again before it was reported; its end will be.
            self.swarm.close_connection(id);
            return;
        };
        let address = address_of(endpoint).with(Protocol::P2p(peer));
        let dialled = endpoint.is_dialer();
        let connection = Connection::new(peer, key, admission, address.clone(), dialled);
        if target.is_some_and(|target| !self.state.dialer.met(target, key, Instant::now())) {
            tracing::debug!(%address, "someone else answered");
            self.swarm.close_connection(id);
            return;
        }
        self.connections.insert(id, connection);
        self.state.connected.insert(key);
        let address = address.to_string();
        self.state.outbox.push_back(MeshEvent::Connected {
            peer: key,
            address,
            dialled,
            admission,
        });
        if admission == Admission::Member && self.state.bridges.contains(&key) {
            self.bridge(key, true);
        }
        // The admission may have changed since the handlers were made.
        self.close_misadmitted(key);
    }

    fn on_closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(id) else { return };
        let key = connection.key;
        if self.connections.with(key).next().is_none() {
            self.state.connected.remove(&key);
            super::gossip::bridge(
                self.swarm.behaviour_mut().gossip.inner(),
                connection.peer,
                false,
            );
            self.state.dialer.lost(&key, connection.lived(), Instant::now());
            self.state.outbox.push_back(MeshEvent::Disconnected { peer: key });
        }
    }

    /// Closes a peer's connections that were made under another admission. If this node dialled
    /// one, the dialler knows where to dial again.
    pub(super) fn close_misadmitted(&mut self, key: KeyId) {
        let admission = self.state.admissions.of(&key);
        let wrong: Vec<ConnectionId> = self
            .connections
            .with(key)
            .filter(|(_, one)| one.admission != admission)
            .map(|(id, _)| id)
            .collect();
        for id in wrong {
            self.swarm.close_connection(id);
        }
    }

    pub(super) fn bridge(&mut self, key: KeyId, open: bool) {
        if open {
            self.state.bridges.insert(key);
        } else {
            self.state.bridges.remove(&key);
        }
        if let Some((_, peer)) = self.connections.best(key, Admission::Member) {
            super::gossip::bridge(self.swarm.behaviour_mut().gossip.inner(), peer, open);
        }
    }

    pub(super) fn send(&mut self, key: KeyId, channel: Channel, bytes: Vec<u8>) {
        let Some((id, peer)) = self.connections.best(key, needed(channel)) else { return };
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.sender(channel).is_none() {
            let (reply, opened) = oneshot::channel();
            let behaviour = self.swarm.behaviour_mut();
            match channel {
                Channel::Join => behaviour.join.open(peer, id, reply),
                Channel::Sync => behaviour.sync.inner().open(peer, id, reply),
            }
            connection.set_sender(channel, lane::Sender::start(opened));
        }
        if connection.sender(channel).is_none_or(|sender| !sender.send(bytes)) {
            tracing::debug!(peer = %key, ?channel, "message dropped: the peer is too slow");
            self.fixed.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn on_lane(&mut self, incoming: Incoming, channel: Channel) {
        let Some(connection) = self.connections.get_mut(incoming.connection) else { return };
        let pace = match channel {
            Channel::Join => Some(self.join_total.peer(Instant::now())),
            Channel::Sync => None,
        };
        let arrived = self.arrived.0.clone();
        let task = lane::read_all(incoming.stream, incoming.connection, channel, pace, arrived);
        connection.set_reader(channel, tokio::spawn(task).abort_handle());
    }

    pub(super) fn on_arrived(&mut self, arrived: Arrived) {
        let Some(connection) = self.connections.get(arrived.connection) else { return };
        self.state.outbox.push_back(MeshEvent::Received {
            peer: connection.key,
            channel: arrived.channel,
            bytes: arrived.bytes,
        });
    }

    pub(super) fn open_chunks(&mut self, key: KeyId, reply: OpenReply) {
        match self.connections.best(key, Admission::Member) {
            Some((id, peer)) => {
                self.swarm.behaviour_mut().chunks.inner().open(peer, id, reply);
            }
            None => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(Err(OpenError::NotConnected));
            }
        }
    }

    fn on_chunks(&mut self, incoming: Incoming) {
        let Some(connection) = self.connections.get(incoming.connection) else { return };
        let Some(permit) = connection.chunk_permit() else {
            tracing::debug!(peer = %incoming.peer, "too many chunk streams: one more refused");
            return;
        };
        let peer = connection.key;
        let stream = PeerStream::new(incoming.stream, Some(permit));
        self.state.outbox.push_back(MeshEvent::ChunkStream { peer, stream });
    }

    fn on_control(&mut self, incoming: Incoming) {
        let Some(connection) = self.connections.get(incoming.connection) else { return };
        let Some(permit) = connection.control_permit() else {
            tracing::debug!(peer = %incoming.peer, "too many requests at once: one more refused");
            return;
        };
        let peer = connection.key;
        let stream = PeerStream::new(incoming.stream, Some(permit));
        self.state.outbox.push_back(MeshEvent::ControlStream { peer, stream });
    }

    fn on_gossip(&mut self, from: PeerId, id: gossipsub::MessageId, message: gossipsub::Message) {
        let key = identity::key_id(&from).filter(|_| message.data.len() <= MESSAGE_BYTES_MAX);
        let gossip_id = self.state.mint_gossip_id();
        self.verdicts.insert(gossip_id, (id, from));
        let Some(key) = key else {
            self.on_verdict(gossip_id, Verdict::Reject);
            return;
        };
        if self.verdicts.len() > VERDICTS_MAX
            && let Some(oldest) = self.verdicts.first_key_value().map(|(id, _)| *id)
        {
            self.on_verdict(oldest, Verdict::Ignore);
        }
        self.state.outbox.push_back(MeshEvent::Gossip {
            id: gossip_id,
            from: key,
            bytes: message.data,
        });
    }

    pub(super) fn on_verdict(&mut self, id: GossipId, verdict: Verdict) {
        let Some((message, from)) = self.verdicts.remove(&id) else { return };
        let acceptance = match verdict {
            Verdict::Accept => gossipsub::MessageAcceptance::Accept,
            Verdict::Ignore => gossipsub::MessageAcceptance::Ignore,
            Verdict::Reject => gossipsub::MessageAcceptance::Reject,
        };
        let gossip = self.swarm.behaviour_mut().gossip.inner();
        gossip.report_message_validation_result(&message, &from, acceptance);
    }
}

/// The other side's address, without a peer id.
fn address_of(endpoint: &ConnectedPoint) -> Multiaddr {
    let address = endpoint.get_remote_address();
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}
