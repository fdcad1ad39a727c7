//! An updater on a simulated machine with two slots and a boot switch.

use std::collections::BTreeMap;

use daymark_protocol::decide::{
    Activity, Decision, Gate, GateAnswer, Installed, InstalledSource, Machine, PlatformKind,
    ResolvedTarget, Verdict, Window,
};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::OsType;
use daymark_protocol::time::{MonoTime, Now, WallTime};

use super::super::{Context, Surroundings, Updater, staged_image};
use crate::durable::{DurableState, UpdateState};
use crate::effect::{Act, Batch, Effect, OpId, Write};
use crate::event::{Inspection, OpOutput, Reading, StageProgress};
use crate::saved::{OpIds, Saved};
use crate::timer::Timers;

pub(super) const OLD: &str = "1.0.0";
pub(super) const NEW: &str = "2.0.0";

pub(super) fn digest_of(version: &str) -> Digest {
    Digest::of(version.as_bytes())
}

pub(super) fn target(version: &str) -> ResolvedTarget {
    ResolvedTarget {
        policy: "osupdatepolicy-1".parse().unwrap(),
        policy_version: 1,
        os_profile: "os-1".parse().unwrap(),
        digest: digest_of(version),
        profile: "p".to_owned(),
        version: version.to_owned(),
        index_digest: Some(digest_of(version)),
        index_bytes: Some(1),
        image_sha256: Some(digest_of("the published file")),
        parts: BTreeMap::new(),
    }
}

pub(super) fn decision(verdict: Verdict, version: &str) -> Decision {
    Decision {
        verdict,
        reason: String::new().into(),
        message: String::new(),
        gates: vec![],
        target: Some(target(version)),
        window: Some(Window {
            start: WallTime::from_ms(0),
            end: Some(WallTime::from_ms(1_000_000)),
        }),
        start_at: None,
        next_look: None,
    }
}

pub(super) fn halted() -> Decision {
    let gate = GateAnswer {
        gate: Gate::Halted,
        pass: false,
        reason: String::new().into(),
        message: String::new(),
        evidence: vec![],
        changes_at: None,
    };
    Decision { gates: vec![gate], ..decision(Verdict::Wait, NEW) }
}

/// What the operator's program tells of a system that runs: profile, version, bytes.
pub(super) type Told = (Option<&'static str>, &'static str, Option<Digest>);

/// The machine below the agent.
#[derive(Clone, Debug)]
pub(super) struct Hardware {
    /// Image in each slot; `None` while it is being written.
    pub(super) slots: [Option<&'static str>; 2],
    pub(super) booted: usize,
    /// Restarts so far.
    pub(super) boots: u64,
    pub(super) default: usize,
    pub(super) try_once: Option<usize>,
    /// Whether the new image passes its health checks.
    pub(super) healthy: bool,
    /// What the operator's program tells of each system, on a machine without slots of ours.
    pub(super) told: Option<[Told; 2]>,
}

impl Hardware {
    pub(super) fn new() -> Self {
        Self {
            slots: [Some(OLD), None],
            booted: 0,
            boots: 0,
            default: 0,
            try_once: None,
            healthy: true,
            told: None,
        }
    }

    pub(super) fn restart(&mut self) {
        self.boots += 1;
        self.booted = self.try_once.take().unwrap_or(self.default);
    }

    pub(super) fn runs(&self) -> &'static str {
        self.slots[self.booted].expect("the booted slot is never written")
    }

    fn installed(&self) -> Installed {
        match self.told.map(|told| told[self.booted]) {
            None => Installed {
                profile: Some("p".to_owned()),
                version: Some(self.runs().to_owned()),
                index_digest: Some(digest_of(self.runs())),
                image_sha256: None,
                source: InstalledSource::Slot,
            },
            Some((profile, version, image_sha256)) => Installed {
                profile: profile.map(str::to_owned),
                version: Some(version.to_owned()),
                index_digest: None,
                image_sha256,
                source: InstalledSource::Program,
            },
        }
    }

    /// What the platform reports.
    pub(super) fn inspection(&self) -> Inspection {
        Inspection {
            machine: Machine {
                os_type: OsType::Immutable,
                platform: PlatformKind::Slots,
                architecture: String::new(),
                installed: Some(self.installed()),
                staged: None,
                quarantine: vec![],
                inhibitors: vec![],
                other_updaters: vec![],
                activation_ms: None,
                activity: Activity::Idle,
                slot_busy: None,
            },
            booted_slot: self.told.is_none().then(|| self.booted.to_string()),
            boot_id: Some(self.boots.to_string()),
            boot_unconfirmed: self.booted != self.default,
            facts: vec![],
        }
    }

    /// Does what an act asks; `None` if the machine restarts instead of answering.
    pub(super) fn perform(&mut self, act: &Act) -> Option<Result<OpOutput, String>> {
        Some(Ok(match act {
            Act::Stage { .. } => {
                assert_eq!(self.booted, self.default, "I5: the fall-back is overwritten");
                self.slots[1 - self.booted] = Some(NEW);
                OpOutput::Staged(StageProgress::default())
            }
            Act::Activate { .. } => {
                self.try_once = Some(1 - self.booted);
                OpOutput::Done
            }
            Act::Reboot => {
                self.restart();
                return None;
            }
            Act::CheckHealth { .. } if self.healthy => OpOutput::Healthy,
            Act::CheckHealth { .. } => OpOutput::Unhealthy("unit down".to_owned()),
            Act::Confirm => {
                self.default = self.booted;
                OpOutput::Done
            }
            Act::FallBack { slot } => {
                self.try_once = None;
                self.default = usize::from(slot.as_deref() == Some("1"));
                OpOutput::Done
            }
            Act::DeliverConfig { .. } => OpOutput::Done,
        }))
    }
}

/// The agent's process: all but `saved` is lost with it.
#[derive(Debug)]
pub(super) struct Rig {
    pub(super) updater: Updater,
    pub(super) saved: Saved,
    pub(super) timers: Timers,
    ops: OpIds,
    pub(super) mono_ms: u64,
    pub(super) clock_counts: bool,
}

/// What a step asked for, in the order a host performs it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) cancelled: Vec<OpId>,
    pub(super) save: Option<DurableState>,
    pub(super) acts: Vec<(OpId, Act)>,
}

impl Rig {
    pub(super) fn start(durable: DurableState) -> Self {
        Self {
            updater: Updater::default(),
            saved: Saved::new(durable),
            timers: Timers::default(),
            ops: OpIds::default(),
            mono_ms: 1_000,
            clock_counts: true,
        }
    }

    pub(super) fn step(&mut self, act: impl FnOnce(&mut Updater, &mut Context<'_>)) -> Asked {
        let wall = WallTime::from_ms(i64::try_from(self.mono_ms).unwrap());
        let mut batch = Batch::default();
        let mut cx = Context {
            saved: &mut self.saved,
            batch: &mut batch,
            timers: &mut self.timers,
            ops: &mut self.ops,
            reading: Reading { mono: MonoTime(self.mono_ms), wall, synchronised: true },
            now: Now { known: self.clock_counts, ..Now::reading(wall, 0) },
        };
        act(&mut self.updater, &mut cx);
        self.saved.write(&mut batch);
        let mut asked = Asked::default();
        for effect in batch.take_immediate() {
            let Effect::Cancel { op } = effect else { panic!("{effect:?} leaves before the save") };
            asked.cancelled.push(op);
        }
        for write in batch.writes() {
            let Write::PutState(state) = write else { panic!("unexpected {write:?}") };
            asked.save = Some(*state.clone());
        }
        for effect in batch.confirm_durable() {
            let Effect::Perform { op, act } = effect else { panic!("unexpected {effect:?}") };
            asked.acts.push((op, act));
        }
        asked
    }

    pub(super) fn resume(&mut self, hardware: &Hardware) -> Asked {
        let inspection = hardware.inspection();
        self.step(|updater, cx| updater.resume(cx, &inspection))
    }

    pub(super) fn decided(&mut self, hardware: &Hardware, decision: &Decision) -> Asked {
        let inspection = hardware.inspection();
        let around = Surroundings {
            inspection: &inspection,
            health_checks: &[],
            activation_ms: None,
            peer_connected: false,
        };
        self.step(|updater, cx| updater.decided(cx, decision, &around))
    }

    pub(super) fn done(
        &mut self,
        hardware: &Hardware,
        op: OpId,
        result: Result<OpOutput, String>,
        decision: &Decision,
    ) -> Asked {
        let inspection = hardware.inspection();
        self.step(|updater, cx| {
            updater.op_done(cx, op, result, Some(decision), &inspection);
        })
    }

    pub(super) fn state(&self) -> &UpdateState {
        &self.saved.get().update
    }

    /// What a correct decision says of the machine: fetch [`NEW`] unless it runs or failed here.
    pub(super) fn wanted(&self, hardware: &Hardware) -> Decision {
        let failed =
            self.saved.get().quarantine.iter().any(|held| held.index_digest == digest_of(NEW));
        let activity = self.updater.activity(self.state());
        let verdict = if hardware.runs() == NEW {
            Verdict::Nothing
        } else if failed || activity == Activity::Activating {
            Verdict::Wait
        } else if staged_image(self.state()).is_some() {
            Verdict::Activate
        } else {
            Verdict::Stage
        };
        decision(verdict, NEW)
    }
}
