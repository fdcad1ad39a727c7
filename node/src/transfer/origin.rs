//! A release source: a folder, or any static web server that answers range requests.
//!
//! Nothing it says is believed: the index must have the signed digest, the pack map is only a
//! hint, each chunk is proven. Sources come from the configuration alone (RULES Q16): a redirect
//! is not followed, for it could name any address that this machine reaches.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daymark_protocol::id::Digest;
use daymark_protocol::image::{BadPackMap, ChunkSet, Index, PackMap, PackSpan};
use daymark_protocol::rules::{Rule, holds};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, header};
use tokio::sync::mpsc;

use super::peer::received;
use super::session::{Ended, SessionEvent, SessionEvents};
use crate::causes::with_causes;

/// Most bytes of one range: many chunks for one round trip, and little lost if it fails.
const RANGE_BYTES_MAX: u64 = 1024 * 1024;
/// Ranges asked of one source at a time: hides the round trip.
const RANGES_AT_ONCE: usize = 4;
/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may send nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(15);

/// Text that does not name a release source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no release source: give an http:// or https:// address, or a folder's path")]
pub struct InvalidSource {
    /// What was given.
    pub text: String,
}

/// A release source that did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum OriginError {
    #[error("{place} cannot be reached")]
    Unreachable { place: String, source: reqwest::Error },
    #[error("{place} answered {status}")]
    Status { place: String, status: StatusCode },
    #[error("{place} redirects to {target}, which is not followed; name that in `release.sources`")]
    Redirect { place: String, target: String },
    #[error("{place} does not answer range requests; serve it with a web server that does")]
    NoRanges { place: String },
    #[error("{place} has another length than was asked for")]
    Length { place: String },
    #[error("{place} cannot be read")]
    File { place: String, source: io::Error },
    #[error("{place} is not the image's pack map")]
    Map { place: String, source: BadPackMap },
}

/// A place that holds images in the release layout.
#[derive(Clone, Debug)]
pub enum ReleaseSource {
    /// A web server.
    Http {
        /// Its address, without a slash at the end.
        base: String,
        /// The connection pool.
        client: Client,
    },
    /// A folder.
    Folder(PathBuf),
}

impl std::fmt::Display for ReleaseSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http { base, .. } => f.write_str(base),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl ReleaseSource {
    /// A source as configured: an HTTP(S) address, or an absolute folder. Connections to a web
    /// server leave from `local`, if that is given: on machines with several networks, the one
    /// that the node listens on.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn parse(text: &str, local: Option<IpAddr>) -> Result<Self, InvalidSource> {
        let invalid = || InvalidSource { text: text.chars().take(200).collect() };
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = reqwest::Url::parse(text).map_err(|_| invalid())?;
            if url.query().is_some() || url.fragment().is_some() {
                return Err(invalid());
            }
            let client = Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .local_address(local)
                .redirect(Policy::none())
                .build()
                .map_err(|_| invalid())?;
            return Ok(Self::Http { base: url.as_str().trim_end_matches('/').to_owned(), client });
        }
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.starts_with('/') { Ok(Self::Folder(path.into())) } else { Err(invalid()) }
    }

    /// The index of an image; it has exactly `bytes` bytes, and its digest is still to be checked.
    ///
    /// # Errors
    /// If it cannot be had.
    pub async fn index(&self, image: &Digest, bytes: u64) -> Result<Vec<u8>, OriginError> {
        self.whole(&format!("images/{image}/index"), bytes).await
    }

    /// The pack map of an image.
    ///
    /// # Errors
    /// If it cannot be had, or is not one.
    pub async fn pack_map(&self, index: &Index) -> Result<PackMap, OriginError> {
        let path = format!("images/{}/map", index.digest());
        let bytes = self.whole(&path, PackMap::encoded_bytes(index) as u64).await?;
        let place = || format!("{self}/{path}");
        PackMap::decode(&bytes, index).map_err(|source| OriginError::Map { place: place(), source })
    }

    /// Bytes of an image's pack.
    ///
    /// # Errors
    /// If they cannot be had.
    pub async fn pack(&self, image: &Digest, range: Range<u64>) -> Result<Vec<u8>, OriginError> {
        let path = format!("images/{image}/pack");
        match self {
            Self::Folder(folder) => read_range(folder.join(path), range).await,
            Self::Http { base, client } => {
                let place = format!("{base}/{path}");
                let asked = format!("bytes={}-{}", range.start, range.end - 1);
                let request = client.get(&place).header(header::RANGE, asked);
                body(place, request, StatusCode::PARTIAL_CONTENT, range.end - range.start).await
            }
        }
    }

    async fn whole(&self, path: &str, bytes: u64) -> Result<Vec<u8>, OriginError> {
        match self {
            Self::Folder(folder) => read_range(folder.join(path), 0..bytes).await,
            Self::Http { base, client } => {
                let place = format!("{base}/{path}");
                let request = client.get(&place);
                body(place, request, StatusCode::OK, bytes).await
            }
        }
    }
}

async fn read_range(path: PathBuf, range: Range<u64>) -> Result<Vec<u8>, OriginError> {
    let place = path.display().to_string();
    let failed = |source| OriginError::File { place: place.clone(), source };
    let read = tokio::task::spawn_blocking(move || {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        std::fs::File::open(path)?.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    });
    read.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)
}

/// The body of an answer with exactly that status and length, never reading beyond it.
async fn body(
    place: String,
    request: reqwest::RequestBuilder,
    expected: StatusCode,
    bytes: u64,
) -> Result<Vec<u8>, OriginError> {
    let answer = request.send().await;
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(source) => return Err(OriginError::Unreachable { place, source }),
    };
    if expected == StatusCode::PARTIAL_CONTENT && answer.status() == StatusCode::OK {
        return Err(OriginError::NoRanges { place });
    }
    if answer.status().is_redirection() {
        return Err(OriginError::Redirect { place, target: location(&answer) });
    }
    if answer.status() != expected && holds(Rule::I1Status) {
        return Err(OriginError::Status { place, status: answer.status() });
    }
    let mut body = Vec::new();
    let fits = |length: usize| length as u64 <= bytes || !holds(Rule::I1Length);
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) if fits(body.len() + piece.len()) => body.extend(piece),
            Ok(None) if body.len() as u64 == bytes || !holds(Rule::I1Length) => return Ok(body),
            Ok(Some(_) | None) => return Err(OriginError::Length { place }),
            Err(source) => return Err(OriginError::Unreachable { place, source }),
        }
    }
}

/// Where an answer redirects to, for people.
fn location(answer: &reqwest::Response) -> String {
    let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    location.unwrap_or("nowhere").chars().take(200).collect()
}

/// Runs one session with a release source until it fails.
pub(super) async fn run_origin(
    source: ReleaseSource,
    index: Arc<Index>,
    requests: mpsc::UnboundedReceiver<Vec<u32>>,
    events: SessionEvents,
) -> Ended {
    match fetch(&source, &index, requests, &events).await {
        Ok(()) => Ended::Failed("the session is over".to_owned()),
        Err(OriginError::Status { status: StatusCode::NOT_FOUND, .. }) => Ended::NotThere,
        Err(error) => Ended::Failed(with_causes(&error)),
    }
}

async fn fetch(
    source: &ReleaseSource,
    index: &Arc<Index>,
    mut requests: mpsc::UnboundedReceiver<Vec<u32>>,
    events: &SessionEvents,
) -> Result<(), OriginError> {
    let map = source.pack_map(index).await?;
    events.send(SessionEvent::Has(ChunkSet::full(index.chunk_count()))).await;
    let mut waiting: std::collections::VecDeque<Vec<(u32, PackSpan)>> = Default::default();
    let mut running = tokio::task::JoinSet::new();
    loop {
        while running.len() < RANGES_AT_ONCE
            && let Some(spans) = waiting.pop_front()
        {
            let (source, image) = (source.clone(), index.digest());
            running.spawn(async move {
                let start = spans.first().map_or(0, |(_, span)| span.offset);
                let end = spans.last().map_or(0, |(_, span)| span.end());
                source.pack(&image, start..end).await.map(|bytes| (spans, bytes))
            });
        }
        tokio::select! {
            Some(done) = running.join_next() => {
                let Ok(done) = done else { continue };
                let (spans, bytes) = done?;
                for event in cut(index, &spans, &bytes) {
                    events.send(event).await;
                }
            }
            asked = requests.recv() => match asked {
                Some(chunks) => waiting.extend(ranges(&map, &chunks)),
                None => return Ok(()),
            },
        }
    }
}

/// Groups chunks that lie side by side in the pack.
fn ranges(map: &PackMap, chunks: &[u32]) -> Vec<Vec<(u32, PackSpan)>> {
    let mut spans: Vec<(u32, PackSpan)> =
        chunks.iter().filter_map(|chunk| Some((*chunk, map.span(*chunk)?))).collect();
    spans.sort_by_key(|(_, span)| span.offset);
    let mut ranges: Vec<Vec<(u32, PackSpan)>> = Vec::new();
    for (chunk, span) in spans {
        let fits = ranges.last().is_some_and(|range| {
            let start = range.first().map_or(0, |(_, span)| span.offset);
            let end = range.last().map_or(0, |(_, span)| span.end());
            end == span.offset && span.end() - start <= RANGE_BYTES_MAX
        });
        match ranges.last_mut() {
            Some(range) if fits => range.push((chunk, span)),
            Some(_) | None => ranges.push(vec![(chunk, span)]),
        }
    }
    ranges
}

/// Cuts a range into its chunks.
fn cut(index: &Index, spans: &[(u32, PackSpan)], bytes: &[u8]) -> Vec<SessionEvent> {
    let mut rest = bytes;
    let mut events = Vec::with_capacity(spans.len());
    for (chunk, span) in spans {
        let (stored, tail) = rest.split_at(rest.len().min(span.stored as usize));
        events.push(received(index, *chunk, stored.to_vec()));
        rest = tail;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q16_sources_are_addresses_or_absolute_paths() {
        let shown = |text: &str| ReleaseSource::parse(text, None).map(|source| source.to_string());
        assert_eq!(shown("http://h:8080/r/"), Ok("http://h:8080/r".to_owned()));
        assert_eq!(shown("/srv/release"), Ok("/srv/release".to_owned()));
        assert_eq!(shown("file:///srv/release"), Ok("/srv/release".to_owned()));
        for bad in ["", "release", "http://", "http://h/?x=1", "ftp://h/"] {
            assert!(shown(bad).is_err(), "{bad:?}");
        }
    }
}
