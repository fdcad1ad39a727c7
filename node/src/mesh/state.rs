//! What outlives a failure of the swarm: admissions, subscriptions, whom to dial, and what the
//! host has not been told yet.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use daymark_core::effect::{Admission, Topic};
use daymark_core::event::GossipId;
use daymark_protocol::id::KeyId;
use libp2p::Multiaddr;

use super::admissions::Admissions;
use super::dialer::{Dialer, Source};
use super::event::MeshEvent;
use super::handle::Command;
use super::streams::OpenError;

/// The state.
#[derive(Debug)]
pub(super) struct State {
    pub(super) admissions: Admissions,
    pub(super) dialer: Dialer,
    pub(super) topics: BTreeSet<Topic>,
    /// Peers that gossip always goes on to; each until its last connection ends.
    pub(super) bridges: BTreeSet<KeyId>,
    /// Peers whose connection the host was told of.
    pub(super) connected: BTreeSet<KeyId>,
    /// Events the host has not taken yet. While there are any, no more are made.
    pub(super) outbox: VecDeque<MeshEvent>,
    next_gossip: u64,
}

impl State {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self {
            admissions: Admissions::default(),
            dialer,
            topics: BTreeSet::new(),
            bridges: BTreeSet::new(),
            connected: BTreeSet::new(),
            outbox: VecDeque::new(),
            next_gossip: 0,
        }
    }

    /// A new id, never used before.
    pub(super) fn mint_gossip_id(&mut self) -> GossipId {
        self.next_gossip += 1;
        GossipId(self.next_gossip)
    }

    /// Addresses where a peer may be; those that do not parse are left out.
    pub(super) fn dial(&mut self, peer: KeyId, addresses: &[String]) {
        let parsed: Vec<Multiaddr> =
            addresses.iter().filter_map(|address| address.parse().ok()).collect();
        self.dialer.offer(peer, parsed, Source::Asked, Instant::now());
    }

    /// The swarm failed: every connection is gone.
    pub(super) fn failed(&mut self, reason: String) {
        self.bridges.clear();
        for peer in std::mem::take(&mut self.connected) {
            self.outbox.push_back(MeshEvent::Disconnected { peer });
        }
        self.outbox.push_back(MeshEvent::Restarted { reason });
        self.dialer.reset(Instant::now());
    }

    /// Takes a command while there is no swarm. A shutdown is given back.
    pub(super) fn take_offline(
        &mut self,
        command: Command,
    ) -> Option<tokio::sync::oneshot::Sender<()>> {
        match command {
            Command::Admit { peer, admission } => self.admit(peer, admission),
            Command::Subscribe(topic) => {
                self.topics.insert(topic);
            }
            Command::Unsubscribe(topic) => {
                self.topics.remove(&topic);
            }
            Command::Dial { peer, addresses } => self.dial(peer, &addresses),
            Command::OpenChunks { reply, .. } => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(Err(OpenError::NotConnected));
            }
            Command::Peers(reply) => {
                let _ = reply.send(Vec::new());
            }
            Command::Shutdown(reply) => return Some(reply),
            Command::Send { .. }
            | Command::Publish { .. }
            | Command::Verdict { .. }
            | Command::Bridge { .. } => {}
            #[cfg(test)]
            Command::Panic => {}
        }
        None
    }

    /// Sets what a peer's next connections let through.
    pub(super) fn admit(&mut self, peer: KeyId, admission: Admission) {
        self.admissions.set(peer, admission);
    }
}
