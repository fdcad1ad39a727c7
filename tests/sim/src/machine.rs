//! A machine with two slots, a boot switch with one try, and no mercy.

use daymark_core::effect::Act;
use daymark_core::event::{Inspection, OpOutput, StageProgress};
use daymark_protocol::decide::{Activity, Installed, InstalledSource, Machine, PlatformKind};
use daymark_protocol::resource::OsType;

use crate::fleet::{PROFILE, index_of};

/// What is on the disk's slots and what runs.
#[derive(Clone, Debug)]
pub struct SimMachine {
    slots: [Option<String>; 2],
    booted: usize,
    /// Restarts so far.
    boots: u64,
    default: usize,
    try_once: Option<usize>,
    /// Versions that do not pass their health checks.
    pub unhealthy: Vec<String>,
    /// Acts that broke a rule of the platform, for the invariants.
    pub violations: Vec<String>,
}

impl SimMachine {
    /// A machine that runs `version`.
    pub fn new(version: &str) -> Self {
        Self {
            slots: [Some(version.to_owned()), None],
            booted: 0,
            boots: 0,
            default: 0,
            try_once: None,
            unhealthy: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// The version that runs.
    pub fn runs(&self) -> &str {
        self.slots[self.booted].as_deref().unwrap_or("nothing")
    }

    /// Whether the running boot is confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.booted == self.default
    }

    /// The power goes off and on.
    pub fn restart(&mut self) {
        self.boots += 1;
        self.booted = self.try_once.take().unwrap_or(self.default);
    }

    /// How long an act takes, ms.
    pub fn duration_ms(act: &Act) -> u64 {
        match act {
            Act::Stage { .. } => 20_000,
            Act::Reboot => 30_000,
            Act::CheckHealth { .. } => 5_000,
            Act::Activate { .. }
            | Act::Confirm
            | Act::FallBack { .. }
            | Act::DeliverConfig { .. } => 200,
        }
    }

    /// Does what an act asks; `None` if the machine restarts instead of answering.
    pub fn perform(&mut self, act: &Act) -> Option<Result<OpOutput, String>> {
        Some(Ok(match act {
            Act::Stage { target, .. } => {
                if !self.is_confirmed() {
                    self.violations.push("I5: the fall-back was overwritten".to_owned());
                }
                self.slots[1 - self.booted] = Some(target.version.clone());
                OpOutput::Staged(StageProgress::default())
            }
            Act::Activate { .. } => {
                self.try_once = Some(1 - self.booted);
                OpOutput::Done
            }
            Act::Reboot => return None,
            Act::CheckHealth { .. } if self.unhealthy.iter().any(|bad| bad == self.runs()) => {
                OpOutput::Unhealthy("unit down".to_owned())
            }
            Act::CheckHealth { .. } => OpOutput::Healthy,
            Act::Confirm => {
                self.default = self.booted;
                OpOutput::Done
            }
            Act::FallBack { slot } => {
                self.try_once = None;
                self.default = usize::from(slot.as_deref() == Some("b"));
                OpOutput::Done
            }
            Act::DeliverConfig { .. } => OpOutput::Done,
        }))
    }

    /// What the platform reports.
    pub fn inspection(&self) -> Inspection {
        Inspection {
            machine: Machine {
                os_type: OsType::Immutable,
                platform: PlatformKind::Slots,
                architecture: String::new(),
                installed: Some(Installed {
                    profile: Some(PROFILE.to_owned()),
                    version: Some(self.runs().to_owned()),
                    index_digest: Some(index_of(self.runs())),
                    image_sha256: None,
                    source: InstalledSource::Slot,
                }),
                staged: None,
                quarantine: vec![],
                inhibitors: vec![],
                other_updaters: vec![],
                activation_ms: None,
                activity: Activity::Idle,
                slot_busy: (!self.is_confirmed()).then(|| "the boot is not confirmed".to_owned()),
            },
            booted_slot: Some(if self.booted == 0 { "a" } else { "b" }.to_owned()),
            boot_id: Some(self.boots.to_string()),
            boot_unconfirmed: !self.is_confirmed(),
            facts: vec![("kernel".to_owned(), "simulated".to_owned())],
        }
    }
}
