//! The decision: a pure function of what is held and of `now` (DESIGN section 6, I8).
//!
//! [`Reach`] picks what counts and reaches one host out of all that counts; [`decide`] walks the
//! gates over it and returns the verdict with every gate's answer. It does nothing itself, and
//! knows no clock: `now` is an interval, and a gate passes only if it does over its whole width
//! (RULES Q6).

mod because;
mod calendar;
mod closing;
mod emergency;
mod foresee;
mod gates;
mod image;
mod latest;
mod line;
mod model;
mod place;
mod policy_choice;
mod reach;
mod resolve;
mod running;
mod start;
mod verdict;

#[cfg(test)]
mod tests;

pub use self::foresee::{ForeseenUpdate, Foresight, Objection, foresee};
pub use self::model::{
    Activity, Decision, Evidence, Gate, GateAnswer, Installed, InstalledSource, Machine,
    PlatformKind, Quarantined, ResolvedTarget, StagedImage, Verdict, Window, Word, World,
};
pub use self::reach::Reach;

use self::because::Because;
use self::image::Image;
use self::policy_choice::{Choice, Chooser, choose};
use self::reach::Policy;
use self::resolve::{Resolution, resolve};
use self::running::Running;
use self::start::{needed_ms, stage_from, start_at};
use crate::resource::OsUpdatePolicySpec;
use crate::time::{Now, WallTime};
use crate::trust::Seen;

/// Decides what a host does now.
pub fn decide(world: &World<'_>, now: &Now) -> Decision {
    let place = &world.reach.place;
    let installed = world.machine.installed.as_ref();
    let mut deciding = Deciding {
        world,
        now,
        running: Running::of(installed, place.baseline.as_ref()),
        gates: Vec::with_capacity(16),
        target: None,
        window: None,
        start_at: None,
        may_stage: false,
    };
    deciding.walk();
    deciding.conclude()
}

/// A decision in the making.
struct Deciding<'a> {
    world: &'a World<'a>,
    now: &'a Now,
    running: Running<'a>,
    gates: Vec<GateAnswer>,
    target: Option<ResolvedTarget>,
    window: Option<Window>,
    start_at: Option<WallTime>,
    may_stage: bool,
}

impl<'a> Deciding<'a> {
    fn walk(&mut self) {
        let reach = self.world.reach;
        let authority =
            gates::authority(reach.root.as_ref(), reach.wait.as_ref(), reach.fresh_as_of, self.now);
        if reach.root.is_none() {
            // Nothing was judged, so neither enrolment nor anything after it can be (RULES R2).
            self.gates.extend([authority, gates::clock(self.now)]);
            return;
        }
        self.gates.push(gates::enrolled(&reach.place, self.now));
        self.gates.extend([authority, gates::clock(self.now)]);
        let chooser = Chooser {
            os_type: self.world.machine.os_type,
            profile: self.running.profile,
            images: &reach.images,
        };
        let choice = choose(&reach.policies, chooser, self.now);
        let followed = match &choice {
            Choice::Chosen(policy, _) => Some(&policy.source.id),
            Choice::None(_) | Choice::Wait(_) => None,
        };
        let halted = gates::halted(&reach.closings, self.running.profile, followed, self.now);
        self.gates.push(halted);
        match choice {
            Choice::None(because) | Choice::Wait(because) => {
                self.gates.push(because.fail(Gate::Policy));
            }
            Choice::Chosen(policy, spec) => self.follow(policy, spec),
        }
    }

    fn follow(&mut self, policy: &'a Policy, spec: &'a OsUpdatePolicySpec) {
        let reach = self.world.reach;
        let resolution = resolve(reach, spec, self.running.profile, self.now);
        let (image, image_missing): (Option<&Image>, [&[Seen]; 2]) = match &resolution {
            Resolution::Image(image, missing, _) => (Some(image), [&image.missing, missing]),
            Resolution::Other(_) | Resolution::Nothing(_) | Resolution::Wait(_) => (None, [&[]; 2]),
        };
        let used = reach.calendar.missing_of(spec);
        let missing = reach.place.missing.iter().chain(&reach.beats_missing);
        let missing = missing.chain(&policy.source.missing).chain(used);
        let missing = missing.chain(image_missing.into_iter().flatten());
        let failures = image.into_iter().flat_map(|image| self.failures(image));
        let lifting = failures.filter_map(|(_, retry)| retry);
        let retried = lifting.flat_map(|retry| &retry.source.missing);
        let seen = gates::sees(missing.chain(retried));
        self.gates.push(seen);
        let chosen = Because::new("chosen", "this policy is the first in the order")
            .fact(
                "policy",
                format!("{} ({} v{})", spec.name, policy.source.id, policy.source.version),
            )
            .changes_at(self.now, policy.source.span.ends());
        self.gates.push(chosen.pass(Gate::Policy));
        match resolution {
            Resolution::Nothing(because) | Resolution::Wait(because) => {
                self.gates.push(because.fail(Gate::Target));
            }
            Resolution::Other(because) => {
                self.gates.push(because.pass(Gate::Target));
                self.judge(policy, spec, None);
            }
            Resolution::Image(image, _, because) => {
                self.gates.push(because.pass(Gate::Target));
                self.target = Some(resolved(policy, image));
                self.judge(policy, spec, Some(image));
            }
        }
    }

    fn judge(&mut self, policy: &Policy, spec: &OsUpdatePolicySpec, image: Option<&Image>) {
        let (reach, machine) = (self.world.reach, self.world.machine);
        self.gates.push(gates::compatible(image, spec, &self.running, machine));
        if let Some(image) = image {
            self.gates.push(gates::newer(image, spec, &self.running, machine, &reach.images));
            let failed = gates::quarantine(self.failures(image), self.now);
            self.gates.push(failed);
        }
        self.gates.extend([gates::sole_updater(machine), gates::inhibited(machine)]);
        self.judge_times(policy, spec, image);
        if image.is_some() {
            self.gates.push(gates::slot(machine));
        }
    }

    /// Where the image failed here, and what lifts that.
    fn failures<'b>(&'b self, image: &'b Image) -> impl Iterator<Item = gates::Failure<'b>> {
        let (reach, machine) = (self.world.reach, self.world.machine);
        gates::failures(image, machine, &reach.retries, self.running.profile, self.now)
    }

    /// Turn, staged and window: without a clock only what is staged can be judged.
    fn judge_times(&mut self, policy: &Policy, spec: &OsUpdatePolicySpec, image: Option<&Image>) {
        let (reach, machine) = (self.world.reach, self.world.machine);
        let needed_ms = needed_ms(machine, image);
        let profile = self.running.profile;
        let usable =
            self.now.known.then(|| reach.calendar.usable(spec, profile, needed_ms, self.now));
        let piece = usable.as_ref().and_then(|usable| usable.piece);
        let mut stage_at = None;
        if let Some(piece) = piece {
            let start = start_at(&piece, policy, spec, reach.host(), needed_ms);
            self.window = Some(piece);
            self.start_at = Some(start);
            let from = stage_from(&piece, policy, spec);
            self.may_stage = from.is_some_and(|from| from <= self.now.earliest);
            stage_at = from;
            if usable.as_ref().is_some_and(|usable| usable.is_open) {
                self.gates.push(gates::turn(start, self.now));
            }
        }
        if let Some(image) = image {
            self.gates.push(gates::staged(image, machine, stage_at, self.now));
        }
        if let Some(usable) = &usable {
            self.gates.push(gates::window(usable, needed_ms, self.now));
        }
    }

    fn conclude(self) -> Decision {
        let activity = self.world.machine.activity;
        let concluded = verdict::conclude(&self.gates, self.may_stage, activity);
        Decision {
            verdict: concluded.verdict,
            reason: concluded.reason,
            message: concluded.message,
            next_look: verdict::next_look(&self.gates, self.now),
            gates: self.gates,
            target: self.target,
            window: self.window,
            start_at: self.start_at,
        }
    }
}

fn resolved(policy: &Policy, image: &Image) -> ResolvedTarget {
    ResolvedTarget {
        policy: policy.source.id.clone(),
        policy_version: policy.source.version,
        os_profile: image.id.clone(),
        digest: image.digest,
        profile: image.profile.clone(),
        version: image.written.clone(),
        index_digest: image.index_digest,
        index_bytes: image.index_bytes,
        image_sha256: image.sha256,
        parts: image.parts.clone(),
    }
}
