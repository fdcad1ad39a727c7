//! The command line of `daymark-boot`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::boot::{BootOptions, boot};

/// Starts the agent out of a slot's own bytes, and goes back to the last good slot when a new one
/// is never confirmed.
#[derive(Debug, Parser)]
#[command(name = "daymark-boot", version)]
struct Arguments {
    /// State file of the boot switch; the agent names it as platform.slots.boot.file
    #[arg(long)]
    state: PathBuf,
    /// A slot and the file or device of its `agent` part; the first is started on a new machine
    #[arg(long = "slot", value_name = "NAME=FILE", value_parser = slot, required = true)]
    slots: Vec<(String, PathBuf)>,
    /// Folder that programs are copied to; it must allow running them
    #[arg(long, default_value = "/run/daymark-boot")]
    run_dir: PathBuf,
    /// Seconds within which a new slot must be confirmed
    #[arg(long, default_value_t = 600)]
    confirm_timeout: u64,
    /// Arguments of the agent
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn slot(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write NAME=FILE")?;
    if name.is_empty() || file.is_empty() {
        return Err("write NAME=FILE".to_owned());
    }
    Ok((name.to_owned(), file.into()))
}

/// Runs `daymark-boot` with this process's arguments: 0 when told to end or when the agent ended
/// well, 1 when nothing can be booted, 2 for wrong usage.
pub fn main_boot() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let options = BootOptions {
        switch: arguments.state,
        slots: arguments.slots,
        run_folder: arguments.run_dir,
        confirm_timeout: Duration::from_secs(arguments.confirm_timeout),
        arguments: arguments.arguments,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(boot(&options)).map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::complain("daymark-boot", &error),
    }
}
