//! A gate around a behaviour: connections with peers that are not admitted get no handler of it.
//!
//! Whether a connection passes is settled when it is made, and for its whole life: libp2p gives
//! each connection its handlers once. So a peer whose admission changes is disconnected and
//! connected anew. Unlike gossipsub's blacklist, which goes on sending to a blacklisted peer that
//! subscribes, a closed gate leaves nothing that could send or receive (RULES A1).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::task::{Context, Poll};

use daymark_core::effect::Admission;
use either::Either;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::admissions::Admissions;

/// Whom the gates of the fleet's own channels open to.
pub(super) const MEMBERS: RangeInclusive<Admission> = Admission::Member..=Admission::Member;
/// Likewise, for those who may hear authority data.
pub(super) const AUTHORITY: RangeInclusive<Admission> = Admission::Authority..=Admission::Member;
/// Everyone who is admitted to anything.
pub(super) const ADMITTED: RangeInclusive<Admission> = Admission::Visitor..=Admission::Member;
/// Laptops alone: what a machine of the fleet is for is no business of other machines.
pub(super) const VISITORS: RangeInclusive<Admission> = Admission::Visitor..=Admission::Visitor;

/// A behaviour that only peers admitted as certain kinds take part in.
pub(super) struct Gate<B> {
    inner: B,
    opens_to: RangeInclusive<Admission>,
    admissions: Admissions,
    passed: BTreeMap<ConnectionId, PeerId>,
}

impl<B> Gate<B> {
    /// Puts `inner` behind a gate.
    pub(super) fn new(
        inner: B,
        opens_to: RangeInclusive<Admission>,
        admissions: Admissions,
    ) -> Self {
        Self { inner, opens_to, admissions, passed: BTreeMap::new() }
    }

    /// The behaviour behind the gate.
    pub(super) fn inner(&mut self) -> &mut B {
        &mut self.inner
    }

    fn connections_with(&self, peer: &PeerId) -> usize {
        self.passed.values().filter(|passed| *passed == peer).count()
    }
}

impl<B: NetworkBehaviour> Gate<B> {
    /// Notes the connection if it passes, and hands `None` to `make` if it does not.
    fn handler(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        make: impl FnOnce(&mut B) -> Result<THandler<B>, ConnectionDenied>,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.opens_to.contains(&self.admissions.of_peer(&peer)) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = make(&mut self.inner)?;
        self.passed.insert(connection, peer);
        Ok(Either::Left(handler))
    }

    /// The counts in libp2p's event cover all connections; the behaviour behind the gate must be
    /// told of those that passed only, or it would take its first for a further one.
    fn on_established(&mut self, event: ConnectionEstablished<'_>) {
        if self.passed.contains_key(&event.connection_id) {
            let other_established = self.connections_with(&event.peer_id) - 1;
            let event = ConnectionEstablished { other_established, ..event };
            self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(event));
        }
    }

    fn on_closed(&mut self, event: ConnectionClosed<'_>) {
        if self.passed.remove(&event.connection_id).is_some() {
            let remaining_established = self.connections_with(&event.peer_id);
            let event = ConnectionClosed { remaining_established, ..event };
            self.inner.on_swarm_event(FromSwarm::ConnectionClosed(event));
        }
    }

    /// The connection that an event for a peer's handler goes to; `None` if none passed.
    fn choose(&self, peer: &PeerId, handler: NotifyHandler) -> Option<ConnectionId> {
        match handler {
            NotifyHandler::One(connection) => {
                self.passed.contains_key(&connection).then_some(connection)
            }
            NotifyHandler::Any => {
                self.passed.iter().rev().find(|(_, passed)| *passed == peer).map(|(id, _)| *id)
            }
        }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(connection, peer, |inner| {
            inner.handle_established_inbound_connection(connection, peer, local, remote)
        })
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(connection, peer, |inner| {
            inner.handle_established_outbound_connection(connection, peer, address, role, port)
        })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events; those without a connection pass unchanged"
    )]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::AddressChange(change)
                if !self.passed.contains_key(&change.connection_id) => {}
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => unreachable(never),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        while let Poll::Ready(action) = self.inner.poll(cx) {
            let ToSwarm::NotifyHandler { peer_id, handler, event } = action else {
                return Poll::Ready(action.map_in(Either::Left));
            };
            if let Some(connection) = self.choose(&peer_id, handler) {
                return Poll::Ready(ToSwarm::NotifyHandler {
                    peer_id,
                    handler: NotifyHandler::One(connection),
                    event: Either::Left(event),
                });
            }
        }
        Poll::Pending
    }
}

fn unreachable(never: Infallible) {
    match never {}
}

#[cfg(test)]
mod tests {
    use libp2p::core::ConnectedPoint;
    use libp2p::core::transport::PortUse;

    use super::*;
    use crate::mesh::identity;

    /// Notes the counts it is told of: other connections when one is made, those left when one
    /// is closed.
    #[derive(Default)]
    struct Witness {
        told: Vec<(&'static str, usize)>,
    }

    impl NetworkBehaviour for Witness {
        type ConnectionHandler = dummy::ConnectionHandler;
        type ToSwarm = Infallible;

        fn handle_established_inbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: &Multiaddr,
        ) -> Result<THandler<Self>, ConnectionDenied> {
            Ok(dummy::ConnectionHandler)
        }

        fn handle_established_outbound_connection(
            &mut self,
            _: ConnectionId,
            _: PeerId,
            _: &Multiaddr,
            _: Endpoint,
            _: PortUse,
        ) -> Result<THandler<Self>, ConnectionDenied> {
            Ok(dummy::ConnectionHandler)
        }

        fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
            if let FromSwarm::ConnectionEstablished(made) = event {
                self.told.push(("others", made.other_established));
            } else if let FromSwarm::ConnectionClosed(closed) = event {
                self.told.push(("left", closed.remaining_established));
            }
        }

        fn on_connection_handler_event(
            &mut self,
            _: PeerId,
            _: ConnectionId,
            event: THandlerOutEvent<Self>,
        ) {
            match event {}
        }

        fn poll(
            &mut self,
            _: &mut Context<'_>,
        ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
            Poll::Pending
        }
    }

    struct Door {
        gate: Gate<Witness>,
        peer: PeerId,
        endpoint: ConnectedPoint,
        open: usize,
    }

    impl Door {
        /// Makes a connection; says whether it passed.
        fn connect(&mut self, id: usize) -> bool {
            let id = ConnectionId::new_unchecked(id);
            let address = Multiaddr::empty();
            let made =
                self.gate.handle_established_inbound_connection(id, self.peer, &address, &address);
            self.gate.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id: self.peer,
                connection_id: id,
                endpoint: &self.endpoint,
                failed_addresses: &[],
                other_established: self.open,
            }));
            self.open += 1;
            matches!(made, Ok(Either::Left(_)))
        }

        fn close(&mut self, id: usize) {
            self.open -= 1;
            self.gate.on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id: self.peer,
                connection_id: ConnectionId::new_unchecked(id),
                endpoint: &self.endpoint,
                cause: None,
                remaining_established: self.open,
            }));
        }
    }

    #[test]
    fn a1_the_gate_hides_connections_that_did_not_pass() {
        let admissions = Admissions::default();
        let peer = identity::keypair([1; 32]).public().to_peer_id();
        let key = identity::key_id(&peer).unwrap();
        let endpoint = ConnectedPoint::Listener {
            local_addr: Multiaddr::empty(),
            send_back_addr: Multiaddr::empty(),
        };
        let gate = Gate::new(Witness::default(), MEMBERS, admissions.clone());
        let mut door = Door { gate, peer, endpoint, open: 0 };

        assert!(!door.connect(1));
        admissions.set(key, Admission::Authority);
        assert!(!door.connect(2));
        admissions.set(key, Admission::Member);
        assert!(door.connect(3));
        assert!(door.connect(4));
        // What passed stays what it was, until the mesh closes it.
        admissions.set(key, Admission::Stranger);
        assert!(!door.connect(5));
        for id in [1, 3, 5, 4, 2] {
            door.close(id);
        }
        let told = &door.gate.inner().told;
        assert_eq!(told[..], [("others", 0), ("others", 1), ("left", 1), ("left", 0)]);
    }
}
