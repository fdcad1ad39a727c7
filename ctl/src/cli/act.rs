//! What is done to hosts: membership, stopping, and who goes where.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `enroll`.
#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Request written by `daymark-node init`, or a folder of them. With --pending: a host.
    pub request: Option<PathBuf>,
    /// With --pending: more hosts; all that wait otherwise.
    #[arg(requires = "pending")]
    pub hosts: Vec<String>,
    /// Countersign the hosts that a token let in.
    #[arg(long, conflicts_with_all = ["name", "baseline", "replace", "csv"])]
    pub pending: bool,
    /// The host whose place this machine takes: name, site, labels and history stay, its key ends.
    #[arg(long, value_name = "HOST")]
    pub replace: Option<String>,
    /// With a folder: who is who, by `serial` or `uuid`: columns name, site, labels, baseline.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Name of the host; the request's otherwise.
    #[arg(long)]
    pub name: Option<String>,
    /// What is installed on it, where the machine cannot tell: `PROFILE@VERSION`.
    #[arg(long, value_name = "PROFILE@VERSION")]
    pub baseline: Option<String>,
}

/// `revoke …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RevokeCommand {
    /// A host: its membership ends, its history stays.
    Host {
        /// Name, key id or the start of it.
        host: String,
    },
}

/// `label …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LabelCommand {
    /// A host's labels.
    Host {
        /// Name, key id or the start of it.
        host: String,
        /// `KEY=VALUE` sets a label, `KEY-` takes it away.
        #[arg(required = true, value_name = "KEY=VALUE")]
        labels: Vec<String>,
    },
}

/// `move …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MoveCommand {
    /// A host to the site of `--site`.
    Host {
        /// Name, key id or the start of it.
        host: String,
    },
}

/// `halt`.
#[derive(Debug, Args)]
pub(crate) struct HaltArgs {
    /// Only this policy; `--site` and `--label` narrow it too.
    pub policy: Option<String>,
    /// How long; until resumed otherwise.
    #[arg(long = "for", value_name = "TIME")]
    pub length: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Halts to lift, by name or the start of their digest; all otherwise.
    pub halts: Vec<String>,
}

/// `promote`.
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// Profile name.
    pub profile: String,
    /// Image version.
    pub version: String,
}

/// Hosts, by name or by label and site.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Hosts; those of `--label` and `--site` otherwise.
    pub hosts: Vec<String>,
}

/// `update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Hosts; those of `--label` and `--site` otherwise.
    pub hosts: Vec<String>,
    /// Required: a window from half a minute from now.
    #[arg(long, required = true)]
    pub now: bool,
    /// Its length.
    #[arg(long = "for", default_value = "630s", value_name = "TIME")]
    pub length: String,
}

/// `rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// Hosts; those of `--label` and `--site` otherwise.
    pub hosts: Vec<String>,
    /// The version to go to; the one before otherwise.
    #[arg(long)]
    pub to: Option<String>,
    /// In a window of its own, from half a minute from now.
    #[arg(long)]
    pub now: bool,
}

/// `hold`.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// Hosts; those of `--label` and `--site` otherwise.
    pub hosts: Vec<String>,
    /// Until when.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}
