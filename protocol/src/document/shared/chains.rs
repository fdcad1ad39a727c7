//! Hosts' chains of reports, once each: by where they stand, and by the reports that led there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::chain::{ChainHead, ChainLink, ChainOutcome, HostChain};
use crate::document::report::SignedReport;
use crate::id::{Digest, KeyId};

/// Chains before those that nobody else holds are first let go.
const FIRST_SWEEP: usize = 512;

/// Where a host's chain stands. The hash of its last report stands for all below it.
type End = (KeyId, ChainHead);

/// Chains that some replica holds or held lately.
#[derive(Debug, Default)]
pub(super) struct Chains {
    ends: BTreeMap<End, Arc<HostChain>>,
    /// Where a chain stands when it takes reports with this digest, and what becomes of each.
    steps: BTreeMap<(End, Digest), (ChainHead, Vec<ChainOutcome>)>,
    sweep_at: usize,
}

impl Chains {
    /// What a chain comes to, and what becomes of each report, when it takes `reports`.
    pub(super) fn extended(
        &mut self,
        chain: &mut Arc<HostChain>,
        reports: Vec<Arc<SignedReport>>,
    ) -> Vec<ChainOutcome> {
        // Reports that wait, and the sides of a fork, are not in the head.
        if !chain.is_its_head() {
            return take(chain, reports);
        }
        let host = chain.view().host();
        let hashes: Vec<Digest> = reports.iter().map(|report| report.hash()).collect();
        let step = ((host, chain.head()), Digest::of_all(hashes.iter().map(Digest::as_bytes)));
        if let Some((after, outcomes)) = self.steps.get(&step)
            && let Some(end) = self.ends.get(&(host, *after))
        {
            *chain = Arc::clone(end);
            return outcomes.clone();
        }
        let outcomes = take(chain, reports);
        if chain.is_its_head() {
            let after = chain.head();
            let end = self.ends.entry((host, after)).or_insert_with(|| Arc::clone(chain));
            *chain = Arc::clone(end);
            self.steps.insert(step, (after, outcomes.clone()));
            self.sweep();
        }
        outcomes
    }

    /// The chain of a host that is these reports and no other, if it was ever taken.
    pub(super) fn of(&self, host: KeyId, reports: &[&[u8]]) -> Option<Arc<HostChain>> {
        let hash = Digest::of(reports.last()?);
        let of_host = (host, ChainHead::LOWEST)..=(host, ChainHead::HIGHEST);
        let mut ends = self.ends.range(of_host).map(|(_, chain)| chain);
        let chain = ends.find(|chain| chain.head().hash == hash)?;
        let held = chain.reports().iter().map(ChainLink::bytes);
        held.eq(reports.iter().copied()).then(|| Arc::clone(chain))
    }

    /// Lets go of what nobody else holds, whenever there is a quarter more: each report leaves a
    /// chain behind that soon nobody holds.
    fn sweep(&mut self) {
        if self.ends.len() < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        let Self { ends, steps, .. } = self;
        ends.retain(|_, chain| Arc::strong_count(chain) > 1);
        steps.retain(|((host, _), _), (after, _)| ends.contains_key(&(*host, *after)));
        self.sweep_at = self.ends.len() + self.ends.len() / 4;
    }
}

/// Lets a chain take reports.
pub(super) fn take(
    chain: &mut Arc<HostChain>,
    reports: Vec<Arc<SignedReport>>,
) -> Vec<ChainOutcome> {
    let reports = reports.into_iter().map(Arc::unwrap_or_clone).collect();
    Arc::make_mut(chain).accept_all(reports)
}
