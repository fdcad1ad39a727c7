//! The rows of an audit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use daymark_protocol::document::{DocumentId, HostView, Replica, UpdateRun, statement_entry};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::Kind;
use daymark_protocol::target::NO_SITE;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Envelope, Held, Root, Stance, Standing, Validity};
use serde::Serialize;

use super::history::{self, Closed};
use crate::exit::Outcome;
use crate::output::Row;
use crate::{authority, hosts, names, review, times};

/// Columns.
pub(super) const HEADS: [&str; 6] = ["time", "about", "event", "what", "who", "evidence"];
/// The event of a statement's coming here: only the machine that it came to can say when.
pub(super) const ARRIVED: &str = "arrived here";

/// What rows are made of.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// Roots, statements and reports.
    pub replica: &'a Replica,
    /// The folder of closed generations that the mesh holds no more.
    pub archive: PathBuf,
    /// The replica's folder, whose files tell when they came.
    pub arrivals: Option<&'a Path>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct AuditRow {
    /// When; of a report the last moment that it names, since reports have no times of their own.
    #[serde(rename = "time")]
    pub at: Option<WallTime>,
    /// The host that it is about.
    pub host: Option<KeyId>,
    /// The host's name, or `fleet`.
    pub about: String,
    /// What happened.
    pub event: &'static str,
    /// To what.
    pub what: String,
    /// By whom.
    pub who: String,
    /// The statement, or the report by generation and count.
    pub evidence: String,
}

impl AuditRow {
    /// As it stands in the table.
    pub(super) fn record(&self) -> [String; 6] {
        let at = self.at.map_or_else(|| "-".into(), |at| at.to_string());
        let own = |text: &String| text.clone();
        [
            at,
            own(&self.about),
            self.event.into(),
            own(&self.what),
            own(&self.who),
            own(&self.evidence),
        ]
    }
}

impl Row for AuditRow {
    const HEADS: &'static [&'static str] = &HEADS;

    fn cells(&self) -> Vec<String> {
        let mut cells = self.record().to_vec();
        if let (Some(at), Some(cell)) = (self.at, cells.first_mut()) {
            *cell = times::show(at);
        }
        cells
    }

    fn name(&self) -> String {
        self.evidence.clone()
    }
}

/// All rows, by time.
pub(super) fn all(evidence: &Evidence<'_>) -> Outcome<Vec<AuditRow>> {
    let mut rows = roots(evidence.replica);
    for (digest, held) in evidence.replica.statements() {
        rows.extend(statement(evidence, digest, held));
    }
    let closed = history::closed(evidence.replica, &evidence.archive)?;
    let standing = evidence.replica.standing();
    let reporting = evidence.replica.heads().map(|(host, _)| *host);
    let hosts: BTreeSet<KeyId> = closed.keys().copied().chain(reporting).collect();
    for host in hosts {
        let documents = documents(evidence.replica, &host);
        let mut told = Told { standing, host, documents, rows: Vec::new(), last: Last::default() };
        history::walk(evidence.replica, &closed, &host, |view| told.see(view));
        rows.extend(told.rows);
        rows.extend(gaps(evidence.replica, &closed, &host));
    }
    rows.sort();
    Ok(rows)
}

/// The documents that a host must hold.
fn documents(replica: &Replica, host: &KeyId) -> Vec<(DocumentId, Digest)> {
    let site = names::host_spec(replica.standing(), host)
        .and_then(|(version, _)| version.site.clone().or_else(|| NO_SITE.parse().ok()));
    let documents = std::iter::once(DocumentId::Fleet).chain(site.map(DocumentId::Site));
    documents.map(|document| (document.clone(), replica.fingerprint(&document))).collect()
}

fn roots(replica: &Replica) -> Vec<AuditRow> {
    let chain = replica.chain();
    let envelopes = chain.roots().filter_map(|(_, bytes)| {
        let envelope = Envelope::parse(bytes).ok()?;
        let root = Root::parse(&envelope.payload).ok()?;
        Some((root, envelope))
    });
    envelopes
        .map(|(root, envelope)| {
            let signers = envelope.signatures.iter().map(|(id, _)| holder(replica, id));
            let mut signers: Vec<String> = signers.collect();
            signers.sort();
            AuditRow {
                at: Some(root.issued),
                host: None,
                about: "fleet".into(),
                event: "root",
                what: format!("root {}, expires {}", root.version, root.expires),
                who: signers.join(", "),
                evidence: root.digest.to_string(),
            }
        })
        .collect()
}

/// The person who holds a key, under whichever root names it.
fn holder(replica: &Replica, id: &KeyId) -> String {
    let named = replica.chain().held().find(|root| root.keys.contains_key(id));
    match named {
        Some(root) => authority::holder(root, id),
        None => names::host_name(replica.standing(), id),
    }
}

fn statement(evidence: &Evidence<'_>, digest: &Digest, held: &Held) -> Vec<AuditRow> {
    let replica = evidence.replica;
    let payload = held.statement.payload();
    let stance = match replica.judgement().stances.get(digest) {
        Some(Stance::Counts(Validity::Valid)) => "signed",
        Some(Stance::Counts(Validity::Fallen)) => "signed, fallen since",
        Some(Stance::Pending(_)) => "signed by too few",
        Some(Stance::Never(_)) | None => "signed, never counts",
    };
    let why = [payload.reason.as_str(), payload.ticket.as_str()];
    let why: Vec<&str> = why.into_iter().filter(|text| !text.is_empty()).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    let mut who: Vec<String> = held.signatures.keys().map(|id| holder(replica, id)).collect();
    who.sort();
    let host = payload.resources.iter().find(|one| one.kind == Kind::Host.name());
    let host = host.and_then(|one| one.id.as_host());
    let standing = replica.standing();
    let row = AuditRow {
        at: Some(payload.issued),
        host,
        about: host.map_or_else(|| "fleet".into(), |host| names::host_name(standing, &host)),
        event: stance,
        what: format!("{}{why}", review::headline(&held.statement)),
        who: who.join(", "),
        evidence: digest.to_string(),
    };
    let arrived = arrival(evidence, digest, held).map(|at| AuditRow {
        at: Some(at),
        event: ARRIVED,
        ..row.clone()
    });
    std::iter::once(row).chain(arrived).collect()
}

/// When a statement came to this machine: its file's time.
fn arrival(evidence: &Evidence<'_>, digest: &Digest, held: &Held) -> Option<WallTime> {
    let documents = evidence.replica.documents_of(digest)?;
    let hash = Digest::of(&statement_entry(held.statement.bytes()));
    let folder = evidence.arrivals?;
    let times = documents.iter().filter_map(|document| {
        let path = folder.join(format!("daymark/documents/{document}/{hash}"));
        let modified = fs::metadata(path).ok()?.modified().ok()?;
        Some(WallTime::from(jiff::Timestamp::try_from(modified).ok()?))
    });
    times.min()
}

/// What a host said last.
#[derive(Default)]
struct Last {
    installed: Option<String>,
    adopted: Option<String>,
    decision: Option<String>,
    runs: BTreeMap<String, UpdateRun>,
    /// Whether it held all that is held here.
    holds: bool,
}

/// What a host's reports tell, one after the other.
struct Told<'a> {
    standing: &'a Standing,
    host: KeyId,
    /// The fingerprints of the documents that it must hold, as they are here.
    documents: Vec<(DocumentId, Digest)>,
    rows: Vec<AuditRow>,
    last: Last,
}

impl Told<'_> {
    fn see(&mut self, view: &HostView) {
        let facts = view.facts();
        let runs = facts.runs();
        let update = facts.update_status().and_then(|update| update.time);
        let ended = runs.iter().filter_map(|run| run.end.max(run.start)).max();
        let at = update.max(ended);
        let place = format!("report {}/{}", view.generation(), view.count());
        let installed = facts.installed().map(|installed| {
            let part = |text: Option<String>| text.unwrap_or_else(|| "?".into());
            format!("{}@{}", part(installed.profile), part(installed.version))
        });
        if let Some(installed) = installed.filter(|new| self.last.installed.as_ref() != Some(new)) {
            self.tell((at, &place), "runs", installed.clone());
            self.last.installed = Some(installed);
        }
        let adopted = facts.adopted().map(str::to_owned);
        if let Some(adopted) = adopted.filter(|new| self.last.adopted.as_ref() != Some(new)) {
            self.tell((at, &place), "adopted", adopted.clone());
            self.last.adopted = Some(adopted);
        }
        for run in runs {
            let before = self.last.runs.get(&run.name);
            if before.is_none_or(|before| before.status != run.status || before.end != run.end) {
                self.tell((run.end.or(run.start), &place), "update run", self.run(&run));
                self.last.runs.insert(run.name.clone(), run);
            }
        }
        let holds = self
            .documents
            .iter()
            .all(|(document, here)| facts.held(document).is_some_and(|there| there == *here));
        if holds && !self.last.holds {
            let what = "everything that is held here of the fleet and its site".to_owned();
            self.tell((at, &place), "holds", what);
        }
        self.last.holds = holds;
        let decision = facts.decision().map(|decision| decision.message);
        if let Some(decision) = decision.filter(|new| self.last.decision.as_ref() != Some(new)) {
            self.tell((at, &place), "decided", decision.clone());
            self.last.decision = Some(decision);
        }
    }

    fn run(&self, run: &UpdateRun) -> String {
        let policy = run.policy.as_ref().and_then(|policy| policy.parse().ok());
        let policy = policy.map_or_else(String::new, |policy| {
            format!(
                ", asked for by policy {}",
                names::name_of(self.standing, Kind::OsUpdatePolicy, &policy)
            )
        });
        let version = |version: &Option<String>| version.clone().unwrap_or_else(|| "?".into());
        let detail =
            if run.detail.is_empty() { String::new() } else { format!(": {}", run.detail) };
        let blamed = hosts::blamed(self.standing, &run.blamed)
            .map_or_else(String::new, |blamed| format!("; {blamed}"));
        format!(
            "{} {}, {} to {}{policy}{detail}{blamed}",
            run.name,
            run.status,
            version(&run.from),
            version(&run.to)
        )
    }

    fn tell(&mut self, (at, place): (Option<WallTime>, &str), event: &'static str, what: String) {
        let about = names::host_name(self.standing, &self.host);
        self.rows.push(AuditRow {
            at,
            host: Some(self.host),
            who: about.clone(),
            about,
            event,
            what,
            evidence: place.to_owned(),
        });
    }
}

/// Generations that nobody here has any more: what was said in them is not in this audit.
fn gaps(replica: &Replica, closed: &Closed, host: &KeyId) -> Option<AuditRow> {
    let newest = replica.head(host).map_or(0, |head| head.generation);
    let held: BTreeSet<u64> =
        closed.get(host).into_iter().flatten().map(|(number, _)| *number).collect();
    let first = held.first().copied().unwrap_or(newest);
    let missing = (1..newest).filter(|number| !held.contains(number)).count();
    (missing > 0).then(|| {
        let about = names::host_name(replica.standing(), host);
        AuditRow {
            at: None,
            host: Some(*host),
            what: format!(
                "{missing} of {} generations of reports are not held (from {first} on some are)",
                newest.saturating_sub(1)
            ),
            who: String::new(),
            event: "missing",
            about,
            evidence: format!("generation {newest}"),
        }
    })
}
