//! Connected peers, and how much of this node's work each may ask for.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::time::MonoTime;

use crate::conduct::POINTS_MAX;
use crate::effect::Admission;

/// Messages that a peer may send at once; a first sync of a large fleet needs a few hundred.
const MESSAGES_MAX: u64 = 1_024;
/// Messages that a peer may send per second after that.
const MESSAGES_PER_SECOND: u64 = 64;
/// Join messages that a peer may send at once: an exchange is one or two, a long chain of roots a
/// few more.
const JOINS_MAX: u64 = 64;
/// Join messages that a peer may send per second after that.
const JOINS_PER_SECOND: u64 = 1;

/// Points that are forgiven per second.
const POINTS_PER_SECOND: u64 = 1;
/// How long a peer is shut out, ms.
const REST_MS: u64 = 10 * 60_000;

/// Peers that left and whose budgets are remembered.
const PARTED_MAX: usize = 1_024;

/// A connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: String,
    /// What its connection lets through.
    pub(crate) connection: Admission,
    pub(crate) budget: Budget,
}

/// What a peer may still ask for: it belongs to the peer's key and outlasts its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    messages: Allowance,
    joins: Allowance,
    patience: Allowance,
    shut_out_until: MonoTime,
}

impl Budget {
    pub(crate) fn new(now: MonoTime) -> Self {
        Self {
            messages: Allowance::full(MESSAGES_MAX, now),
            joins: Allowance::full(JOINS_MAX, now),
            patience: Allowance::full(POINTS_MAX, now),
            shut_out_until: now,
        }
    }

    /// Charges the peer for what it did. Returns until when it is shut out, if it now is: each
    /// fault cost some work, and it could go on for ever.
    pub(crate) fn charge(&mut self, points: u64, now: MonoTime) -> Option<MonoTime> {
        self.patience.refill(POINTS_MAX, POINTS_PER_SECOND, now);
        self.patience.left = self.patience.left.saturating_sub(points);
        if self.patience.left > 0 || self.is_shut_out(now) {
            return None;
        }
        self.shut_out_until = now.plus_ms(REST_MS);
        self.patience = Allowance::full(POINTS_MAX, now);
        Some(self.shut_out_until)
    }

    /// Points that are not forgiven yet; all of them while the peer is shut out.
    pub(crate) fn score(&self, now: MonoTime) -> u64 {
        if self.is_shut_out(now) {
            return POINTS_MAX;
        }
        let mut patience = self.patience;
        patience.refill(POINTS_MAX, POINTS_PER_SECOND, now);
        POINTS_MAX - patience.left
    }

    /// Whether nothing that the peer sends is looked at.
    pub(crate) fn is_shut_out(&self, now: MonoTime) -> bool {
        now < self.shut_out_until
    }

    /// When the peer is heard again, if it is shut out.
    pub(crate) fn heard_again(&self, now: MonoTime) -> Option<MonoTime> {
        self.is_shut_out(now).then_some(self.shut_out_until)
    }

    /// Whether one more message is handled.
    pub(crate) fn spend(&mut self, now: MonoTime) -> bool {
        !self.is_shut_out(now) && self.messages.spend(MESSAGES_MAX, MESSAGES_PER_SECOND, now)
    }

    /// Whether one more join message is handled.
    pub(crate) fn spend_join(&mut self, now: MonoTime) -> bool {
        !self.is_shut_out(now) && self.joins.spend(JOINS_MAX, JOINS_PER_SECOND, now)
    }

    /// Whether it has refilled, so that it need not be remembered.
    fn is_full(&mut self, now: MonoTime) -> bool {
        self.messages.refill(MESSAGES_MAX, MESSAGES_PER_SECOND, now);
        self.joins.refill(JOINS_MAX, JOINS_PER_SECOND, now);
        self.patience.refill(POINTS_MAX, POINTS_PER_SECOND, now);
        self.messages.left == MESSAGES_MAX
            && self.joins.left == JOINS_MAX
            && self.patience.left == POINTS_MAX
            && !self.is_shut_out(now)
    }
}

/// A number that is spent and refills by the second.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u64,
    refilled: MonoTime,
}

impl Allowance {
    fn full(most: u64, now: MonoTime) -> Self {
        Self { left: most, refilled: now }
    }

    fn refill(&mut self, most: u64, per_second: u64, now: MonoTime) {
        let seconds = now.since_ms(self.refilled) / 1_000;
        if seconds > 0 {
            self.left = self.left.saturating_add(seconds.saturating_mul(per_second)).min(most);
            self.refilled = now;
        }
    }

    fn spend(&mut self, most: u64, per_second: u64, now: MonoTime) -> bool {
        self.refill(most, per_second, now);
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

/// Budgets of peers that left: a new connection must not bring a new budget.
#[derive(Debug, Default)]
pub(crate) struct Parted(BTreeMap<KeyId, Budget>);

impl Parted {
    /// Remembers what a peer has left, until it has refilled.
    pub(crate) fn keep(&mut self, peer: KeyId, budget: Budget, now: MonoTime) {
        self.0.retain(|_, kept| !kept.is_full(now));
        if self.0.len() >= PARTED_MAX {
            let fullest = self.0.iter().max_by_key(|(_, kept)| {
                (!kept.is_shut_out(now), kept.joins.left, kept.messages.left)
            });
            if let Some(fullest) = fullest.map(|(peer, _)| *peer) {
                self.0.remove(&fullest);
            }
        }
        self.0.insert(peer, budget);
    }

    /// Whether a peer that left is shut out.
    pub(crate) fn is_shut_out(&self, peer: &KeyId, now: MonoTime) -> bool {
        self.0.get(peer).is_some_and(|kept| kept.is_shut_out(now))
    }

    /// What is remembered of a peer that left.
    pub(crate) fn get(&self, peer: &KeyId) -> Option<&Budget> {
        self.0.get(peer)
    }

    /// The budget of a peer that connects.
    pub(crate) fn take(&mut self, peer: &KeyId, now: MonoTime) -> Budget {
        self.0.remove(peer).unwrap_or_else(|| Budget::new(now))
    }
}

/// All connected peers, by key.
pub(crate) type Peers = BTreeMap<KeyId, Peer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_a_peer_that_floods_is_served_at_a_bounded_rate() {
        let mut budget = Budget::new(MonoTime(0));
        let served = (0..5_000).filter(|_| budget.spend(MonoTime(500))).count();
        assert_eq!(served, 1_024);
        let served = (0..5_000).filter(|_| budget.spend(MonoTime(2_000))).count();
        assert_eq!(served, 128);
        assert_eq!((0..999).filter(|_| budget.spend_join(MonoTime(0))).count(), 64);
        assert_eq!((0..999).filter(|_| budget.spend_join(MonoTime(3_000))).count(), 3);
    }

    #[test]
    fn i9_a_peer_of_which_much_is_refused_is_shut_out_for_a_while() {
        let mut budget = Budget::new(MonoTime(0));
        assert!((0..100).all(|second| budget.charge(1, MonoTime(second * 1_000)).is_none()));
        let now = MonoTime(100_000);
        assert_eq!(budget.charge(64, now), Some(MonoTime(700_000)));
        assert!(!budget.spend(now) && !budget.spend_join(now));
        let (peer, mut parted) = (KeyId([1; 32]), Parted::default());
        parted.keep(peer, budget, now);
        parted.keep(KeyId([2; 32]), Budget::new(now), MonoTime(699_999));
        assert!(parted.is_shut_out(&peer, MonoTime(699_999)), "going away does not help");
        let mut budget = parted.take(&peer, MonoTime(700_000));
        assert!(budget.spend(MonoTime(700_000)));
    }

    #[test]
    fn i9_a_new_connection_brings_no_new_budget_until_the_old_one_refilled() {
        let (peer, mut parted) = (KeyId([1; 32]), Parted::default());
        let mut served = 0;
        for _ in 0..10 {
            let mut budget = parted.take(&peer, MonoTime(0));
            served += (0..5_000).filter(|_| budget.spend(MonoTime(0))).count();
            parted.keep(peer, budget, MonoTime(0));
        }
        assert_eq!(served, 1_024);
        parted.keep(KeyId([2; 32]), Budget::new(MonoTime(0)), MonoTime(16_000));
        assert!(parted.take(&peer, MonoTime(16_000)).spend(MonoTime(16_000)));
        assert_eq!(parted.0.len(), 1, "what refilled is forgotten");
    }
}
