//! Whom to dial, at which address, and when again.
//!
//! Addresses are tried one at a time, TCP before QUIC, since bulk goes over TCP; after a round
//! without success comes a pause that doubles. Configured peers are tried for ever; what discovery
//! and the core offer is forgotten after some rounds, and they may offer it again. Nothing is
//! stored: keeping addresses is the core's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use daymark_protocol::id::KeyId;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use super::identity;

/// Offered peers remembered: a mesh of 64 connections has no use for more, and a liar in
/// multicast DNS must not fill memory.
const OFFERED_MAX: usize = 256;
/// Addresses of one peer: both transports on four networks.
const ADDRESSES_MAX: usize = 8;
/// Rounds until an offered peer is forgotten: some ten minutes with the default pause.
const OFFERED_ROUNDS_MAX: u32 = 10;
/// Longest pause between rounds.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// When a peer that is connected, or not wanted now, is looked at again.
const UNWANTED_PAUSE: Duration = Duration::from_secs(30);
/// A connection that ends sooner counts as a failed round: a peer that is full, or does not want
/// this node, is not dialled twice a second.
const STABLE_AFTER: Duration = Duration::from_secs(30);

/// A peer to dial, by a number of this table's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TargetId(u64);

/// Where a target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// Discovery: dialled while there is use for it.
    Found,
    /// The core: dialled.
    Asked,
    /// The configuration: dialled for ever.
    Configured,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    /// Who is expected, or was met, there.
    key: Option<KeyId>,
    source: Source,
    /// Addresses tried since the last connection that lasted.
    tried: u32,
    next: Option<Instant>,
}

impl Target {
    fn count(&self) -> u32 {
        u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).max(1)
    }

    fn rounds(&self) -> u32 {
        self.tried / self.count()
    }
}

/// An address to dial now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) target: TargetId,
    /// Without `/p2p/…`.
    pub(super) address: Multiaddr,
    /// Who must be there, if the address names a peer.
    pub(super) peer: Option<PeerId>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Dialer {
    targets: BTreeMap<TargetId, Target>,
    next_id: u64,
    first_pause: Duration,
    /// Lengthens pauses by so many 256ths, so that a site does not dial in step.
    spread: u8,
}

impl Dialer {
    /// `configured` are the peers to stay connected with; `spread` differs between nodes.
    pub(super) fn new(
        configured: Vec<Vec<Multiaddr>>,
        first_pause: Duration,
        spread: u8,
        now: Instant,
    ) -> Self {
        let mut dialer = Self { targets: BTreeMap::new(), next_id: 0, first_pause, spread };
        for addresses in configured {
            let named = addresses.iter().find_map(peer_of);
            let key = named.and_then(|peer| identity::key_id(&peer));
            let (source, next) = (Source::Configured, Some(now));
            dialer.insert(Target { addresses, key, source, tried: 0, next });
        }
        dialer
    }

    fn insert(&mut self, target: Target) {
        self.targets.insert(TargetId(self.next_id), target);
        self.next_id += 1;
    }

    /// Takes addresses where `key` may be; tries them from `when` on.
    pub(super) fn offer(
        &mut self,
        key: KeyId,
        mut addresses: Vec<Multiaddr>,
        source: Source,
        when: Instant,
    ) {
        addresses.retain(|address| {
            peer_of(address).is_none_or(|peer| identity::key_id(&peer) == Some(key))
        });
        addresses.sort_by_key(is_quic);
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            return;
        }
        let known = self.targets.values_mut().find(|target| target.key == Some(key));
        if let Some(target) = known {
            if target.source != Source::Configured && target.addresses != addresses {
                target.addresses = addresses;
                target.tried = 0;
            }
            target.source = target.source.max(source);
            // What waits its turn is tried at once; what is being dialled goes on.
            target.next = target.next.map(|next| next.min(when));
            return;
        }
        let offered =
            self.targets.values().filter(|target| target.source != Source::Configured).count();
        if offered >= OFFERED_MAX && !self.forget_worst() {
            return;
        }
        let next = Some(when);
        self.insert(Target { addresses, key: Some(key), source, tried: 0, next });
    }

    /// Drops the offered peer that was tried in vain most often.
    fn forget_worst(&mut self) -> bool {
        let worst = self
            .targets
            .iter()
            .filter(|(_, target)| target.source != Source::Configured && target.tried > 0)
            .max_by_key(|(_, target)| target.tried)
            .map(|(id, _)| *id);
        worst.is_some_and(|id| self.targets.remove(&id).is_some())
    }

    /// What to dial now, at most `most`; each is settled by [`Self::failed`] or [`Self::met`].
    /// `useful` says whether one more connection with a peer that was found is of use.
    pub(super) fn due(
        &mut self,
        now: Instant,
        connected: &BTreeSet<KeyId>,
        useful: impl Fn(&KeyId) -> bool,
        most: usize,
    ) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for (id, target) in &mut self.targets {
            let is_due = target.next.is_some_and(|next| next <= now);
            if !is_due || attempts.len() >= most {
                continue;
            }
            let here = target.key.is_some_and(|key| connected.contains(&key));
            let wanted = match target.source {
                Source::Configured | Source::Asked => true,
                Source::Found => target.key.is_none_or(|key| useful(&key)),
            };
            if here || !wanted {
                target.next = Some(now + UNWANTED_PAUSE);
                continue;
            }
            target.next = None;
            let index = usize::try_from(target.tried % target.count()).unwrap_or(0);
            let Some(address) = target.addresses.get(index) else { continue };
            let peer = peer_of(address);
            attempts.push(Attempt { target: *id, address: without_peer(address), peer });
        }
        attempts
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, id: TargetId, now: Instant) {
        self.note_failure(id, 1, now);
    }

    /// Counts addresses tried in vain; after a round of them comes a pause, or the end.
    fn note_failure(&mut self, id: TargetId, tried: u32, now: Instant) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let rounds = target.rounds();
        target.tried = target.tried.saturating_add(tried);
        if target.rounds() == rounds {
            target.next = Some(now);
        } else if target.source == Source::Configured || target.rounds() < OFFERED_ROUNDS_MAX {
            let doubled = self.first_pause.saturating_mul(1 << rounds.min(16)).min(PAUSE_MAX);
            target.next = Some(now + doubled + doubled * u32::from(self.spread) / 256);
        } else {
            self.targets.remove(&id);
        }
    }

    /// A dial led to `key`. False if someone else was expected: the connection is of no use.
    pub(super) fn met(&mut self, id: TargetId, key: KeyId, now: Instant) -> bool {
        let Some(target) = self.targets.get_mut(&id) else { return true };
        // Whoever answers at a configured address that names no peer is the one that was meant,
        // another machine than last time included.
        let any = target.source == Source::Configured
            && target.addresses.iter().all(|address| peer_of(address).is_none());
        if !any && target.key.is_some_and(|expected| expected != key) {
            self.failed(id, now);
            return false;
        }
        target.key = Some(key);
        target.next = Some(now + UNWANTED_PAUSE);
        true
    }

    /// A peer's last connection ended after `lived`: it is dialled again, at the same address, if
    /// this node knows one.
    pub(super) fn lost(&mut self, key: &KeyId, lived: Duration, now: Instant) {
        let of_peer = |(_, target): &(&TargetId, &Target)| {
            target.key.as_ref() == Some(key) && target.next.is_some()
        };
        let ids: Vec<TargetId> = self.targets.iter().filter(of_peer).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(target) = self.targets.get_mut(&id) else { continue };
            let count = target.count();
            if lived >= STABLE_AFTER {
                target.tried %= count;
            }
            self.note_failure(id, count, now);
        }
    }

    /// Everything that was being dialled failed, for no fault of its own.
    pub(super) fn reset(&mut self, now: Instant) {
        for target in self.targets.values_mut() {
            target.next = Some(now);
        }
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.targets.values().filter_map(|target| target.next).min()
    }
}

/// The peer that an address names at its end.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    if let Protocol::P2p(peer) = address.iter().last()? { Some(peer) } else { None }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::QuicV1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn key(number: u8) -> KeyId {
        KeyId([number; 32])
    }

    fn due(dialer: &mut Dialer, now: Instant) -> Vec<Attempt> {
        dialer.due(now, &BTreeSet::new(), |_| true, 8)
    }

    #[test]
    fn configured_peers_are_tried_for_ever_with_growing_pauses() {
        let mut now = Instant::now();
        let mut dialer = Dialer::new(vec![vec![address("/ip4/10.0.0.1/tcp/1")]], PAUSE, 0, now);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let attempts = due(&mut dialer, now);
            assert_eq!(attempts.len(), 1);
            assert!(due(&mut dialer, now).is_empty(), "dialled twice at once");
            dialer.failed(attempts[0].target, now);
            let next = dialer.next_due().unwrap();
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses[..5], [1, 2, 4, 8, 16]);
        assert_eq!(pauses[19], PAUSE_MAX.as_secs());
    }

    #[test]
    fn an_offer_is_tried_over_tcp_first_and_then_forgotten() {
        let mut now = Instant::now();
        let mut dialer = Dialer::new(Vec::new(), PAUSE, 0, now);
        let addresses =
            vec![address("/ip4/10.0.0.1/udp/1/quic-v1"), address("/ip4/10.0.0.1/tcp/1")];
        dialer.offer(key(1), addresses, Source::Asked, now);
        let mut dialled = Vec::new();
        while let Some(next) = dialer.next_due() {
            now = next;
            for attempt in due(&mut dialer, now) {
                dialled.push(attempt.address.to_string());
                dialer.failed(attempt.target, now);
            }
        }
        assert_eq!(dialled.len(), 20);
        assert_eq!(dialled[..2], ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/udp/1/quic-v1"]);
    }

    #[test]
    fn a_lost_peer_is_dialled_again_after_the_first_pause() {
        let now = Instant::now();
        let mut dialer = Dialer::new(vec![vec![address("/ip4/10.0.0.1/tcp/1")]], PAUSE, 0, now);
        let attempt = due(&mut dialer, now).remove(0);
        assert!(dialer.met(attempt.target, key(7), now));
        assert!(due(&mut dialer, now).is_empty());
        let day = Duration::from_secs(86_400);
        dialer.lost(&key(7), day, now);
        assert_eq!(dialer.next_due(), Some(now + PAUSE));
        assert_eq!(due(&mut dialer, now + PAUSE).len(), 1);
    }

    #[test]
    fn a_peer_that_hangs_up_at_once_is_left_alone_for_longer_and_longer() {
        let mut now = Instant::now();
        let mut dialer = Dialer::new(vec![vec![address("/ip4/10.0.0.1/tcp/1")]], PAUSE, 0, now);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let attempt = due(&mut dialer, now).remove(0);
            assert!(dialer.met(attempt.target, key(7), now));
            dialer.lost(&key(7), Duration::ZERO, now);
            let next = dialer.next_due().unwrap();
            pauses.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn found_peers_are_dialled_only_while_they_are_of_use() {
        let now = Instant::now();
        let mut dialer = Dialer::new(Vec::new(), PAUSE, 0, now);
        let here = || vec![address("/ip4/10.0.0.1/tcp/1")];
        dialer.offer(key(1), here(), Source::Found, now);
        dialer.offer(key(2), here(), Source::Asked, now);
        let none = BTreeSet::new();
        assert_eq!(dialer.due(now, &none, |_| false, 8).len(), 1);
        let later = now + UNWANTED_PAUSE;
        assert_eq!(dialer.due(later, &none, |_| true, 8).len(), 1);
    }

    #[test]
    fn someone_else_at_an_offered_address_is_not_accepted() {
        let now = Instant::now();
        let mut dialer = Dialer::new(Vec::new(), PAUSE, 0, now);
        dialer.offer(key(1), vec![address("/ip4/10.0.0.1/tcp/1")], Source::Asked, now);
        let attempt = due(&mut dialer, now).remove(0);
        assert!(!dialer.met(attempt.target, key(2), now));
    }

    #[test]
    fn rt_m7_offers_are_bounded_and_must_name_the_peer_they_are_for() {
        let now = Instant::now();
        let mut dialer = Dialer::new(Vec::new(), PAUSE, 0, now);
        let other = identity::keypair([9; 32]).public().to_peer_id();
        dialer.offer(
            key(1),
            vec![address(&format!("/ip4/10.0.0.1/tcp/1/p2p/{other}"))],
            Source::Asked,
            now,
        );
        assert_eq!(dialer.next_due(), None);
        for number in 0..2_000_u16 {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            dialer.offer(KeyId(bytes), vec![address("/ip4/10.0.0.1/tcp/1")], Source::Asked, now);
        }
        assert_eq!(dialer.targets.len(), OFFERED_MAX);
    }
}
