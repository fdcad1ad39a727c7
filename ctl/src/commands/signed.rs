//! `apply -f` of statements that others have signed already, such as the profiles beside a release's
//! images: taken as they are, shown first, signed by nobody here.

use std::path::{Path, PathBuf};

use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::limits;
use daymark_protocol::trust::{Context, Envelope, Standing, Statement};

use crate::commands::submit;
use crate::exit::{Exit, Failure, Outcome};
use crate::session::Session;
use crate::{output, preview, review, signing};

/// A file with a signed statement.
#[derive(Debug)]
pub(crate) struct SignedFile {
    path: PathBuf,
    envelope: Envelope,
}

impl SignedFile {
    /// What was signed, for this fleet.
    pub(crate) fn statement(&self, session: &Session) -> Outcome<Statement> {
        let path = self.path.display();
        let statement = Statement::parse(&self.envelope.payload).map_err(|error| {
            Failure::usage(format!("{path} holds no statement: {error}"))
                .next("fetch it again from where it was signed")
        })?;
        if Some(statement.payload().fleet) == session.fleet_id() {
            return Ok(statement);
        }
        Err(Failure::refused(format!("{path} is signed for another fleet than {}", session.name))
            .next("choose its fleet with --context"))
    }
}

/// Tells files with a signed statement, which end in `.json`, from those with resources.
pub(crate) fn split(paths: &[PathBuf]) -> Outcome<(Vec<SignedFile>, Vec<PathBuf>)> {
    let mut signed = Vec::new();
    let mut written = Vec::new();
    for path in paths {
        match path.extension().is_some_and(|extension| extension == "json") {
            true => signed.push(SignedFile { path: path.clone(), envelope: read(path)? }),
            false => written.push(path.clone()),
        }
    }
    Ok((signed, written))
}

fn read(path: &Path) -> Outcome<Envelope> {
    let bad = |why: String| {
        Failure::usage(format!("{} holds no signed statement: {why}", path.display()))
            .next("resources are written in YAML; `release add` writes profiles/NAME.json")
    };
    let size = std::fs::metadata(path).map_err(|error| bad(error.to_string()))?.len();
    if size > limits::ENVELOPE_BYTES_MAX as u64 {
        return Err(bad("it is too large".into()));
    }
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let envelope = Envelope::parse(&bytes).map_err(|error| bad(error.to_string()))?;
    if envelope.context != Context::Statement {
        return Err(bad("it is signed as something else".into()));
    }
    Ok(envelope)
}

/// What would count if all of them did.
pub(crate) fn standing(session: &Session, files: &[SignedFile]) -> Outcome<Standing> {
    let mut standing = session.standing().clone();
    for file in files {
        let statement = file.statement(session)?;
        for (change, version) in review::versions(session, &statement) {
            preview::put(&mut standing, &change, version);
        }
    }
    Ok(standing)
}

/// Takes signed statements in and hands them on.
pub(crate) async fn apply(session: &mut Session, files: &[SignedFile]) -> Outcome {
    let mut items = Vec::new();
    let mut digests = Vec::new();
    for file in files {
        let statement = file.statement(session)?;
        output::lines(review::statement(session, &statement));
        let mut entries = vec![statement_entry(statement.bytes())];
        let digest = statement.digest();
        let signatures = file.envelope.signatures.iter();
        entries.extend(signatures.map(|(key, sig)| signature_entry(&digest, key, sig)));
        items.extend(signing::items(&statement, entries)?);
        digests.push(digest);
    }
    if session.global.dry_run {
        output::text("Nothing was taken (--dry-run).");
        return Ok(Exit::Done);
    }
    submit::submit(session, &items, &digests).await
}
