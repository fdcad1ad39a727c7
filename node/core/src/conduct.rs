//! What peers did that they must not, counted by kind since the start, and what it costs them.
//! `peers` has the budget that the points are taken from; nothing here drops anybody.

use std::collections::BTreeMap;

use daymark_protocol::id::KeyId;
use serde::{Deserialize, Serialize};

/// Peers whose faults are remembered: more than there is room to be connected with.
const PEERS_MAX: usize = 1_024;

/// Points at which a peer is dropped; one is forgiven each second. An honest peer makes none, since
/// it checks what it takes and reads what it sends.
pub const POINTS_MAX: u64 = 64;

/// Something that a peer must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// An entry, a report, a root or a sign of life that is refused for good.
    Refused,
    /// A message that cannot be read: made up, or of a newer version.
    Malformed,
    /// A message more than a peer may send.
    Flood,
    /// A chunk or an index that is not what the signed digest says.
    WrongChunk,
    /// A proof by a role key that does not hold.
    WrongProof,
}

impl Fault {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Flood => "flood",
            Self::WrongChunk => "wrongChunk",
            Self::WrongProof => "wrongProof",
        }
    }

    /// What one costs of [`POINTS_MAX`]. What was sent too often was not heard, and costs nothing
    /// more.
    pub(crate) fn points(self) -> u64 {
        match self {
            Self::Refused | Self::Malformed => 1,
            Self::Flood => 0,
            Self::WrongProof => 16,
            Self::WrongChunk => 32,
        }
    }
}

/// How often each kind was seen of one peer.
pub type Faults = BTreeMap<Fault, u64>;

/// The faults of each peer, by its key: they outlast connections.
#[derive(Debug, Default)]
pub(crate) struct Conduct(BTreeMap<KeyId, Faults>);

impl Conduct {
    /// Counts faults of a peer. Above [`PEERS_MAX`] the peer with the fewest is forgotten.
    pub(crate) fn note(&mut self, peer: KeyId, fault: Fault, count: u64) {
        if !self.0.contains_key(&peer) && self.0.len() >= PEERS_MAX {
            let total = |faults: &Faults| faults.values().sum::<u64>();
            let least = self.0.iter().min_by_key(|(_, faults)| total(faults));
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.0.remove(&least);
            }
        }
        let counted = self.0.entry(peer).or_default().entry(fault).or_default();
        *counted = counted.saturating_add(count);
    }

    /// What a peer did.
    pub(crate) fn of(&self, peer: &KeyId) -> Faults {
        self.0.get(peer).cloned().unwrap_or_default()
    }

    /// All peers that did something.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &KeyId> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_strangers_without_end_crowd_out_nobody_who_did_more() {
        let mut conduct = Conduct::default();
        let host = |number: u32| KeyId(daymark_protocol::id::Digest::of(&number.to_be_bytes()).0);
        conduct.note(host(0), Fault::WrongChunk, 3);
        for number in 1..5_000 {
            conduct.note(host(number), Fault::Flood, 1);
        }
        assert_eq!(conduct.peers().count(), PEERS_MAX);
        assert_eq!(conduct.of(&host(0)), Faults::from([(Fault::WrongChunk, 3)]));
        assert_eq!(conduct.of(&host(1)), Faults::new());
    }
}
