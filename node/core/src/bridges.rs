//! Peers of other sites, to whom gossip always goes on (`docs/decisions/0026-bridges.md`).
//!
//! A message spreads over a few links of each node, which gossip draws without knowing sites. Two
//! sites may hang together by one link that it did not draw; then a message would wait there for
//! the next word of what others have, once for each site on its way. So the links that join sites
//! are not left to chance. A few of them do: each carries every message of the fleet.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::DocumentId;
use daymark_protocol::id::KeyId;

use crate::admission;
use crate::effect::{Admission, Batch, Effect};
use crate::node::Node;

/// Bridges of one node to one other site: one may be a machine that is going away.
const BRIDGES_PER_SITE_MAX: usize = 2;
/// Bridges of one node: a machine that joins many sites serves that many.
const BRIDGES_MAX: usize = 64;

impl Node {
    /// Tells the host which connected peers are bridges now, where that changed.
    pub(crate) fn build_bridges(&mut self, batch: &mut Batch) {
        let wanted = self.wanted_bridges();
        for peer in self.bridges.difference(&wanted) {
            batch.now(Effect::Bridge { peer: *peer, open: false });
        }
        for peer in wanted.difference(&self.bridges) {
            batch.now(Effect::Bridge { peer: *peer, open: true });
        }
        self.bridges = wanted;
    }

    fn wanted_bridges(&self) -> BTreeSet<KeyId> {
        let Some(own) = self.own_site() else { return BTreeSet::new() };
        let Some(replica) = &self.replica else { return BTreeSet::new() };
        let mut of_site: BTreeMap<DocumentId, usize> = BTreeMap::new();
        let mut bridges: BTreeSet<KeyId> = BTreeSet::new();
        for (peer, state) in &self.peers {
            let site = admission::site_of(replica.standing(), peer);
            let member = state.connection == Admission::Member
                && self.wanted_admission(peer) == Admission::Member;
            if site == own || !member || bridges.len() >= BRIDGES_MAX {
                continue;
            }
            let count = of_site.entry(site).or_insert(0);
            if *count < BRIDGES_PER_SITE_MAX {
                *count += 1;
                bridges.insert(*peer);
            }
        }
        bridges
    }
}
