//! What the demo shows while it runs: a line per machine, read from its control socket.

use std::collections::BTreeMap;
use std::time::Duration;

use daymark_protocol::control::Status;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::demo::machine::Machine;
use crate::{output, times};

/// How often machines are asked.
pub(super) const EVERY: Duration = Duration::from_millis(200);

/// A line per machine.
#[derive(Debug)]
pub(super) struct Board {
    bars: BTreeMap<&'static str, ProgressBar>,
    last: BTreeMap<&'static str, String>,
}

impl Board {
    /// Lines for these machines.
    pub(super) fn new(machines: &[Machine]) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("  {prefix:<9} {bar:24.cyan/black} {msg}");
        let bars = machines
            .iter()
            .map(|machine| {
                let bar = all.add(ProgressBar::new(1000));
                if let Ok(style) = &style {
                    bar.set_style(style.clone());
                }
                bar.set_prefix(machine.name);
                (machine.name, bar)
            })
            .collect();
        Self { bars, last: BTreeMap::new() }
    }

    /// Shows what a machine says; `None` while it restarts.
    pub(super) fn show(&mut self, name: &'static str, status: Option<&Status>) {
        let (share, text) = match status {
            None => (None, "restarting".to_owned()),
            Some(status) => describe(status),
        };
        if let Some(bar) = self.bars.get(name) {
            if let Some(share) = share {
                bar.set_position(share);
            }
            bar.set_message(text.clone());
        }
        // Without a terminal the bars are silent; tell each change in a line.
        let kind: String = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        if !output::colour() && self.last.get(name) != Some(&kind) {
            output::text(&format!("  {name:<9} {text}"));
            self.last.insert(name, kind);
        }
    }

    /// Takes the lines away.
    pub(super) fn finish(&self) {
        for bar in self.bars.values() {
            bar.finish();
        }
    }
}

fn describe(status: &Status) -> (Option<u64>, String) {
    let installed = status.installed.as_deref().unwrap_or("unknown OS");
    match &status.attempt {
        Some(attempt) => {
            let share = attempt
                .verified_bytes
                .saturating_mul(1000)
                .checked_div(attempt.total_bytes)
                .unwrap_or(0);
            let peers: u64 = attempt.peer_bytes.values().sum();
            let text = format!(
                "{} {} of {}  own {}  origin {}  peers {}",
                status.update,
                times::bytes(attempt.verified_bytes),
                times::bytes(attempt.total_bytes),
                times::bytes(attempt.own_bytes),
                times::bytes(attempt.origin_bytes),
                times::bytes(peers)
            );
            (Some(share), text)
        }
        None => (None, format!("{} on {installed}", status.update)),
    }
}
