//! Streams of one protocol over existing connections: opened on request, reported when a peer
//! opens one.
//!
//! It never dials and keeps nothing of closed connections. What runs over a stream is for the
//! tasks that get it.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

/// Streams that wait in one connection to be opened, or to be handed over: the tasks that ask for
/// them ask one at a time, so more is a fault of the peer's.
const WAITING_MAX: usize = 16;

/// Why a stream could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no connection with the peer that lets the protocol through.
    #[error("there is no connection with the peer that allows this protocol")]
    NotConnected,
    /// The peer does not speak the protocol, or does not admit this node to it.
    #[error("the peer does not admit this node to this protocol")]
    NotAdmitted,
    /// The connection failed, or was too busy.
    #[error("the connection failed while the stream was being opened: {0}")]
    Connection(String),
}

/// Where a stream that was asked for goes.
pub(super) type OpenReply = oneshot::Sender<Result<Stream, OpenError>>;

/// A stream that a peer opened.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) stream: Stream,
}

/// The behaviour.
#[derive(Debug)]
pub(super) struct Streams {
    protocol: StreamProtocol,
    keeps_alive: bool,
    actions: VecDeque<ToSwarm<Incoming, OpenReply>>,
    waker: Option<Waker>,
}

impl Streams {
    /// Speaks `protocol`. A connection stays open without any stream if `keeps_alive` is set, and
    /// may close in spite of streams, once idle for long, if it is not.
    pub(super) fn new(protocol: StreamProtocol, keeps_alive: bool) -> Self {
        Self { protocol, keeps_alive, actions: VecDeque::new(), waker: None }
    }

    /// Opens a stream over a connection.
    pub(super) fn open(&mut self, peer_id: PeerId, connection: ConnectionId, reply: OpenReply) {
        let handler = NotifyHandler::One(connection);
        self.actions.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: reply });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn handler(&self) -> Handler {
        Handler {
            protocol: self.protocol.clone(),
            keeps_alive: self.keeps_alive,
            wanted: VecDeque::new(),
            incoming: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = Incoming;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        stream: THandlerOutEvent<Self>,
    ) {
        self.actions.push_back(ToSwarm::GenerateEvent(Incoming { peer, connection, stream }));
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(action) = self.actions.pop_front() {
            return Poll::Ready(action);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// One connection's side of [`Streams`].
#[derive(Debug)]
pub(super) struct Handler {
    protocol: StreamProtocol,
    keeps_alive: bool,
    wanted: VecDeque<OpenReply>,
    incoming: VecDeque<Stream>,
}

impl Handler {
    /// Keeps a stream for the behaviour to fetch; one too many is closed.
    fn take(&mut self, stream: Stream) {
        if self.incoming.len() < WAITING_MAX {
            let stream = self.adopt(stream);
            self.incoming.push_back(stream);
        }
    }

    fn adopt(&self, mut stream: Stream) -> Stream {
        if !self.keeps_alive {
            stream.ignore_for_keep_alive();
        }
        stream
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenReply;
    type ToBehaviour = Stream;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = OpenReply;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.keeps_alive
    }

    fn on_behaviour_event(&mut self, reply: OpenReply) {
        if self.wanted.len() < WAITING_MAX {
            self.wanted.push_back(reply);
        } else {
            let busy = OpenError::Connection("too many streams are being opened".to_owned());
            // Whoever asked may have stopped waiting.
            let _ = reply.send(Err(busy));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events; the others do not concern streams"
    )]
    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), OpenReply>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => self.take(stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: reply,
            }) => {
                // Whoever asked may have stopped waiting: the stream closes then.
                let _ = reply.send(Ok(self.adopt(stream)));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::NotAdmitted,
                    StreamUpgradeError::Timeout => OpenError::Connection("timed out".to_owned()),
                    StreamUpgradeError::Io(error) => OpenError::Connection(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                let _ = reply.send(Err(error));
            }
            _ => {}
        }
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<
        ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>,
    > {
        if let Some(stream) = self.incoming.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if let Some(reply) = self.wanted.pop_front() {
            let upgrade = ReadyUpgrade::new(self.protocol.clone());
            let protocol = SubstreamProtocol::new(upgrade, reply);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }
}
