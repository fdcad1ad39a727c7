//! The command line, as one surface (clap types only; what commands do is in [`crate::commands`]).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps a fleet of edge machines up to date without a control plane.
#[derive(Debug, Parser)]
#[command(
    name = "daymarkctl",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 signatures pending, 4 refused by a rule, \
                  5 nobody reachable, 6 conflict."
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Folder of keys, contexts and replicas.
    #[arg(long, env = "DAYMARK_HOME", global = true, hide_env_values = true)]
    pub home: Option<PathBuf>,
    /// The fleet to work on; the current context otherwise.
    #[arg(long, global = true, env = "DAYMARK_CONTEXT")]
    pub context: Option<String>,
    /// Control socket of a node; the context's node otherwise.
    #[arg(long, global = true, env = "DAYMARK_NODE")]
    pub node: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub output: Format,
    /// Only this site.
    #[arg(long, global = true)]
    pub site: Option<String>,
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
    #[arg(long, global = true, default_value = "")]
    pub reason: String,
    /// Ticket.
    #[arg(long, global = true, default_value = "")]
    pub ticket: String,
    /// Sign with this key; may be repeated. Every key of this machine that has the role otherwise.
    #[arg(long = "key", global = true, value_name = "NAME")]
    pub keys: Vec<String>,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
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
pub enum Command {
    /// Show the main job in about a minute: five nodes, a release service, an update.
    Demo(DemoArgs),
    /// Keys of this machine.
    #[command(subcommand)]
    Key(KeyCommand),
    /// The fleet's root.
    #[command(subcommand)]
    Fleet(FleetCommand),
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
    /// Add a machine to the fleet from its enrolment request.
    Enroll(EnrollArgs),
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

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the fleet running and print things to try.
    #[arg(long)]
    pub keep: bool,
    /// The user's own images: `--image OLD --image NEW`.
    #[arg(long = "image", value_name = "FILE")]
    pub images: Vec<PathBuf>,
}

/// `key …`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key.
    New {
        /// Its name on this machine.
        #[arg(long)]
        name: String,
        /// Leave it unencrypted.
        #[arg(long)]
        no_passphrase: bool,
    },
    /// List the keys of this machine.
    List,
    /// Print a key's public half, for `fleet init --member`.
    Show {
        /// Its name.
        name: String,
    },
}

/// `fleet …`.
#[derive(Debug, Subcommand)]
pub enum FleetCommand {
    /// Found a fleet: write and sign its first root.
    Init(Box<FleetInitArgs>),
    /// Fingerprint, keys, thresholds and expiries.
    Info,
}

/// `fleet init`.
#[derive(Debug, Args)]
pub struct FleetInitArgs {
    /// Name of the fleet, and of the context made for it.
    #[arg(long)]
    pub name: String,
    /// Another administrator's key: `NAME=PUBLIC-KEY`; may be repeated.
    #[arg(long = "member", value_name = "NAME=PUBLIC-KEY")]
    pub members: Vec<String>,
    /// Threshold of the root role: `2-of-3`, or `1-of-alice,bob`.
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
    /// How long the root stays valid.
    #[arg(long, default_value = "365d", value_name = "TIME")]
    pub expires_in: String,
}

/// `context …`.
#[derive(Debug, Subcommand)]
pub enum ContextCommand {
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
    /// List contexts.
    List,
}

/// `sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// A node's control socket, or a folder such as a stick. The context's node otherwise.
    pub with: Option<PathBuf>,
}

/// `create …`.
#[derive(Debug, Subcommand)]
pub enum CreateCommand {
    /// A region.
    Region {
        /// Its name.
        name: String,
        /// The region above.
        #[arg(long)]
        parent: Option<String>,
    },
    /// A site.
    Site {
        /// Its name.
        name: String,
        /// The region it lies in.
        #[arg(long)]
        region: Option<String>,
        /// Its IANA time zone.
        #[arg(long)]
        zone: Option<String>,
    },
    /// Windows in which updates may happen.
    Schedule(Box<CreateScheduleArgs>),
    /// A time in which no window is open.
    Blackout(Box<CreateBlackoutArgs>),
}

/// Whom a new resource is for.
#[derive(Clone, Debug, Default, Args)]
pub struct TargetArgs {
    /// Everyone.
    #[arg(long)]
    pub all: bool,
    /// This host; may be repeated.
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// This region, with all below it.
    #[arg(long)]
    pub region: Option<String>,
    /// Hosts that run this OS profile.
    #[arg(long, value_name = "PROFILE")]
    pub os_profile: Option<String>,
}

/// `create schedule`.
#[derive(Debug, Args)]
pub struct CreateScheduleArgs {
    /// Its name.
    pub name: String,
    /// Every week on these days: `sun`, `mon,wed`.
    #[arg(long, value_name = "DAYS", conflicts_with_all = ["daily", "monthly", "once"])]
    pub weekly: Option<String>,
    /// Every day.
    #[arg(long, conflicts_with_all = ["monthly", "once"])]
    pub daily: bool,
    /// Every month on these days of it: `1`, `1,15`.
    #[arg(long, value_name = "DAYS", conflicts_with = "once")]
    pub monthly: Option<String>,
    /// Once, at this time: `2026-12-01 22:00`, `+2h`, `now`.
    #[arg(long, value_name = "TIME")]
    pub once: Option<String>,
    /// Time of day of repeated windows: `02:00`.
    #[arg(long, value_name = "HH:MM")]
    pub at: Option<String>,
    /// Length of the window: `3h`, `90m`. Without it, `--once` is open-ended.
    #[arg(long = "for", value_name = "TIME")]
    pub length: Option<String>,
    /// Zone of the fields: `UTC`, `site` or an IANA name.
    #[arg(long, default_value = "UTC")]
    pub zone: String,
    /// What it is for.
    #[arg(long, value_enum, default_value = "os-update")]
    pub status: StatusArg,
    /// Whom it is for; `--site` and `--label` count too.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// What a schedule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Updates.
    OsUpdate,
    /// Maintenance: opens a window too.
    Maintenance,
}

/// `create blackout`.
#[derive(Debug, Args)]
pub struct CreateBlackoutArgs {
    /// Its name.
    pub name: String,
    /// First closed day or time: `12-19`, `2026-12-19 18:00`.
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// First open day or time after it.
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// Again every year.
    #[arg(long)]
    pub yearly: bool,
    /// Zone of the times: `UTC`, `site` or an IANA name.
    #[arg(long, default_value = "UTC")]
    pub zone: String,
    /// Whom it is for; `--site` and `--label` count too.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A YAML file, or `-`; may be repeated.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// For EIM's files, which name no target; `--site` and `--label` count too.
    #[command(flatten)]
    pub target: TargetArgs,
    /// When the policies in it end; 90 days for TARGET otherwise.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A YAML file, or `-`; may be repeated.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// For EIM's files, which name no target.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// A kind and a name.
#[derive(Debug, Args)]
pub struct NamedArgs {
    /// Kind: region, site, host, schedule, blackout, policy, osprofile, config, hold.
    pub kind: String,
    /// Name or id.
    pub name: String,
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// hosts, policies, schedules, windows, osprofiles, runs, sites, regions, peers, conflicts,
    /// halts, holds, blackouts, configs, approvals, quarantine.
    pub kind: String,
    /// Only this one.
    pub name: Option<String>,
    /// For windows: how many days ahead.
    #[arg(long, default_value_t = 14)]
    pub days: u32,
}

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Stop after this long.
    #[arg(long = "for", value_name = "TIME")]
    pub length: Option<String>,
}

/// `wait`.
#[derive(Debug, Args)]
pub struct WaitArgs {
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
pub struct HostArgs {
    /// Name, key id or the start of it.
    pub host: String,
}

/// `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// Request written by `daymark-node init`.
    pub request: PathBuf,
    /// Name of the host; the request's otherwise.
    #[arg(long)]
    pub name: Option<String>,
    /// What is installed on it, where the machine cannot tell: `PROFILE@VERSION`.
    #[arg(long, value_name = "PROFILE@VERSION")]
    pub baseline: Option<String>,
}

/// `label …`.
#[derive(Debug, Subcommand)]
pub enum LabelCommand {
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
pub enum MoveCommand {
    /// A host to the site of `--site`.
    Host {
        /// Name, key id or the start of it.
        host: String,
    },
}

/// `sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Statement or root drafts: digests (or their start), or files.
    pub what: Vec<String>,
    /// Everything that waits.
    #[arg(long)]
    pub all: bool,
}

/// `halt`.
#[derive(Debug, Args)]
pub struct HaltArgs {
    /// Only this policy; `--site` and `--label` narrow it too.
    pub policy: Option<String>,
    /// How long; until resumed otherwise.
    #[arg(long = "for", value_name = "TIME")]
    pub length: Option<String>,
}

/// `resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Halts to lift, by name or the start of their digest; all otherwise.
    pub halts: Vec<String>,
}

/// `promote`.
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// Profile name.
    pub profile: String,
    /// Image version.
    pub version: String,
}

/// Hosts, by name or by label and site.
#[derive(Debug, Args)]
pub struct SelectArgs {
    /// Hosts; those of `--label` and `--site` otherwise.
    pub hosts: Vec<String>,
}

/// `update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
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
pub struct RollbackArgs {
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
pub struct HoldArgs {
    /// Hosts; those of `--label` and `--site` otherwise.
    pub hosts: Vec<String>,
    /// Until when.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// `release …`.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Chunk an image, sign its profile and put both into a release folder.
    Add {
        /// Raw image, plain, .gz or .zst: a whole disk or a bare file system.
        image: PathBuf,
        /// The OS profile (EIM's YAML).
        #[arg(long)]
        profile: PathBuf,
        /// The release folder.
        #[arg(long)]
        to: PathBuf,
    },
}

/// `export …`.
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    /// A document as an Automerge file.
    Document {
        /// `fleet`, `site/NAME` or `host/NAME`.
        document: String,
        /// Where to write it; `NAME.automerge` otherwise.
        #[arg(long)]
        to: Option<PathBuf>,
    },
}
