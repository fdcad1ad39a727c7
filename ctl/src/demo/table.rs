//! The demo's last table: node, from, to, bytes from each source, time.

use std::collections::BTreeMap;
use std::time::Duration;

use daymark_protocol::control::AttemptStatus;
use daymark_protocol::id::KeyId;

use crate::{output, times};

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    from: &'static str,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table of updates from a version.
    pub(super) fn new(from: &'static str) -> Self {
        Self { from, rows: Vec::new() }
    }

    /// Adds a node with its last attempt, as its control socket told it.
    pub(super) fn add(
        &mut self,
        name: &str,
        to: &str,
        attempt: Option<&AttemptStatus>,
        took: Option<&Duration>,
        names: &BTreeMap<KeyId, String>,
    ) {
        let bytes = |count: Option<u64>| count.map_or_else(|| "?".into(), times::bytes);
        let peers = attempt.map_or_else(String::new, |attempt| {
            attempt
                .peer_bytes
                .iter()
                .filter(|(_, bytes)| **bytes > 0)
                .map(|(peer, bytes)| {
                    let name = names.get(peer).cloned().unwrap_or_else(|| peer.short());
                    format!("{name} {}", times::bytes(*bytes))
                })
                .collect::<Vec<_>>()
                .join(", ")
        });
        self.rows.push(vec![
            name.to_owned(),
            attempt.and_then(|a| a.from.clone()).unwrap_or_else(|| self.from.to_owned()),
            attempt.map_or_else(|| to.to_owned(), |a| a.to.clone()),
            bytes(attempt.map(|a| a.own_bytes)),
            bytes(attempt.map(|a| a.origin_bytes)),
            if peers.is_empty() { "-".into() } else { peers },
            took.map_or_else(|| "?".into(), |took| format!("{:.1} s", took.as_secs_f64())),
        ]);
    }

    /// Prints it.
    pub(super) fn print(&self) {
        let mut table = output::new_table();
        table.set_header(["NODE", "FROM", "TO", "OWN SLOT", "ORIGIN", "PEERS", "TIME"]);
        for row in &self.rows {
            table.add_row(row);
        }
        output::text(&table.to_string());
    }
}
