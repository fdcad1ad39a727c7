//! `daymarkctl`: the administrators' command line and their replica of the fleet.
//!
//! The only place where private role keys are used. It decides nothing for any host: what hosts
//! would do is asked of [`daymark_protocol::decide`], the function that they use themselves.

pub(crate) mod authority;
pub(crate) mod change;
pub(crate) mod cli;
pub(crate) mod commands;
mod conflicts;
pub(crate) mod demo;
mod draft_root;
mod drafts;
pub(crate) mod exit;
pub(crate) mod files;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub(crate) mod home;
pub(crate) mod hosts;
pub(crate) mod keys;
pub(crate) mod names;
mod occurrences;
pub(crate) mod output;
pub(crate) mod passphrase;
pub(crate) mod plan;
pub(crate) mod preview;
mod public_keys;
mod reach;
pub mod release;
mod review;
mod rotation;
mod scopes;
pub(crate) mod session;
mod signing;
mod spread;
mod sticks;
mod stored;
pub(crate) mod targets;
pub(crate) mod times;
mod visit;
mod whole_file;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::exit::{Exit, Failure};

/// The program: `daymarkctl`, or under another name the node and its boot program, which the demo
/// starts by re-executing itself.
pub fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        Some("daymark-node") => return daymark_node::main_node(),
        Some("daymark-boot") => return daymark_node::main_boot(),
        _ => {}
    }
    let mut cli = cli::Cli::parse();
    cli.global = cli.global.with_environment();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::from(error)),
    };
    let exit = match runtime.block_on(commands::run(cli)) {
        Ok(exit) => exit,
        Err(failure) => return report(&failure),
    };
    match output::lost() {
        Some(why) if exit == Exit::Done => {
            report(&Failure::new(Exit::Failed, format!("cannot write to standard output: {why}")))
        }
        Some(_) | None => exit.into(),
    }
}

fn report(failure: &Failure) -> ExitCode {
    output::note(&format!("error: {:#}", failure.error));
    if let Some(step) = &failure.next_step {
        output::note(&format!("next: {step}"));
    }
    let exit: Exit = failure.exit;
    exit.into()
}
