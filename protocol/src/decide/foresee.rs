//! What a host will do if nothing new is said: the decision asked again at every moment at which
//! time alone may change it, as the host itself does.
//!
//! What it cannot know it assumes: that the machine stays as it was described (inhibitors,
//! quarantine, other updaters), is on and knows the time, that an image is there as soon as the
//! host may stage it, and that every update succeeds.

use super::model::{
    Activity, Gate, Installed, InstalledSource, Machine, ResolvedTarget, StagedImage, Verdict,
    Window, Word, World,
};
use super::start::NEEDED_MS_DEFAULT;
use super::{Decision, Reach, decide};
use crate::time::{Now, WallTime};

/// Decisions that are asked for one host: about 25 for each day of a year.
const LOOKS_MAX: usize = 10_000;
/// Updates that are foreseen of one host: policies that take turns could go on for ever.
const UPDATES_MAX: usize = 64;

/// An update that a host will make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeseenUpdate {
    /// When it may begin to stage; `None` if it holds the image already.
    pub stages_at: Option<WallTime>,
    /// When it activates.
    pub at: WallTime,
    /// Until when the activation takes, as far as the machine has measured it (RULES Q8).
    pub until: WallTime,
    /// The window that it does so in.
    pub window: Option<Window>,
    /// From when on the hosts of this policy spread over the window, and how long after it this
    /// host's turn comes, ms (RULES Q7).
    pub spread: Option<(WallTime, i64)>,
    /// What it ran before.
    pub from: Option<Installed>,
    /// What it will run.
    pub target: ResolvedTarget,
}

/// A reason for which a host does not update, and from when on it is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// When it is met first.
    pub from: WallTime,
    /// The gate that says no; `None` while an update is being activated.
    pub gate: Option<Gate>,
    /// Stable word for programs.
    pub reason: Word,
    /// Sentence for people.
    pub message: String,
}

/// What a host will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foresight {
    /// Its updates, in order.
    pub updates: Vec<ForeseenUpdate>,
    /// Why it does not update, or not yet: each reason once, in the order in which they are met.
    pub objections: Vec<Objection>,
    /// What it says at the end.
    pub last: Objection,
    /// Up to where was looked: the end, unless there was too much to look at.
    pub looked_until: WallTime,
}

/// Foresees what a host does from one moment up to another, the latter not included.
pub fn foresee(reach: &Reach, machine: &Machine, from: WallTime, to: WallTime) -> Foresight {
    let mut machine = machine.clone();
    // A download goes on; what is being activated is not foreseen but awaited.
    if machine.activity == Activity::Staging {
        machine.activity = Activity::Idle;
    }
    let (updates, objections) = (Vec::new(), Vec::new());
    let mut foreseeing = Foreseeing { reach, machine, stages_at: None, updates, objections };
    let mut at = from;
    let mut looks = 0;
    let last = loop {
        let decision = foreseeing.look(at);
        let said = foreseeing.meet(&decision, at);
        looks += 1;
        let next = match decision.verdict {
            Verdict::Activate => foreseeing.update(&decision, at),
            Verdict::Nothing | Verdict::Wait | Verdict::Stage => decision.next_look,
        };
        let Some(next) = next.filter(|next| *next < to) else {
            at = to;
            break said;
        };
        if looks == LOOKS_MAX || foreseeing.updates.len() == UPDATES_MAX {
            break said;
        }
        at = next.max(at.plus_ms(1));
    };
    let Foreseeing { updates, objections, .. } = foreseeing;
    Foresight { updates, objections, last, looked_until: at }
}

struct Foreseeing<'a> {
    reach: &'a Reach,
    machine: Machine,
    /// Since when the image that is staged may be so, if it was not from the beginning.
    stages_at: Option<WallTime>,
    updates: Vec<ForeseenUpdate>,
    objections: Vec<Objection>,
}

impl Foreseeing<'_> {
    /// The decision at a moment, with the image staged as soon as that is the verdict.
    fn look(&mut self, at: WallTime) -> Decision {
        let decision = self.decide(at);
        let target = decision.target.as_ref().filter(|_| decision.verdict == Verdict::Stage);
        let Some(target) = target else { return decision };
        // A program may install what has no index of ours.
        let index_digest = target.index_digest.unwrap_or(target.digest);
        self.machine.staged = Some(StagedImage { profile: target.digest, index_digest });
        self.stages_at = Some(at);
        self.decide(at)
    }

    fn decide(&self, at: WallTime) -> Decision {
        decide(&World { reach: self.reach, machine: &self.machine }, &Now::reading(at, 0))
    }

    /// Notes why the host does not update now.
    fn meet(&mut self, decision: &Decision, at: WallTime) -> Objection {
        let Decision { reason, message, .. } = decision;
        let gate = decision.decided_by().map(|answer| answer.gate);
        let objection =
            Objection { from: at, gate, reason: reason.clone(), message: message.clone() };
        let is_new = |met: &Objection| met.gate != gate || met.reason != *reason;
        if decision.verdict != Verdict::Activate && self.objections.iter().all(is_new) {
            self.objections.push(objection.clone());
        }
        objection
    }

    /// The host updates; when it is done with it.
    fn update(&mut self, decision: &Decision, at: WallTime) -> Option<WallTime> {
        let target = decision.target.clone()?;
        let policy = self.reach.policies.iter().find(|policy| policy.source.id == target.policy);
        let spread =
            policy.zip(decision.window).zip(decision.start_at).map(|((policy, window), start)| {
                let begin = window.start.max(policy.issued);
                (begin, start.since_ms(begin))
            });
        let needed_ms = self.machine.activation_ms.unwrap_or(NEEDED_MS_DEFAULT);
        let until = at.plus_ms(i64::try_from(needed_ms).unwrap_or(i64::MAX)).max(at.plus_ms(1));
        let installed = Installed {
            profile: Some(target.profile.clone()),
            version: Some(target.version.clone()),
            index_digest: target.index_digest,
            image_sha256: target.image_sha256,
            source: InstalledSource::Slot,
        };
        self.machine.staged = None;
        self.updates.push(ForeseenUpdate {
            stages_at: self.stages_at.take(),
            at,
            until,
            window: decision.window,
            spread,
            from: self.machine.installed.replace(installed),
            target,
        });
        Some(until)
    }
}
