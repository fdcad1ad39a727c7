//! A client of the control API, for `daymark-node` itself, `daymarkctl`, and tests: over a machine's
//! own socket, or from a laptop over the network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use daymark_protocol::control::{
    CONTROL_BODY_BYTES_MAX, DecisionAnswer, Done, Fetched, Inhibit, Join, Peer, Rebind, Refusal,
    ReplicaIndex, Status, Submission, SubmitAnswer, SubmitOutcome, Submitted, Wanted,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::mesh::{Laptop, LaptopError};

/// Longest wait for an answer: a large submission is judged signature by signature.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Most bytes of items in one submission, before base64: well below the body's limit.
const SUBMIT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody serves the socket.
    #[error(
        "no agent answers at {}; start it with `daymark-node run`, or name its socket",
        socket.display()
    )]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The agent refused.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The node cannot be talked to over the network.
    #[error(transparent)]
    Network(#[from] LaptopError),
    /// Talking to it failed.
    #[error("the agent at {agent} broke off: {what}")]
    Broken {
        /// Its socket or address.
        agent: String,
        /// What happened.
        what: String,
    },
}

/// How the agent is reached.
#[derive(Clone, Debug)]
enum Way {
    Socket(PathBuf),
    Network { laptop: Laptop, address: String },
}

/// What a request travels over.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    way: Way,
}

impl Client {
    /// A client of that socket; connects with each request.
    pub fn new(socket: &Path) -> Self {
        Self { way: Way::Socket(socket.to_owned()) }
    }

    /// A client of the node that let a laptop in; `address` is for people.
    pub fn over(laptop: Laptop, address: String) -> Self {
        Self { way: Way::Network { laptop, address } }
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// [`ClientError`], as for all requests.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// `GET /v1/decision`.
    ///
    /// # Errors
    /// [`ClientError`]; refused as `not-found` before the first decision.
    pub async fn decision(&self) -> Result<DecisionAnswer, ClientError> {
        self.get("/v1/decision").await
    }

    /// `GET /v1/peers`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<Vec<Peer>, ClientError> {
        self.get("/v1/peers").await
    }

    /// `GET /v1/metrics`, as text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let bytes = self.exchange(Method::GET, "/v1/metrics", Vec::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// `GET /v1/replica`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn replica(&self) -> Result<ReplicaIndex, ClientError> {
        self.get("/v1/replica").await
    }

    /// `POST /v1/replica/fetch`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fetch(&self, wanted: &Wanted) -> Result<Fetched, ClientError> {
        self.post("/v1/replica/fetch", wanted).await
    }

    /// `POST /v1/submit`, in as many requests as the items need; one outcome per item, in order.
    ///
    /// # Errors
    /// [`ClientError`]; items of earlier requests are then submitted.
    pub async fn submit(&self, items: Vec<Submitted>) -> Result<SubmitAnswer, ClientError> {
        let mut outcomes = Vec::with_capacity(items.len());
        let batches = in_batches(&items);
        for batch in &batches {
            outcomes.extend(self.submit_once(batch).await?.outcomes);
        }
        if batches.len() > 1 {
            // A later batch may have told the machine its site: what it did not keep before is
            // offered once more.
            let left_out: Vec<usize> = outcomes
                .iter()
                .enumerate()
                .filter(|(_, outcome)| matches!(outcome, SubmitOutcome::NotKept(_)))
                .map(|(place, _)| place)
                .collect();
            let again: Vec<Submitted> =
                left_out.iter().filter_map(|place| items.get(*place).cloned()).collect();
            let mut taken = Vec::with_capacity(again.len());
            for batch in in_batches(&again).iter().filter(|batch| !batch.items.is_empty()) {
                taken.extend(self.submit_once(batch).await?.outcomes);
            }
            for (place, outcome) in left_out.into_iter().zip(taken) {
                if let Some(old) = outcomes.get_mut(place) {
                    *old = outcome;
                }
            }
        }
        Ok(SubmitAnswer { outcomes })
    }

    async fn submit_once(&self, batch: &Submission) -> Result<SubmitAnswer, ClientError> {
        self.post("/v1/submit", batch).await
    }

    /// `POST /v1/join`.
    ///
    /// # Errors
    /// [`ClientError`]; refused if the machine has a fleet or the roots do not fit the pin.
    pub async fn join(&self, join: &Join) -> Result<(), ClientError> {
        self.post::<_, Done>("/v1/join", join).await.map(|_| ())
    }

    /// `POST /v1/rebind`.
    ///
    /// # Errors
    /// [`ClientError`]; refused if the agent sees another machine than the person did.
    pub async fn rebind(&self, rebind: &Rebind) -> Result<(), ClientError> {
        self.post::<_, Done>("/v1/rebind", rebind).await.map(|_| ())
    }

    /// `POST /v1/inhibit`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn inhibit(&self, inhibit: &Inhibit) -> Result<(), ClientError> {
        self.post::<_, Done>("/v1/inhibit", inhibit).await.map(|_| ())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.exchange(Method::GET, path, Vec::new()).await?;
        self.parse(&bytes)
    }

    async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        let bytes = self.exchange(Method::POST, path, body).await?;
        self.parse(&bytes)
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| self.broken(error))
    }

    fn broken(&self, what: impl std::fmt::Display) -> ClientError {
        let agent = match &self.way {
            Way::Socket(socket) => socket.display().to_string(),
            Way::Network { address, .. } => address.clone(),
        };
        ClientError::Broken { agent, what: what.to_string() }
    }

    async fn connect(&self) -> Result<Box<dyn Line>, ClientError> {
        match &self.way {
            Way::Socket(socket) => {
                let unreachable =
                    |source| ClientError::Unreachable { socket: socket.clone(), source };
                Ok(Box::new(UnixStream::connect(socket).await.map_err(unreachable)?))
            }
            Way::Network { laptop, .. } => Ok(Box::new(laptop.open_control().await?)),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ClientError> {
        let timeout = tokio::time::timeout(ANSWER_TIMEOUT, self.converse(method, path, body));
        timeout.await.map_err(|_| self.broken("it did not answer in time"))?
    }

    async fn converse(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Bytes, ClientError> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let connection = tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "daymark")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), CONTROL_BODY_BYTES_MAX).collect().await;
        connection.abort();
        let bytes = body.map_err(|error| self.broken(error))?.to_bytes();
        if status == StatusCode::OK {
            Ok(bytes)
        } else {
            Err(ClientError::Refused(self.parse(&bytes)?))
        }
    }
}

/// Items in as many submissions as they need; at least one.
fn in_batches(items: &[Submitted]) -> Vec<Submission> {
    let mut batches = vec![Submission::default()];
    let mut bytes = 0;
    for item in items {
        let size = size(item);
        if bytes > 0 && bytes + size > SUBMIT_BYTES_MAX {
            batches.push(Submission::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.items.push(item.clone());
        }
    }
    batches
}

fn size(item: &Submitted) -> usize {
    match item {
        Submitted::Root(bytes)
        | Submitted::Entry(bytes)
        | Submitted::Report(bytes)
        | Submitted::Blob(bytes) => bytes.0.len(),
    }
}

/// The client for callers that are not asynchronous.
#[derive(Debug)]
pub struct BlockingClient {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl BlockingClient {
    /// A client of that socket.
    ///
    /// # Errors
    /// If the operating system gives no resources for it.
    pub fn new(socket: &Path) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client: Client::new(socket) })
    }

    /// Runs one request to its end: `client.run(async |client| client.status().await)`.
    pub fn run<T>(&self, request: impl AsyncFnOnce(&Client) -> T) -> T {
        self.runtime.block_on(request(&self.client))
    }
}
