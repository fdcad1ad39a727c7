//! Asking a peer for chunks over one stream.

use std::future::Future;
use std::io;
use std::sync::Arc;

use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::image::{ChunkSet, Index};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::codec::decompress_chunk;
use super::frame::{Frame, GET_CHUNKS_MAX, read_frame, write_frame};
use super::session::{Ended, SessionEvent, SessionEvents};
use crate::slots::VerifiedChunk;

/// The peers that this node may ask, and the way to open a chunk stream to one.
pub trait PeerStreams: Send + Sync + 'static {
    /// A stream to a peer's [`super::ChunkServer`].
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The peers that are connected and may be asked now.
    fn peers(&self) -> Vec<KeyId>;

    /// Opens a stream to one of them.
    fn open(&self, peer: KeyId) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// No peers at all: a machine that only knows its release service.
#[derive(Clone, Copy, Debug)]
pub struct NoPeers;

impl PeerStreams for NoPeers {
    type Stream = tokio::io::DuplexStream;

    fn peers(&self) -> Vec<KeyId> {
        Vec::new()
    }

    async fn open(&self, _: KeyId) -> io::Result<Self::Stream> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

/// Asks a peer for an index of at most `index_bytes`.
pub(super) async fn peer_index<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    image: Digest,
    index_bytes: usize,
) -> io::Result<Vec<u8>> {
    write_frame(&mut stream, &Frame::Hello(image)).await?;
    write_frame(&mut stream, &Frame::GetIndex).await?;
    stream.flush().await?;
    loop {
        match read_frame(&mut stream, index_bytes).await? {
            Some(Frame::IndexBytes(bytes)) => return Ok(bytes),
            Some(Frame::Have(Some(_)) | Frame::HaveMore(_)) => {}
            Some(Frame::Have(None)) | None => return Err(io::ErrorKind::NotFound.into()),
            Some(
                Frame::Hello(_)
                | Frame::GetIndex
                | Frame::Get(_)
                | Frame::Chunk(..)
                | Frame::Busy(_)
                | Frame::Gone(_),
            ) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Runs one session with a peer until its stream ends.
pub(super) async fn run_peer<S: AsyncRead + AsyncWrite + Send>(
    stream: S,
    index: Arc<Index>,
    requests: mpsc::UnboundedReceiver<Vec<u32>>,
    events: &SessionEvents,
) -> Ended {
    let (reader, writer) = tokio::io::split(stream);
    let ended = tokio::select! {
        ended = hear(reader, &index, events) => ended,
        ended = ask(writer, index.digest(), requests) => ended,
    };
    ended.unwrap_or_else(|error| Ended::Failed(error.to_string()))
}

async fn ask<W: AsyncWrite + Unpin>(
    mut stream: W,
    image: Digest,
    mut requests: mpsc::UnboundedReceiver<Vec<u32>>,
) -> io::Result<Ended> {
    write_frame(&mut stream, &Frame::Hello(image)).await?;
    stream.flush().await?;
    while let Some(chunks) = requests.recv().await {
        for chunks in chunks.chunks(GET_CHUNKS_MAX) {
            write_frame(&mut stream, &Frame::Get(chunks.to_vec())).await?;
        }
        stream.flush().await?;
    }
    Ok(Ended::Failed("the session is over".to_owned()))
}

async fn hear<R: AsyncRead + Unpin>(
    stream: R,
    index: &Arc<Index>,
    events: &SessionEvents,
) -> io::Result<Ended> {
    let mut stream = tokio::io::BufReader::with_capacity(64 * 1024, stream);
    loop {
        let event = match read_frame(&mut stream, 0).await? {
            None => return Ok(Ended::Failed("the peer closed the stream".to_owned())),
            Some(Frame::Have(None)) => return Ok(Ended::NotThere),
            Some(Frame::Have(Some(bitmap))) => {
                let has = ChunkSet::from_bytes(index.chunk_count(), &bitmap);
                SessionEvent::Has(has.map_err(io::Error::other)?)
            }
            Some(Frame::HaveMore(runs)) => SessionEvent::HasMore(runs),
            Some(Frame::Chunk(number, stored)) => received(index, number, stored),
            Some(Frame::Busy(number)) => SessionEvent::Busy(number),
            Some(Frame::Gone(number)) => SessionEvent::Gone(number),
            Some(Frame::Hello(_) | Frame::GetIndex | Frame::IndexBytes(_) | Frame::Get(_)) => {
                return Err(io::Error::other("the peer sent what only an asker sends"));
            }
        };
        if !events.send(event).await {
            return Ok(Ended::Failed("the session is over".to_owned()));
        }
    }
}

/// A chunk as it came: proven, or wrong.
pub(super) fn received(index: &Index, number: u32, stored: Vec<u8>) -> SessionEvent {
    let stored_bytes = stored.len() as u64;
    let length = index.chunk(number).map_or(0, |chunk| chunk.bytes as usize);
    let chunk = decompress_chunk(stored, length)
        .ok()
        .and_then(|bytes| VerifiedChunk::check(index, number, bytes).ok());
    match chunk {
        Some(chunk) => SessionEvent::Chunk { chunk, stored_bytes },
        None => SessionEvent::Wrong(number),
    }
}
