//! Whom to dial: enrolled hosts, while links are missing (RULES A1).

use daymark_protocol::id::KeyId;

use crate::admission;
use crate::durable::ADDRESS_BOOK_PEERS_MAX;
use crate::effect::{Admission, Batch, Effect};
use crate::node::Node;
use crate::timer::Timer;

/// Pause between looks at whom to dial, ms.
pub(crate) const DIAL_PAUSE_MS: u64 = 5_000;
/// Longest such pause.
const IDLE_DIAL_PAUSE_MS: u64 = 60_000;
/// Dials started at a time.
const DIALS_AT_ONCE: usize = 4;

/// Where a host stands to this node's push group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In it.
    Inside,
    /// In another one of the site.
    Beside,
    /// At another site, or there is one group only.
    Elsewhere,
}

/// Links that are missing: of any kind, and of those that push groups need.
#[derive(Clone, Copy, Debug)]
struct Missing {
    any: usize,
    /// A group must hang together by itself: half of the links.
    inside: usize,
    /// And with the others, for repair and for what the whole site hears: a quarter of them.
    beside: usize,
}

impl Missing {
    /// Whom to dial next, if anyone: `None` stands for no place in particular.
    fn next(self, has: impl Fn(Place) -> bool) -> Option<Option<Place>> {
        if self.inside > 0 && has(Place::Inside) {
            return Some(Some(Place::Inside));
        }
        if self.beside > 0 && has(Place::Beside) {
            return Some(Some(Place::Beside));
        }
        (self.any > 0).then_some(None)
    }

    fn dialled(&mut self, place: Place) {
        self.any = self.any.saturating_sub(1);
        match place {
            Place::Inside => self.inside = self.inside.saturating_sub(1),
            Place::Beside => self.beside = self.beside.saturating_sub(1),
            Place::Elsewhere => {}
        }
    }
}

impl Node {
    /// Dials a few of the hosts that may be dialled, while links are missing. Losing a peer, and
    /// what other hosts tell, leads here again.
    pub(crate) fn dial(&mut self, batch: &mut Batch) {
        let missing = self.missing_links();
        if missing.next(|_| true).is_none() {
            return self.timers.clear(Timer::Dial);
        }
        self.dial_some(missing, batch);
        let pause = self.reading.mono.plus_ms(DIAL_PAUSE_MS);
        let known = self.peers.keys().chain([&self.own]);
        let next = self.addresses.next_ready(&known.copied().collect());
        // Nobody left to dial: an admission may change by time alone.
        let idle = self.reading.mono.plus_ms(IDLE_DIAL_PAUSE_MS);
        self.timers.set_resting(Timer::Dial, next.map_or(idle, |next| next.clamp(pause, idle)));
    }

    fn dial_some(&mut self, mut missing: Missing, batch: &mut Batch) {
        let mut ready: Vec<(KeyId, Vec<String>, Place)> = self
            .addresses
            .ready(self.reading.mono)
            .filter(|(host, _)| {
                **host != self.own
                    && !self.peers.contains_key(host)
                    && self.wanted_admission(host) >= Admission::Authority
            })
            .map(|(host, addresses)| (*host, addresses.to_vec(), self.place_of(host)))
            .collect();
        for _ in 0..DIALS_AT_ONCE {
            let has = |place| ready.iter().any(|(_, _, at)| *at == place);
            let Some(wanted) = missing.next(has).filter(|_| !ready.is_empty()) else { return };
            let fits =
                |(_, (_, _, at)): &(usize, &(_, _, Place))| wanted.is_none_or(|it| it == *at);
            let fitting: Vec<usize> =
                ready.iter().enumerate().filter(fits).map(|(number, _)| number).collect();
            let chosen = self.peer_choice.below(fitting.len() as u64);
            let number = fitting.get(usize::try_from(chosen).unwrap_or(0)).copied();
            let (peer, addresses, place) = ready.swap_remove(number.unwrap_or(0));
            missing.dialled(place);
            self.addresses.dialled(&peer, self.reading.mono);
            batch.now(Effect::Dial { peer, addresses });
        }
    }

    fn missing_links(&self) -> Missing {
        let links = self.config.links();
        let any = links.saturating_sub(self.peers.len());
        if !self.groups.are_several() {
            return Missing { any, inside: 0, beside: 0 };
        }
        let places: Vec<Place> = self.peers.keys().map(|peer| self.place_of(peer)).collect();
        let short = |place, least: usize| {
            least.saturating_sub(places.iter().filter(|at| **at == place).count())
        };
        Missing {
            any,
            inside: short(Place::Inside, links / 2),
            beside: short(Place::Beside, links / 4),
        }
    }

    fn place_of(&self, host: &KeyId) -> Place {
        let standing = self.replica.as_ref().filter(|_| self.groups.are_several());
        let Some(standing) = standing.map(|replica| replica.standing()) else {
            return Place::Elsewhere;
        };
        if admission::site_of(standing, host) != admission::site_of(standing, &self.own) {
            Place::Elsewhere
        } else if self.groups.share(host, &self.own) {
            Place::Inside
        } else {
            Place::Beside
        }
    }

    /// Remembers where connected members are, for the next start; saved with the next change.
    pub(crate) fn remember_addresses(&mut self) {
        let remembered = &self.saved.get().addresses;
        let is_news = |peer: &KeyId, addresses: &[String]| {
            let before = remembered.get(peer).map(Vec::as_slice);
            before != Some(addresses) && !addresses.is_empty()
        };
        let known: Vec<(KeyId, Vec<String>)> = self
            .peers
            .keys()
            .filter_map(|peer| Some((*peer, self.addresses.of(peer)?)))
            .filter(|(peer, addresses)| is_news(peer, addresses))
            .map(|(peer, addresses)| (peer, addresses.to_vec()))
            .collect();
        for (peer, addresses) in known {
            let book = &mut self.saved.change().addresses;
            book.insert(peer, addresses);
            while book.len() > ADDRESS_BOOK_PEERS_MAX {
                let surplus = book.keys().find(|host| !self.peers.contains_key(host)).copied();
                let Some(surplus) = surplus.or_else(|| book.keys().next().copied()) else { break };
                book.remove(&surplus);
            }
        }
    }
}
