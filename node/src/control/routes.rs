//! The paths of the control API and what answers each.

use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use daymark_core::effect::{ItemOutcome, Reply};
use daymark_protocol::control::{
    Bytes, CONTROL_BODY_BYTES_MAX, Done, FETCH_BYTES_MAX, Fetched, Inhibit, Item, Join, Rebind,
    Refusal, ReplicaIndex, Submission, SubmitAnswer, SubmitOutcome, Wanted,
};
use daymark_protocol::id::KeyId;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::server::Caller;
use super::{Request, carried};
use crate::durable::RootFiles;
use crate::store::{Store, StoreError};

/// Largest request of a laptop: one batch of a client's submission, in base64.
const VISITORS_BODY_BYTES_MAX: usize = 12 * 1024 * 1024;

/// What the agent stored, to be read beside it.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Entries, reports and blobs.
    pub store: Store,
    /// Roots.
    pub roots: RootFiles,
}

#[derive(Clone)]
struct Context {
    requests: mpsc::Sender<Request>,
    replica: Replica,
    /// The laptop that asks over the network; `None` over the socket.
    visitor: Option<KeyId>,
}

/// What a laptop on the network is answered: it reads, and submits as far as the core lets it.
/// What binds or stops this very machine is for who is at it.
pub(super) fn visitors_router(
    requests: mpsc::Sender<Request>,
    replica: Replica,
    visitor: KeyId,
) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/decision", get(decision))
        .route("/v1/peers", get(peers))
        .route("/v1/replica", get(index))
        .route("/v1/replica/fetch", post(fetch))
        .route("/v1/submit", post(submit))
        .fallback(async || {
            let message = "over the network a laptop reads and submits; this is for the machine's \
                           own control socket";
            refusal(StatusCode::FORBIDDEN, "refused", message)
        })
        .layer(DefaultBodyLimit::max(VISITORS_BODY_BYTES_MAX))
        .with_state(Context { requests, replica, visitor: Some(visitor) })
}

pub(super) fn router(requests: mpsc::Sender<Request>, replica: Replica) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/decision", get(decision))
        .route("/v1/peers", get(peers))
        .route("/v1/metrics", get(metrics))
        .route("/v1/replica", get(index))
        .route("/v1/replica/fetch", post(fetch))
        .route("/v1/submit", post(submit))
        .route("/v1/join", post(join))
        .route("/v1/rebind", post(rebind))
        .route("/v1/inhibit", post(inhibit))
        .fallback(async || {
            refusal(
                StatusCode::NOT_FOUND,
                "not-found",
                "there is no such path; this API is version 1",
            )
        })
        .layer(DefaultBodyLimit::max(CONTROL_BODY_BYTES_MAX))
        .with_state(Context { requests, replica, visitor: None })
}

fn refusal(status: StatusCode, code: &str, message: impl Into<String>) -> Response {
    (status, Json(Refusal { code: code.to_owned(), message: message.into() })).into_response()
}

/// A JSON body, or a refusal that says what is wrong with it.
struct Body<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> axum::extract::FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Response> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(refusal(error.status(), "bad-request", error.body_text())),
        }
    }
}

/// Asks the agent and turns its answer into a response.
async fn ask<T>(
    context: &Context,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
    respond: impl FnOnce(T) -> Response,
) -> Response {
    let (sender, answer) = oneshot::channel();
    let stopping = || refusal(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the agent is stopping");
    if context.requests.send(request(sender)).await.is_err() {
        return stopping();
    }
    answer.await.map_or_else(|_| stopping(), respond)
}

fn json<T: Serialize>(answer: T) -> Response {
    Json(answer).into_response()
}

async fn status(State(context): State<Context>) -> Response {
    ask(&context, Request::Status, json).await
}

async fn decision(State(context): State<Context>) -> Response {
    ask(&context, Request::Decision, |decision| match decision {
        Some(decision) => json(decision),
        None => refusal(StatusCode::NOT_FOUND, "not-found", "nothing is decided yet"),
    })
    .await
}

async fn peers(State(context): State<Context>) -> Response {
    ask(&context, Request::Peers, json).await
}

async fn metrics(State(context): State<Context>) -> Response {
    ask(&context, Request::Metrics, |text: String| {
        ([("content-type", "text/plain; version=0.0.4")], text).into_response()
    })
    .await
}

async fn submit(State(context): State<Context>, Body(body): Body<Submission>) -> Response {
    let items = body.items.into_iter().map(carried).collect();
    let visitor = context.visitor;
    ask(&context, |reply| Request::Submit { items, visitor, reply }, reply).await
}

async fn join(
    State(context): State<Context>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Body(body): Body<Join>,
) -> Response {
    if let Some(refused) = refused_stranger(caller, "bind this machine to a fleet") {
        return refused;
    }
    let items = body.items.into_iter().map(carried).collect();
    ask(&context, |sender| Request::Join(body.pin, items, sender), reply).await
}

async fn rebind(
    State(context): State<Context>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Body(body): Body<Rebind>,
) -> Response {
    if let Some(refused) = refused_stranger(caller, "say that this machine keeps its key") {
        return refused;
    }
    ask(&context, |sender| Request::Rebind(body, sender), reply).await
}

/// What is for the superuser and the agent's own user is refused to others.
fn refused_stranger(caller: Caller, act: &str) -> Option<Response> {
    if caller.is_owner() {
        return None;
    }
    tracing::warn!(user = caller.user, process = caller.process, act, "refused another user");
    let message = format!("only root or the agent's own user may {act}");
    Some(refusal(StatusCode::FORBIDDEN, "refused", message))
}

async fn inhibit(State(context): State<Context>, Body(body): Body<Inhibit>) -> Response {
    if body.why.trim().is_empty() || body.why.len() > 200 {
        let message = "`why` must say why, in at most 200 bytes";
        return refusal(StatusCode::BAD_REQUEST, "bad-request", message);
    }
    ask(&context, |sender| Request::Inhibit(body.why, body.until, sender), reply).await
}

fn reply(reply: Reply) -> Response {
    match reply {
        Reply::Done => json(Done {}),
        Reply::Refused(why) => refusal(StatusCode::CONFLICT, "refused", why),
        Reply::Submitted(outcomes) => {
            json(SubmitAnswer { outcomes: outcomes.into_iter().map(outcome).collect() })
        }
    }
}

fn outcome(outcome: ItemOutcome) -> SubmitOutcome {
    match outcome {
        ItemOutcome::New => SubmitOutcome::New,
        ItemOutcome::Known => SubmitOutcome::Known,
        ItemOutcome::Held(why) => SubmitOutcome::Held(why),
        ItemOutcome::NotKept(why) => SubmitOutcome::NotKept(why),
        ItemOutcome::Refused(why) => SubmitOutcome::Refused(why),
    }
}

async fn index(State(context): State<Context>) -> Response {
    read(move || {
        let names = context.replica.store.index()?;
        Ok(ReplicaIndex {
            roots: context.replica.roots.versions(),
            entries: names.entries,
            reports: names.reports,
            blobs: names.blobs,
        })
    })
    .await
}

async fn fetch(State(context): State<Context>, Body(wanted): Body<Wanted>) -> Response {
    read(move || fetched(&context.replica, &wanted)).await
}

/// Reads the store off the threads that serve.
async fn read<T: Serialize + Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(answer)) => json(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot answer from the store");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "failed", error.to_string())
        }
        Err(_) => refusal(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the agent is stopping"),
    }
}

fn fetched(replica: &Replica, wanted: &Wanted) -> Result<Fetched, StoreError> {
    let store = &replica.store;
    let mut fetched = Fetched::default();
    let mut room = FETCH_BYTES_MAX;
    let mut add = |item: Item| {
        let fits = item.bytes().len() <= room;
        if fits {
            room -= item.bytes().len();
            fetched.items.push(item);
        } else {
            fetched.more = true;
        }
        fits
    };
    for version in &wanted.roots {
        if let Some(bytes) = replica.roots.read(*version) {
            add(Item::Root { version: *version, bytes: Bytes(bytes) });
        }
    }
    for (document, hash) in &wanted.entries {
        if let Some(bytes) = store.entry(document, hash)? {
            let item = Item::Entry { document: document.clone(), hash: *hash, bytes: Bytes(bytes) };
            if !add(item) {
                break;
            }
        }
    }
    for &(host, generation, count) in &wanted.reports {
        if let Some(bytes) = store.report(&host, generation, count)?
            && !add(Item::Report { host, generation, count, bytes: Bytes(bytes) })
        {
            break;
        }
    }
    for digest in &wanted.blobs {
        if let Some(bytes) = store.blob(digest)?
            && !add(Item::Blob { digest: *digest, bytes: Bytes(bytes) })
        {
            break;
        }
    }
    Ok(fetched)
}
