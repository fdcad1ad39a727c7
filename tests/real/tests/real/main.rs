//! Real processes on one machine: what a fleet does, and what it does when things go wrong. Each
//! test proves that its fault happened, and asserts on control sockets and reports, not on logs.

mod bad_input;
mod board;
mod boot;
mod command;
mod full_disk;
mod gates;
mod hostile;
mod kill;
mod laptop;
mod overlay;
mod partition;
mod recording;
mod secrecy;
mod spread;
mod ten;
mod trust;
mod windows;

use daymark_real::{Fleet, Plan};

/// The node and its boot program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_daymark-real-program");

/// A node of the next version.
const NEXT: &str = env!("CARGO_BIN_EXE_daymark-real-next");

/// That many machines, not made yet.
fn plan(machines: usize) -> Plan {
    Plan::new(PROGRAM, machines)
}

/// Runs a story on a fleet, and shows the logs if it ends badly.
async fn on_fleet(
    plan: Plan,
    story: impl AsyncFnOnce(&mut Fleet) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    on_prepared_fleet(plan, async |fleet| {
        fleet.switch_all_on().await?;
        story(fleet).await
    })
    .await
}

/// As [`on_fleet`], but no machine is on yet.
async fn on_prepared_fleet(
    plan: Plan,
    story: impl AsyncFnOnce(&mut Fleet) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut fleet = Fleet::prepare(plan).await?;
    let told = story(&mut fleet).await;
    if told.is_err() {
        fleet.print_logs();
    }
    told
}

/// Says that a test did nothing, and why.
#[allow(clippy::print_stderr, reason = "says why nothing was tested")]
fn skipped(why: &str) -> anyhow::Result<()> {
    eprintln!("skipped: {why}");
    Ok(())
}
