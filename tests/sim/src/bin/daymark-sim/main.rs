//! The simulator's command line.

#![allow(clippy::print_stdout, reason = "printing figures is what it is for")]

mod print;
mod replay;
mod seeds;
mod soak;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use daymark_sim::checks::Checks;
use daymark_sim::figures::Figures;
use daymark_sim::report;
use daymark_sim::run::{Line, run};
use daymark_sim::scenario::Span;

/// Runs many nodes in one process, under virtual time, from one seed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A screen for people.
    Text,
    /// All figures, for programs and for `compare`.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one world and prints its figures; fails if a check found something.
    Run {
        /// A built-in scenario, or a file.
        scenario: String,
        /// Everything follows from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Writes a page with plots.
        #[arg(long)]
        report: Option<PathBuf>,
        /// What to print.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Runs fresh seeds, each with faults of its own; stops at the first that fails.
    Soak {
        /// How long: `10m`.
        #[arg(long = "for", value_parser = Span::parse, default_value = "10m")]
        duration: Span,
        /// A built-in scenario, or a file; those meant for it if left out.
        #[arg(long)]
        scenario: Option<String>,
        /// The first seed; drawn from the clock if left out.
        #[arg(long)]
        from: Option<u64>,
    },
    /// Runs a world again from the line that a failing run printed.
    Replay {
        /// The line, such as `site-50 seed=7`.
        line: Line,
        /// Stops at this virtual time and says how every machine stands.
        #[arg(long, value_parser = Span::parse)]
        break_at: Option<Span>,
        /// Follows one machine event by event.
        #[arg(long)]
        node: Option<usize>,
    },
    /// Prints the figures of two runs side by side.
    Compare {
        /// What `run -o json` wrote.
        one: PathBuf,
        /// Of another build, or another seed.
        other: PathBuf,
    },
    /// What CI runs: fixed seeds, each twice, recorded regressions, and a few fresh seeds.
    Seeds {
        /// Draws the fresh seeds from this text, such as a commit's hash.
        #[arg(long)]
        fresh: Option<String>,
        /// How long fresh seeds are run.
        #[arg(long, value_parser = Span::parse, default_value = "30s")]
        fresh_for: Span,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let good = match Arguments::parse().command {
        Command::Run { scenario, seed, report, output } => {
            let line = Line { scenario, seed, mixed: false };
            let figures = with_bar(&line)?;
            match output {
                Output::Text => print::figures(&figures),
                Output::Json => println!("{}", serde_json::to_string_pretty(&figures)?),
            }
            if let Some(path) = report {
                fs::write(&path, report::page(&figures))
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            figures.violations.is_empty()
        }
        Command::Soak { duration, scenario, from } => {
            soak::soak(Duration::from_millis(duration.0), scenario.as_deref(), from)?
        }
        Command::Replay { line, break_at, node } => replay::replay(&line, break_at, node)?,
        Command::Compare { one, other } => {
            print::comparison(&read(&one)?, &read(&other)?);
            true
        }
        Command::Seeds { fresh, fresh_for } => {
            seeds::seeds(fresh.as_deref(), Duration::from_millis(fresh_for.0))?
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a world with a bar that shows how far it is.
fn with_bar(line: &Line) -> anyhow::Result<Figures> {
    let length_ms = line.load()?.length.0;
    let bar = indicatif::ProgressBar::new(length_ms / 1_000);
    let style = "{msg} {wide_bar} {percent} % {elapsed} of about {duration}";
    bar.set_style(indicatif::ProgressStyle::with_template(style)?);
    bar.set_message(line.to_string());
    let figures = run(line, Checks::all(), |world| bar.set_position(world.now_ms() / 1_000))?;
    bar.finish_and_clear();
    Ok(figures)
}

fn read(path: &PathBuf) -> anyhow::Result<Figures> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} holds no figures of a run", path.display()))
}
