//! The disk's side of staging: a thread that owns the slot's writer.

use std::sync::Arc;

use daymark_protocol::image::ChunkSet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::slots::{HeldImage, SlotError, SlotWriter, VerifiedChunk};

/// Chunks on their way to the disk: at most 16 MiB.
const QUEUE_MAX: usize = 64;

/// A chunk to write, or `None` when it may be time to sync.
type Order = Option<VerifiedChunk>;

/// The writer at work.
#[derive(Debug)]
pub(super) struct WriteThread {
    orders: mpsc::Sender<Order>,
    /// Bytes of the image that each chunk added, in order.
    pub(super) done: mpsc::UnboundedReceiver<Result<u64, SlotError>>,
    thread: JoinHandle<SlotWriter>,
}

impl WriteThread {
    pub(super) fn start(mut writer: SlotWriter) -> Self {
        let (orders, mut inbox) = mpsc::channel::<Order>(QUEUE_MAX);
        let (outbox, done) = mpsc::unbounded_channel();
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(order) = inbox.blocking_recv() {
                let answer = match order {
                    Some(chunk) => Some(writer.put(&chunk)),
                    None => writer.sync_if_due().err().map(Err),
                };
                let failed = matches!(answer, Some(Err(_)));
                if let Some(answer) = answer
                    && (outbox.send(answer).is_err() || failed)
                {
                    break;
                }
            }
            if let Err(error) = writer.sync() {
                tracing::warn!(%error, "the last chunks may have to be fetched again");
            }
            writer
        });
        Self { orders, done, thread }
    }

    /// Hands a chunk over; waits while the disk is behind.
    pub(super) async fn put(&self, chunk: VerifiedChunk) {
        // If the thread ended, its error is in `done`.
        drop(self.orders.send(Some(chunk)).await);
    }

    /// Lets the journal catch up with what was written.
    pub(super) fn tick(&self) {
        drop(self.orders.try_send(None));
    }

    /// Waits until everything handed over is written, and gives the writer back. `None` if the
    /// thread panicked.
    pub(super) async fn stop(self) -> Option<SlotWriter> {
        drop(self.orders);
        self.thread.await.ok()
    }
}

/// Takes what this machine's own slots have: first what lies in place, then copies, each proven.
/// Returns the bytes taken. Blocks.
pub(super) fn seed(
    writer: &mut SlotWriter,
    images: &[Arc<HeldImage>],
    cancel: &CancellationToken,
    mut progress: impl FnMut(u64),
) -> Result<u64, SlotError> {
    let mut taken = writer.keep_in_place()?;
    progress(taken);
    let index = Arc::clone(writer.image().index());
    let seeds: Vec<Arc<HeldImage>> =
        images.iter().chain(writer.previous()).map(Arc::clone).collect();
    for number in writer.image().held().missing() {
        if cancel.is_cancelled() {
            break;
        }
        let Some(chunk) = index.chunk(number).filter(|_| !writer.image().holds(number)) else {
            continue;
        };
        let copy = seeds.iter().find_map(|seed| {
            let places = seed.lookup().places(seed.index(), &chunk.hash);
            places.iter().find_map(|place| seed.read(*place).ok())
        });
        if let Some(copy) = copy {
            taken += writer.put(&copy)?;
            progress(taken);
        }
    }
    writer.sync()?;
    Ok(taken)
}

/// What is to be fetched: of each content that is missing, its first place.
pub(super) fn wanted(image: &HeldImage) -> ChunkSet {
    let held = image.held();
    let mut wanted = ChunkSet::new(held.chunks());
    for number in held.missing() {
        let Some(chunk) = image.index().chunk(number) else { continue };
        let places = image.lookup().places(image.index(), &chunk.hash);
        if places.iter().find(|place| !held.contains(**place)) == Some(&number) {
            wanted.insert(number);
        }
    }
    wanted
}
