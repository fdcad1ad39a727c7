//! A peer without an agent: it connects under a machine's key, answers no message, counts what it
//! is sent, and gives chunks with a wrong byte in each. A member that lies, or a stranger that
//! listens.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use daymark_core::effect::{Admission, Channel, Topic};
use daymark_node::durable::HostKeyFile;
use daymark_node::mesh::{MeshConfig, MeshEvent, MeshHandle, OpenError, PeerStream};
use daymark_node::transfer::ChunkServer;
use daymark_protocol::id::KeyId;
use daymark_protocol::time::WallTime;
use daymark_protocol::wire::{Hello, Nonce, SyncMessage, Tag};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::machine::{Machine, PORT};

/// Type of a chunk stream's frame that carries a chunk.
const CHUNK: u8 = 7;
/// Events on their way.
const EVENTS_MAX: usize = 64;

/// What a bare peer was sent, and sent.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Who is connected, and what this side of the last connection lets through.
    pub connected: BTreeMap<KeyId, Admission>,
    /// Messages of the sync channel that came.
    pub syncs: u64,
    /// Those of them that carried roots: answers to [`BarePeer::ask`].
    pub roots: u64,
    /// Gossip that came.
    pub gossip: u64,
    /// Chunks that it sent, each with a wrong byte.
    pub damaged: u64,
}

type Shared = Arc<Mutex<Seen>>;

fn with<T>(shared: &Shared, act: impl FnOnce(&mut Seen) -> T) -> T {
    act(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A running bare peer.
#[derive(Debug)]
pub struct BarePeer {
    mesh: MeshHandle,
    seen: Shared,
}

impl BarePeer {
    /// Connects in place of a machine that is off, with its key and what its slots hold, to its
    /// peers; takes these for members and listens to these topics.
    ///
    /// # Errors
    /// If the machine's key or slots cannot be read, or it cannot listen.
    pub async fn start(
        machine: &Machine,
        members: &[KeyId],
        topics: Vec<Topic>,
    ) -> anyhow::Result<Self> {
        let key = HostKeyFile::read(&machine.data())?;
        let server = Arc::new(ChunkServer::new(machine.slots()?));
        let at = |address| format!("/ip4/{address}/tcp/{PORT}");
        let config = MeshConfig {
            listen: vec![at(machine.place.address)],
            peers: machine.place.peers.iter().copied().map(at).collect(),
            mdns: false,
            ..MeshConfig::default()
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mesh = daymark_node::mesh::start(config, key.seed, sender)?;
        for member in members {
            mesh.admit(*member, Admission::Member).await;
        }
        for topic in topics {
            mesh.subscribe(topic).await;
        }
        let seen = Shared::default();
        tokio::spawn(listen(events, server, Arc::clone(&seen)));
        Ok(Self { mesh, seen })
    }

    /// What it saw so far.
    pub fn seen(&self) -> Seen {
        with(&self.seen, |seen| seen.clone())
    }

    /// Asks a member for the fleet's roots, as repair does.
    pub async fn ask(&self, member: KeyId) {
        let bytes = SyncMessage::WantRoots { first: 1, last: 1 }.encode();
        self.mesh.send(member, Channel::Sync, bytes).await;
    }

    /// Opens a comparison with a member, as an agent with this clock and nothing in common does.
    pub async fn greet(&self, member: KeyId, root_version: u64, wall: WallTime) {
        let (nonce, tag) = (Nonce([1; 8]), Tag::default());
        let hello = Hello {
            root_version,
            nonce,
            root: tag,
            fleet: tag,
            site: [0; 8],
            site_entries: tag,
            heads: tag,
            wall,
            synchronised: true,
        };
        self.mesh.send(member, Channel::Sync, SyncMessage::Hello(hello).encode()).await;
    }

    /// Opens a stream for chunks.
    ///
    /// # Errors
    /// If the other side does not let it.
    pub async fn open_chunks(&self, of: KeyId) -> Result<(), OpenError> {
        self.mesh.open_chunks(of).await.map(drop)
    }

    /// Leaves the network.
    pub async fn stop(self) {
        self.mesh.shutdown().await;
    }
}

async fn listen(mut events: mpsc::Receiver<MeshEvent>, server: Arc<ChunkServer>, seen: Shared) {
    while let Some(event) = events.recv().await {
        match event {
            MeshEvent::Connected { peer, admission, address: _, dialled: _ } => {
                with(&seen, |seen| seen.connected.insert(peer, admission));
            }
            MeshEvent::Disconnected { peer } => {
                with(&seen, |seen| seen.connected.remove(&peer));
            }
            MeshEvent::Received { channel: Channel::Sync, bytes, .. } => {
                let roots = matches!(SyncMessage::decode(&bytes), Ok(SyncMessage::Roots(_)));
                with(&seen, |seen| {
                    seen.syncs += 1;
                    seen.roots += u64::from(roots);
                });
            }
            MeshEvent::Gossip { .. } => with(&seen, |seen| seen.gossip += 1),
            MeshEvent::ChunkStream { peer, stream } => {
                let (server, seen) = (Arc::clone(&server), Arc::clone(&seen));
                tokio::spawn(async move { serve(&server, stream, peer, &seen).await });
            }
            MeshEvent::Received { channel: Channel::Join, .. }
            | MeshEvent::ControlStream { .. }
            | MeshEvent::Listening { .. }
            | MeshEvent::Restarted { .. } => {}
        }
    }
}

/// Serves as an agent does, but for the chunks' bytes, until either side ends.
async fn serve(server: &ChunkServer, stream: PeerStream, peer: KeyId, seen: &Shared) {
    let (near, far) = tokio::io::duplex(256 * 1024);
    let (mut questions, answers) = tokio::io::split(stream);
    let (honest, mut asked) = tokio::io::split(near);
    tokio::select! {
        _ = server.serve(far, peer) => {}
        _ = tokio::io::copy(&mut questions, &mut asked) => {}
        _ = damage(honest, answers, seen) => {}
    }
}

/// Passes frames on, each a type, a length of 4 bytes and as many bytes.
async fn damage(
    mut honest: impl AsyncRead + Unpin,
    mut answers: impl AsyncWrite + Unpin,
    seen: &Shared,
) -> io::Result<()> {
    loop {
        let mut head = [0; 5];
        honest.read_exact(&mut head).await?;
        let [kind, length @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes(length) as usize];
        honest.read_exact(&mut payload).await?;
        if kind == CHUNK
            && let Some(last) = payload.last_mut()
        {
            *last ^= 0x55;
            with(seen, |seen| seen.damaged += 1);
        }
        answers.write_all(&head).await?;
        answers.write_all(&payload).await?;
        answers.flush().await?;
    }
}
