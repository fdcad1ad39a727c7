//! The control API, version 1: HTTP and JSON over a Unix socket (`docs/control-api.md`). Answers
//! from the agent and from what it stored; decides nothing, and gives nobody on the machine a say
//! that the fleet's signatures do not (I7).

mod client;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod visits;

use daymark_core::effect::Reply;
use daymark_core::event::Carried;
use daymark_protocol::control::{DecisionAnswer, Peer, Rebind, Status, Submitted};
use daymark_protocol::id::KeyId;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Pin;
use tokio::sync::oneshot;

pub use self::client::{BlockingClient, Client, ClientError};
pub use self::routes::Replica;
pub use self::server::{ControlError, ControlServer};
pub use self::visits::Visits;

/// What the socket asks of the agent; each is answered once, or never if the agent ends.
#[derive(Debug)]
pub enum Request {
    /// One screen.
    Status(oneshot::Sender<Status>),
    /// The decision, if there is one yet.
    Decision(oneshot::Sender<Option<DecisionAnswer>>),
    /// Peers, connected or known.
    Peers(oneshot::Sender<Vec<Peer>>),
    /// Metrics in Prometheus' text format.
    Metrics(oneshot::Sender<String>),
    /// Hands items in.
    Submit {
        /// They.
        items: Vec<Carried>,
        /// The laptop that does so over the network; `None` over the socket.
        visitor: Option<KeyId>,
        /// What became of them.
        reply: oneshot::Sender<Reply>,
    },
    /// Takes the fleet.
    Join(Pin, Vec<Carried>, oneshot::Sender<Reply>),
    /// This machine keeps its key.
    Rebind(Rebind, oneshot::Sender<Reply>),
    /// Sets or lifts a local inhibitor.
    Inhibit(String, Option<WallTime>, oneshot::Sender<Reply>),
}

/// A submitted item as the core takes it.
pub fn carried(item: Submitted) -> Carried {
    match item {
        Submitted::Root(bytes) => Carried::Root(bytes.0),
        Submitted::Entry(bytes) => Carried::Entry(bytes.0),
        Submitted::Report(bytes) => Carried::Report(bytes.0),
        Submitted::Blob(bytes) => Carried::Blob(bytes.0),
    }
}
