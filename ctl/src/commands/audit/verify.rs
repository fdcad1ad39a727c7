//! `verify FILE|DIR`: evidence, checked by signatures and hashes alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use daymark_node::folder::ReplicaFolder;
use daymark_protocol::control::EnrolmentRequest;
use daymark_protocol::document::Replica;
use daymark_protocol::id::Digest;
use daymark_protocol::limits;
use daymark_protocol::trust::{
    Context, Envelope, Floors, Pin, PublicKey, Root, Stance, Statement, Validity,
};
use serde::Serialize;

use super::rows::{self, ARRIVED, Evidence};
use super::{FINGERPRINT, TABLE};
use crate::cli::VerifyArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::ARCHIVE;
use crate::stored::{LoadedFolder, load_folder};
use crate::{authority, output, review};

/// What a folder of evidence comes to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    fleet: String,
    fingerprint: String,
    fingerprint_from: &'static str,
    roots: u64,
    valid: usize,
    fallen: usize,
    lacking: usize,
    never: usize,
    hosts: usize,
    reports: usize,
    /// Rows of the table that tell when statements arrived where it was written.
    arrivals: usize,
    problems: Vec<String>,
}

/// Runs `verify`.
pub(crate) fn run(format: crate::cli::Format, args: &VerifyArgs) -> Outcome {
    if !args.path.is_dir() {
        return file(args);
    }
    let (pin, from) = pin_of(args)?;
    let verified = folder(&args.path, pin, from)?;
    output::value(format, &verified, || output::joined(lines(&verified)))?;
    match verified.problems.len() {
        0 => Ok(Exit::Done),
        count => Err(Failure::refused(format!("{count} things do not verify"))
            .next("each is named above; ask whoever handed the folder over for it anew")),
    }
}

fn pin_of(args: &VerifyArgs) -> Outcome<(Pin, &'static str)> {
    let parse = |text: &str| text.trim().parse::<Pin>().map_err(Failure::usage);
    if let Some(text) = &args.fleet {
        return Ok((parse(text)?, "given"));
    }
    let path = args.path.join(FINGERPRINT);
    let text = fs::read_to_string(&path).map_err(|_| {
        Failure::usage("the fleet's fingerprint is not known")
            .next("name it with --fleet; somebody you trust has it")
    })?;
    output::note(
        "warning: the fingerprint is the folder's own: whoever wrote the folder chose it. Compare it \
         with one from somebody you trust, or give that with --fleet",
    );
    Ok((parse(&text)?, "folder"))
}

fn folder(path: &Path, pin: Pin, fingerprint_from: &'static str) -> Outcome<Verified> {
    let store = ReplicaFolder::open(path)?;
    let LoadedFolder { replica, problems, reports, .. } =
        load_folder(&store, pin, Floors::default())?;
    let mut verified = Verified {
        fleet: replica.chain().fleet().map(|fleet| fleet.to_string()).unwrap_or_default(),
        fingerprint: pin.to_string(),
        fingerprint_from,
        roots: replica.chain().newest_version(),
        hosts: replica.heads().count(),
        reports,
        problems,
        ..Verified::default()
    };
    if let Some(wait) = replica.chain().wait() {
        verified.problems.push(format!("nothing can be judged: {wait}"));
    }
    if replica.waiting() > 0 {
        verified.problems.push(format!(
            "{} entries have no signature, or no statement, that verifies",
            replica.waiting()
        ));
    }
    for stance in replica.judgement().stances.values() {
        match stance {
            Stance::Counts(Validity::Valid) => verified.valid += 1,
            Stance::Counts(Validity::Fallen) => verified.fallen += 1,
            Stance::Pending(_) => verified.lacking += 1,
            Stance::Never(_) => verified.never += 1,
        }
    }
    let (arrivals, problems) = compare_table(path, &replica)?;
    verified.arrivals = arrivals;
    verified.problems.extend(problems);
    Ok(verified)
}

/// Whether the table says what the evidence says. Rows may be left out of it; none may be added but
/// one for each statement's arrival, of which nothing but the statement can be checked. How many
/// those are, and what is wrong.
fn compare_table(path: &Path, replica: &Replica) -> Outcome<(usize, Vec<String>)> {
    let table = path.join(TABLE);
    if !table.exists() {
        return Ok((0, Vec::new()));
    }
    let evidence = Evidence { replica, archive: path.join(ARCHIVE), arrivals: None };
    let known: BTreeSet<[String; 6]> =
        rows::all(&evidence)?.iter().map(rows::AuditRow::record).collect();
    let statements = replica.statements().map(|(digest, _)| digest.to_string());
    let statements: BTreeSet<String> = statements.collect();
    // What an arrival says besides its time: the statement's own row.
    let mut may_arrive: BTreeSet<[String; 4]> = known
        .iter()
        .filter(|[.., evidence]| statements.contains(evidence))
        .map(|[_, about, _, what, who, evidence]| [about, what, who, evidence].map(Clone::clone))
        .collect();
    let (mut arrivals, mut problems) = (0, Vec::new());
    let mut reader = csv::Reader::from_path(&table)?;
    for (number, record) in reader.records().enumerate() {
        let record = record.with_context(|| format!("{} is no table", table.display()))?;
        let cells: Vec<String> = record.iter().map(ToOwned::to_owned).collect();
        let says_so = match <[String; 6]>::try_from(cells) {
            Err(_) => false,
            Ok([at, about, event, what, who, evidence]) if event == ARRIVED => {
                arrivals += 1;
                at.parse::<jiff::Timestamp>().is_ok()
                    && may_arrive.remove(&[about, what, who, evidence])
            }
            Ok(cells) => known.contains(&cells),
        };
        if !says_so {
            problems.push(format!("{TABLE}, row {}: the evidence does not say so", number + 2));
        }
    }
    Ok((arrivals, problems))
}

fn lines(verified: &Verified) -> Vec<String> {
    let mut lines = vec![
        format!("Fleet        {}", verified.fleet),
        format!("Fingerprint  {} ({})", verified.fingerprint, verified.fingerprint_from),
        format!(
            "Roots        1 to {}, each signed by its own threshold and the one before",
            verified.roots
        ),
        format!(
            "Statements   {} valid, {} fallen, {} signed by too few, {} that can never count",
            verified.valid, verified.fallen, verified.lacking, verified.never
        ),
        format!("Reports      {} of {} hosts", verified.reports, verified.hosts),
    ];
    if verified.arrivals > 0 {
        lines.push(format!(
            "Arrivals     {} rows of {TABLE} say when a statement came to the machine that wrote it: \
             its word alone, which nothing here can check",
            verified.arrivals
        ));
    }
    lines.extend(verified.problems.iter().map(|problem| format!("PROBLEM      {problem}")));
    lines
}

/// One envelope, checked as far as it can be without a fleet, or under the roots of --with.
fn file(args: &VerifyArgs) -> Outcome {
    let path = &args.path;
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > limits::ENVELOPE_BYTES_MAX as u64 {
        return Err(Failure::usage(format!("{} is too large to be evidence", path.display())));
    }
    let envelope = Envelope::parse(&fs::read(path)?)
        .map_err(|error| Failure::usage(format!("{} is no evidence: {error}", path.display())))?;
    match envelope.context {
        Context::Root => root(&envelope),
        Context::Enrolment => enrolment(&envelope),
        Context::Statement => statement(args, &envelope),
        Context::Heartbeat | Context::Report | Context::Liveness | Context::Visit => {
            Err(Failure::usage("only roots, statements and enrolment requests are verified alone")
                .next("`daymarkctl verify DIR` checks a folder of evidence"))
        }
    }
}

fn root(envelope: &Envelope) -> Outcome {
    let root = Root::parse(&envelope.payload)?;
    output::lines(review::root(&root));
    let signers = envelope.signatures.iter().filter(|(id, signature)| {
        let key = root.keys.get(id);
        key.is_some_and(|key| key.public.verify(Context::Root, &envelope.payload, signature))
    });
    let signers = signers.map(|(id, _)| *id).collect();
    let Some(role) = root.role(daymark_protocol::resource::Role::Root) else {
        return Err(Failure::refused("it names nobody who may sign it"));
    };
    let pin = Pin { version: root.version, digest: root.digest };
    let lacks = authority::lacks(&root, role, "root keys", &signers, "daymarkctl sign");
    output::text(&format!("Fingerprint  {pin}"));
    match role.count(&signers).is_met() {
        true => {
            output::text(&format!("By itself it verifies: it {lacks}."));
            Ok(Exit::Done)
        }
        false => Err(Failure::refused(format!("the root {lacks}"))),
    }
}

fn enrolment(envelope: &Envelope) -> Outcome {
    let request: EnrolmentRequest = serde_json::from_slice(&envelope.payload)?;
    let raw =
        HEXLOWER.decode(request.public_key.as_bytes()).ok().and_then(|raw| raw.try_into().ok());
    let raw: [u8; 32] = raw.ok_or_else(|| Failure::refused("its key is no key"))?;
    let key = PublicKey::from_bytes(raw)?;
    let verifies = envelope.signatures.iter().any(|(id, signature)| {
        *id == key.id() && key.verify(Context::Enrolment, &envelope.payload, signature)
    });
    if !verifies {
        return Err(Failure::refused("it is not signed by the key that it names"));
    }
    output::text(&format!("A request of {} ({}), signed by its own key.", request.name, key.id()));
    Ok(Exit::Done)
}

fn statement(args: &VerifyArgs, envelope: &Envelope) -> Outcome {
    let statement = Statement::parse(&envelope.payload).map_err(Failure::usage)?;
    output::text(&format!("Statement {}: {}", statement.digest(), review::headline(&statement)));
    let Some(with) = &args.with else {
        return Err(Failure::usage("whose keys count is not known")
            .next("name a folder with the fleet's roots: --with DIR, and --fleet FINGERPRINT"));
    };
    let pin = pin_of(&VerifyArgs { path: with.clone(), ..args.clone() })?.0;
    let LoadedFolder { mut replica, .. } =
        load_folder(&ReplicaFolder::open(with)?, pin, Floors::default())?;
    let digest: Digest = statement.digest();
    let mut entries = vec![daymark_protocol::document::statement_entry(statement.bytes())];
    let signatures = envelope.signatures.iter();
    entries.extend(
        signatures.map(|(id, sig)| daymark_protocol::document::signature_entry(&digest, id, sig)),
    );
    replica.accept_entries(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
    match replica.judgement().stances.get(&digest) {
        Some(Stance::Counts(Validity::Valid)) => {
            output::text("It is valid under the newest root there.");
            Ok(Exit::Done)
        }
        Some(Stance::Counts(Validity::Fallen)) => {
            Err(Failure::refused("it was valid under an earlier root and has fallen"))
        }
        Some(Stance::Pending(pending)) => Err(Failure::refused(format!(
            "it has {} of {} signatures of the role {}",
            pending.quorum.have.len(),
            pending.quorum.need,
            pending.role
        ))),
        Some(Stance::Never(why)) => Err(Failure::refused(format!("it can never count: {why}"))),
        None => Err(Failure::refused("no signature of it verifies under the roots there")),
    }
}
