//! Resources written from flags and files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `create …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CreateCommand {
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
    /// A key that lets machines of --site in, with the labels of --label, until they are countersigned.
    Token(Box<CreateTokenArgs>),
    /// A window beside all schedules, with a reason and an end within 7 days.
    Emergency(Box<CreateEmergencyArgs>),
    /// The word that what is held here is the newest as of now; for the part of --scope, or everyone.
    Heartbeat,
}

/// Whom a new resource is for.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TargetArgs {
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
pub(crate) struct CreateScheduleArgs {
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
pub(crate) enum StatusArg {
    /// Updates.
    OsUpdate,
    /// Maintenance: opens a window too.
    Maintenance,
}

/// `create blackout`.
#[derive(Debug, Args)]
pub(crate) struct CreateBlackoutArgs {
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

/// `create token`.
#[derive(Debug, Args)]
pub(crate) struct CreateTokenArgs {
    /// Its name; made of the site otherwise.
    pub name: Option<String>,
    /// How many machines it is meant for; more raise an alarm.
    #[arg(long)]
    pub uses: u32,
    /// Until when it lets machines in.
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// The file that gets its key; `NAME.token.json` otherwise.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// `create emergency`.
#[derive(Debug, Args)]
pub(crate) struct CreateEmergencyArgs {
    /// Its name.
    pub name: String,
    /// Its end, within 7 days.
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// Passes blackouts too.
    #[arg(long)]
    pub through_blackouts: bool,
    /// How many hosts act now, where there is no terminal to type it on.
    #[arg(long, value_name = "N")]
    pub acts_now: Option<usize>,
    /// Whom it is for; `--site` and `--label` count too.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// What makes an `apply` an emergency.
#[derive(Debug, Args)]
pub(crate) struct EmergencyArgs {
    /// Open a window for the policies' hosts beside all schedules; needs --reason and --until.
    #[arg(long)]
    pub emergency: bool,
    /// The emergency passes blackouts too.
    #[arg(long, requires = "emergency")]
    pub through_blackouts: bool,
    /// How many hosts act now, where there is no terminal to type it on.
    #[arg(long, requires = "emergency", value_name = "N")]
    pub acts_now: Option<usize>,
}

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A YAML file, `-`, or a signed statement (`.json`); may be repeated.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// For EIM's files, which name no target; `--site` and `--label` count too.
    #[command(flatten)]
    pub target: TargetArgs,
    /// When the policies in it end; 90 days for TARGET otherwise. With --emergency, its end.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Outside all windows.
    #[command(flatten)]
    pub emergency: EmergencyArgs,
}

/// `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// A YAML file, or `-`; may be repeated.
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// For EIM's files, which name no target.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// A kind and a name.
#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// Kind: region, site, host, schedule, blackout, policy, osprofile, config, hold.
    pub kind: String,
    /// Name or id.
    pub name: String,
}

/// `release …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
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
