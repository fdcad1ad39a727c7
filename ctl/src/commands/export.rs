//! `export document`: a document as a file that any Automerge tool opens.

use std::path::PathBuf;

use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::session::Session;
use crate::times;

/// Runs `export document`.
pub(crate) fn document(session: &Session, name: &str, to: Option<PathBuf>) -> Outcome {
    let document = session.document(name)?;
    let exported = session
        .replica()
        .export(&document)
        .map_err(|error| Failure::refused(format!("cannot export {name}: {error}")))?;
    let to = to.unwrap_or_else(|| PathBuf::from(format!("{}.automerge", name.replace('/', "-"))));
    let bytes = &exported.saved;
    std::fs::write(&to, bytes).map_err(|error| {
        Failure::from(anyhow::anyhow!("cannot write {}: {error}", to.display()))
    })?;
    output::text(&format!("Wrote {} ({}).", to.display(), times::bytes(bytes.len() as u64)));
    Ok(Exit::Done)
}
