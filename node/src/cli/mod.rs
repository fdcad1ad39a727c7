//! The command line of `daymark-node`: a machine's life.
//!
//! Exit status: 0 done, 1 failed, 2 usage or configuration, 4 refused by a rule, 5 no agent
//! reachable, [`crate::EXIT_REBOOT`] the machine is to restart.

mod fleet;
mod init;
mod join;
mod rebind;
mod replay;
mod run;
mod sealed;
mod show;

use std::ffi::OsString;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::control::ClientError;
use crate::settings::{Inputs, Settings, SettingsError};

/// Keeps this machine up to date as its fleet signed, together with its peers.
#[derive(Debug, Parser)]
#[command(name = "daymark-node", version)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
struct Places {
    /// Configuration file, read after the system's fragments; may be given several times
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Folder of identity, floors and replica (data_dir)
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Control socket (control.socket)
    #[arg(long, global = true, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Sets any key of the configuration
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draws this machine's identity and writes the request that enrols it
    Init {
        /// File for the request, or a folder (such as a stick) that gets it under requests/
        #[arg(long, value_name = "FILE|DIR")]
        request: Option<PathBuf>,
        /// Name proposed for the machine; its host name if absent
        #[arg(long)]
        name: Option<String>,
    },
    /// Takes the fleet, once, from a folder that `daymarkctl sync` wrote
    Join {
        /// The folder
        folder: PathBuf,
        /// The fleet's fingerprint, as `daymarkctl fleet info` prints it
        #[arg(long, value_name = "FINGERPRINT")]
        fleet: String,
        /// Token that lets this machine in until somebody countersigns it
        #[arg(long, value_name = "FILE")]
        token: Option<PathBuf>,
        /// With a token: the machine's name; its host name if absent
        #[arg(long, requires = "token")]
        name: Option<String>,
    },
    /// Leaves the fleet for another one: the last resort when too few keys are left to sign a root
    /// of the own one. Slots, runs and history stay; what the old fleet signed no longer counts. The
    /// agent must be stopped
    Adopt {
        /// The new fleet's root, or a folder that `daymarkctl sync` wrote
        new_root: PathBuf,
        /// The new fleet's fingerprint, as `daymarkctl fleet info` prints it
        #[arg(long, value_name = "FINGERPRINT")]
        fleet: String,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Shows which root this machine trusts by a person's word; with the fingerprint of a newer one
    /// of the same fleet, moves that forward. The agent must be stopped
    Pin {
        /// The newer root's fingerprint
        fingerprint: Option<String>,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Runs the agent
    Run {
        /// For support: writes down in this folder all that the agent is told, and a mark of all
        /// that it does, a file for each start, each at most 64 MiB, the newest eight. The machine's
        /// key is not in it, and what the fleet says is
        #[arg(long, value_name = "DIR")]
        record: Option<PathBuf>,
    },
    /// Repeats a recording of `run --record` with this machine's key, performs nothing of it, and
    /// says where it comes to anything else than it did
    Replay {
        /// The recording
        recording: PathBuf,
    },
    /// Shows what the running agent knows
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Checks clock, disk, slots, peers, other updaters and permissions, and says what to do
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Keeps updates from being staged or activated here, for a time; never starts one
    Inhibit {
        /// Why, for people; the same text again replaces it
        #[arg(long)]
        why: String,
        /// For how long: 30m, 2h, 1d
        #[arg(long = "for", value_parser = duration, required_unless_present = "lift")]
        length: Option<Duration>,
        /// Lifts it
        #[arg(long, conflicts_with = "length")]
        lift: bool,
    },
    /// Says that this machine keeps its key: after its disk came to another board, or another
    /// machine was seen with the same key. Shows first what it is about, and asks
    Rebind {
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Shows the versions of the agent and of its data folder's layout
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Shows every key with its value and where the value came from
    Show {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Places {
    fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::system();
        inputs.files.extend(self.config.iter().cloned());
        inputs.flags.extend(self.set.iter().cloned());
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        inputs.flags.extend(self.data_dir.as_ref().map(|p| ("data_dir".to_owned(), path(p))));
        inputs.flags.extend(self.socket.as_ref().map(|p| ("control.socket".to_owned(), path(p))));
        inputs
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .or_else(|_| days(text))
        .map_err(|()| format!("{text:?} is no length of time; write 30m, 2h or 1d"))?;
    Duration::try_from(span).map_err(|_| "it must not be negative".to_owned())
}

/// `2d`: whole days, which a length in jiff's sense does not have.
fn days(text: &str) -> Result<jiff::SignedDuration, ()> {
    let days: i64 = text.trim().strip_suffix('d').and_then(|n| n.parse().ok()).ok_or(())?;
    days.checked_mul(24).and_then(jiff::SignedDuration::try_from_hours).ok_or(())
}

/// Longest answer to a question that is read.
const ANSWER_BYTES_MAX: u64 = 64;

/// Wrong usage that only shows when a value is looked at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Variable that names the rule to do without.
#[cfg(feature = "removable-rules")]
const WITHOUT_RULE: &str = "CONFORMANCE_WITHOUT_RULE";

/// Runs `daymark-node` with this process's arguments.
pub fn main_node() -> ExitCode {
    #[cfg(feature = "removable-rules")]
    if let Ok(rule) = std::env::var(WITHOUT_RULE) {
        assert!(daymark_protocol::rules::remove(&rule), "there is no rule {rule}");
    }
    let arguments = match Arguments::try_parse_from(std::env::args_os().collect::<Vec<OsString>>())
    {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match execute(arguments) {
        Ok(code) => code,
        Err(error) => {
            let _ = crate::complain("daymark-node", &error);
            ExitCode::from(status_of(&error))
        }
    }
}

fn status_of(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Usage>() || cause.is::<SettingsError>() {
            return 2;
        }
        match cause.downcast_ref::<ClientError>() {
            Some(ClientError::Unreachable { .. }) => return 5,
            Some(ClientError::Refused(_)) => return 4,
            Some(ClientError::Network(_) | ClientError::Broken { .. }) | None => {}
        }
    }
    1
}

fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let inputs = arguments.places.inputs();
    if let Command::Version = arguments.command {
        show::version()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Config { command: ConfigCommand::Show { json } } = arguments.command {
        show::config(&inputs, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::load(&inputs)?;
    match arguments.command {
        Command::Init { request, name } => init::init(&settings, request.as_deref(), name)?,
        Command::Join { folder, fleet, token, name } => {
            let token = token.as_deref().map(|file| join::ByToken { file, name });
            join::join(&settings, &folder, &fleet, token)?;
        }
        Command::Adopt { new_root, fleet, yes } => {
            fleet::adopt(&settings, &new_root, &fleet, yes)?;
        }
        Command::Pin { fingerprint, yes } => fleet::pin(&settings, fingerprint.as_deref(), yes)?,
        Command::Run { record } => return run::run(settings, record),
        Command::Replay { recording } => replay::replay(&settings, &recording)?,
        Command::Status { json } => show::status(&settings, json)?,
        Command::Doctor { json } => return crate::doctor::doctor(&settings, json),
        Command::Rebind { yes } => rebind::rebind(&settings, yes)?,
        Command::Inhibit { why, length, .. } => show::inhibit(&settings, why, length)?,
        Command::Config { .. } | Command::Version => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks a person; everything but a clear yes is a no.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    use std::io::BufRead as _;
    let mut out = std::io::stdout();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Writes to standard output; a reader that is gone is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        let seconds = |text: &str| duration(text).map(|length| length.as_secs());
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("1d"), Ok(86_400));
        for wrong in ["", "2", "soon", "-1h", "99999999999999999999d", "999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn inhibit_needs_an_end_or_a_lift() {
        let parse = |words: &[&str]| {
            Arguments::try_parse_from(["daymark-node", "inhibit"].iter().chain(words)).is_ok()
        };
        assert!(parse(&["--why", "x", "--for", "2h"]));
        assert!(parse(&["--why", "x", "--lift"]));
        assert!(!parse(&["--why", "x"]));
        assert!(!parse(&["--why", "x", "--for", "2h", "--lift"]));
    }
}
