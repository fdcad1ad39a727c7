//! What the mesh tells its host: the network's part of the core's events, and what the core has
//! no need to know.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use daymark_core::effect::{Admission, Channel};
use daymark_core::event::GossipId;
use daymark_protocol::id::KeyId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

/// Something that happened in the mesh.
#[derive(Debug)]
pub enum MeshEvent {
    /// A connection was made; what it lets through does not change while it lasts.
    Connected {
        /// The peer.
        peer: KeyId,
        /// Its address, ending in `/p2p/…`. Only the address of a connection that this node
        /// dialled can be dialled again.
        address: String,
        /// Whether this node dialled it.
        dialled: bool,
        /// What this connection lets through.
        admission: Admission,
    },
    /// The last connection with a peer closed.
    Disconnected {
        /// The peer.
        peer: KeyId,
    },
    /// A message from one peer. Messages of one peer and channel come in the order in which they
    /// were sent over one connection.
    Received {
        /// The sender.
        peer: KeyId,
        /// What it came over.
        channel: Channel,
        /// At most [`daymark_protocol::limits::MESSAGE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// A gossip message, not forwarded before [`super::MeshHandle::verdict`] says so.
    Gossip {
        /// To answer with.
        id: GossipId,
        /// Who forwarded it.
        from: KeyId,
        /// At most [`daymark_protocol::limits::MESSAGE_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// The node's own listen addresses changed.
    Listening {
        /// Multiaddrs, ending in `/p2p/…`, that peers may dial; those the rules allow.
        addresses: Vec<String>,
    },
    /// A member opened a stream for chunks.
    ChunkStream {
        /// The member.
        peer: KeyId,
        /// The stream.
        stream: PeerStream,
    },
    /// A laptop that was let in opened a stream for a request of the control API.
    ControlStream {
        /// Its peer key.
        peer: KeyId,
        /// The stream.
        stream: PeerStream,
    },
    /// The mesh failed and starts again; all its connections are gone, and were reported so.
    Restarted {
        /// What failed, for people.
        reason: String,
    },
}

/// A stream to or from a peer, for more than messages.
#[derive(Debug)]
pub struct PeerStream {
    inner: Compat<libp2p::Stream>,
    /// Bounds the streams a peer may have open; given back when the stream is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

impl PeerStream {
    pub(super) fn new(stream: libp2p::Stream, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { inner: stream.compat(), _permit: permit }
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
