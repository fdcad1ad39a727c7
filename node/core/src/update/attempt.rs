//! One attempt: when it is given up, what is really booted, and its one record.

use daymark_protocol::decide::{
    Decision, Gate, Installed, Quarantined, ResolvedTarget, Verdict, Window,
};
use daymark_protocol::id::Digest;
use daymark_protocol::limits;
use daymark_protocol::time::{Now, WallTime};

use crate::durable::{Attempt, DurableState, FinishedRun, UpdateState};
use crate::event::Inspection;

/// Quarantined images that are remembered; the oldest are forgotten first.
const QUARANTINE_MAX: usize = 64;
/// Bounds of a measured activation time: a clock that was set meanwhile must neither forbid every
/// window nor make the host start too late in one.
const ACTIVATION_MS: std::ops::RangeInclusive<u64> = 60_000..=6 * 3_600_000;

/// What the run of an image says that was booted without our restart.
const UNORDERED_RESTART: &str = "the machine restarted by itself after the boot switch";

/// Why an attempt is given up before the boot switch (RULES Q14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DropReason {
    Superseded,
    Halted,
    WindowMissed,
}

impl DropReason {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Halted => "halted",
            Self::WindowMissed => "window missed",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The image runs, is healthy and confirmed.
    Updated,
    /// The boot switch was ordered, and what ran before runs again: the image is quarantined.
    Failed,
    /// Given up before the machine restarted: the image is not to blame.
    Dropped,
}

/// Whether an attempt is to be given up, if the boot switch is not done.
pub(super) fn drop_reason(attempt: &Attempt, decision: &Decision, now: Now) -> Option<DropReason> {
    let halted = decision.gates.iter().any(|answer| answer.gate == Gate::Halted && !answer.pass);
    if halted {
        return Some(DropReason::Halted);
    }
    let other = decision.target.as_ref().is_some_and(|target| {
        target.digest != attempt.target.digest || image_of(target) != image_of(&attempt.target)
    });
    if other || decision.verdict == Verdict::Nothing {
        return Some(DropReason::Superseded);
    }
    let may_still = |window: &Window| window.end.is_none_or(|end| now.earliest < end);
    let open = |window: &Window| window.start <= now.latest && may_still(window);
    let missed = attempt.window.is_some_and(|window| !may_still(&window));
    (missed && !decision.window.as_ref().is_some_and(open)).then_some(DropReason::WindowMissed)
}

/// Why a boot switch that is done is taken back before the restart, if it is: the restart needs
/// the same permission as the switch did, and no decision is none.
pub(super) fn withdrawal(
    attempt: &Attempt,
    decision: Option<&Decision>,
    now: Now,
) -> Option<String> {
    let Some(decision) = decision else {
        return Some("whether to restart could not be decided".to_owned());
    };
    if let Some(reason) = drop_reason(attempt, decision, now) {
        return Some(reason.text().to_owned());
    }
    (decision.verdict != Verdict::Activate)
        .then(|| format!("no longer permitted: {}", decision.message))
}

/// Whether nobody entitled to it asks for what is being staged any more. That the root expired
/// alone stops no staging that runs (RULES R1).
pub(super) fn is_unauthorised(decision: &Decision) -> bool {
    decision.target.is_none()
        || decision.gates.iter().any(|answer| {
            !answer.pass
                && match answer.gate {
                    Gate::Enrolled => true,
                    Gate::Authority => answer.reason != "root-expired",
                    Gate::Clock
                    | Gate::Halted
                    | Gate::Sees
                    | Gate::Policy
                    | Gate::Target
                    | Gate::Compatible
                    | Gate::Newer
                    | Gate::Quarantine
                    | Gate::SoleUpdater
                    | Gate::Inhibited
                    | Gate::Turn
                    | Gate::Staged
                    | Gate::Window
                    | Gate::Slot => false,
                }
        })
}

/// Whether the machine certainly did not restart since the boot switch was ordered.
pub(super) fn is_same_boot(attempt: &Attempt, inspection: &Inspection) -> bool {
    attempt.boot_id.is_some() && attempt.boot_id == inspection.boot_id
}

/// The bytes that a target names: its index, or for a platform without images of ours the profile.
pub(super) fn image_of(target: &ResolvedTarget) -> Digest {
    target.index_digest.unwrap_or(target.digest)
}

/// Whether what the attempt installs is what is booted. A slot tells best; without slots, the
/// bytes of what is installed, and without those its name. Nothing known means no: then the machine
/// falls back, which is always allowed.
pub(super) fn is_target_booted(attempt: &Attempt, inspection: &Inspection) -> bool {
    let installed = inspection.machine.installed.as_ref();
    let target = &attempt.target;
    let same_bytes = installed
        .and_then(|installed| installed.is_same_bytes(target.index_digest, target.image_sha256));
    match (&inspection.booted_slot, &attempt.from_slot) {
        (Some(booted), Some(from)) => booted != from && same_bytes.unwrap_or(true),
        (None, _) | (_, None) => same_bytes
            .unwrap_or_else(|| installed.is_some_and(|installed| is_named(attempt, installed))),
    }
}

/// Whether what runs is called as the target is, and is not what ran before: a version alone does
/// not tell an image that was published anew, or of another profile, from its predecessor (I12).
fn is_named(attempt: &Attempt, installed: &Installed) -> bool {
    let target = &attempt.target;
    let same_version = installed.version.as_ref() == Some(&target.version);
    let profile = installed.profile.as_ref();
    let told_by_version = attempt.from_version.as_ref() != Some(&target.version)
        && profile.is_none_or(|profile| *profile == target.profile);
    let told_by_profile = profile == Some(&target.profile)
        && attempt.from_profile.as_ref().is_some_and(|from| *from != target.profile);
    same_version && (told_by_version || told_by_profile)
}

/// Ends an attempt: its one record, and what the machine learns from it (I12).
pub(super) fn close(
    state: &mut DurableState,
    attempt: Attempt,
    outcome: Outcome,
    ended: WallTime,
    now: Now,
) {
    let unordered = attempt.unordered_restart.then(|| UNORDERED_RESTART.to_owned());
    let reason = attempt.failure.clone().or(unordered).unwrap_or_default();
    match outcome {
        Outcome::Updated => {
            if let Some(measured_ms) = measured_ms(&attempt, ended, now) {
                state.activation_ms = Some(measured_ms);
            }
        }
        Outcome::Failed => {
            state.quarantine.retain(|held| held.index_digest != image_of(&attempt.target));
            state.quarantine.push(Quarantined {
                profile: attempt.target.digest,
                index_digest: image_of(&attempt.target),
                attempt: attempt.number,
                reason: reason.clone(),
            });
            let surplus = state.quarantine.len().saturating_sub(QUARANTINE_MAX);
            state.quarantine.drain(..surplus);
        }
        Outcome::Dropped => {}
    }
    let status = match outcome {
        Outcome::Updated => "UPDATED",
        Outcome::Failed | Outcome::Dropped => "FAILED",
    };
    state.update = UpdateState::Idle;
    state.finished.push(FinishedRun {
        ended: ended.max(attempt.started),
        attempt,
        status: status.to_owned(),
        detail: cut(&reason, limits::RUN_DETAIL_BYTES_MAX),
    });
    let surplus = state.finished.len().saturating_sub(limits::RUNS_KEPT);
    state.finished.drain(..surplus);
}

/// How long an activation took (RULES Q8), if the clock counts at its end as it did at its start,
/// which a restart lies between. Never below half of what the profile says.
fn measured_ms(attempt: &Attempt, ended: WallTime, now: Now) -> Option<u64> {
    let activated = attempt.activated.filter(|_| now.known)?;
    let said_ms = attempt.activation_ms.unwrap_or(0).min(*ACTIVATION_MS.end());
    let least_ms = (said_ms / 2).max(*ACTIVATION_MS.start());
    Some(elapsed_ms(activated, ended).clamp(least_ms, *ACTIVATION_MS.end()))
}

/// The first `bytes_max` bytes of a text, at a character's edge.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

/// Time between two points, not negative, in ms.
fn elapsed_ms(from: WallTime, to: WallTime) -> u64 {
    u64::try_from(to.since_ms(from)).unwrap_or(0)
}
