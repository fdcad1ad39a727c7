//! The machine as the agent drives it: one backend, one look, one method per act.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daymark_core::event::Inspection;
use daymark_protocol::decide::{
    Activity, Installed, InstalledSource, Machine as Seen, PlatformKind as Kind, ResolvedTarget,
};
use daymark_protocol::resource::OsType;
use tokio::sync::watch;

use super::health::{Checks, remember_units};
use super::systemd::Systemd;
use super::{Inspected, Order, OsRelease, Program, facts, inhibitors, updaters};
use crate::boot::{FileBootSwitch, SwitchFile};
use crate::command::{self, Run};
use crate::durable::write_atomic;
use crate::settings::{PlatformKind, Reboot, Settings};
use crate::slots::{BootState, BootSwitch, BootSwitchError, SlotError, SlotLayout, Slots};

/// Time that the command which restarts the machine gets before it counts as failed.
const REBOOT_TIMEOUT: Duration = Duration::from_secs(300);

/// How the OS of this machine is changed.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Images in slots.
    Slots {
        /// The slots.
        slots: Arc<Slots>,
        /// What boots next.
        switch: Arc<dyn BootSwitch>,
    },
    /// The operator's program.
    Program {
        /// The program.
        program: Program,
        /// Where images are fetched to for it.
        area: Arc<Slots>,
    },
    /// Not at all.
    None,
}

/// What became of ordering a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebooting {
    /// The agent is to leave with [`crate::EXIT_REBOOT`].
    Leave,
    /// The restart was ordered; the agent will be told to end.
    Ordered,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Arc<Settings>,
    backend: Backend,
    root: PathBuf,
    peers: watch::Receiver<usize>,
}

impl Machine {
    /// Opens the configured backend. `peers` is how many peers are connected.
    ///
    /// # Errors
    /// If the slots cannot be used as configured.
    pub fn open(settings: Arc<Settings>, peers: watch::Receiver<usize>) -> Result<Self, SlotError> {
        let backend = match &settings.platform.kind {
            PlatformKind::Slots { slots, boot_file, tries } => {
                let layout = |(name, parts): (&String, &std::collections::BTreeMap<_, _>)| {
                    SlotLayout { name: name.clone(), parts: parts.clone() }
                };
                let layouts = slots.iter().map(layout).collect();
                let slots = Slots::open(layouts, settings.data_dir.join("slots"))?;
                let switch = FileBootSwitch::of_this_boot(SwitchFile::new(boot_file), *tries);
                Backend::Slots { slots: Arc::new(slots), switch: Arc::new(switch) }
            }
            PlatformKind::Command { program, timeout_s } => {
                let program = Program::new(program.clone(), Duration::from_secs(*timeout_s));
                let area = Slots::staging_area(&settings.data_dir.join("image"))?;
                Backend::Program { program, area: Arc::new(area) }
            }
            PlatformKind::None => Backend::None,
        };
        Ok(Self { settings, backend, root: "/".into(), peers })
    }

    /// The backend.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Looks at the machine: what is booted and installed, and what speaks against changing it.
    pub async fn inspect(&self) -> Inspection {
        let release = OsRelease::read(&self.settings.os_release);
        let mut facts = facts::facts(&self.root, &self.settings.identity);
        facts.extend(release.pretty_name().map(|name| ("os".to_owned(), name.to_owned())));
        let mut machine = Seen {
            os_type: release.os_type(),
            platform: Kind::None,
            architecture: facts::kernel().1,
            installed: None,
            staged: None,
            quarantine: Vec::new(),
            inhibitors: inhibitors::inhibitors(&self.settings.inhibit_dir).await,
            other_updaters: updaters::active(&self.root).await,
            activation_ms: None,
            activity: Activity::Idle,
            slot_busy: None,
        };
        let (booted_slot, boot_unconfirmed) = match &self.backend {
            Backend::Slots { slots, switch } => inspect_slots(slots, switch.as_ref(), &mut machine),
            Backend::Program { program, .. } => inspect_program(program, &mut machine).await,
            Backend::None => (None, false),
        };
        machine.installed = machine.installed.or_else(|| release.installed());
        Inspection { machine, booted_slot, boot_id: boot_id(), boot_unconfirmed, facts }
    }

    /// Switches to what was staged, for one try; durable when it returns.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn activate(&self, attempt: u64, target: &ResolvedTarget) -> Result<(), String> {
        let remembered = remember_units(&self.units_before(), Systemd::of(&self.root)).await;
        remembered.map_err(|error| error.to_string())?;
        match &self.backend {
            Backend::Slots { slots, switch } => activate_slot(slots, switch.as_ref(), target),
            Backend::Program { program, area } => {
                program.order("activate", &Order::new(attempt, target, area)?).await
            }
            Backend::None => Err(NO_BACKEND.to_owned()),
        }
    }

    /// Restarts the machine.
    ///
    /// # Errors
    /// Why it was not ordered, for people.
    pub async fn reboot(&self) -> Result<Rebooting, String> {
        match &self.settings.platform.reboot {
            Reboot::Exit => Ok(Rebooting::Leave),
            Reboot::Command(line) => {
                let ended = command::run(Run::shell(line, REBOOT_TIMEOUT)).await;
                let output = ended.map_err(|error| error.to_string())?;
                if output.success() {
                    Ok(Rebooting::Ordered)
                } else {
                    Err(format!("{line}: {}", output.last_words()))
                }
            }
        }
    }

    /// Runs all health checks.
    ///
    /// # Errors
    /// Those that did not pass, for people.
    pub async fn check_health(&self, checks: &[String], peer_expected: bool) -> Result<(), String> {
        let before = self.units_before();
        let checks = Checks::new(&self.settings.health, checks, peer_expected, &before);
        checks.run(self.peers.clone()).await
    }

    /// Makes the running boot the default.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn confirm(&self) -> Result<(), String> {
        match &self.backend {
            Backend::Slots { switch, .. } => switch.confirm().map_err(|error| error.to_string()),
            Backend::Program { program, .. } => program.tell("confirm").await,
            Backend::None => Err(NO_BACKEND.to_owned()),
        }
    }

    /// Makes the slot that ran before start next.
    ///
    /// # Errors
    /// Why not, for people.
    pub async fn fall_back(&self, slot: Option<&str>) -> Result<(), String> {
        match &self.backend {
            Backend::Slots { switch, .. } => {
                switch.fall_back(slot).map_err(|error| error.to_string())
            }
            Backend::Program { program, .. } => program.tell("rollback").await,
            Backend::None => Err(NO_BACKEND.to_owned()),
        }
    }

    /// Writes custom configuration to its file.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn deliver_config(&self, name: &str, config: &str) -> Result<(), String> {
        let clean = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !clean {
            return Err(format!("{name:?} is no name of a custom configuration"));
        }
        let folder = &self.settings.platform.config_dir;
        if config.is_empty() {
            return match std::fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(format!("cannot remove {}: {error}", folder.join(name).display()))
                }
                Ok(()) | Err(_) => Ok(()),
            };
        }
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| write_atomic(&folder.join(name), config.as_bytes(), 0o640));
        written.map_err(|error| format!("cannot write {}: {error}", folder.join(name).display()))
    }

    fn units_before(&self) -> PathBuf {
        self.settings.data_dir.join("units-before")
    }
}

/// Why nothing is staged before the running boot is confirmed: that would destroy the way back.
const UNCONFIRMED: &str = "the running boot is not confirmed yet";

/// What every act says on a machine without a backend.
pub(crate) const NO_BACKEND: &str = "no backend is configured (platform.kind)";

fn inspect_slots(
    slots: &Slots,
    switch: &dyn BootSwitch,
    machine: &mut Seen,
) -> (Option<String>, bool) {
    machine.platform = Kind::Slots;
    machine.os_type = OsType::Immutable;
    let state = match switch.state() {
        Ok(state) => state,
        Err(error) => {
            machine.slot_busy = Some(error.to_string());
            // What cannot be told is not taken for confirmed.
            return (None, true);
        }
    };
    machine.slot_busy = slot_busy(slots, &state);
    if let Some(Ok(Some(record))) = state.booted.as_deref().map(|slot| slots.record(slot))
        && record.complete
    {
        machine.installed = Some(Installed {
            profile: Some(record.image.profile_name),
            version: Some(record.image.version),
            index_digest: Some(record.image.index),
            image_sha256: None,
            source: InstalledSource::Slot,
        });
    }
    (state.booted, state.unconfirmed)
}

fn slot_busy(slots: &Slots, state: &BootState) -> Option<String> {
    match &state.booted {
        None => return Some("this boot did not start from a configured slot".to_owned()),
        Some(booted) if !slots.has(booted) => {
            return Some(format!(
                "this boot started from slot {booted}, which is not configured; name the slots \
                 as the boot program does"
            ));
        }
        Some(_) => {}
    }
    if state.unconfirmed {
        return Some(UNCONFIRMED.to_owned());
    }
    let free = slots.inactive(state.booted.as_deref()).is_some();
    (!free).then(|| "there is no second slot".to_owned())
}

fn activate_slot(
    slots: &Slots,
    switch: &dyn BootSwitch,
    target: &ResolvedTarget,
) -> Result<(), String> {
    let plain = |error: BootSwitchError| error.to_string();
    let state = switch.state().map_err(plain)?;
    let slot = slots.inactive(state.booted.as_deref()).ok_or("there is no second slot")?;
    let record = slots.record(slot).map_err(|error| error.to_string())?;
    let staged = record
        .is_some_and(|record| record.complete && target.index_digest == Some(record.image.index));
    if !staged {
        return Err(format!("slot {slot} does not hold {}@{}", target.profile, target.version));
    }
    slots.check_parts_there(slot).map_err(|error| error.to_string())?;
    switch.set_try(slot).map_err(plain)
}

async fn inspect_program(program: &Program, machine: &mut Seen) -> (Option<String>, bool) {
    machine.platform = Kind::Command;
    match program.inspect().await {
        Ok(inspected) => {
            let Inspected { booted_slot, boot_unconfirmed, .. } = inspected.clone();
            machine.os_type = inspected.os_type.unwrap_or(machine.os_type);
            machine.installed = inspected.installed();
            machine.inhibitors.extend(inspected.inhibitors);
            let unconfirmed = boot_unconfirmed.then(|| UNCONFIRMED.to_owned());
            machine.slot_busy = inspected.busy.or(unconfirmed);
            (booted_slot, boot_unconfirmed)
        }
        Err(why) => {
            machine.slot_busy = Some(why);
            (None, true)
        }
    }
}

/// The identity of this boot, as the boot program or else the kernel gives it.
pub fn boot_id() -> Option<String> {
    let given = std::env::var(crate::boot::BOOT_ID_VARIABLE).ok();
    given.or_else(|| {
        let text = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).ok()?;
        Some(text.trim().to_owned())
    })
}
