//! What this host says of itself: the facts, and when they are reported (RULES D4, D5, Q15).

use std::collections::BTreeSet;

use daymark_protocol::document::{
    DocumentId, Facts, ImageBytes, ReportWriter, UpdateRun, UpdateStatus as StatusFacts, host_paths,
};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::rules::{Rule, holds};
use daymark_protocol::status::{UpdateStatus, run_name};
use daymark_protocol::time::{MonoTime, WallTime};
use daymark_protocol::wire::{SyncMessage, WantedReports};

use crate::admission;
use crate::durable::{Attempt, FinishedRun, UpdateState};
use crate::effect::{Admission, Batch, Effect, Reply};
use crate::event::{RequestId, StageProgress};
use crate::intake::Origin;
use crate::node::Node;
use crate::timer::Timer;
use crate::update::attempt_of;

/// How long a starting node waits for its own reports from others (RULES Q15), ms.
const OWN_REPORTS_MS: u64 = 30_000;
/// Neighbours that end this wait by showing that they hold no newer report than this node.
const SHOWN_BY_MIN: usize = 2;
/// How long others may contradict the first of them, ms.
const SHOWN_MS: u64 = 5_000;
/// Pause between reports while only details change, ms.
const REPORT_PAUSE_MS: u64 = 10_000;
/// Facts of the platform that are reported.
const PLATFORM_FACTS_MAX: usize = 64;
/// Own addresses that are reported: one of each kind and network, as a rule.
const ADDRESSES_TOLD_MAX: usize = 6;
/// Bytes of them: a report has little room.
const ADDRESSES_TOLD_BYTES_MAX: usize = 600;

/// Why a machine waits whose key another one uses too.
const CLONED: &str = "another machine reports under this machine's key: a copied disk? \
                                 Run `daymark-node rebind` on the one that keeps the key, and \
                                 enrol the other anew with `daymarkctl enroll --replace`";

/// What a person is to do on a machine that its key is not bound to.
const MOVED: &str = "Is this disk a copy? Then enrol this machine anew, on an empty data folder. Or \
                     did the board change? Then run `daymark-node rebind`";

/// The reporting side of a node.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    writer: Option<ReportWriter>,
    /// What was reported last.
    said: Option<(Facts, Milestone)>,
    said_at: Option<MonoTime>,
    /// Runs of former generations that this machine's own files do not know: a restored disk.
    former_runs: Vec<UpdateRun>,
    /// Neighbours whose newest report of this host is the one held here, until a generation opens.
    shown_by: BTreeSet<KeyId>,
    /// How often reports under the own key were met that this start did not write.
    rises: u32,
    /// Whether one more report is due, though this machine may not be the one that has the key.
    last_word: bool,
}

/// What is reported at once when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Milestone {
    status: UpdateStatus,
    attempt: Option<u64>,
    last_run: Option<u64>,
    reason: Option<String>,
}

impl Reporter {
    /// The generation that is being written; 0 before the first.
    pub(crate) fn generation(&self) -> u64 {
        self.writer.as_ref().map_or(0, ReportWriter::generation)
    }

    /// Whether a generation is being written.
    pub(crate) fn is_open(&self) -> bool {
        self.writer.is_some()
    }
}

impl Node {
    /// Waits for own reports on other machines, unless this machine never reported.
    pub(crate) fn await_own_reports(&mut self) {
        let wait_ms = if self.saved.get().generation == 0 { 0 } else { OWN_REPORTS_MS };
        self.timers.set(Timer::OpenGeneration, self.reading.mono.plus_ms(wait_ms));
    }

    /// Looks again whether a generation can be opened, once this machine is enrolled.
    pub(crate) fn await_generation(&mut self) {
        let waits = self.timers.is_set(Timer::OpenGeneration);
        let enrolled = self.wanted_admission(&self.own) >= Admission::Authority;
        if !self.reporter.is_open() && enrolled && !waits {
            self.await_own_reports();
        }
    }

    /// Asks a neighbour for this host's own reports from the newest one held on, so that one which
    /// holds nothing newer answers as well (RULES Q15).
    pub(crate) fn want_own_reports(&mut self, peer: KeyId, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let generation = self.saved.get().generation;
        let site = |host| admission::site_of(replica.standing(), host);
        let awaited = !self.reporter.is_open() && generation > 0;
        if !awaited || !self.is_member(&self.own) || site(&peer) != site(&self.own) {
            return;
        }
        let held = replica.head(&self.own).filter(|head| head.generation > 0);
        let wanted = WantedReports {
            host: self.own,
            generation: held.map_or(generation, |head| head.generation),
            from_count: held.map_or(1, |head| head.count),
        };
        self.send_sync(peer, &SyncMessage::WantReports(vec![wanted]), batch);
    }

    /// Looks whether a neighbour's reports, which were taken, show that it holds nothing newer of
    /// this host.
    pub(crate) fn note_own_reports(&mut self, peer: KeyId, reports: &[Vec<u8>], batch: &mut Batch) {
        let newest = self.replica.as_ref().and_then(|replica| replica.head(&self.own));
        let Some(newest) = newest.filter(|_| !self.reporter.is_open()) else { return };
        if reports.iter().any(|report| Digest::of(report) == newest.hash) {
            self.shown_own_reports(peer, batch);
        }
    }

    /// A neighbour holds no newer report of this host. After the first one others have a while to
    /// contradict it; a second one ends the wait (RULES Q15).
    pub(crate) fn shown_own_reports(&mut self, peer: KeyId, batch: &mut Batch) {
        if self.reporter.is_open() {
            return;
        }
        self.reporter.shown_by.insert(peer);
        if self.reporter.shown_by.len() >= SHOWN_BY_MIN {
            self.open_generation(batch);
        } else {
            let soon = self.reading.mono.plus_ms(SHOWN_MS);
            self.timers.set_earlier(Timer::OpenGeneration, soon);
        }
    }

    /// Opens a generation above all that was met, durable before its first report leaves.
    pub(crate) fn open_generation(&mut self, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let fleet = replica.chain().fleet();
        let enrolled = self.wanted_admission(&self.own) >= Admission::Authority;
        let (Some(fleet), true, None) = (fleet, enrolled, &self.reporter.writer) else {
            // Tried again when what counts changes.
            return;
        };
        let met = replica.head(&self.own).map_or(0, |head| head.generation);
        let generation = self.saved.get().generation.max(met).saturating_add(1);
        let closed = replica.host_chain(&self.own).and_then(|chain| chain.closed());
        let former = replica.host_view(&self.own).map(|view| view.facts().runs());
        self.reporter.former_runs = former.unwrap_or_default();
        let highest = self.reporter.former_runs.iter().filter_map(|run| run.attempt).max();
        self.reporter.writer = Some(ReportWriter::new(fleet, self.own, generation, closed));
        let state = self.saved.change();
        state.generation = generation;
        state.attempt = state.attempt.max(highest.unwrap_or(0));
        self.timers.clear(Timer::OpenGeneration);
        self.reporter.shown_by.clear();
        self.facts_changed = true;
        self.report(batch);
    }

    /// Reports under the own key came from elsewhere: this start did not write them, so it goes
    /// above them (RULES Q15), once; a second time another machine has the same key (RULES D6).
    pub(crate) fn met_own_reports(&mut self) {
        // One that waits must not make the machine stop that may have the key by right.
        if self.waits_for_rebind() {
            return;
        }
        let met = self.replica.as_ref().and_then(|replica| replica.head(&self.own));
        let (Some(met), Some(writer)) = (met, &mut self.reporter.writer) else { return };
        if writer.rise_above(met.generation) {
            self.reporter.rises = self.reporter.rises.saturating_add(1);
            if self.reporter.rises > 1 && holds(Rule::D6Clone) {
                // Both would rise above each other for ever: both stop, and wait (RULES D6). The
                // other one knows it too once it meets this one's last word.
                self.saved.change().cloned = true;
                self.reporter.last_word = true;
                self.look = true;
            }
            self.reporter.said = None;
            self.facts_changed = true;
        }
    }

    /// The host compared the machine with what the key is bound to (RULES D6). A copied disk says
    /// so in one report, once: the machine that it was copied from rises above that and goes on.
    pub(crate) fn bound(&mut self, moved: Option<String>) {
        let held = &self.saved.get().moved;
        if *held == moved {
            return;
        }
        self.reporter.last_word |= held.is_none();
        self.saved.change().moved = moved;
        self.facts_changed = true;
        self.look = true;
    }

    /// Whether nothing starts here before a person says that this machine keeps the key.
    fn waits_for_rebind(&self) -> bool {
        let state = self.saved.get();
        state.cloned || state.moved.is_some()
    }

    /// Why it waits for that, for people.
    pub(crate) fn rebind_asked(&self) -> impl Iterator<Item = String> {
        let state = self.saved.get();
        let cloned = state.cloned.then(|| CLONED.to_owned());
        let moved = state.moved.iter().map(|why| format!("{why}. {MOVED}"));
        cloned.into_iter().chain(moved)
    }

    /// A person says that this machine is the one that keeps the key (RULES D6).
    pub(crate) fn rebind(&mut self, request: RequestId, batch: &mut Batch) {
        if self.waits_for_rebind() {
            let state = self.saved.change();
            state.cloned = false;
            state.moved = None;
            self.reporter.last_word = false;
            // It stayed below what was reported under its key while it waited.
            self.met_own_reports();
            self.reporter.rises = 0;
            self.facts_changed = true;
            self.look = true;
        }
        batch.after(Effect::Reply { request, reply: Reply::Done });
    }

    /// Reports what changed: milestones at once, details after a pause.
    pub(crate) fn report(&mut self, batch: &mut Batch) {
        let silent = self.waits_for_rebind() && !self.reporter.last_word;
        if !self.reporter.is_open() || silent || !self.facts_changed {
            return;
        }
        let milestone = self.milestone();
        let moved = self.reporter.said.as_ref().is_none_or(|(_, said)| *said != milestone);
        let due = self.reporter.said_at.map_or(self.reading.mono, |at| at.plus_ms(REPORT_PAUSE_MS));
        if !moved && self.reading.mono < due {
            return self.timers.set_earlier(Timer::Report, due);
        }
        self.facts_changed = false;
        let facts = self.facts(milestone.status);
        if self.reporter.said.as_ref().is_some_and(|(said, _)| *said == facts) {
            return;
        }
        let Some(writer) = &mut self.reporter.writer else { return };
        self.reporter.last_word = false;
        match writer.write(&self.key, &facts) {
            Ok(written) => {
                if written.generation != self.saved.get().generation {
                    self.saved.change().generation = written.generation;
                }
                let reports: Vec<Vec<u8>> =
                    written.reports.iter().map(|report| report.bytes().to_vec()).collect();
                self.take_reports(&reports, Origin::Own, batch);
                let closed: Vec<Vec<u8>> =
                    written.closed.into_iter().map(|closed| closed.bytes).collect();
                self.take_blobs(&closed, Origin::Own, batch);
                self.report_problem = None;
            }
            Err(error) => self.report_problem = Some(format!("facts are not reported: {error}")),
        }
        if milestone.status == UpdateStatus::Updated {
            // Said once, durable with the report itself; then the host is up to date.
            self.saved.change().told_updated = milestone.last_run.unwrap_or(0);
            self.timers.set_earlier(Timer::Report, self.reading.mono.plus_ms(REPORT_PAUSE_MS));
        }
        self.reporter.said = Some((facts, milestone));
        self.reporter.said_at = Some(self.reading.mono);
    }

    fn milestone(&self) -> Milestone {
        let state = self.saved.get();
        Milestone {
            status: self.eim_status(),
            attempt: attempt_of(&state.update).map(|attempt| attempt.number),
            last_run: state.finished.last().map(|run| run.attempt.number),
            reason: self.decision.as_ref().map(|decision| decision.reason.to_string()),
        }
    }

    /// EIM's status. An update that just ended is told once as such.
    fn eim_status(&self) -> UpdateStatus {
        let state = self.saved.get();
        let last = state.finished.last();
        match &state.update {
            UpdateState::Staging(_) => UpdateStatus::Downloading,
            UpdateState::Staged(_) => UpdateStatus::Downloaded,
            UpdateState::Activating(_)
            | UpdateState::Rebooting(_)
            | UpdateState::Confirming(_)
            | UpdateState::FallingBack(_) => UpdateStatus::Started,
            UpdateState::Idle => match last {
                None => UpdateStatus::UpToDate,
                Some(run) if run.status == UpdateStatus::Failed.name() => UpdateStatus::Failed,
                Some(run) if run.attempt.number <= state.told_updated => UpdateStatus::UpToDate,
                Some(_) => UpdateStatus::Updated,
            },
        }
    }

    fn facts(&self, status: UpdateStatus) -> Facts {
        let mut facts = Facts::default();
        let state = self.saved.get();
        if let Some(inspection) = &self.inspection {
            for (name, text) in inspection.facts.iter().take(PLATFORM_FACTS_MAX) {
                facts.set_text(&[host_paths::FACTS, name], text);
            }
        }
        facts.set_text(&[host_paths::FACTS, host_paths::ADDRESSES], &self.told_addresses());
        if let Some(machine) = self.machine() {
            facts.set_machine(&machine);
        }
        if !state.adopted.is_empty() {
            facts.set_adopted(&self.adoptions().join("; "));
        }
        if let Some(problem) = self.deliveries.problem() {
            facts.set_configuration_problem(&problem);
        }
        if let Some(replica) = &self.replica {
            for document in [DocumentId::Fleet, admission::site_of(replica.standing(), &self.own)] {
                facts.set_held(&document, &replica.fingerprint(&document));
            }
        }
        let wanted = self.decision.as_ref().and_then(|decision| decision.target.as_ref());
        let available = wanted
            .filter(|_| status != UpdateStatus::UpToDate)
            .map(|target| format!("{}@{}", target.profile, target.version));
        facts.set_update_status(&StatusFacts {
            status: status.text().to_owned(),
            indicator: status.indicator().name().to_owned(),
            time: attempt_of(&state.update)
                .map(|attempt| attempt.activated.unwrap_or(attempt.started))
                .or_else(|| state.finished.last().map(|run| run.ended)),
            available,
        });
        if let Some(decision) = &self.decision {
            facts.set_decision(decision);
        }
        self.set_runs(&mut facts);
        facts
    }

    /// Where a person's laptop finds this machine: a few of its addresses, one after the other.
    fn told_addresses(&self) -> String {
        let mut told = String::new();
        for address in self.listening.iter().take(ADDRESSES_TOLD_MAX) {
            let comma = if told.is_empty() { "" } else { " " };
            if told.len() + comma.len() + address.len() <= ADDRESSES_TOLD_BYTES_MAX {
                told.push_str(comma);
                told.push_str(address);
            }
        }
        told
    }

    fn set_runs(&self, facts: &mut Facts) {
        let state = self.saved.get();
        let known = |attempt: u64| {
            state.finished.iter().any(|run| run.attempt.number == attempt)
                || attempt_of(&state.update).is_some_and(|open| open.number == attempt)
        };
        for run in &self.reporter.former_runs {
            // A run that was open on a disk that was lost ended with it.
            if run.end.is_some() && run.attempt.is_some_and(|attempt| !known(attempt)) {
                facts.set_run(run);
            }
        }
        for FinishedRun { attempt, status, detail, ended } in &state.finished {
            let run = self.run(attempt, status, detail, Some(*ended));
            facts.set_run(&run);
        }
        if let Some(attempt) = attempt_of(&state.update) {
            let progress = coarse(&attempt.progress);
            facts.set_progress(Some(&progress));
            let run = self.run(attempt, self.eim_status().name(), "", None);
            facts.set_run(&UpdateRun { bytes: progress, ..run });
        }
    }

    fn run(
        &self,
        attempt: &Attempt,
        status: &str,
        detail: &str,
        end: Option<WallTime>,
    ) -> UpdateRun {
        let host = self
            .replica
            .as_ref()
            .and_then(|replica| admission::host_spec(replica.standing(), &self.own))
            .map_or_else(String::new, |spec| spec.name.clone());
        UpdateRun {
            // EIM's name, with the attempt, since two may begin in one second.
            name: format!("{} #{}", run_name(&host, attempt.started), attempt.number),
            status: status.to_owned(),
            from: attempt.from_version.clone(),
            to: Some(format!("{}@{}", attempt.target.profile, attempt.target.version)),
            policy: Some(attempt.target.policy.to_string()),
            attempt: Some(attempt.number),
            start: Some(attempt.started),
            end,
            detail: detail.to_owned(),
            bytes: image_bytes(&attempt.progress),
            blamed: attempt.progress.refused.clone(),
        }
    }
}

fn image_bytes(progress: &StageProgress) -> ImageBytes {
    ImageBytes {
        total: progress.total_bytes,
        verified: progress.verified_bytes,
        own: progress.own_bytes,
        origin: progress.origin_bytes,
        peers: progress.peer_bytes.values().sum(),
    }
}

/// Progress in tenths, so that a download makes ten reports and not a thousand.
fn coarse(progress: &StageProgress) -> ImageBytes {
    let exact = image_bytes(progress);
    let tenth = (exact.total / 10).max(1);
    let down = |bytes: u64| bytes / tenth * tenth;
    ImageBytes {
        total: exact.total,
        verified: down(exact.verified),
        own: down(exact.own),
        origin: down(exact.origin),
        peers: down(exact.peers),
    }
}
