//! Keys, fleets, contexts, syncing and the demo.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the fleet running and print things to try.
    #[arg(long)]
    pub keep: bool,
    /// The user's own images: `--image OLD --image NEW`.
    #[arg(long = "image", value_name = "FILE")]
    pub images: Vec<PathBuf>,
}

/// `key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key.
    New {
        /// Its name on this machine.
        #[arg(long)]
        name: String,
        /// Leave it unencrypted.
        #[arg(long)]
        no_passphrase: bool,
        /// Use the ssh-ed25519 key that the ssh-agent holds: the only one, or the one with this
        /// comment.
        #[arg(long, value_name = "COMMENT", num_args = 0..=1, default_missing_value = "")]
        ssh_agent: Option<String>,
    },
    /// List the keys of this machine.
    List,
    /// Print a key's public half, for `fleet init --member`.
    Show {
        /// Its name.
        name: String,
    },
    /// Print a key's encrypted file, for another machine of its holder; or the key itself, for paper.
    Export {
        /// Its name.
        name: String,
        /// Four lines to be written down: whoever reads them has the key.
        #[arg(long)]
        paper: bool,
    },
    /// Take in the encrypted file of a key that `key export` printed on another machine.
    Import {
        /// The file.
        file: PathBuf,
    },
    /// Make a key of the four lines on paper.
    Restore {
        /// Its name on this machine.
        #[arg(long)]
        name: String,
        /// The file with the lines; standard input otherwise.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Leave it unencrypted.
        #[arg(long)]
        no_passphrase: bool,
    },
    /// Protect a key with another passphrase.
    ChangePassphrase {
        /// Its name.
        name: String,
    },
}

/// `fleet …`.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Found a fleet: write and sign its first root.
    Init(Box<FleetInitArgs>),
    /// Fingerprint, keys, thresholds and expiries.
    Info,
}

/// `fleet init`.
#[derive(Debug, Args)]
pub(crate) struct FleetInitArgs {
    /// Name of the fleet, and of the context made for it.
    #[arg(long)]
    pub name: String,
    /// Another administrator's key: `NAME=PUBLIC-KEY`, or a file with it; may be repeated. With
    /// --evaluation also a name alone, whose key is made here.
    #[arg(long = "member", value_name = "NAME=PUBLIC-KEY")]
    pub members: Vec<String>,
    /// Threshold of the root role: `2-of-3`, `2` (of all members), or `1-of-alice,bob`.
    #[arg(long, default_value = "1-of-1", value_name = "K-of-N")]
    pub root: String,
    /// Threshold of the policy role; the root's otherwise.
    #[arg(long, value_name = "K-of-N")]
    pub policy: Option<String>,
    /// Threshold of the release role; the root's otherwise.
    #[arg(long, value_name = "K-of-N")]
    pub release: Option<String>,
    /// Threshold of the enroll role; one of the root's keys otherwise.
    #[arg(long, value_name = "K-of-N")]
    pub enroll: Option<String>,
    /// Threshold of the halt role; one of the root's keys otherwise.
    #[arg(long, value_name = "K-of-N")]
    pub halt: Option<String>,
    /// Threshold of the emergency role; the root's otherwise.
    #[arg(long, value_name = "K-of-N")]
    pub emergency: Option<String>,
    /// To try things: this machine may hold several people's keys, and every tool says so.
    #[arg(long)]
    pub evaluation: bool,
    /// How long the root stays valid.
    #[arg(long, default_value = "365d", value_name = "TIME")]
    pub expires_in: String,
}

/// `context …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Add a fleet from a folder, by its fingerprint.
    Add {
        /// Name of the context.
        name: String,
        /// The folder, or the control socket of a node.
        from: PathBuf,
        /// Fingerprint, from somebody you trust.
        #[arg(long)]
        fleet: String,
    },
    /// Make a context the current one, and name the node it talks to.
    Use {
        /// Name of the context.
        name: String,
    },
    /// Remove a context from this machine, with what it holds and no fleet has. The keys stay.
    Remove {
        /// Name of the context.
        name: String,
    },
    /// List contexts.
    List,
}

/// `sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// A node (its control socket, name or address), or a folder such as a stick. The context's
    /// node otherwise.
    #[arg(value_name = "NODE|FOLDER")]
    pub with: Option<String>,
}

/// `sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// Statement or root drafts: digests (or their start), or files.
    pub what: Vec<String>,
    /// Everything that waits.
    #[arg(long)]
    pub all: bool,
    /// What has lost its signatures, or would by the draft of the next root.
    #[arg(long)]
    pub fallen: bool,
}
