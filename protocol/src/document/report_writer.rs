//! The owning host's side: from the facts that should be known to the reports that say so
//! (RULES D5).
//!
//! The number of a generation must be durable before its first report leaves the machine; that is
//! the caller's part, and [`Written::generation`] tells it.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::closed::ClosedGeneration;
use crate::document::fact::{FactPath, Facts, Value};
use crate::document::host_paths as paths;
use crate::document::report::{
    ENVELOPE_BYTES, RefusedReport, Report, SignedReport, operation_bytes,
};
use crate::id::{Digest, FleetId, KeyId};
use crate::limits;
use crate::trust::SigningKey;

/// Why facts cannot be reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// One fact alone does not fit a report.
    #[error("the fact {0} does not fit a report")]
    FactTooLarge(FactPath),
    /// All facts together do not fit half a generation, so that hardly a change could follow.
    #[error("{0} bytes of facts do not fit a generation of reports")]
    TooMuch(usize),
    /// The report breaks a rule that receivers check.
    #[error("the report for {0} could not be made")]
    Report(KeyId, #[source] RefusedReport),
}

/// What one call wrote.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The generation that the reports belong to; must be durable before they leave.
    pub generation: u64,
    /// The new reports, in order; none if nothing changed.
    pub reports: Vec<SignedReport>,
    /// The blob of the generation that they replace, named by the first of them.
    pub closed: Option<ClosedGeneration>,
}

/// Writes the reports of one host.
#[derive(Clone, Debug)]
pub struct ReportWriter {
    fleet: FleetId,
    host: KeyId,
    generation: u64,
    reports: Vec<SignedReport>,
    bytes: usize,
    said: Facts,
    closed: Option<ClosedGeneration>,
}

/// The operations of one report.
type Difference = (BTreeSet<FactPath>, BTreeMap<FactPath, Value>);

impl ReportWriter {
    /// A writer that will open `generation`, which nothing was written in yet; `closed` is the
    /// blob of the one before, if it is held.
    pub fn new(
        fleet: FleetId,
        host: KeyId,
        generation: u64,
        closed: Option<ClosedGeneration>,
    ) -> Self {
        Self {
            fleet,
            host,
            generation: generation.max(1),
            reports: Vec::new(),
            bytes: 0,
            said: Facts::default(),
            closed,
        }
    }

    /// The generation that is being written.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Goes above a generation that was met under this host's key, after a restored disk
    /// (RULES Q15): the next reports state everything anew. Says whether it was above.
    pub fn rise_above(&mut self, met: u64) -> bool {
        let rises = met >= self.generation && met < u64::MAX;
        if rises {
            self.close(met + 1);
        }
        rises
    }

    /// The reports that make `desired` the facts: what differs from what was said last. Of
    /// the runs the newest 30 are said, fewer if they are long.
    ///
    /// # Errors
    /// If the facts do not fit; nothing is written then.
    pub fn write(&mut self, key: &SigningKey, desired: &Facts) -> Result<Written, ReportError> {
        let wanted = self.fit(desired)?;
        let parts = split(difference(&self.said, &wanted))?;
        if parts.is_empty() {
            return Ok(Written { generation: self.generation, ..Written::default() });
        }
        let mut next = self.clone();
        let (wanted, parts) = if self.has_room(&parts) {
            (wanted, parts)
        } else {
            next.close(self.generation.saturating_add(1));
            let wanted = next.fit(desired)?;
            let parts = split(difference(&next.said, &wanted))?;
            (wanted, parts)
        };
        let opens = next.reports.is_empty();
        let mut reports = Vec::with_capacity(parts.len());
        for part in parts {
            reports.push(next.sign(key, part)?);
        }
        next.said = wanted;
        *self = next;
        let closed = if opens { self.closed.clone() } else { None };
        Ok(Written { generation: self.generation, reports, closed })
    }

    /// The facts to say: with the generation before named, and with as many of the newest runs as
    /// leave half a generation for what changes later.
    fn fit(&self, desired: &Facts) -> Result<Facts, ReportError> {
        let mut wanted = desired.clone();
        wanted.set_closed_generation(self.closed.as_ref().map(|closed| closed.digest));
        for runs in (0..=limits::RUNS_KEPT).rev() {
            wanted.keep_newest_runs(runs);
            let size = parts_bytes(&split(difference(&Facts::default(), &wanted))?);
            if size <= limits::GENERATION_BYTES_MAX / 2 {
                return Ok(wanted);
            }
            if runs == 0 {
                return Err(ReportError::TooMuch(size));
            }
        }
        Ok(wanted)
    }

    fn has_room(&self, parts: &[Difference]) -> bool {
        let count = (self.reports.len() + parts.len()) as u64;
        count <= limits::REPORTS_PER_GENERATION_MAX
            && self.bytes + parts_bytes(parts) <= limits::GENERATION_BYTES_MAX
    }

    fn close(&mut self, generation: u64) {
        if let Some(closed) = ClosedGeneration::of(self.reports.iter().map(SignedReport::bytes)) {
            self.closed = Some(closed);
        }
        self.generation = generation;
        self.reports.clear();
        self.bytes = 0;
        self.said = Facts::default();
    }

    fn sign(
        &mut self,
        key: &SigningKey,
        (deletes, puts): Difference,
    ) -> Result<SignedReport, ReportError> {
        let report = Report {
            fleet: self.fleet,
            host: self.host,
            generation: self.generation,
            count: self.reports.len() as u64 + 1,
            previous: self.reports.last().map_or(Digest([0; 32]), SignedReport::hash),
            deletes,
            puts,
        };
        let signed = report.sign(key).map_err(|why| ReportError::Report(self.host, why))?;
        self.bytes += signed.bytes().len();
        self.reports.push(signed.clone());
        Ok(signed)
    }
}

/// What must be deleted and put so that `said` becomes `wanted`.
fn difference(said: &Facts, wanted: &Facts) -> Difference {
    let mut deletes: BTreeSet<FactPath> = said
        .iter()
        .map(|(path, _)| path)
        .filter(|path| wanted.get(path).is_none())
        .cloned()
        .collect();
    // A run that goes is one delete, not one for each of its fields.
    let gone: BTreeSet<FactPath> = deletes
        .iter()
        .filter_map(|path| match path.names() {
            [runs, run, _] if runs == paths::RUNS => FactPath::new([runs, run]).ok(),
            _ => None,
        })
        .filter(|run| wanted.below(run.names()).next().is_none())
        .collect();
    deletes.retain(|path| !gone.iter().any(|run| run.is_above(path)));
    deletes.extend(gone);
    let puts = wanted
        .iter()
        .filter(|(path, value)| said.get(path) != Some(*value))
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect();
    (deletes, puts)
}

/// Splits operations so that each part fits a report: deletes first, runs last, since a reader
/// that has only the first part misses those least.
fn split((deletes, puts): Difference) -> Result<Vec<Difference>, ReportError> {
    let deletes = deletes.into_iter().map(|path| (path, None));
    let mut puts: Vec<_> = puts.into_iter().map(|(path, value)| (path, Some(value))).collect();
    puts.sort_by_key(|(path, _)| path.names().first().is_some_and(|name| name == paths::RUNS));
    let mut parts = Vec::new();
    let mut part = Difference::default();
    let mut bytes = ENVELOPE_BYTES;
    for (path, value) in deletes.chain(puts) {
        let size = operation_bytes(&path, value.as_ref());
        if ENVELOPE_BYTES + size > limits::REPORT_BYTES_MAX {
            return Err(ReportError::FactTooLarge(path));
        }
        if bytes + size > limits::REPORT_BYTES_MAX {
            parts.push(std::mem::take(&mut part));
            bytes = ENVELOPE_BYTES;
        }
        bytes += size;
        match value {
            Some(value) => {
                part.1.insert(path, value);
            }
            None => {
                part.0.insert(path);
            }
        }
    }
    if part != Difference::default() {
        parts.push(part);
    }
    Ok(parts)
}

fn parts_bytes(parts: &[Difference]) -> usize {
    parts
        .iter()
        .map(|(deletes, puts)| {
            ENVELOPE_BYTES
                + deletes.iter().map(|path| operation_bytes(path, None)).sum::<usize>()
                + puts.iter().map(|(path, value)| operation_bytes(path, Some(value))).sum::<usize>()
        })
        .sum()
}
