//! Bugs on purpose, one for each invariant: the simulator plants them to show that its checks see
//! them. Exists only under the feature `planted-bugs`, which nothing but the simulator's own tests
//! switches on; a production build has none of this.

use daymark_protocol::decide::{Decision, Gate, Verdict};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::{Kind, Spec};
use daymark_protocol::trust::FloorRecord;

use crate::durable::UpdateState;
use crate::effect::{Act, Admission, Batch, Effect};
use crate::node::Node;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// I1: the newest release is staged, whatever was ordered.
    StageUnordered,
    /// I2: windows do not matter.
    IgnoreWindow,
    /// I3: what counted under the first root counts for ever.
    RememberPermission,
    /// I4: floors of policies are not stored.
    ForgetFloor,
    /// I5: the fall-back is overwritten as soon as the new image runs.
    OverwriteFallBack,
    /// I6: what signers saw need not be there.
    SkipSees,
    /// I7: whoever asks to join is a member.
    AdmitAskers,
    /// I8: the decision depends on how often the node agreed with a peer.
    DecideByHistory,
    /// I9: a peer may ask for as much as it likes.
    NoBudget,
    /// I10: some entries that peers bring are ignored.
    LoseEntries,
    /// I11: halts do not matter.
    IgnoreHalt,
    /// I12: failures are reported as successes.
    ClaimSuccess,
    /// Reboot budget: each update ends with one more restart.
    RestartTwice,
    /// Progress: nothing is ever started.
    Dawdle,
}

impl PlantedBug {
    /// All of them, each with the name of the check that must see it.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::StageUnordered, "I1"),
        (Self::IgnoreWindow, "I2"),
        (Self::RememberPermission, "I3"),
        (Self::ForgetFloor, "I4"),
        (Self::OverwriteFallBack, "I5"),
        (Self::SkipSees, "I6"),
        (Self::AdmitAskers, "I7"),
        (Self::DecideByHistory, "I8"),
        (Self::NoBudget, "I9"),
        (Self::LoseEntries, "I10"),
        (Self::IgnoreHalt, "I11"),
        (Self::ClaimSuccess, "I12"),
        (Self::RestartTwice, "reboots"),
        (Self::Dawdle, "progress"),
    ];
}

impl Node {
    pub(crate) fn has_planted(&self, bug: PlantedBug) -> bool {
        self.config.planted() == Some(bug)
    }

    /// A decision with the planted bug in it.
    pub(crate) fn planted_decision(&self, mut decision: Decision) -> Decision {
        let Some(bug) = self.config.planted() else { return decision };
        match bug {
            PlantedBug::StageUnordered => self.take_newest_release(&mut decision),
            PlantedBug::IgnoreWindow => self.pass(&mut decision, &[Gate::Window, Gate::Turn]),
            PlantedBug::SkipSees => self.pass(&mut decision, &[Gate::Sees]),
            PlantedBug::IgnoreHalt => self.pass(&mut decision, &[Gate::Halted]),
            PlantedBug::DecideByHistory if self.counters.agreements > 0 => {
                decision.verdict = Verdict::Wait;
                decision.reason = "in-a-mood".into();
            }
            PlantedBug::Dawdle => decision.verdict = Verdict::Wait,
            PlantedBug::DecideByHistory
            | PlantedBug::RememberPermission
            | PlantedBug::ForgetFloor
            | PlantedBug::OverwriteFallBack
            | PlantedBug::AdmitAskers
            | PlantedBug::NoBudget
            | PlantedBug::LoseEntries
            | PlantedBug::ClaimSuccess
            | PlantedBug::RestartTwice => {}
        }
        decision
    }

    /// Lets these gates pass and concludes anew.
    fn pass(&self, decision: &mut Decision, gates: &[Gate]) {
        for answer in &mut decision.gates {
            answer.pass |= gates.contains(&answer.gate);
        }
        let fails = |gate: Gate| decision.gates.iter().any(|it| it.gate == gate && !it.pass);
        let in_course = [Gate::Window, Gate::Turn, Gate::Staged];
        let held_up = Gate::ALL.into_iter().any(|gate| !in_course.contains(&gate) && fails(gate));
        if decision.target.is_none() || held_up || decision.verdict != Verdict::Wait {
            return;
        }
        decision.verdict = match (fails(Gate::Staged), fails(Gate::Window) || fails(Gate::Turn)) {
            (true, _) => Verdict::Stage,
            (false, false) => Verdict::Activate,
            (false, true) => Verdict::Wait,
        };
    }

    fn take_newest_release(&self, decision: &mut Decision) {
        let Some(target) = &mut decision.target else { return };
        let Some(replica) = &self.replica else { return };
        for (id, line) in replica.standing().of_kind(Kind::OsProfile) {
            let Some(version) = line.versions.first() else { continue };
            if let Ok(Some(Spec::OsProfile(profile))) = &version.spec
                && profile.os_image_version > target.version
            {
                target.os_profile = id.clone();
                target.digest = version.digest;
                target.version = profile.os_image_version.clone();
                target.index_digest = profile.index_digest;
            }
        }
    }

    /// Whether what counts is kept as it was.
    pub(crate) fn remembers_permission(&self) -> bool {
        self.has_planted(PlantedBug::RememberPermission)
            && self.reach.is_some()
            && self.root_version() > 1
    }

    /// Whether a floor is forgotten.
    pub(crate) fn forgets(&self, floor: &FloorRecord) -> bool {
        let of_policy = matches!(floor, FloorRecord::Version { kind, .. }
            if kind == Kind::OsUpdatePolicy.name());
        of_policy && self.has_planted(PlantedBug::ForgetFloor)
    }

    /// Whether an entry that a peer brings is ignored.
    pub(crate) fn loses(&self, entry: &[u8]) -> bool {
        self.has_planted(PlantedBug::LoseEntries)
            && (Digest::of(entry).0[0] ^ self.own.0[0]).is_multiple_of(8)
    }

    /// What else happens when the machine was looked at.
    pub(crate) fn planted_inspected(&mut self, batch: &mut Batch) {
        if let UpdateState::Confirming(attempt) = &self.saved.get().update
            && self.has_planted(PlantedBug::OverwriteFallBack)
        {
            let (number, target) = (attempt.number, Box::new(attempt.target.clone()));
            let op = self.ops.mint();
            batch.after(Effect::Perform { op, act: Act::Stage { attempt: number, target } });
        }
    }

    /// What else happens when an operation ended in a state.
    pub(crate) fn planted_op_done(&mut self, before: &UpdateState, batch: &mut Batch) {
        let ended = matches!(before, UpdateState::Confirming(_))
            && self.saved.get().update == UpdateState::Idle;
        if ended && self.has_planted(PlantedBug::RestartTwice) {
            let op = self.ops.mint();
            batch.after(Effect::Perform { op, act: Act::Reboot });
        }
    }

    /// What else happens when someone asked to join.
    pub(crate) fn planted_asked(&self, peer: KeyId, batch: &mut Batch) {
        if self.has_planted(PlantedBug::AdmitAskers) {
            batch.now(Effect::Admit { peer, admission: Admission::Member });
        }
    }

    /// What becomes of the records before they are saved.
    pub(crate) fn planted_runs(&mut self) {
        let failed = self.saved.get().finished.iter().any(|run| run.status == "FAILED");
        if failed && self.has_planted(PlantedBug::ClaimSuccess) {
            for run in &mut self.saved.change().finished {
                run.status = "UPDATED".to_owned();
            }
        }
    }
}
