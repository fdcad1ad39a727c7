//! What each peer's next connection will let through (RULES A1, A2).
//!
//! Shared by the gates, which ask when a connection is made. Peers that nobody admitted are
//! strangers, and strangers take no room here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use daymark_core::effect::Admission;
use daymark_protocol::id::KeyId;
use libp2p::PeerId;

use super::identity;

/// The table; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Admissions(Arc<Mutex<BTreeMap<KeyId, Admission>>>);

impl Admissions {
    /// What a connection with `peer` lets through if it is made now.
    pub(super) fn of(&self, peer: &KeyId) -> Admission {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(peer).copied().unwrap_or(Admission::Stranger)
    }

    /// Likewise, by peer id; one that is not Ed25519 is a stranger for ever.
    pub(super) fn of_peer(&self, peer: &PeerId) -> Admission {
        identity::key_id(peer).map_or(Admission::Stranger, |key| self.of(&key))
    }

    /// Sets what the next connection lets through.
    pub(super) fn set(&self, peer: KeyId, admission: Admission) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match admission {
            Admission::Stranger => table.remove(&peer),
            Admission::Visitor | Admission::Authority | Admission::Member => {
                table.insert(peer, admission)
            }
        };
    }
}
