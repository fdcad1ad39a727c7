//! The canonical Automerge form of documents (RULES D1, D2, D4).
//!
//! Every replica derives the same changes from the same entries and reports: actors come from
//! their hashes, times are zero. Nothing here reads Automerge bytes from outside, and nothing
//! elsewhere relies on what is built here: entries and reports are the truth, a document is a file
//! for people and their tools. Automerge still sees outside data, so every call runs under
//! `catch_unwind`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, AutomergeError, Change, ObjType, ROOT, ReadDoc, ScalarValue};

use crate::document::fact::{FactPath, Value};
use crate::document::report::{Report, SignedReport};
use crate::id::Digest;

/// Why no document could be built.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Automerge refused an operation.
    #[error("the document could not be built")]
    Automerge(#[from] AutomergeError),
    /// Automerge panicked.
    #[error("building the document made Automerge panic")]
    Panicked,
    /// A report did not become exactly one change at its place.
    #[error("report {count} did not become one change")]
    NotOneChange {
        /// Its count.
        count: u64,
    },
}

/// A built document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalDocument {
    /// A saved Automerge document, which any Automerge tool opens.
    pub saved: Vec<u8>,
    /// Its heads in rising order: equal wherever the same entries are held.
    pub heads: Vec<[u8; 32]>,
}

/// The document of a set of entries (RULES D2). The order does not matter to its heads.
///
/// # Errors
/// If Automerge refuses or panics.
pub fn document_of_entries<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<CanonicalDocument, CanonicalError> {
    guarded(|| {
        let mut document = begun_by(&[0; 16]);
        let changes: Vec<Change> = entries
            .into_iter()
            .filter_map(|entry| entry_change(entry).transpose())
            .collect::<Result<_, _>>()?;
        document.apply_changes(changes)?;
        Ok(finished(document))
    })
}

/// The document of one generation of a host's reports, in order (RULES D4).
///
/// # Errors
/// If Automerge refuses or panics, or the reports are not a chain from its first.
pub fn document_of_reports(reports: &[SignedReport]) -> Result<CanonicalDocument, CanonicalError> {
    guarded(|| {
        let actor = reports.first().map_or([0; 16], |first| host_actor(first.report()));
        let mut document = begun_by(&actor);
        for report in reports {
            apply_report(&mut document, report.report())?;
        }
        Ok(finished(document))
    })
}

/// An empty document that `actor` changes.
///
/// Every constructor of Automerge 0.12 draws an actor from the system's entropy, and none takes
/// one. Replacing it before the first change forgets it, so nothing that is built can depend on
/// it; no node calls this on its own account, only `export`.
fn begun_by(actor: &[u8; 16]) -> AutoCommit {
    AutoCommit::new().with_actor(ActorId::from(&actor[..]))
}

fn guarded(
    build: impl FnOnce() -> Result<CanonicalDocument, CanonicalError>,
) -> Result<CanonicalDocument, CanonicalError> {
    catch_unwind(AssertUnwindSafe(build)).unwrap_or(Err(CanonicalError::Panicked))
}

fn finished(mut document: AutoCommit) -> CanonicalDocument {
    let mut heads: Vec<[u8; 32]> = document.get_heads().iter().map(|head| head.0).collect();
    heads.sort_unstable();
    CanonicalDocument { saved: document.save(), heads }
}

/// One change: actor from the entry's hash, sequence 1, nothing before it, one put at the root.
fn entry_change(entry: &[u8]) -> Result<Option<Change>, AutomergeError> {
    let hash = Digest::of(entry);
    let mut document = begun_by(&std::array::from_fn(|at| hash.0[at]));
    document.put(ROOT, hash.to_string(), ScalarValue::Bytes(entry.to_vec()))?;
    document.commit_with(CommitOptions::default().with_time(0));
    Ok(document.get_last_local_change())
}

fn host_actor(report: &Report) -> [u8; 16] {
    let digest = Digest::of_parts(&[
        b"daymark host generation",
        report.host.as_bytes(),
        &report.generation.to_be_bytes(),
    ]);
    std::array::from_fn(|at| digest.0[at])
}

fn apply_report(document: &mut AutoCommit, report: &Report) -> Result<(), CanonicalError> {
    for path in &report.deletes {
        delete(document, path)?;
    }
    for (path, value) in &report.puts {
        put(document, path, value)?;
    }
    // A report that changes nothing still takes its place in the sequence.
    if document.commit_with(CommitOptions::default().with_time(0)).is_none() {
        document.empty_change(CommitOptions::default().with_time(0));
    }
    let sequence = document.get_last_local_change().map(|change| change.seq());
    if sequence == Some(report.count) {
        Ok(())
    } else {
        Err(CanonicalError::NotOneChange { count: report.count })
    }
}

fn delete(document: &mut AutoCommit, path: &FactPath) -> Result<(), AutomergeError> {
    let Some((last, above)) = path.names().split_last() else { return Ok(()) };
    let mut map = ROOT;
    for name in above {
        match document.get(&map, name.as_str())? {
            Some((automerge::Value::Object(_), below)) => map = below,
            Some((automerge::Value::Scalar(_), _)) | None => return Ok(()),
        }
    }
    document.delete(&map, last.as_str())
}

fn put(document: &mut AutoCommit, path: &FactPath, value: &Value) -> Result<(), AutomergeError> {
    let Some((last, above)) = path.names().split_last() else { return Ok(()) };
    let mut map = ROOT;
    for name in above {
        map = match document.get(&map, name.as_str())? {
            Some((automerge::Value::Object(_), below)) => below,
            Some((automerge::Value::Scalar(_), _)) | None => {
                document.put_object(&map, name.as_str(), ObjType::Map)?
            }
        };
    }
    match value {
        Value::Text(text) => document.put(&map, last.as_str(), text.as_str()),
        Value::Integer(number) => document.put(&map, last.as_str(), *number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d1_a_panic_while_a_document_is_built_is_an_error_and_spoils_nothing() {
        let panics = || -> Result<CanonicalDocument, CanonicalError> { panic!("injected") };
        let error = guarded(panics).unwrap_err();
        assert!(matches!(error, CanonicalError::Panicked));
        assert_eq!(error.to_string(), "building the document made Automerge panic");
        let after = document_of_entries([b"entry".as_slice()]).unwrap();
        assert_eq!(after.heads.len(), 1, "the next document is built as ever");
    }
}
