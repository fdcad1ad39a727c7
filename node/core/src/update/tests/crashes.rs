//! Random crashes at every write and effect (I5, I12).

use proptest::prelude::*;

use super::rig::{Asked, Hardware, NEW, Rig};
use crate::durable::{DurableState, UpdateState};
use crate::effect::{Act, OpId};
use crate::event::OpOutput;

/// What befalls a step.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The agent dies before the save; the machine runs on.
    KillBeforeSave,
    /// The agent dies after the save, before the acts.
    KillBeforeActs,
    /// The agent dies when the act is done, before it hears so.
    KillAfterActs,
    /// The power fails at these points.
    CutBeforeSave,
    CutBeforeActs,
    CutAfterActs,
    /// The act does not work.
    ActFails,
    /// The act works and is reported as failed.
    ActLies,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::KillBeforeSave),
        1 => Just(Fault::KillBeforeActs),
        1 => Just(Fault::KillAfterActs),
        1 => Just(Fault::CutBeforeSave),
        1 => Just(Fault::CutBeforeActs),
        1 => Just(Fault::CutAfterActs),
        1 => Just(Fault::ActFails),
        1 => Just(Fault::ActLies),
    ]
}

struct Life {
    hardware: Hardware,
    disk: DurableState,
    rig: Rig,
    due: Option<(OpId, Result<OpOutput, String>)>,
    runs_seen: u64,
}

impl Life {
    fn new(healthy: bool) -> Self {
        let mut hardware = Hardware::new();
        hardware.healthy = healthy;
        let disk = DurableState::default();
        Self { rig: Rig::start(disk.clone()), hardware, disk, due: None, runs_seen: 0 }
    }

    fn process_dies(&mut self, power: bool) {
        if power {
            self.hardware.restart();
        }
        self.rig = Rig::start(self.disk.clone());
        self.due = None;
    }

    /// Performs a step's outcome under a fault; `false` if the process died.
    fn perform(&mut self, asked: &Asked, fault: Fault) -> bool {
        if matches!(fault, Fault::KillBeforeSave | Fault::CutBeforeSave) {
            return self.dies(matches!(fault, Fault::CutBeforeSave));
        }
        if let Some(state) = &asked.save {
            self.disk = state.clone();
            self.check_runs();
        }
        if matches!(fault, Fault::KillBeforeActs | Fault::CutBeforeActs) {
            return self.dies(matches!(fault, Fault::CutBeforeActs));
        }
        for (op, act) in &asked.acts {
            let result = match (fault, act) {
                (Fault::ActFails, _) => Some(Err("broken".to_owned())),
                // Half-written bytes: nothing must come to rely on them.
                (Fault::ActLies, Act::Reboot) => Some(Err("not now".to_owned())),
                (Fault::ActLies, act) => {
                    self.hardware.perform(act);
                    Some(Err("lost the answer".to_owned()))
                }
                (_, act) => self.hardware.perform(act),
            };
            match result {
                Some(result) => self.due = Some((*op, result)),
                None => return self.dies(false),
            }
        }
        if matches!(fault, Fault::KillAfterActs | Fault::CutAfterActs) {
            return self.dies(matches!(fault, Fault::CutAfterActs));
        }
        true
    }

    fn dies(&mut self, power: bool) -> bool {
        self.process_dies(power);
        false
    }

    /// I12: a run says what is really booted at the moment it is recorded.
    fn check_runs(&mut self) {
        for run in &self.disk.finished {
            if run.attempt.number > self.runs_seen {
                assert_eq!(run.attempt.number, self.runs_seen + 1, "a run is missing");
                assert_eq!(run.status == "UPDATED", self.hardware.runs() == NEW, "{run:?}");
                self.runs_seen = run.attempt.number;
            }
        }
    }

    fn tick(&mut self, fault: Fault) {
        self.rig.mono_ms += 1_000;
        let decision = self.rig.wanted(&self.hardware);
        let mut fault = fault;
        let asked = self.rig.resume(&self.hardware);
        if !asked.acts.is_empty() || asked.save.is_some() {
            self.perform(&asked, fault);
            return;
        }
        if let Some((op, result)) = self.due.take() {
            let asked = self.rig.done(&self.hardware, op, result, &decision);
            if !self.perform(&asked, fault) {
                return;
            }
            fault = Fault::None;
        }
        for timer in self.rig.timers.take_due(daymark_protocol::time::MonoTime(u64::MAX), true) {
            let asked = self.rig.step(|updater, cx| updater.woke(cx, timer));
            if !self.perform(&asked, fault) {
                return;
            }
        }
        let decision = self.rig.wanted(&self.hardware);
        let asked = self.rig.decided(&self.hardware, &decision);
        self.perform(&asked, fault);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_attempt_ends_in_one_truthful_run_on_a_good_slot(
        healthy in any::<bool>(),
        faults in prop::collection::vec(fault(), 0..40),
    ) {
        let mut life = Life::new(healthy);
        for fault in faults {
            life.tick(fault);
        }
        for _ in 0..60 {
            life.tick(Fault::None);
        }
        prop_assert_eq!(life.rig.state(), &UpdateState::Idle);
        prop_assert_eq!(life.hardware.booted, life.hardware.default);
        prop_assert_eq!(life.runs_seen, life.disk.attempt, "one run for each attempt");
        let failed_before = !life.disk.quarantine.is_empty();
        let runs_new = life.hardware.runs() == NEW;
        prop_assert_eq!(runs_new, healthy && !failed_before || runs_new);
        prop_assert!(healthy || !runs_new, "an unhealthy image was confirmed");
    }
}
