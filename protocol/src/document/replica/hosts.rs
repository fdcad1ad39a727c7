//! Taking reports, and whose are kept: those of hosts that a held Host statement names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::accept::with_sources;
use super::{Changes, Outcome, Replica, Sites, StoredReport};
use crate::document::DocumentId;
use crate::document::chain::{ChainOutcome, HostChain};
use crate::document::entry::site_document;
use crate::document::report::SignedReport;
use crate::id::{KeyId, ResourceId};
use crate::resource::Kind;

impl Replica {
    /// Takes one report. Several of one host are cheaper through [`Self::accept_reports`].
    pub fn accept_report(&mut self, bytes: &[u8]) -> (Outcome, Changes) {
        let (mut outcomes, changes) = self.accept_reports(&[bytes]);
        (outcomes.pop().unwrap_or(Outcome::Known), changes)
    }

    /// Takes reports of any hosts in any order; of a chain one signature is checked (RULES D5).
    pub fn accept_reports(&mut self, reports: &[&[u8]]) -> (Vec<Outcome>, Changes) {
        let mut changes = Changes::default();
        let mut outcomes = vec![Outcome::Known; reports.len()];
        let mut of_hosts: BTreeMap<KeyId, Vec<(usize, Arc<SignedReport>)>> = BTreeMap::new();
        for (index, bytes) in reports.iter().enumerate() {
            match self.shared.report(bytes) {
                Err(why) => outcomes[index] = Outcome::Refused(with_sources(&why)),
                Ok(report) if Some(report.report().fleet) != self.chain.fleet() => {
                    outcomes[index] = Outcome::Refused("it is for another fleet".into());
                }
                Ok(report) if !self.keeps_reports_of(&report.report().host) => {
                    outcomes[index] =
                        Outcome::NotKept("no held Host statement of a kept site names it".into());
                }
                Ok(report) => {
                    of_hosts.entry(report.report().host).or_default().push((index, report));
                }
            }
        }
        for (host, batch) in of_hosts {
            let (indices, batch): (Vec<usize>, Vec<Arc<SignedReport>>) = batch.into_iter().unzip();
            let results = self.extend_chain(host, batch, &mut changes);
            for (index, result) in indices.into_iter().zip(results) {
                outcomes[index] = outcome_of(result);
            }
        }
        (outcomes, changes)
    }

    /// Takes the stored chains that another replica of the pool took, byte for byte; the reports
    /// that remain to be read.
    pub(super) fn adopt_chains<'a>(&mut self, stored: &'a [StoredReport]) -> Vec<&'a StoredReport> {
        let mut of_hosts: BTreeMap<KeyId, Vec<&StoredReport>> = BTreeMap::new();
        for report in stored {
            of_hosts.entry(report.host).or_default().push(report);
        }
        let mut unread = Vec::new();
        for (host, mut reports) in of_hosts {
            reports.sort_unstable_by_key(|report| (report.generation, report.count));
            let bytes: Vec<&[u8]> = reports.iter().map(|report| report.bytes.as_slice()).collect();
            let chain = self.shared.chain_of(host, &bytes);
            let ours = |chain: &Arc<HostChain>| {
                chain.fleet() == self.chain.fleet()
                    && !self.hosts.contains_key(&host)
                    && self.keeps_reports_of(&host)
            };
            match chain.filter(ours) {
                Some(chain) => {
                    self.blobs.set_name(host, chain.view().facts().closed_generation());
                    self.hosts.insert(host, chain);
                }
                None => unread.extend(reports),
            }
        }
        unread
    }

    fn extend_chain(
        &mut self,
        host: KeyId,
        batch: Vec<Arc<SignedReport>>,
        changes: &mut Changes,
    ) -> Vec<ChainOutcome> {
        let chain = self.hosts.entry(host).or_insert_with(|| Arc::new(HostChain::new(host)));
        let before = chain.head();
        let results = self.shared.extended(chain, batch);
        let after = chain.head();
        if after.generation > before.generation && before.generation > 0 {
            changes.dropped_reports.push((host, after.generation));
        }
        if after != before {
            let same = after.generation == before.generation && !chain.is_forked();
            let skip = if same { usize::try_from(before.count).unwrap_or(0) } else { 0 };
            changes
                .reports
                .extend(chain.evidence().skip(skip).map(|link| StoredReport::of(host, link)));
            let closed = chain.view().facts().closed_generation();
            changes.dropped_blobs.extend(self.blobs.set_name(host, closed));
        }
        results
    }

    /// Drops the reports of hosts that nothing here names any more.
    pub(super) fn drop_all_strangers(&mut self, changes: &mut Changes) {
        if self.judge.judgement().standing.wait.is_none() {
            let hosts = self.hosts.keys().copied().collect();
            self.drop_strangers(&hosts, changes);
        }
    }

    /// Drops the reports of those of `hosts` that nothing here names any more.
    pub(super) fn drop_strangers(&mut self, hosts: &BTreeSet<KeyId>, changes: &mut Changes) {
        for host in hosts {
            if !self.keeps_reports_of(host) && self.hosts.remove(host).is_some() {
                changes.dropped_reports.push((*host, u64::MAX));
                changes.dropped_blobs.extend(self.blobs.set_name(*host, None));
            }
        }
    }

    fn keeps_reports_of(&self, host: &KeyId) -> bool {
        if self.interest.own_host == Some(*host) {
            return true;
        }
        let line = self.standing().lines.get(&(Kind::Host, ResourceId::from(*host)));
        let Some(newest) = line.and_then(|line| line.versions.first()) else { return false };
        match (&self.interest.sites, site_document(newest.site.as_ref())) {
            (Sites::Only(sites), DocumentId::Site(site)) => sites.contains(&site),
            (Sites::All, _) | (_, DocumentId::Fleet | DocumentId::Host(_)) => true,
        }
    }
}

fn outcome_of(result: ChainOutcome) -> Outcome {
    match result {
        ChainOutcome::Added(_) | ChainOutcome::Forked => Outcome::New,
        ChainOutcome::Known => Outcome::Known,
        ChainOutcome::Held => Outcome::Held("reports before it are not held".into()),
        ChainOutcome::Superseded => Outcome::NotKept("a newer generation is held".into()),
        ChainOutcome::Refused(why) => Outcome::Refused(with_sources(&why)),
    }
}
