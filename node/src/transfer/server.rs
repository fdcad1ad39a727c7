//! Serving peers what the slots hold.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daymark_protocol::id::KeyId;
use daymark_protocol::image::ChunkSet;
use daymark_protocol::limits::CHUNK_BYTES_MAX;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::codec::compress_chunk;
use super::frame::{Frame, RUNS_MAX, read_frame, runs, write_frame};
use crate::slots::{HeldImage, Slots};

/// Chunks read, compressed and sent at one time, over all peers: bounds memory to 4 MiB.
const UPLOADS_MAX: usize = 16;
/// Streams of one peer: one for each of the images of two slots, and as many while it reconnects.
const STREAMS_PER_PEER_MAX: usize = 4;
/// Chunks asked of a stream and not yet answered, before its reading pauses.
const QUEUE_MAX: usize = 512;
/// What is written at once: the largest chunk with its head, which would go out alone otherwise.
const WRITE_BYTES: usize = CHUNK_BYTES_MAX + 16;
/// New chunks are told this often: seldom enough to be small, often enough to spread fast.
const HAVE_INTERVAL: Duration = Duration::from_millis(100);
/// A peer that takes nothing for so long is cut off: it holds an upload.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How hard chunks are compressed on the way: zstd's fastest level outruns a 1 Gbit/s line.
const LEVEL: i32 = 1;

/// A stream that ended otherwise than by the peer closing it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The stream failed, or what came over it is not this protocol.
    #[error("the chunk stream failed")]
    Stream(#[source] io::Error),
    /// The peer has too many streams open.
    #[error("the peer already has {STREAMS_PER_PEER_MAX} chunk streams")]
    TooManyStreams,
    /// The peer takes nothing.
    #[error("the peer took nothing for {} s", SEND_TIMEOUT.as_secs())]
    Stuck,
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Serves the images in this machine's slots, complete or growing, to peers that the mesh admitted.
#[derive(Debug)]
pub struct ChunkServer {
    slots: Arc<Slots>,
    uploads: Semaphore,
    streams: Mutex<BTreeMap<KeyId, usize>>,
}

/// What is to be answered, in order.
#[derive(Debug)]
enum Wanted {
    Index,
    Chunk(u32),
}

impl ChunkServer {
    /// Serves `slots`.
    pub fn new(slots: Arc<Slots>) -> Self {
        Self { slots, uploads: Semaphore::new(UPLOADS_MAX), streams: Mutex::default() }
    }

    /// Serves one stream until the peer closes it. Which peers get here is the mesh's business.
    ///
    /// # Errors
    /// If the stream fails or the peer breaks the protocol or its bounds.
    pub async fn serve<S>(&self, stream: S, peer: KeyId) -> Result<(), ServeError>
    where
        S: AsyncRead + AsyncWrite + Send,
    {
        let Some(_counted) = self.count(peer) else { return Err(ServeError::TooManyStreams) };
        let (mut reader, writer) = tokio::io::split(stream);
        let mut writer = BufWriter::with_capacity(WRITE_BYTES, writer);
        let Some(first) = read_frame(&mut reader, 0).await? else { return Ok(()) };
        let Frame::Hello(digest) = first else {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        };
        let Some(image) = self.slots.image(&digest) else {
            send(&mut writer, &Frame::Have(None)).await?;
            writer.flush().await?;
            return Ok(());
        };
        let growth = image.growth();
        let told = image.held();
        send(&mut writer, &Frame::Have(Some(told.as_bytes().to_vec()))).await?;
        writer.flush().await?;
        let (queue, wanted) = mpsc::channel(QUEUE_MAX);
        tokio::select! {
            done = hear(reader, queue) => Ok(done?),
            done = self.answer(writer, &image, told, growth, wanted) => done,
        }
    }

    async fn answer<W: AsyncWrite + Unpin>(
        &self,
        mut writer: BufWriter<W>,
        image: &Arc<HeldImage>,
        mut told: ChunkSet,
        mut growth: watch::Receiver<u32>,
        mut wanted: mpsc::Receiver<Wanted>,
    ) -> Result<(), ServeError> {
        let mut tell_at = Instant::now();
        loop {
            tokio::select! {
                next = wanted.recv() => match next {
                    None => return Ok(()),
                    Some(Wanted::Index) => {
                        let bytes = image.index_bytes().to_vec();
                        send(&mut writer, &Frame::IndexBytes(bytes)).await?;
                    }
                    Some(Wanted::Chunk(number)) => {
                        let (_upload, frame) = self.chunk(image, number).await;
                        // The peer forgets what is gone; if it comes back it is told anew.
                        if matches!(frame, Frame::Gone(_)) && !image.holds(number) {
                            told.remove(number);
                        }
                        send(&mut writer, &frame).await?;
                    }
                },
                () = grown(&mut growth, tell_at) => {
                    tell_at = Instant::now() + HAVE_INTERVAL;
                    let held = image.held();
                    // Each chunk is told once: the peer takes a second time for a breach.
                    let new: Vec<u32> = held.iter().filter(|chunk| told.insert(*chunk)).collect();
                    for some in runs(new.into_iter()).chunks(RUNS_MAX) {
                        send(&mut writer, &Frame::HaveMore(some.to_vec())).await?;
                    }
                }
            }
            if wanted.is_empty() {
                timeout(SEND_TIMEOUT, writer.flush()).await.map_err(|_| ServeError::Stuck)??;
            }
        }
    }

    /// The answer for a chunk, and the place among the uploads that it takes while it is sent.
    async fn chunk(
        &self,
        image: &Arc<HeldImage>,
        number: u32,
    ) -> (Option<tokio::sync::SemaphorePermit<'_>>, Frame) {
        let Ok(upload) = self.uploads.try_acquire() else { return (None, Frame::Busy(number)) };
        let image = Arc::clone(image);
        let read = tokio::task::spawn_blocking(move || {
            let chunk = image.read(number)?;
            let packed = compress_chunk(chunk.bytes(), LEVEL);
            Ok::<_, crate::slots::ReadChunkError>(packed.unwrap_or_else(|| chunk.into_bytes()))
        });
        match read.await {
            Ok(Ok(stored)) => (Some(upload), Frame::Chunk(number, stored)),
            Ok(Err(error)) => {
                tracing::debug!(number, %error, "a chunk cannot be served");
                (None, Frame::Gone(number))
            }
            Err(_) => (None, Frame::Gone(number)),
        }
    }

    fn count(&self, peer: KeyId) -> Option<Counted<'_>> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(peer).or_default();
        if *count == STREAMS_PER_PEER_MAX {
            return None;
        }
        *count += 1;
        Some(Counted { server: self, peer })
    }
}

/// A stream that counts among its peer's until it is dropped.
struct Counted<'a> {
    server: &'a ChunkServer,
    peer: KeyId,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut streams = self.server.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.peer);
            }
        }
    }
}

async fn hear<R: AsyncRead + Unpin>(mut reader: R, queue: mpsc::Sender<Wanted>) -> io::Result<()> {
    loop {
        let wanted = match read_frame(&mut reader, 0).await? {
            None => return Ok(()),
            Some(Frame::GetIndex) => vec![Wanted::Index],
            Some(Frame::Get(chunks)) => chunks.into_iter().map(Wanted::Chunk).collect(),
            Some(
                Frame::Hello(_)
                | Frame::Have(_)
                | Frame::HaveMore(_)
                | Frame::IndexBytes(_)
                | Frame::Chunk(..)
                | Frame::Busy(_)
                | Frame::Gone(_),
            ) => return Err(io::ErrorKind::InvalidData.into()),
        };
        for wanted in wanted {
            if queue.send(wanted).await.is_err() {
                return Ok(());
            }
        }
    }
}

async fn send<W: AsyncWrite + Unpin>(
    writer: &mut BufWriter<W>,
    frame: &Frame,
) -> Result<(), ServeError> {
    let sent = timeout(SEND_TIMEOUT, write_frame(writer, frame)).await;
    Ok(sent.map_err(|_| ServeError::Stuck)??)
}

/// Waits until the image has grown, but at least until `not_before`.
async fn grown(growth: &mut watch::Receiver<u32>, not_before: Instant) {
    sleep_until(not_before).await;
    if growth.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
