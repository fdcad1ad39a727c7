//! A machine's reports over all generations that can be reached, and what changed from one to the
//! next (RULES D5).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use daymark_protocol::document::{ClosedGeneration, HostChain, HostView, Replica, SignedReport};
use daymark_protocol::id::{Digest, KeyId};

use crate::exit::Outcome;

/// Most closed generations that are read: those of 10,000 hosts, ten of each.
const ARCHIVED_MAX: usize = 100_000;
/// Largest closed generation: 64 KiB and the lengths of its reports.
const ARCHIVED_BYTES_MAX: u64 = 128 * 1024;

/// The files of closed generations in an archive, by name.
pub(super) fn archived(folder: &Path) -> Outcome<Vec<(String, Vec<u8>)>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries.take(ARCHIVED_MAX) {
        let path = entry?.path();
        let is_file = fs::symlink_metadata(&path)
            .is_ok_and(|found| found.is_file() && found.len() <= ARCHIVED_BYTES_MAX);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|name| is_file && name.parse::<Digest>().is_ok()) else {
            continue;
        };
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        found.push((name, bytes));
    }
    found.sort();
    Ok(found)
}

/// Every host's closed generations that verify, by number.
pub(super) type Closed = BTreeMap<KeyId, BTreeMap<u64, Vec<SignedReport>>>;

/// Reads the closed generations of the replica and of an archive.
pub(super) fn closed(replica: &Replica, archive: &Path) -> Outcome<Closed> {
    let mut closed = Closed::new();
    let archived = archived(archive)?;
    let held = replica.blobs().map(|(_, bytes)| bytes);
    for bytes in archived.iter().map(|(_, bytes)| bytes.as_slice()).chain(held) {
        let Ok(reports) = ClosedGeneration::reports(bytes) else { continue };
        if let Some(first) = reports.first().map(SignedReport::report)
            && Some(first.fleet) == replica.chain().fleet()
        {
            closed.entry(first.host).or_default().insert(first.generation, reports);
        }
    }
    Ok(closed)
}

/// Goes through a host's reports in order, telling `see` each report's view and where it stands.
pub(super) fn walk(
    replica: &Replica,
    closed: &Closed,
    host: &KeyId,
    mut see: impl FnMut(&HostView),
) {
    let current = replica.host_chain(host);
    let newest = current.map_or(u64::MAX, HostChain::generation);
    let mut chain = HostChain::new(*host);
    let before = closed.get(host).into_iter().flatten().filter(|(number, _)| **number < newest);
    let before = before.flat_map(|(_, reports)| reports.clone());
    for report in before.chain(current.map(HostChain::decoded).unwrap_or_default()) {
        chain.accept(report);
        if !chain.is_forked() {
            see(chain.view());
        }
    }
}
