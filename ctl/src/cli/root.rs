//! The next root: keys, delegations, expiries.

use clap::{Args, Subcommand, ValueEnum};
use daymark_protocol::resource::Role;

/// `root …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// Keys, roles, delegations, what ended, and what falls on which day.
    Show,
    /// Let another key speak.
    AddKey {
        /// `NAME=PUBLIC-KEY`, or a file with it.
        #[arg(value_name = "NAME=PUBLIC-KEY")]
        key: String,
        /// A role that it gets; may be repeated.
        #[arg(long = "role", required = true, value_enum)]
        roles: Vec<RoleArg>,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// End the key of someone who leaves: what it signed stays valid.
    RetireKey {
        /// Its holder's name, its id or the start of it.
        key: String,
        /// The key that takes its roles: `NAME=PUBLIC-KEY`, or a file with it.
        #[arg(long, value_name = "NAME=PUBLIC-KEY")]
        successor: Option<String>,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// End a key that was stolen or lost: what it signed loses its signature.
    RevokeKey {
        /// Its holder's name, its id or the start of it.
        key: String,
        /// The key that takes its roles: `NAME=PUBLIC-KEY`, or a file with it.
        #[arg(long, value_name = "NAME=PUBLIC-KEY")]
        successor: Option<String>,
        /// A statement by it that stays valid all the same; may be repeated.
        #[arg(long, value_name = "STATEMENT")]
        keep: Vec<String>,
        /// A statement by it that never counts again; may be repeated.
        #[arg(long, value_name = "STATEMENT")]
        void: Vec<String>,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// Take a statement back for good; what counted before it counts again.
    Void {
        /// Its digest or the start of it; `describe` shows it.
        statement: String,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// Let keys speak under a role for the part of the fleet that --scope names, until a date.
    Delegate {
        /// Holders in the root, or `NAME=PUBLIC-KEY`, or files with it.
        #[arg(required = true, value_name = "KEY")]
        delegates: Vec<String>,
        /// The role.
        #[arg(long, value_enum)]
        role: RoleArg,
        /// Until when.
        #[arg(long, value_name = "TIME")]
        until: String,
        /// How many of them must sign.
        #[arg(long, default_value_t = 1, value_name = "K")]
        sign: u32,
        /// Its name; `ROLE-SCOPE` otherwise. One that stands already is replaced.
        #[arg(long)]
        name: Option<String>,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// End a delegation: what was signed under it stays valid.
    Undelegate {
        /// Its name.
        name: String,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// Move the expiry on; settles rival roots too.
    Extend {
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// Set how old the newest heartbeat may be: `off`, or a length such as 7d.
    Freshness {
        /// From this age on every tool says so.
        #[arg(long, value_name = "TIME")]
        alarm: Option<String>,
        /// From this age on nothing new starts.
        #[arg(long, value_name = "TIME")]
        stop: Option<String>,
        /// How the next root differs besides.
        #[command(flatten)]
        next: NextRootArgs,
    },
    /// Forget the draft of the next root that waits here for signatures.
    Discard,
}

/// What every next root may say besides.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct NextRootArgs {
    /// Another threshold: `policy=2`; may be repeated.
    #[arg(long = "threshold", value_name = "ROLE=K")]
    pub thresholds: Vec<String>,
    /// When it expires, from now; as the root before otherwise, and a year for `extend`.
    #[arg(long, value_name = "TIME")]
    pub expires_in: Option<String>,
    /// Show what it would do, sign nothing.
    #[arg(long)]
    pub preview: bool,
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the roles of the root")]
pub(crate) enum RoleArg {
    Root,
    Policy,
    Halt,
    Emergency,
    Release,
    Enroll,
    Heartbeat,
    View,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Root => Self::Root,
            RoleArg::Policy => Self::Policy,
            RoleArg::Halt => Self::Halt,
            RoleArg::Emergency => Self::Emergency,
            RoleArg::Release => Self::Release,
            RoleArg::Enroll => Self::Enroll,
            RoleArg::Heartbeat => Self::Heartbeat,
            RoleArg::View => Self::View,
        }
    }
}
