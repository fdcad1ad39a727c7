//! The command line, as one surface (clap types only; what commands do is in [`crate::commands`]).

mod act;
mod fleet;
mod read;
mod resource;
mod root;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::act::{
    EnrollArgs, HaltArgs, HoldArgs, LabelCommand, MoveCommand, PromoteArgs, ResumeArgs,
    RevokeCommand, RollbackArgs, SelectArgs, UpdateArgs,
};
pub(crate) use self::fleet::{
    ContextCommand, DemoArgs, FleetCommand, FleetInitArgs, KeyCommand, SignArgs, SyncArgs,
};
pub(crate) use self::read::{
    AuditArgs, ExportCommand, GetArgs, HostArgs, PlanArgs, VerifyArgs, WaitArgs, WatchArgs,
};
pub(crate) use self::resource::{
    ApplyArgs, CreateBlackoutArgs, CreateCommand, CreateEmergencyArgs, CreateScheduleArgs,
    CreateTokenArgs, DiffArgs, EmergencyArgs, NamedArgs, ReleaseCommand, StatusArg, TargetArgs,
};

pub(crate) use self::root::{NextRootArgs, RoleArg, RootCommand};

/// Keeps a fleet of edge machines up to date without a control plane.
#[derive(Debug, Parser)]
#[command(
    name = "daymarkctl",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 signatures pending, 4 refused by a rule, \
                  5 nobody reachable, 6 conflict."
)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Folder of keys, contexts and replicas; $DAYMARK_HOME or ~/.daymark otherwise.
    #[arg(long, global = true, value_name = "FOLDER")]
    pub home: Option<PathBuf>,
    /// The fleet to work on; $DAYMARK_CONTEXT or the current context otherwise.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The node to talk to: its control socket, or over the network a host's name, an address or a
    /// multiaddr; $DAYMARK_NODE or the context's node otherwise.
    #[arg(long, global = true, value_name = "NODE")]
    pub node: Option<String>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// Only this site.
    #[arg(long, global = true)]
    pub site: Option<String>,
    /// Write for a part of the fleet: `site=SITE`, `region=REGION` or `fleet`, which is the default.
    /// What is of a site reaches nobody elsewhere; its policies, windows and blackouts live with
    /// that site's machines only.
    #[arg(long, global = true, value_name = "site=SITE|region=REGION|fleet")]
    pub scope: Option<String>,
    /// Only hosts with this label; may be repeated.
    #[arg(short = 'l', long = "label", global = true, value_name = "K=V")]
    pub labels: Vec<String>,
    /// Say what would be done, sign nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(short = 'y', long, global = true)]
    pub yes: bool,
    /// Why, for whoever reads it later.
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Ticket.
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub ticket: String,
    /// Sign with this key; may be repeated. Every key of this machine that has the role otherwise.
    #[arg(long = "key", global = true, value_name = "NAME")]
    pub keys: Vec<String>,
}

impl Global {
    /// Fills in from the environment what no flag says. Were it clap that does so, its usage lines
    /// would show those flags as required.
    #[must_use]
    pub(crate) fn with_environment(mut self) -> Self {
        let filled = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        self.home = self.home.or_else(|| filled("DAYMARK_HOME").map(PathBuf::from));
        let text = |name| filled(name)?.into_string().ok();
        self.node = self.node.or_else(|| text("DAYMARK_NODE"));
        self.context = self.context.or_else(|| text("DAYMARK_CONTEXT"));
        self
    }
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// With more columns.
    Wide,
    /// For programs.
    Json,
    /// For files.
    Yaml,
    /// For spreadsheets.
    Csv,
    /// Names only, for scripts.
    Name,
}

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job in about a minute: five nodes, a release service, an update.
    Demo(DemoArgs),
    /// Keys of this machine.
    #[command(subcommand)]
    Key(KeyCommand),
    /// The fleet's root.
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// The next root: keys, delegations, expiries.
    #[command(subcommand)]
    Root(RootCommand),
    /// Fleets known to this machine.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Exchange statements, inventory and history with a node or a folder, both ways.
    Sync(SyncArgs),
    /// One-screen state of the fleet.
    Status,
    /// Create a resource from flags.
    #[command(subcommand)]
    Create(CreateCommand),
    /// Apply files as one change set: validate, preview, sign, submit.
    Apply(ApplyArgs),
    /// What applying files would change.
    Diff(DiffArgs),
    /// End a resource with a tombstone.
    Delete(NamedArgs),
    /// List resources.
    Get(GetArgs),
    /// All that is known of one resource.
    Describe(NamedArgs),
    /// Print hosts as they change.
    Watch(WatchArgs),
    /// Wait until something is so.
    Wait(WaitArgs),
    /// Every gate of a host's decision, the evidence, what happens next and when.
    Explain(HostArgs),
    /// Who would update when, and who would not and why; with -f, what the files would change of it.
    Plan(PlanArgs),
    /// Add machines to the fleet from their enrolment requests.
    Enroll(EnrollArgs),
    /// End a membership.
    #[command(subcommand)]
    Revoke(RevokeCommand),
    /// Set labels.
    #[command(subcommand)]
    Label(LabelCommand),
    /// Move to another site.
    #[command(subcommand)]
    Move(MoveCommand),
    /// Add signatures to what waits for them.
    Sign(SignArgs),
    /// Stop: one key suffices.
    Halt(HaltArgs),
    /// Lift halts.
    Resume(ResumeArgs),
    /// Let LATEST see a version of a profile.
    Promote(PromoteArgs),
    /// Open a window for hosts now.
    Update(UpdateArgs),
    /// Take hosts back to the version before.
    Rollback(RollbackArgs),
    /// Pin hosts to what they run.
    Hold(HoldArgs),
    /// Lift a hold.
    Unhold(SelectArgs),
    /// Lift the quarantine of an image on a host.
    Retry(HostArgs),
    /// Images and release services.
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Who signed what, and what each machine held, decided, ran and booted.
    Audit(AuditArgs),
    /// Check evidence by its signatures and hashes, where no fleet is known.
    Verify(VerifyArgs),
    /// Take something out for other tools.
    #[command(subcommand)]
    Export(ExportCommand),
    /// Print the version.
    Version,
    /// Print a shell's completion script.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
