//! Counts the bytes that connections carry: what streams hand to the muxer and get from it,
//! without the framing of TLS, TCP, UDP and IP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use libp2p::core::StreamMuxer;
use libp2p::core::muxing::{StreamMuxerEvent, StreamMuxerExt as _};

/// Counters since the mesh was started, restarts included.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) restarts: AtomicU64,
}

/// A muxer, or a stream of one, whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    counters: Arc<Counters>,
}

impl<T> Counted<T> {
    /// Counts what `inner` carries.
    pub(super) fn new(inner: T, counters: Arc<Counters>) -> Self {
        Self { inner, counters }
    }

    fn stream<S, E>(&self, opened: Poll<Result<S, E>>) -> Poll<Result<Counted<S>, E>> {
        opened.map_ok(|stream| Counted::new(stream, Arc::clone(&self.counters)))
    }
}

fn count(counter: &AtomicU64, moved: &Poll<io::Result<usize>>) {
    if let Poll::Ready(Ok(bytes)) = moved {
        counter.fetch_add(*bytes as u64, Ordering::Relaxed);
    }
}

impl<M> StreamMuxer for Counted<M>
where
    M: StreamMuxer<Substream: Unpin> + Unpin,
{
    type Substream = Counted<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = self.inner.poll_inbound_unpin(cx);
        self.stream(opened)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = self.inner.poll_outbound_unpin(cx);
        self.stream(opened)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_close_unpin(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.inner.poll_unpin(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.inner).poll_read(cx, buffer);
        count(&self.counters.bytes_in, &moved);
        moved
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.inner).poll_write(cx, buffer);
        count(&self.counters.bytes_out, &moved);
        moved
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
