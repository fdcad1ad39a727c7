//! `daymark-fuzz`: throws hostile bytes at every decoder, on stable Rust.
//!
//! Each target runs in a process of its own, so that an abort, a stack overflow or a hang is seen
//! from outside. What is found: panics, hangs, memory above the target's stated limit, and values
//! that do not come back from their own bytes. Coverage is measured beside it (`coverage`).

mod capture;
mod corpus;
mod engine;
mod guard;
mod mutate;
mod random;
mod run;
mod target;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Counts what is allocated, and the most at once.
#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

#[derive(Debug, Parser)]
#[command(about = "Fuzzes every decoder of Daymark")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Names the targets, what each decodes and what it may allocate.
    List,
    /// Runs targets, each in a process of its own; all of them if none is named.
    Run {
        /// Their names.
        targets: Vec<String>,
        /// How long each, in seconds.
        #[arg(long = "for", default_value_t = 2)]
        seconds: u64,
        /// What is drawn follows from it; CI takes the commit.
        #[arg(long, default_value = "0")]
        seed: String,
        /// Where inputs are kept that were found to do harm.
        #[arg(long, default_value = "target/fuzz")]
        findings: PathBuf,
    },
    /// Runs one target here, and ends the process at its first finding.
    #[command(hide = true)]
    One {
        /// Its name.
        target: String,
        /// How long, in seconds.
        #[arg(long = "for")]
        seconds: u64,
        /// What is drawn follows from it.
        #[arg(long)]
        seed: String,
        /// Where inputs are kept that were found to do harm.
        #[arg(long)]
        findings: PathBuf,
        /// Keep each input before it is run: the next run of a process that was killed by one.
        #[arg(long)]
        keep_each: bool,
    },
    /// Runs one input again.
    Replay {
        /// The target's name.
        target: String,
        /// The input.
        file: PathBuf,
    },
    /// Writes the corpus anew: what the library makes, and what a recording of a real run
    /// captured.
    Capture {
        /// Files that `daymark-node run --record` wrote.
        recordings: Vec<PathBuf>,
    },
}

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::List => run::list(),
        Command::Run { targets, seconds, seed, findings } => {
            run::all(&targets, Duration::from_secs(seconds), &seed, &findings)
        }
        Command::One { target, seconds, seed, findings, keep_each } => {
            run::one(&target, Duration::from_secs(seconds), &seed, &findings, keep_each)
        }
        Command::Replay { target, file } => run::replay(&target, &file),
        Command::Capture { recordings } => capture::write(&recordings).map(|()| true),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(run::FOUND),
        Err(error) => {
            run::say(&format!("daymark-fuzz: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
