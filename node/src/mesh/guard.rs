//! Refuses connections: of peers without an Ed25519 key, from or to addresses that the rules do
//! not allow, and more than there is room for.
//!
//! Strangers have a small share of the room and give way: to admitted peers at once, to other
//! strangers when they had their time. So a flood of strangers neither crowds out the fleet nor
//! locks a new machine out for long.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use daymark_core::effect::Admission;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::admissions::Admissions;
use super::identity;
use super::rules::{NetworkRules, ip_of};

/// Connections with one peer: one each way, made at the same time. A third replaces the oldest,
/// which is dead if the peer restarted.
const CONNECTIONS_PER_PEER: usize = 2;

/// Why a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("{0} is not covered by network.allow")]
    Address(Multiaddr),
    #[error("{0} has no Ed25519 key")]
    KeyType(PeerId),
    #[error("there is no room for more connections with peers of this kind")]
    NoRoom,
}

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Connections in all.
    pub(super) total: usize,
    /// Of these, connections with strangers.
    pub(super) strangers: usize,
    /// How long a stranger is safe from other strangers.
    pub(super) stranger_time: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    peer: PeerId,
    admission: Admission,
    since: Instant,
}

/// The behaviour.
#[derive(Debug)]
pub(super) struct Guard {
    rules: Arc<NetworkRules>,
    admissions: Admissions,
    room: Room,
    live: BTreeMap<ConnectionId, Live>,
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl Guard {
    pub(super) fn new(rules: Arc<NetworkRules>, admissions: Admissions, room: Room) -> Self {
        Self { rules, admissions, room, live: BTreeMap::new(), closing: VecDeque::new() }
    }

    /// What a connection was admitted as when it was made.
    pub(super) fn admission(&self, connection: ConnectionId) -> Option<Admission> {
        self.live.get(&connection).map(|live| live.admission)
    }

    fn check_address(&self, address: &Multiaddr) -> Result<(), Refused> {
        match ip_of(address) {
            Some(ip) if self.rules.allows_remote(ip) => Ok(()),
            Some(_) | None => Err(Refused::Address(address.clone())),
        }
    }

    fn admit(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check_address(address)?;
        let key = identity::key_id(&peer).ok_or(Refused::KeyType(peer))?;
        let admission = self.admissions.of(&key);
        if self.count(|live| live.peer == peer) >= CONNECTIONS_PER_PEER {
            self.close_oldest(|live| live.peer == peer);
        } else {
            self.make_room(admission, now)?;
        }
        self.live.insert(connection, Live { peer, admission, since: now });
        Ok(())
    }

    fn make_room(&mut self, admission: Admission, now: Instant) -> Result<(), Refused> {
        let stranger = |live: &Live| live.admission == Admission::Stranger;
        let time = self.room.stranger_time;
        let full = self.live.len() >= self.room.total;
        let made = match admission {
            Admission::Stranger if full || self.count(stranger) >= self.room.strangers => self
                .close_oldest(|live| {
                    stranger(live) && now.saturating_duration_since(live.since) >= time
                }),
            Admission::Visitor if full => self.close_oldest(stranger),
            // People come back; the fleet's machines must find each other.
            Admission::Authority | Admission::Member if full => {
                self.close_oldest(stranger)
                    || self.close_oldest(|live| live.admission == Admission::Visitor)
            }
            Admission::Stranger | Admission::Visitor | Admission::Authority | Admission::Member => {
                true
            }
        };
        if made { Ok(()) } else { Err(Refused::NoRoom) }
    }

    fn count(&self, which: impl Fn(&Live) -> bool) -> usize {
        self.live.values().filter(|live| which(live)).count()
    }

    /// Closes the oldest connection of a kind, if there is one. Ids rise with time.
    fn close_oldest(&mut self, which: impl Fn(&Live) -> bool) -> bool {
        let oldest =
            self.live.iter().find(|(_, live)| which(live)).map(|(id, live)| (live.peer, *id));
        let Some((peer, connection)) = oldest else { return false };
        self.live.remove(&connection);
        self.closing.push_back((peer, connection));
        true
    }
}

impl NetworkBehaviour for Guard {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.check_address(remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(connection, peer, remote, Instant::now()).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        for address in addresses {
            self.check_address(address).map_err(ConnectionDenied::new)?;
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(connection, peer, address, Instant::now()).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "libp2p's events; the others do not concern connections"
    )]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => {
                self.live.remove(&closed.connection_id);
            }
            // A later behaviour may have refused what this one accepted.
            FromSwarm::DialFailure(failed) => {
                self.live.remove(&failed.connection_id);
            }
            FromSwarm::ListenFailure(failed) => {
                self.live.remove(&failed.connection_id);
            }
            _ => {}
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.closing.pop_front() {
            Some((peer_id, connection)) => Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            }),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Door {
        guard: Guard,
        next: usize,
        now: Instant,
    }

    fn door(total: usize, strangers: usize) -> Door {
        let room = Room { total, strangers, stranger_time: Duration::from_secs(60) };
        let guard = Guard::new(Arc::default(), Admissions::default(), room);
        Door { guard, next: 0, now: Instant::now() }
    }

    fn peer(number: u8) -> PeerId {
        identity::keypair([number; 32]).public().to_peer_id()
    }

    impl Door {
        fn knock(&mut self, peer: PeerId) -> Result<(), Refused> {
            self.knock_from(peer, [10, 0, 0, 1])
        }

        fn knock_from(&mut self, peer: PeerId, ip: [u8; 4]) -> Result<(), Refused> {
            self.next += 1;
            let address = Multiaddr::empty().with(std::net::IpAddr::from(ip).into());
            let connection = ConnectionId::new_unchecked(self.next);
            self.guard.admit(connection, peer, &address, self.now)
        }

        fn member(&mut self, number: u8) -> PeerId {
            let key = identity::key_id(&peer(number)).unwrap();
            self.guard.admissions.set(key, Admission::Member);
            peer(number)
        }
    }

    #[test]
    fn a1_only_ed25519_peers_are_let_in() {
        let rsa: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse().unwrap();
        assert_eq!(door(4, 4).knock(rsa), Err(Refused::KeyType(rsa)));
    }

    #[test]
    fn addresses_outside_the_rules_are_refused_both_ways() {
        let mut door = door(4, 4);
        let allow = vec!["10.0.0.0/8".parse().unwrap()];
        door.guard.rules = Arc::new(NetworkRules { interfaces: Vec::new(), allow });
        assert_eq!(door.knock_from(peer(1), [10, 9, 9, 9]), Ok(()));
        assert!(matches!(door.knock_from(peer(1), [192, 0, 2, 1]), Err(Refused::Address(_))));
        let outside: Multiaddr = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let inside: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let id = ConnectionId::new_unchecked(99);
        let guard = &mut door.guard;
        assert!(guard.handle_pending_inbound_connection(id, &inside, &outside).is_err());
        assert!(guard.handle_pending_inbound_connection(id, &inside, &inside).is_ok());
        let mut dial = |address: &Multiaddr| {
            let addresses = std::slice::from_ref(address);
            guard.handle_pending_outbound_connection(id, None, addresses, Endpoint::Dialer)
        };
        assert!(dial(&outside).is_err());
        assert!(dial(&inside).is_ok());
    }

    #[test]
    fn strangers_give_way_to_strangers_after_their_time() {
        let mut door = door(8, 2);
        assert_eq!(door.knock(peer(1)), Ok(()));
        assert_eq!(door.knock(peer(2)), Ok(()));
        assert_eq!(door.knock(peer(3)), Err(Refused::NoRoom));
        door.now += Duration::from_secs(60);
        assert_eq!(door.knock(peer(3)), Ok(()));
        assert_eq!(door.guard.closing, [(peer(1), ConnectionId::new_unchecked(1))]);
    }

    #[test]
    fn strangers_give_way_to_members_at_once() {
        let mut door = door(2, 2);
        let (first, second, third) = (door.member(11), door.member(12), door.member(13));
        assert_eq!(door.knock(peer(1)), Ok(()));
        assert_eq!(door.knock(first), Ok(()));
        assert_eq!(door.knock(second), Ok(()));
        assert_eq!(door.guard.closing, [(peer(1), ConnectionId::new_unchecked(1))]);
        assert_eq!(door.knock(third), Err(Refused::NoRoom));
        assert_eq!(door.knock(peer(2)), Err(Refused::NoRoom));
    }

    #[test]
    fn a_peer_that_restarted_replaces_its_dead_connection() {
        let mut door = door(8, 8);
        for _ in 0..3 {
            assert_eq!(door.knock(peer(1)), Ok(()));
        }
        assert_eq!(door.guard.closing, [(peer(1), ConnectionId::new_unchecked(1))]);
        assert_eq!(door.guard.live.len(), 2);
    }
}
