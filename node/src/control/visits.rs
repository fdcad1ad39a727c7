//! The control API over the network: a laptop that the core let in opens a stream for each request,
//! behind the mesh's gate.

use std::sync::Arc;
use std::time::Duration;

use daymark_protocol::id::KeyId;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, mpsc};

use super::Request;
use super::routes::{Replica, visitors_router};
use crate::mesh::PeerStream;

/// Requests of all laptops that are answered at once: each may bring 12 MiB.
const AT_ONCE_MAX: usize = 12;
/// Longest time for one request, its answer included: a large submission is judged signature by
/// signature.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Answers laptops.
#[derive(Clone, Debug)]
pub struct Visits {
    requests: mpsc::Sender<Request>,
    replica: Replica,
    room: Arc<Semaphore>,
}

impl Visits {
    /// Answers by the agent that takes `requests`, and from what it stored.
    pub fn new(requests: mpsc::Sender<Request>, replica: Replica) -> Self {
        Self { requests, replica, room: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Answers the request on a stream, in a task of its own. One too many is not answered.
    pub fn serve(&self, laptop: KeyId, stream: PeerStream) {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::warn!(laptop = %laptop.short(), "too many requests at once: one refused");
            return;
        };
        let router = visitors_router(self.requests.clone(), self.replica.clone(), laptop);
        tokio::spawn(async move {
            let service = TowerToHyperService::new(router);
            let answered = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(REQUEST_TIMEOUT, answered).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a laptop's request broke off"),
                Err(_) => tracing::debug!("a laptop's request took too long"),
            }
            drop(permit);
        });
    }
}
