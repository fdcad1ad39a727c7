//! The loop of the boot program: choose, count, start, watch.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::agent_part::AgentPart;
use super::switch_file::{BOOT_ID_VARIABLE, BOOT_SLOT_VARIABLE, Chosen, SwitchFile, SwitchRecord};
use crate::EXIT_REBOOT;
use crate::durable::DurableError;

/// Pause before the last good slot is started again after a crash; doubles up to the longest.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between starts of the last good slot.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);
/// Time that an agent gets to end when asked, before it is killed.
const END_GRACE: Duration = Duration::from_secs(10);

/// What to boot.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// State file of the boot switch.
    pub switch: PathBuf,
    /// Slots in order, each with the file or device of its agent part; the first is the default
    /// of a machine that never booted.
    pub slots: Vec<(String, PathBuf)>,
    /// Where programs are copied to.
    pub run_folder: PathBuf,
    /// A slot on trial that is not confirmed by then is given up.
    pub confirm_timeout: Duration,
    /// Arguments of the agent.
    pub arguments: Vec<String>,
}

/// Why the boot program gives up.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// No slots were named.
    #[error("no slot is given; name two with --slot a=FILE --slot b=FILE")]
    NoSlots,
    /// The switch cannot be read or written.
    #[error("cannot use the boot switch")]
    Switch(#[from] DurableError),
    /// The last good slot has no agent.
    #[error("slot {slot}, the last good one, cannot be started: {why}")]
    NothingToBoot {
        /// The slot.
        slot: String,
        /// Why.
        why: String,
    },
    /// A signal handler or random numbers are not to be had.
    #[error("cannot start: {0}")]
    System(String),
}

enum Ended {
    /// It asked for a restart of the machine.
    Reboot,
    /// It ended by itself.
    By(ExitStatus),
    /// It was never confirmed.
    Unconfirmed,
    /// The boot program was told to end, and ended it.
    Told,
}

/// Boots until told to end, or until the last good slot's agent ends well.
///
/// # Errors
/// [`BootError`] when nothing can be booted.
pub async fn boot(options: &BootOptions) -> Result<(), BootError> {
    let mut signals = Signals::new().map_err(|error| BootError::System(error.to_string()))?;
    let switch = SwitchFile::new(&options.switch);
    let mut pause = RESTART_PAUSE;
    loop {
        let chosen = choose(&switch, options)?;
        if let Some(failed) = &chosen.fell_back_from {
            say(&format!("slot {failed} was never confirmed; back to slot {}", chosen.slot));
        }
        let on_trial = chosen.tries_left.is_some();
        let child = match start(options, &chosen) {
            Ok(child) => child,
            Err(why) => {
                say(&format!(
                    "boot {}: slot {} cannot be started: {why}",
                    chosen.boot, chosen.slot
                ));
                if on_trial {
                    continue;
                }
                return Err(BootError::NothingToBoot { slot: chosen.slot, why });
            }
        };
        match watch(child, &switch, options, &chosen, &mut signals).await? {
            Ended::Told => return Ok(()),
            Ended::Reboot => pause = RESTART_PAUSE,
            Ended::Unconfirmed => say(&format!(
                "slot {} was not confirmed within {} s",
                chosen.slot,
                options.confirm_timeout.as_secs()
            )),
            Ended::By(status) if on_trial && is_on_trial(&switch, &chosen)? => {
                say(&format!("slot {}: the agent ended unconfirmed ({status})", chosen.slot));
            }
            Ended::By(status) if status.success() => return Ok(()),
            Ended::By(status) => {
                say(&format!("slot {}: the agent ended ({status}); starting again", chosen.slot));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = signals.next() => return Ok(()),
                }
                pause = RESTART_PAUSE_MAX.min(pause * 2);
            }
        }
    }
}

/// Counts the start, durably, before it happens.
fn choose(switch: &SwitchFile, options: &BootOptions) -> Result<Chosen, BootError> {
    let first = options.slots.first().ok_or(BootError::NoSlots)?;
    let fresh = || SwitchRecord { default: first.0.clone(), ..SwitchRecord::default() };
    let mut record = switch.read()?.unwrap_or_else(fresh);
    let chosen = record.choose();
    switch.write(&record)?;
    Ok(chosen)
}

fn start(options: &BootOptions, chosen: &Chosen) -> Result<Child, String> {
    let slot = options.slots.iter().find(|(name, _)| *name == chosen.slot);
    let (_, part) = slot.ok_or_else(|| "it is not among the slots given".to_owned())?;
    let agent = AgentPart::extract(part, &options.run_folder.join(&chosen.slot))
        .map_err(|error| error.to_string())?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| error.to_string())?;
    let child = Command::new(&agent.program)
        .args(&options.arguments)
        .env(BOOT_SLOT_VARIABLE, &chosen.slot)
        .env(BOOT_ID_VARIABLE, data_encoding::HEXLOWER.encode(&id))
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("its agent does not start: {error}"))?;
    let tries = match chosen.tries_left {
        Some(left) => format!("on trial, {left} tries left"),
        None => "last good".to_owned(),
    };
    say(&format!(
        "boot {}: slot {} ({tries}), agent of {} bytes, process {}",
        chosen.boot,
        chosen.slot,
        agent.bytes,
        child.id().unwrap_or_default()
    ));
    Ok(child)
}

async fn watch(
    mut child: Child,
    switch: &SwitchFile,
    options: &BootOptions,
    chosen: &Chosen,
    signals: &mut Signals,
) -> Result<Ended, BootError> {
    let deadline = tokio::time::sleep(options.confirm_timeout);
    tokio::pin!(deadline);
    let mut awaiting = chosen.tries_left.is_some();
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(|error| BootError::System(error.to_string()))?;
                let reboot = status.code() == Some(i32::from(EXIT_REBOOT));
                return Ok(if reboot { Ended::Reboot } else { Ended::By(status) });
            }
            () = &mut deadline, if awaiting => {
                awaiting = false;
                if is_on_trial(switch, chosen)? {
                    end(&mut child).await;
                    return Ok(Ended::Unconfirmed);
                }
            }
            () = signals.next() => {
                end(&mut child).await;
                return Ok(Ended::Told);
            }
        }
    }
}

fn is_on_trial(switch: &SwitchFile, chosen: &Chosen) -> Result<bool, BootError> {
    Ok(switch.read()?.is_some_and(|record| record.is_on_trial(&chosen.slot)))
}

/// Asks the agent to end, and makes it.
async fn end(child: &mut Child) {
    let process = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(process) = process.and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(END_GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// One line on standard output; nobody listening is no reason to stop booting.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "daymark-boot: {line}");
}
