//! The connections there are, and the lanes over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use daymark_core::effect::{Admission, Channel};
use daymark_protocol::id::KeyId;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::handle::PeerStatus;
use super::lane;

/// Chunk streams that a peer may have open in one connection: one is used, others are left over
/// from a restart of its.
const CHUNK_STREAMS_MAX: usize = 4;
/// Requests that a laptop may have under way in one connection: a command makes one after the other.
const CONTROL_STREAMS_MAX: usize = 2;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) key: KeyId,
    pub(super) admission: Admission,
    /// Ends in `/p2p/…`.
    pub(super) address: Multiaddr,
    pub(super) dialled: bool,
    since: Instant,
    senders: BTreeMap<Channel, lane::Sender>,
    readers: BTreeMap<Channel, AbortHandle>,
    chunk_streams: Arc<Semaphore>,
    control_streams: Arc<Semaphore>,
}

impl Connection {
    pub(super) fn new(
        peer: PeerId,
        key: KeyId,
        admission: Admission,
        address: Multiaddr,
        dialled: bool,
    ) -> Self {
        Self {
            peer,
            key,
            admission,
            address,
            dialled,
            since: Instant::now(),
            senders: BTreeMap::new(),
            readers: BTreeMap::new(),
            chunk_streams: Arc::new(Semaphore::new(CHUNK_STREAMS_MAX)),
            control_streams: Arc::new(Semaphore::new(CONTROL_STREAMS_MAX)),
        }
    }

    /// How long it has been there.
    pub(super) fn lived(&self) -> Duration {
        self.since.elapsed()
    }

    /// The lane to send on, if its stream is open or being opened.
    pub(super) fn sender(&self, channel: Channel) -> Option<&lane::Sender> {
        self.senders.get(&channel).filter(|sender| !sender.is_closed())
    }

    /// Notes a new lane to send on.
    pub(super) fn set_sender(&mut self, channel: Channel, sender: lane::Sender) {
        self.senders.insert(channel, sender);
    }

    /// Notes the task that reads a channel; the one before it ends, so that a peer has one.
    pub(super) fn set_reader(&mut self, channel: Channel, reader: AbortHandle) {
        if let Some(before) = self.readers.insert(channel, reader) {
            before.abort();
        }
    }

    /// Room for one more chunk stream that the peer opened.
    pub(super) fn chunk_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.chunk_streams).try_acquire_owned().ok()
    }

    /// Room for one more request of a laptop.
    pub(super) fn control_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.control_streams).try_acquire_owned().ok()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.readers.values().for_each(AbortHandle::abort);
    }
}

/// All connections. Ids rise, so the newest come last.
#[derive(Debug, Default)]
pub(super) struct Connections(BTreeMap<ConnectionId, Connection>);

impl Connections {
    pub(super) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        self.0.insert(id, connection);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        self.0.remove(&id)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.0.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.0.get_mut(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many of them are with strangers.
    pub(super) fn strangers(&self) -> usize {
        self.0.values().filter(|one| one.admission == Admission::Stranger).count()
    }

    /// A peer's connections, oldest first.
    pub(super) fn with(&self, key: KeyId) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.0.iter().filter(move |(_, one)| one.key == key).map(|(id, one)| (*id, one))
    }

    /// A peer's newest connection that lets `needed` through: an older one may be dead.
    pub(super) fn best(&self, key: KeyId, needed: Admission) -> Option<(ConnectionId, PeerId)> {
        self.with(key)
            .filter(|(_, one)| one.admission >= needed)
            .map(|(id, one)| (id, one.peer))
            .last()
    }

    /// The connected peers.
    pub(super) fn peers(&self) -> Vec<PeerStatus> {
        let keys: BTreeSet<KeyId> = self.0.values().map(|one| one.key).collect();
        keys.into_iter()
            .map(|peer| PeerStatus {
                peer,
                admission: self
                    .with(peer)
                    .map(|(_, one)| one.admission)
                    .max()
                    .unwrap_or(Admission::Stranger),
                addresses: self.with(peer).map(|(_, one)| one.address.to_string()).collect(),
                dialled: self.with(peer).any(|(_, one)| one.dialled),
            })
            .collect()
    }
}
