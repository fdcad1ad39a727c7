//! Real processes on one machine: what a fleet does, and what it does when things go wrong. Each
//! test proves that its fault happened, and asserts on control sockets and reports, not on logs.

mod spread;

use std::pin::Pin;

use daymark_real::{Fleet, Plan};

/// The node and its boot program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_daymark-real-program");

/// That many machines, not made yet.
fn plan(machines: usize) -> Plan {
    Plan::new(PROGRAM, machines)
}

/// Runs a story on a fleet, and shows the logs if it ends badly.
async fn on_fleet<F>(plan: Plan, story: F) -> anyhow::Result<()>
where
    F: for<'a> FnOnce(&'a mut Fleet) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>,
{
    let mut fleet = Fleet::start(plan).await?;
    let told = story(&mut fleet).await;
    if told.is_err() {
        fleet.print_logs();
    }
    told
}
