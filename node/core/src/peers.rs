//! Connected peers, and how much of this node's work each may ask for.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use daymark_protocol::time::MonoTime;

use crate::effect::Admission;

/// Messages that a peer may send at once; a first sync of a large fleet needs a few hundred.
const MESSAGES_MAX: u64 = 1_024;
/// Messages that a peer may send per second after that.
const MESSAGES_PER_SECOND: u64 = 64;
/// Join messages per connection: an exchange is one or two, a long chain of roots a few more.
const JOINS_MAX: u32 = 64;

/// A connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: String,
    /// What its connection lets through.
    pub(crate) connection: Admission,
    /// When this node last opened a comparison with it.
    pub(crate) compared: Option<MonoTime>,
    joins: u32,
    tokens: u64,
    refilled: MonoTime,
}

impl Peer {
    pub(crate) fn new(address: String, connection: Admission, now: MonoTime) -> Self {
        Self { address, connection, compared: None, joins: 0, tokens: MESSAGES_MAX, refilled: now }
    }

    /// Whether one more message of this peer is handled.
    pub(crate) fn spend(&mut self, now: MonoTime) -> bool {
        let seconds = now.since_ms(self.refilled) / 1_000;
        if seconds > 0 {
            let refill = seconds.saturating_mul(MESSAGES_PER_SECOND);
            self.tokens = self.tokens.saturating_add(refill).min(MESSAGES_MAX);
            self.refilled = now;
        }
        let may = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        may
    }

    /// Whether one more join message of this connection is handled.
    pub(crate) fn spend_join(&mut self) -> bool {
        self.joins = self.joins.saturating_add(1);
        self.joins <= JOINS_MAX
    }
}

/// All connected peers, by key.
pub(crate) type Peers = BTreeMap<KeyId, Peer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_a_peer_that_floods_is_served_at_a_bounded_rate() {
        let mut peer = Peer::new(String::new(), Admission::Member, MonoTime(0));
        let served = (0..5_000).filter(|_| peer.spend(MonoTime(500))).count();
        assert_eq!(served, 1_024);
        let served = (0..5_000).filter(|_| peer.spend(MonoTime(2_000))).count();
        assert_eq!(served, 128);
        assert_eq!((0..999).filter(|_| peer.spend_join()).count(), 64);
    }
}
