//! The demo's release service: a folder over HTTP with range requests, that answers one machine
//! only and remembers whom it refused. It can be told to damage what it serves.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tower_http::services::ServeDir;

/// Largest answer that is taken apart to damage it; nodes ask for at most about 1 MiB at once.
const DAMAGED_BYTES_MAX: usize = 16 << 20;

/// What the release service saw.
#[derive(Debug)]
pub(super) struct Origin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    allowed: IpAddr,
    refused: Mutex<BTreeMap<IpAddr, u64>>,
    damage: AtomicBool,
    damaged: Mutex<u64>,
}

impl Origin {
    /// Serves `folder` on a free port of 127.0.0.1 to `allowed` alone, until the runtime ends.
    pub(super) async fn start(folder: &Path, allowed: IpAddr) -> anyhow::Result<Arc<Self>> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("cannot listen for the demo's release service")?;
        let origin = Arc::new(Self {
            address: listener.local_addr()?,
            allowed,
            refused: Mutex::default(),
            damage: AtomicBool::new(false),
            damaged: Mutex::default(),
        });
        let service = Router::new()
            .fallback_service(ServeDir::new(folder))
            .layer(middleware::from_fn_with_state(origin.clone(), guard))
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, service).await {
                tracing::error!(%error, "the demo's release service stopped");
            }
        });
        Ok(origin)
    }

    /// The source to write into a node's configuration.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whom it refused, and how often.
    pub(super) fn refused(&self) -> BTreeMap<IpAddr, u64> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, damages one byte of every answer that carries chunks.
    pub(super) fn damage(&self) {
        self.damage.store(true, Ordering::Relaxed);
    }

    /// How many answers were damaged.
    pub(super) fn damaged(&self) -> u64 {
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn guard(
    State(origin): State<Arc<Origin>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if peer.ip() != origin.allowed {
        let mut refused = origin.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(peer.ip()).or_default() += 1;
        return StatusCode::FORBIDDEN.into_response();
    }
    let carries_chunks = request.uri().path().ends_with("/pack");
    let response = next.run(request).await;
    if carries_chunks && origin.damage.load(Ordering::Relaxed) {
        return damaged(&origin, response).await;
    }
    response
}

async fn damaged(origin: &Origin, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, DAMAGED_BYTES_MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut bytes = bytes.to_vec();
    // The middle lies within a chunk's compressed bytes, whatever the range.
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 0x55;
        *origin.damaged.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(Bytes::from(bytes)))
}
