//! Heartbeats between nodes: handed over whole when two connect, and on at once when one is new
//! (RULES D7). There are few, one for each scope, and one of them a day or so.

use std::collections::BTreeSet;

use daymark_protocol::document::Outcome;
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::wire::{HEARTBEATS_PER_MESSAGE_MAX, SyncMessage, in_parts};

use crate::effect::{Admission, Batch};
use crate::intake::Origin;
use crate::node::Node;

impl Node {
    /// Sends a peer the heartbeats that are held.
    pub(crate) fn tell_heartbeats(&mut self, peer: KeyId, batch: &mut Batch) {
        let held = self.held_heartbeats().into_iter().map(|(_, bytes)| bytes).collect();
        for part in in_parts(held, HEARTBEATS_PER_MESSAGE_MAX) {
            self.send_sync(peer, &SyncMessage::Heartbeats(part), batch);
        }
    }

    /// Takes a peer's heartbeats.
    pub(crate) fn on_heartbeats(&mut self, heartbeats: &[Vec<u8>], batch: &mut Batch) {
        for bytes in heartbeats {
            let outcomes = self.take_blobs(std::slice::from_ref(bytes), Origin::Repair, batch);
            if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
                return;
            }
        }
    }

    /// Hands on what is newer than `before`, so that it goes through a site in as many steps as
    /// there are links.
    pub(crate) fn spread_heartbeats(&mut self, before: &BTreeSet<Digest>, batch: &mut Batch) {
        let held = self.held_heartbeats().into_iter();
        let fresh: Vec<Vec<u8>> =
            held.filter(|(digest, _)| !before.contains(digest)).map(|(_, bytes)| bytes).collect();
        if fresh.is_empty() {
            return;
        }
        let peers: Vec<KeyId> = self.peers.keys().copied().collect();
        for peer in peers {
            if self.wanted_admission(&peer) < Admission::Authority {
                continue;
            }
            for part in in_parts(fresh.clone(), HEARTBEATS_PER_MESSAGE_MAX) {
                self.send_sync(peer, &SyncMessage::Heartbeats(part), batch);
            }
        }
    }

    /// The heartbeats that are held, by digest.
    pub(crate) fn heartbeat_digests(&self) -> BTreeSet<Digest> {
        self.held_heartbeats().into_iter().map(|(digest, _)| digest).collect()
    }

    fn held_heartbeats(&self) -> Vec<(Digest, Vec<u8>)> {
        let held = self.replica.iter().flat_map(|replica| replica.heartbeats());
        held.map(|beat| (beat.digest(), beat.bytes().to_vec())).collect()
    }
}
