//! The mesh's front: what its host may ask of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use daymark_core::effect::{Admission, Channel, Topic, Verdict};
use daymark_core::event::GossipId;
use daymark_protocol::id::KeyId;
use daymark_protocol::limits::MESSAGE_BYTES_MAX;
use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};

use super::counting::Counters;
use super::event::PeerStream;
use super::streams::{OpenError, OpenReply};

/// Something asked of the mesh.
#[derive(Debug)]
pub(super) enum Command {
    Send {
        peer: KeyId,
        channel: Channel,
        bytes: Vec<u8>,
    },
    Subscribe(Topic),
    Unsubscribe(Topic),
    Publish {
        topic: Topic,
        bytes: Vec<u8>,
    },
    Verdict {
        id: GossipId,
        verdict: Verdict,
    },
    Admit {
        peer: KeyId,
        admission: Admission,
    },
    Bridge {
        peer: KeyId,
        open: bool,
    },
    Dial {
        peer: KeyId,
        addresses: Vec<String>,
    },
    OpenChunks {
        peer: KeyId,
        reply: OpenReply,
    },
    Peers(oneshot::Sender<Vec<PeerStatus>>),
    Shutdown(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

/// One connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub peer: KeyId,
    /// The most that one of its connections lets through.
    pub admission: Admission,
    /// The addresses of its connections, oldest first.
    pub addresses: Vec<String>,
    /// Whether this node dialled one of them.
    pub dialled: bool,
}

/// What the mesh counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeshStats {
    /// Established connections now.
    pub connections: u64,
    /// Bytes received over all streams; without TLS, TCP, UDP and IP.
    pub bytes_in: u64,
    /// Bytes sent, likewise.
    pub bytes_out: u64,
    /// Messages dropped because a peer's queue was full.
    pub dropped_messages: u64,
    /// How often the mesh failed and was started again.
    pub restarts: u64,
}

/// The way to a running mesh. Clones are cheap and reach the same mesh, which ends with
/// [`Self::shutdown`] or the last handle. The methods wait while the mesh is busy, never for the
/// network, and do nothing once it has ended.
#[derive(Clone, Debug)]
pub struct MeshHandle {
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
    own: (PeerId, KeyId),
}

impl MeshHandle {
    pub(super) fn new(
        commands: mpsc::Sender<Command>,
        counters: Arc<Counters>,
        own: (PeerId, KeyId),
    ) -> Self {
        Self { commands, counters, own }
    }

    /// This node's key id.
    pub fn key(&self) -> KeyId {
        self.own.1
    }

    /// This node's libp2p peer id, as text.
    pub fn peer_id(&self) -> String {
        self.own.0.to_string()
    }

    /// Sends a message; dropped if the peer is not connected, does not let the channel through,
    /// or is too far behind. A message above [`MESSAGE_BYTES_MAX`] is not sent.
    pub async fn send(&self, peer: KeyId, channel: Channel, bytes: Vec<u8>) {
        if fits(&bytes) {
            self.command(Command::Send { peer, channel, bytes }).await;
        }
    }

    /// Receives a topic's messages from now on, restarts included.
    pub async fn subscribe(&self, topic: Topic) {
        self.command(Command::Subscribe(topic)).await;
    }

    /// Receives a topic's messages no longer.
    pub async fn unsubscribe(&self, topic: Topic) {
        self.command(Command::Unsubscribe(topic)).await;
    }

    /// Publishes on a topic. A message above [`MESSAGE_BYTES_MAX`] is not sent.
    pub async fn publish(&self, topic: Topic, bytes: Vec<u8>) {
        if fits(&bytes) {
            self.command(Command::Publish { topic, bytes }).await;
        }
    }

    /// Judges a gossip message.
    pub async fn verdict(&self, id: GossipId, verdict: Verdict) {
        self.command(Command::Verdict { id, verdict }).await;
    }

    /// Sets what a peer's connections let through. Connections made under another admission are
    /// closed and, if this node dialled them, redialled.
    pub async fn admit(&self, peer: KeyId, admission: Admission) {
        self.command(Command::Admit { peer, admission }).await;
    }

    /// Passes gossip on to a connected peer always, or no longer; ends with its last connection.
    pub async fn bridge(&self, peer: KeyId, open: bool) {
        self.command(Command::Bridge { peer, open }).await;
    }

    /// Dials a peer at one of these multiaddrs, several times before it gives up; whoever else
    /// answers there is disconnected.
    pub async fn dial(&self, peer: KeyId, addresses: Vec<String>) {
        self.command(Command::Dial { peer, addresses }).await;
    }

    /// Opens a stream for chunks to a connected member.
    ///
    /// # Errors
    /// If the peer is not connected as a member, or does not admit this node as one.
    pub async fn open_chunks(&self, peer: KeyId) -> Result<PeerStream, OpenError> {
        let (reply, opened) = oneshot::channel();
        self.command(Command::OpenChunks { peer, reply }).await;
        // The reply is dropped if the connection closes meanwhile.
        let stream = opened.await.map_err(|_| OpenError::NotConnected)??;
        Ok(PeerStream::new(stream, None))
    }

    /// The connected peers, by key id.
    pub async fn peers(&self) -> Vec<PeerStatus> {
        let (reply, peers) = oneshot::channel();
        self.command(Command::Peers(reply)).await;
        peers.await.unwrap_or_default()
    }

    /// What the mesh counted.
    pub fn stats(&self) -> MeshStats {
        let counters = &self.counters;
        MeshStats {
            connections: counters.connections.load(Ordering::Relaxed),
            bytes_in: counters.bytes_in.load(Ordering::Relaxed),
            bytes_out: counters.bytes_out.load(Ordering::Relaxed),
            dropped_messages: counters.dropped.load(Ordering::Relaxed),
            restarts: counters.restarts.load(Ordering::Relaxed),
        }
    }

    /// Ends the mesh and waits until its connections and listeners are closed.
    pub async fn shutdown(&self) {
        let (reply, ended) = oneshot::channel();
        self.command(Command::Shutdown(reply)).await;
        // An error means that it had ended already.
        let _ = ended.await;
    }

    pub(super) async fn command(&self, command: Command) {
        // An error means that the mesh has ended.
        let _ = self.commands.send(command).await;
    }
}

fn fits(bytes: &[u8]) -> bool {
    let fits = bytes.len() <= MESSAGE_BYTES_MAX;
    if !fits {
        tracing::error!(bytes = bytes.len(), "a message is too long and was not sent");
    }
    fits
}
