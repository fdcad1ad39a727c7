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

/// Frames that may come before an index: what the peer has, and what it got while it read it.
const FRAMES_BEFORE_INDEX_MAX: usize = 1_000;

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
    for _ in 0..FRAMES_BEFORE_INDEX_MAX {
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
    Err(io::Error::other("the peer tells what it has instead of sending the index"))
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
    let mut told = None;
    loop {
        let event = match read_frame(&mut stream, 0).await? {
            None => return Ok(Ended::Failed("the peer closed the stream".to_owned())),
            Some(Frame::Have(None)) => return Ok(Ended::NotThere),
            Some(Frame::Have(Some(bitmap))) => {
                let has = ChunkSet::from_bytes(index.chunk_count(), &bitmap);
                let has = has.map_err(io::Error::other)?;
                if told.replace(has.clone()).is_some() {
                    return Err(io::Error::other("the peer said twice what it has"));
                }
                SessionEvent::Has(has)
            }
            Some(Frame::HaveMore(runs)) => {
                extend(told.as_mut(), &runs)?;
                SessionEvent::HasMore(runs)
            }
            Some(Frame::Chunk(number, stored)) => received(index, number, stored),
            Some(Frame::Busy(number)) => SessionEvent::Busy(number),
            Some(Frame::Gone(number)) => {
                told.as_mut().map(|told| told.remove(number));
                SessionEvent::Gone(number)
            }
            Some(Frame::Hello(_) | Frame::GetIndex | Frame::IndexBytes(_) | Frame::Get(_)) => {
                return Err(io::Error::other("the peer sent what only an asker sends"));
            }
        };
        if !events.send(event).await {
            return Ok(Ended::Failed("the session is over".to_owned()));
        }
    }
}

/// Adds runs to what a peer said before that it has. Each chunk must be new: a frame of a few bytes
/// names as many chunks as it likes, so that work is bounded only by what is told once.
fn extend(told: Option<&mut ChunkSet>, runs: &[(u32, u32)]) -> io::Result<()> {
    let told = told.ok_or_else(|| io::Error::other("the peer did not say first what it has"))?;
    let mut chunks = runs.iter().flat_map(|(first, count)| *first..first.saturating_add(*count));
    if chunks.all(|chunk| told.insert(chunk)) {
        Ok(())
    } else {
        Err(io::Error::other(
            "the peer said again that it has a chunk, or named one beyond the image",
        ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::testing::{TestImage, noise};

    /// Lets a session hear that the peer has chunks 0 to 3, and then these frames. Returns how many
    /// events came of them, and how it ended.
    async fn hears(frames: &[Frame]) -> (usize, String) {
        let image = TestImage::new("1.0.0", &[("rootfs", noise("root", 1_000_000))]);
        let mut has = ChunkSet::new(image.index.chunk_count());
        (0..4).for_each(|chunk| {
            has.insert(chunk);
        });
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &Frame::Have(Some(has.as_bytes().to_vec()))).await.unwrap();
        for frame in frames {
            write_frame(&mut bytes, frame).await.unwrap();
        }
        let (sender, mut inbox) = mpsc::channel(100);
        let source = daymark_core::fetch::FetchSource::Peer(KeyId([1; 32]));
        let events = SessionEvents { source, session: 1, sender };
        let ended = hear(&*bytes, &image.index, &events).await;
        drop(events);
        let mut heard = 0;
        while inbox.recv().await.is_some() {
            heard += 1;
        }
        (heard - 1, ended.map_or_else(|error| error.to_string(), |ended| format!("{ended:?}")))
    }

    /// I9: what a peer may make this node do is bounded by what it can tell once.
    #[tokio::test]
    async fn i9_a_peer_that_tells_chunks_again_is_cut_off_at_once() {
        let closed = (2, "Failed(\"the peer closed the stream\")".to_owned());
        let told = |runs: &[(u32, u32)]| Frame::HaveMore(runs.to_vec());
        assert_eq!(hears(&[told(&[(4, 2)]), told(&[(6, 1), (8, 1)])]).await, closed);
        assert_eq!(hears(&[Frame::Gone(2), told(&[(2, 1)])]).await, closed);
        for again in [&[(3, 2)][..], &[(4, 1), (5, 1_000_000)], &[(2, 1)]] {
            let (heard, why) = hears(&[told(&[(5, 1)]), told(again), told(&[(7, 1)])]).await;
            assert_eq!(heard, 1, "{again:?}");
            assert!(why.contains("said again"), "{why}");
        }
        let (heard, why) = hears(&[Frame::Have(Some(vec![0, 0]))]).await;
        assert_eq!(heard, 0, "{why}");
    }
}
