//! A release service over HTTP with range requests, that answers some machines only, remembers
//! what it gave to whom, and can be told to damage it or to give it slowly. On loopback all
//! machines ask from one address, so each is configured with a path of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::SeekFrom;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

/// What the release service saw and how it behaves.
#[derive(Debug, Default)]
struct Behaviour {
    allowed: Option<BTreeSet<String>>,
    served_bytes: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    asked: BTreeMap<String, u64>,
    damage: bool,
    damaged: u64,
    pause: Duration,
}

/// A release service.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    folder: PathBuf,
    behaviour: Mutex<Behaviour>,
}

impl Origin {
    /// Serves `folder` on a free port of `address` until the runtime ends.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(folder: &Path, address: IpAddr) -> anyhow::Result<Arc<Self>> {
        let listener =
            tokio::net::TcpListener::bind((address, 0)).await.context("cannot listen")?;
        let origin = Arc::new(Self {
            address: listener.local_addr()?,
            folder: folder.to_owned(),
            behaviour: Mutex::default(),
        });
        let service = Router::new().fallback(answer).with_state(Arc::clone(&origin));
        tokio::spawn(async move { axum::serve(listener, service).await });
        Ok(origin)
    }

    /// The source for a machine's configuration.
    pub fn url(&self, machine: &str) -> String {
        format!("http://{}/{machine}", self.address)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Behaviour) -> T) -> T {
        act(&mut self.behaviour.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, answers these only.
    pub fn answer_only(&self, allowed: &[&str]) {
        self.with(|b| b.allowed = Some(allowed.iter().map(|name| (*name).to_owned()).collect()));
    }

    /// From now on, damages one byte of every answer that carries chunks, or no longer does.
    pub fn damage(&self, damage: bool) {
        self.with(|b| b.damage = damage);
    }

    /// From now on, waits before each answer that carries chunks.
    pub fn slow_down(&self, pause: Duration) {
        self.with(|b| b.pause = pause);
    }

    /// Bytes of chunks that it gave to a machine.
    pub fn served_bytes(&self, to: &str) -> u64 {
        self.with(|b| b.served_bytes.get(to).copied().unwrap_or_default())
    }

    /// Times that a machine asked it for chunks, answered or not yet.
    pub fn asked(&self, by: &str) -> u64 {
        self.with(|b| b.asked.get(by).copied().unwrap_or_default())
    }

    /// Times that it refused a machine.
    pub fn refused(&self, whom: &str) -> u64 {
        self.with(|b| b.refused.get(whom).copied().unwrap_or_default())
    }

    /// Answers that it damaged.
    pub fn damaged(&self) -> u64 {
        self.with(|b| b.damaged)
    }
}

async fn answer(State(origin): State<Arc<Origin>>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let Some((whom, path)) = path.split_once('/') else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let refused = origin.with(|b| {
        let refused = b.allowed.as_ref().is_some_and(|allowed| !allowed.contains(whom));
        if refused {
            *b.refused.entry(whom.to_owned()).or_default() += 1;
        }
        refused
    });
    if refused {
        return StatusCode::FORBIDDEN.into_response();
    }
    let pack = path.ends_with("/pack");
    if pack {
        origin.with(|b| *b.asked.entry(whom.to_owned()).or_default() += 1);
    }
    let pause = origin.with(|b| b.pause);
    if pack && !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let range = request.headers().get(header::RANGE).and_then(|range| range.to_str().ok());
    let range = range.map(ToOwned::to_owned);
    let Ok((mut bytes, total)) = read(&origin.folder.join(path), range.as_deref()).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    origin.with(|b| {
        if pack {
            *b.served_bytes.entry(whom.to_owned()).or_default() += bytes.len() as u64;
        }
        if pack && b.damage {
            // The middle lies within a chunk's bytes, whatever the range.
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x55;
            b.damaged += 1;
        }
    });
    match range.and_then(|range| parse(&range, total)) {
        Some((from, to)) => {
            let content_range = format!("bytes {from}-{}/{total}", to - 1);
            let headers = [(header::CONTENT_RANGE, content_range)];
            (StatusCode::PARTIAL_CONTENT, headers, Body::from(bytes)).into_response()
        }
        None => Body::from(bytes).into_response(),
    }
}

/// `bytes=FROM-TO`, as a half-open range.
fn parse(range: &str, total: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let to = if to.is_empty() { total } else { to.parse::<u64>().ok()?.saturating_add(1) };
    Some((from.parse().ok()?, to.min(total)))
}

async fn read(path: &Path, range: Option<&str>) -> std::io::Result<(Vec<u8>, u64)> {
    let mut file = tokio::fs::File::open(path).await?;
    let total = file.metadata().await?.len();
    let (from, to) = range.and_then(|range| parse(range, total)).unwrap_or((0, total));
    file.seek(SeekFrom::Start(from)).await?;
    let mut bytes = Vec::new();
    file.take(to.saturating_sub(from)).read_to_end(&mut bytes).await?;
    Ok((bytes, total))
}
