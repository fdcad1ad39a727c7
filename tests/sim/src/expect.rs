//! What a scenario must come to, beside what holds in every world: the point of its description.

use std::collections::BTreeMap;

use daymark_protocol::decide::Decision;
use serde::Deserialize;

use crate::checks::Violation;
use crate::faults::Fault;
use crate::figures::Figures;
use crate::scenario::Span;
use crate::world::World;

/// What must have come of a run, as far as it is said. A drawn fault mix takes it back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Expect {
    /// Updates that ended well.
    pub updated: Option<u64>,
    /// Updates that did not.
    pub failed: Option<u64>,
    /// Restarts that agents ordered.
    pub reboots: Option<u64>,
    /// When an agent restarts its machine for the first time, at the earliest.
    pub no_restart_before: Option<Span>,
    /// Most time until 99 % of all machines hold an order.
    pub order_p99: Option<Span>,
    /// How often these kinds of fault must have changed an outcome at least.
    pub bites: BTreeMap<Fault, u64>,
    /// How many machines wait in the end, for each of these reasons among others.
    pub waiting: BTreeMap<String, u64>,
    /// Single machines.
    pub host: Vec<ExpectHost>,
}

/// What must have come of a machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExpectHost {
    /// Which.
    pub host: usize,
    /// What it runs.
    pub runs: Option<String>,
    /// Restarts that its agent ordered.
    pub reboots: Option<u64>,
    /// Its updates that ended well, oldest first.
    pub updates: Option<Vec<String>>,
    /// The name that its agent knows it by.
    pub name: Option<String>,
    /// Version of its newest root.
    pub root: Option<u64>,
    /// Whether it waits because another machine has its key.
    pub cloned: Option<bool>,
}

impl Expect {
    /// What is not as it must be.
    pub(crate) fn judge(&self, world: &World, figures: &Figures) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut compare = |host: usize, what: &str, wanted: Option<String>, is: String| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
                let what = format!("{what}: {is}, and {wanted} is what this scenario shows");
                let check = "scenario".to_owned();
                found.push(Violation { at_ms: world.now_ms(), check, host, what });
            }
        };
        for (what, wanted, is) in [
            ("updates that ended well", self.updated, figures.updated),
            ("updates that did not", self.failed, figures.failed),
            ("restarts by agents", self.reboots, figures.tally.reboots),
        ] {
            compare(0, what, wanted.map(|wanted| wanted.to_string()), is.to_string());
        }
        if let (Some(from), Some((at_ms, host))) =
            (self.no_restart_before, world.recorder.first_activation())
            && at_ms < from.0
        {
            let wanted = Some(format!("{from} or later"));
            compare(host, "the first restart by an agent", wanted, Span(at_ms).to_string());
        }
        for (fault, least) in &self.bites {
            let bit = figures.faults.0.get(fault).map_or(0, |count| count.bit);
            let wanted = (bit < *least).then(|| format!("{least} or more"));
            compare(0, &format!("{fault:?} that changed an outcome"), wanted, bit.to_string());
        }
        for (reason, wanted) in &self.waiting {
            let decisions = world.hosts.iter().filter_map(|host| host.node.as_ref()?.decision());
            let says = |decision: &&Decision| {
                decision.gates.iter().any(|gate| !gate.pass && gate.reason == reason.as_str())
            };
            let waiting = decisions.filter(says).count();
            let what = format!("machines that wait for the reason {reason}");
            compare(0, &what, Some(wanted.to_string()), waiting.to_string());
        }
        for spread in &figures.spreads {
            // Whoever never held it counts as later than anyone.
            let place = (figures.hosts * 99).div_ceil(100).saturating_sub(1);
            let after = spread.after_ms.get(place).map(|ms| Span(*ms));
            let late = self.order_p99.filter(|most| after.is_none_or(|after| after.0 > most.0));
            let wanted = late.map(|most| format!("{most} at most"));
            let is = after.map_or_else(|| "never".to_owned(), |after| after.to_string());
            compare(0, "an order at 99 % of all machines", wanted, is);
        }
        for expected in &self.host {
            let number = expected.host;
            let host = &world.hosts[number];
            let state = host.disk.state();
            let runs = host.machine.runs().map(|image| world.images.of(image).version.clone());
            compare(number, "it runs", expected.runs.clone(), runs.unwrap_or_default());
            let reboots = world.recorder.reboots_of(number);
            let wanted = expected.reboots.map(|wanted| wanted.to_string());
            compare(number, "its agent's restarts", wanted, reboots.to_string());
            let ended = state.finished.iter().filter(|run| run.status == "UPDATED");
            let ended: Vec<&str> = ended.map(|run| run.attempt.target.version.as_str()).collect();
            let wanted = expected.updates.as_ref().map(|wanted| wanted.join(", "));
            compare(number, "its updates", wanted, ended.join(", "));
            let name = host.node.as_ref().and_then(|node| node.status().name);
            compare(number, "its name", expected.name.clone(), name.unwrap_or_default());
            let wanted = expected.root.map(|wanted| wanted.to_string());
            compare(number, "its newest root", wanted, host.disk.root_version().to_string());
            let wanted = expected.cloned.map(|wanted| wanted.to_string());
            compare(number, "a double was noticed", wanted, state.cloned.to_string());
        }
        found
    }
}
