//! What one machine says of itself: its facts, folded straight from its reports (RULES D5).

use crate::document::fact::Facts;
use crate::document::report::{RefusedReport, Report};
use crate::id::KeyId;

/// The fold of a host's current generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostView {
    host: KeyId,
    generation: u64,
    count: u64,
    facts: Facts,
}

impl HostView {
    pub(crate) fn new(host: KeyId) -> Self {
        Self { host, generation: 0, count: 0, facts: Facts::default() }
    }

    /// Folds the next report in.
    pub(crate) fn apply(&mut self, report: &Report) -> Result<(), RefusedReport> {
        report.apply(&mut self.facts)?;
        self.generation = report.generation;
        self.count = report.count;
        Ok(())
    }

    /// The host.
    pub fn host(&self) -> KeyId {
        self.host
    }

    /// The generation; zero before the first report.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many reports of it are folded in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All facts; [`Facts`] has readers for those that have a meaning.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}
