//! The floors that are on disk, read from a copy of the journal while the daemon runs.

use std::fs;
use std::path::Path;

use daymark_node::durable::Journal;
use daymark_protocol::trust::Floors;

/// What the journal of a data folder holds.
pub(super) fn floors_on_disk(data: &Path) -> anyhow::Result<Floors> {
    let copy = data.with_file_name("floors-copy");
    fs::copy(data.join("floors"), &copy)?;
    let (_, records) = Journal::open(&copy)?;
    Ok(Floors::read_journal(&records.concat()).floors)
}
