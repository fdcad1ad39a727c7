//! One-way messages over a connection: one stream each way and channel, kept open, so that
//! messages stay in order and a slow receiver slows its sender down instead of losing messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use daymark_core::effect::Channel;
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use super::frame;
use super::pace::JoinPace;
use super::streams::OpenError;

/// Bytes that may wait for one peer on one channel: sixteen of the largest messages. A sender
/// that runs further ahead has lost touch with its receiver, and repair catches up.
const QUEUED_BYTES_MAX: usize = 1024 * 1024;
/// Messages that may wait likewise.
const QUEUED_MESSAGES_MAX: usize = 256;

/// A message that arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) connection: ConnectionId,
    pub(super) channel: Channel,
    pub(super) bytes: Vec<u8>,
}

/// The sending end of a lane.
#[derive(Debug)]
pub(super) struct Sender {
    messages: mpsc::Sender<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
}

impl Sender {
    /// Sends over the stream that `opened` will yield.
    pub(super) fn start(opened: oneshot::Receiver<Result<Stream, OpenError>>) -> Self {
        let (messages, receiver) = mpsc::channel(QUEUED_MESSAGES_MAX);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        tokio::spawn(write_all(opened, receiver, Arc::clone(&queued_bytes)));
        Self { messages, queued_bytes }
    }

    /// Whether the stream failed, or was never opened: a new lane is needed.
    pub(super) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Queues a message; false if the queue is full.
    pub(super) fn send(&self, message: Vec<u8>) -> bool {
        let bytes = message.len();
        if self.queued_bytes.load(Ordering::Relaxed) + bytes > QUEUED_BYTES_MAX {
            return false;
        }
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let sent = self.messages.try_send(message).is_ok();
        if !sent {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        sent
    }
}

async fn write_all(
    opened: oneshot::Receiver<Result<Stream, OpenError>>,
    mut messages: mpsc::Receiver<Vec<u8>>,
    queued_bytes: Arc<AtomicUsize>,
) {
    let stream = match opened.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "messages dropped");
            return;
        }
        // The connection closed.
        Err(_) => return,
    };
    let mut stream = stream.compat();
    while let Some(message) = messages.recv().await {
        if let Err(error) = frame::write(&mut stream, &message).await {
            tracing::debug!(%error, "messages dropped");
            return;
        }
        queued_bytes.fetch_sub(message.len(), Ordering::Relaxed);
    }
}

/// Reads messages off a stream that a peer opened, until it ends, breaks a rule, or nobody
/// listens any more. `pace` slows it down.
pub(super) async fn read_all(
    stream: Stream,
    connection: ConnectionId,
    channel: Channel,
    mut pace: Option<JoinPace>,
    arrived: mpsc::Sender<Arrived>,
) {
    let mut stream = stream.compat();
    loop {
        let bytes = match frame::read(&mut stream).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(?channel, %error, "stopped listening to a peer's stream");
                return;
            }
        };
        if let Some(pace) = &mut pace {
            tokio::time::sleep(pace.take(Instant::now())).await;
        }
        if arrived.send(Arrived { connection, channel, bytes }).await.is_err() {
            return;
        }
    }
}
