//! The simulator's checks on real machines, read from their control sockets: while a story runs,
//! that nothing goes back and nothing starts outside the window; when it is over, that what is
//! said of it is true. Each names the invariant of `docs/architecture.md`.
//!
//! What needs the inside of a core (I3, I7, I9, I11) is the simulator's alone.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use daymark_node::control::Client;
use daymark_protocol::control::Status;
use daymark_protocol::decide::{Reach, World, decide};
use daymark_protocol::id::Digest;
use daymark_protocol::time::WallTime;
use daymark_protocol::version::Version;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::administrators::now;
use crate::converged::all_hold_the_same;
use crate::fleet::Fleet;
use crate::image::Published;
use crate::wait::{WITHIN, until};

/// Pause between two looks at everyone.
const PAUSE: Duration = Duration::from_millis(100);
/// Looks that a watch must have had to be worth anything.
const LOOKS_MIN: usize = 20;

/// A watch over a fleet's control sockets.
#[derive(Debug)]
pub struct Watch {
    stop: CancellationToken,
    task: JoinHandle<Seen>,
    /// No machine may restart for an update before this.
    opens: WallTime,
}

/// What a watch saw.
#[derive(Debug, Default)]
struct Seen {
    looks: usize,
    newest: BTreeMap<String, Status>,
    violations: Vec<String>,
}

impl Watch {
    /// Watches all machines of a fleet; no window opens before `opens`.
    pub fn begin(fleet: &Fleet, opens: WallTime) -> Self {
        let stop = CancellationToken::new();
        let machines = fleet.machines.iter();
        let clients: Vec<_> = machines.map(|one| (one.name.clone(), one.client())).collect();
        let task = tokio::spawn(look_on(clients, opens, stop.clone()));
        Self { stop, task, opens }
    }

    /// Ends the watch, and checks what became of an order for all machines to run an image.
    /// `killed` are the agents that were ended from outside, in all.
    ///
    /// # Errors
    /// If anything is not as it must be; it names the invariant.
    pub async fn end(self, fleet: &Fleet, order: &Published, killed: u64) -> anyhow::Result<()> {
        all_hold_the_same(fleet).await.context("I10 converges")?;
        self.stop.cancel();
        let seen = self.task.await?;
        ensure!(seen.violations.is_empty(), "{:?}", seen.violations);
        ensure!(seen.looks >= LOOKS_MIN, "only {} looks at machines", seen.looks);
        ensure!(seen.newest.len() == fleet.machines.len(), "some were never seen");
        let mut starts = 0;
        for number in 0..fleet.machines.len() {
            authentic_and_bootable(fleet, number, order).await?;
            same_data_same_decision(fleet, number).await.context("I8 same data, same decision")?;
            truthful(fleet, number, order).await.context("I12 truthful")?;
            starts += in_window_and_starts(fleet, number, self.opens)?;
        }
        let machines = u64::try_from(fleet.machines.len())?;
        // One to begin with, one into the new slot, and one each time that somebody killed it; an
        // image that was cut off at its first boot falls back and is tried once more.
        let budget = 2 * machines + 3 * killed;
        ensure!(starts <= budget, "reboot budget: {starts} starts of {machines} agents");
        Ok(())
    }
}

async fn look_on(clients: Vec<(String, Client)>, opens: WallTime, stop: CancellationToken) -> Seen {
    let mut seen = Seen::default();
    while !stop.is_cancelled() {
        for (name, client) in &clients {
            // Machines that are off or cut off say nothing.
            if let Ok(status) = client.status().await {
                seen.look(name, status, opens);
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    seen
}

impl Seen {
    fn look(&mut self, name: &str, status: Status, opens: WallTime) {
        self.looks += 1;
        let restarts = matches!(&*status.update, "activating" | "rebooting" | "confirming");
        if restarts && now() < opens {
            let update = &status.update;
            self.violations.push(format!("I2 in window: {name} is {update} before it opens"));
        }
        if let Some(before) = self.newest.get(name) {
            let backwards = match (version(before), version(&status)) {
                (Some(before), Some(after)) => after < before,
                (None, _) | (_, None) => false,
            };
            // A boot that was cut off falls back; nothing that was confirmed may.
            let confirmed = before.update == "idle";
            if backwards && confirmed {
                let [before, after] = [before, &status].map(|one| one.installed.clone());
                self.violations.push(format!("I4 no rollback: {name} {before:?} to {after:?}"));
            }
            if status.root_version < before.root_version {
                self.violations.push(format!("I4 no rollback: {name} lost a root"));
            }
        }
        self.newest.insert(name.to_owned(), status);
    }
}

fn version(status: &Status) -> Option<Version> {
    status.installed.as_deref()?.rsplit('@').next()?.parse().ok()
}

/// I1 and I5: what is booted is byte for byte what was signed for, and boots again.
async fn authentic_and_bootable(
    fleet: &Fleet,
    number: usize,
    order: &Published,
) -> anyhow::Result<()> {
    let machine = fleet.machines.get(number).context("no such machine")?;
    let status = machine.status().await.map_err(anyhow::Error::msg)?;
    let booted = status.booted_slot.clone().context("it does not say what it booted")?;
    let wanted = format!("{}@{}", order.os.profile, order.os.version);
    ensure!(status.installed == Some(wanted), "progress: {} runs {status:?}", machine.name);
    for (part, signed) in &order.profile.parts {
        let bytes = fs::read(machine.part(&booted, part.as_ref()))?;
        let held = bytes.get(..usize::try_from(signed.bytes)?).map(Digest::of);
        ensure!(held == Some(signed.sha256), "I1 authentic: {} {part}", machine.name);
    }
    let switch = machine.boot_switch()?;
    let armed = switch.trial.as_ref().is_some_and(|trial| trial.tries_left > 0);
    ensure!(switch.default == booted && !armed, "I5 always bootable: {switch:?} but {booted}");
    Ok(())
}

/// I8: what a machine decided is what the decision says of the data that it holds, at its time.
async fn same_data_same_decision(fleet: &Fleet, number: usize) -> anyhow::Result<()> {
    let machine = fleet.machines.get(number).context("no such machine")?;
    let what = format!("{} decides as its data says", machine.name);
    until(&what, WITHIN, async || {
        let answer = machine.decision().await?;
        let held = fleet.held_by(number).await?;
        let view = held.replica().host_view(&machine.id()).ok_or("it has not reported")?;
        let reported = view.facts().machine().ok_or("it has not described itself")?;
        let reach = Reach::new(held.replica().standing(), machine.id());
        let twin = decide(&World { reach: &reach, machine: &reported }, &answer.now);
        let own = answer.decision;
        let same =
            (own.verdict, &own.reason, &own.target) == (twin.verdict, &twin.reason, &twin.target);
        if same { Ok(()) } else { Err(format!("it says {own:?}, its data {twin:?}")) }
    })
    .await
}

/// I12: each attempt left one record, and the last one says what runs.
async fn truthful(fleet: &Fleet, number: usize, order: &Published) -> anyhow::Result<()> {
    let other = (number + 1) % fleet.machines.len();
    let runs = fleet.runs(number, other).await.map_err(anyhow::Error::msg)?;
    let mut attempts: Vec<_> = runs.iter().map(|run| run.attempt).collect();
    attempts.sort_unstable();
    let all = attempts.len();
    attempts.dedup();
    ensure!(attempts.len() == all, "an attempt has two records: {runs:?}");
    ensure!(runs.iter().all(|run| run.end.is_some()), "a run has not ended: {runs:?}");
    let updated: Vec<_> = runs.iter().filter(|run| run.status == "UPDATED").collect();
    let newest = runs.iter().max_by_key(|run| run.attempt).context("no run at all")?;
    let to = newest.to.as_deref().unwrap_or_default();
    let true_to_it =
        updated.len() == 1 && newest.status == "UPDATED" && to.ends_with(&order.os.version);
    ensure!(true_to_it, "{runs:?}");
    Ok(())
}

/// I2 once more, by what is durable: when the boot switch was ordered. And how often it started.
fn in_window_and_starts(fleet: &Fleet, number: usize, opens: WallTime) -> anyhow::Result<u64> {
    let machine = fleet.machines.get(number).context("no such machine")?;
    let durable = machine.durable()?;
    for run in &durable.finished {
        let early = run.attempt.activated.is_some_and(|at| at < opens);
        ensure!(!early, "I2 in window: {} {:?}", machine.name, run.attempt);
    }
    Ok(durable.generation)
}
