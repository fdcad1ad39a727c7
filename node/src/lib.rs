//! The Daymark daemon: moves data between the world and `daymark-core`, and decides nothing.

pub mod agent;
pub mod boot;
mod boot_cli;
pub mod causes;
mod cli;
pub mod clock;
pub mod command;
pub mod control;
mod doctor;
pub mod durable;
pub mod folder;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod mesh;
mod notify;
pub mod platform;
pub mod settings;
pub mod slots;
pub mod stick;
pub mod store;
pub mod transfer;

use std::io::Write;
use std::process::ExitCode;

pub use self::boot_cli::main_boot;
pub use self::cli::main_node;

/// Exit status that asks whoever started the agent to restart the machine (`EX_TEMPFAIL`).
pub const EXIT_REBOOT: u8 = 75;

/// One sentence on standard error with its causes, and exit status 1.
fn complain(program: &str, error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{program}: {error:#}");
    ExitCode::FAILURE
}
