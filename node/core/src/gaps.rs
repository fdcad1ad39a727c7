//! Pulling the reports that are missing before held ones, from whoever sent those (RULES D4).

use daymark_protocol::document::Outcome;
use daymark_protocol::id::KeyId;
use daymark_protocol::time::MonoTime;
use daymark_protocol::wire::{SyncMessage, WantedReports};

use crate::effect::Batch;
use crate::node::Node;

/// How long an answer may take before a gap is asked about again, ms.
const ANSWER_MS_MAX: u64 = 5_000;
/// Gaps asked about in one message, 48 bytes each.
const GAPS_PER_MESSAGE: usize = 256;

impl Node {
    /// Asks a peer for what is missing before the reports of its that are held.
    pub(crate) fn want_gaps(&mut self, peer: KeyId, outcomes: &[Outcome], batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Held(_))) {
            return;
        }
        let now = self.reading.mono;
        self.gaps_asked.retain(|_, asked: &mut MonoTime| now.since_ms(*asked) < ANSWER_MS_MAX);
        let wanted: Vec<WantedReports> = replica
            .report_gaps()
            .filter(|(host, _)| !self.gaps_asked.contains_key(host))
            .take(GAPS_PER_MESSAGE)
            .map(|(host, gap)| WantedReports {
                host: *host,
                generation: gap.generation,
                from_count: gap.from,
            })
            .collect();
        if wanted.is_empty() {
            return;
        }
        self.gaps_asked.extend(wanted.iter().map(|want| (want.host, now)));
        self.send_sync(peer, &SyncMessage::WantReports(wanted), batch);
    }
}
