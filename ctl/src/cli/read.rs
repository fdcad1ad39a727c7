//! What only reads.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::TargetArgs;

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// hosts, policies, schedules, windows, osprofiles, runs, sites, regions, peers, conflicts,
    /// halts, holds, blackouts, configs, approvals, quarantine, tokens, emergencies.
    pub kind: String,
    /// Only this one.
    pub name: Option<String>,
    /// For windows: how many days ahead.
    #[arg(long, default_value_t = 14)]
    pub days: u32,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Show only what this YAML file, or signed statement (`.json`), would change, as if it were
    /// signed now; `-` is standard input; may be repeated.
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How many days ahead.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,
    /// `--host`, `--site` and `--label` say which hosts are shown. For EIM's files, which name no
    /// target, all of these say whom they are for, as with `apply`.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Stop after this long.
    #[arg(long = "for", value_name = "TIME")]
    pub length: Option<String>,
}

/// `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// `KIND/NAME`.
    pub what: String,
    /// `held`: every host that it reaches holds it; `done`: every such host runs what it asks for.
    #[arg(long = "for", value_name = "STATE")]
    pub state: String,
    /// Give up after this long.
    #[arg(long, default_value = "30m", value_name = "TIME")]
    pub timeout: String,
}

/// One host.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Name, key id or the start of it.
    pub host: String,
}

/// `audit`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only this host, deleted ones too: name, key id or the start of it.
    #[arg(long)]
    pub host: Option<String>,
    /// Only from this time on: `2026-01-01`, `7d` for the last seven days.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Write the table and the evidence it is made of here.
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

/// `verify`.
#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A folder that `audit --export` wrote, a stick, or one root, statement or request.
    pub path: PathBuf,
    /// The fleet's fingerprint, from somebody you trust.
    #[arg(long, value_name = "FINGERPRINT")]
    pub fleet: Option<String>,
    /// For a statement: a folder with the fleet's roots.
    #[arg(long, value_name = "DIR")]
    pub with: Option<PathBuf>,
}

/// `export …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// A document as an Automerge file.
    Document {
        /// `fleet`, `site/NAME` or `host/NAME`.
        document: String,
        /// Where to write it; `NAME.automerge` otherwise.
        #[arg(long)]
        to: Option<PathBuf>,
    },
}
