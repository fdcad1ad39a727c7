//! Counts what came from where.

use daymark_core::event::StageProgress;
use daymark_core::fetch::FetchSource;
use tokio::sync::watch;

/// The count of one staging, told to whoever watches.
#[derive(Debug)]
pub(super) struct Tally {
    progress: StageProgress,
    watchers: watch::Sender<StageProgress>,
}

impl Tally {
    pub(super) fn new(watchers: watch::Sender<StageProgress>) -> Self {
        Self { progress: StageProgress::default(), watchers }
    }

    /// Whom it is told to.
    pub(super) fn watchers(&self) -> &watch::Sender<StageProgress> {
        &self.watchers
    }

    /// What is counted so far.
    pub(super) fn progress(&self) -> &StageProgress {
        &self.progress
    }

    /// Counts, and tells the watchers.
    pub(super) fn update(&mut self, change: impl FnOnce(&mut StageProgress)) {
        change(&mut self.progress);
        self.watchers.send_replace(self.progress.clone());
    }

    /// Bytes arrived.
    pub(super) fn arrived(&mut self, source: FetchSource, bytes: u64) {
        self.update(|progress| match source {
            FetchSource::Peer(peer) => *progress.peer_bytes.entry(peer).or_default() += bytes,
            FetchSource::Origin(_) => progress.origin_bytes += bytes,
        });
    }

    /// Bytes were not what they had to be.
    pub(super) fn refused(&mut self, source: FetchSource) {
        self.update(|progress| match source {
            FetchSource::Peer(peer) => *progress.refused.entry(peer).or_default() += 1,
            FetchSource::Origin(_) => progress.refused_from_origin += 1,
        });
    }

    /// Something went wrong with a source.
    pub(super) fn trouble(&mut self, trouble: String) {
        tracing::debug!(%trouble, "staging");
        self.update(|progress| progress.trouble = trouble);
    }
}
