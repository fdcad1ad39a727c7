//! From the gates' answers to the verdict, and to the next moment at which time may change it.

use super::gates::is_moot;
use super::model::{Activity, Gate, GateAnswer, Verdict, Word};
use crate::time::{Now, WallTime};

/// A verdict with its reason.
pub(super) struct Concluded {
    pub(super) verdict: Verdict,
    pub(super) reason: Word,
    pub(super) message: String,
}

impl Concluded {
    fn by(verdict: Verdict, answer: &GateAnswer) -> Self {
        let (reason, message) = (answer.reason.clone(), answer.message.clone());
        Self { verdict, reason, message }
    }

    fn new(verdict: Verdict, reason: &'static str, message: &str) -> Self {
        Self { verdict, reason: Word::Borrowed(reason), message: message.into() }
    }
}

/// Draws the verdict. `may_stage`: a usable window is open or near enough.
pub(super) fn conclude(gates: &[GateAnswer], may_stage: bool, activity: Activity) -> Concluded {
    if activity == Activity::Activating {
        return Concluded::new(Verdict::Wait, "activating", "an update is being activated");
    }
    let failed = |gate: Gate| gates.iter().find(|answer| answer.gate == gate && !answer.pass);
    let untrusted = failed(Gate::Enrolled).or_else(|| failed(Gate::Authority));
    let moot = gates.iter().find(|answer| asks_for_nothing(answer));
    match (untrusted, moot) {
        (Some(answer), _) => return Concluded::by(Verdict::Wait, answer),
        (None, Some(answer)) => return Concluded::by(Verdict::Nothing, answer),
        (None, None) => {}
    }
    if let Some(answer) = gates.iter().find(|answer| !answer.pass && !is_of_course(answer.gate)) {
        return Concluded::by(Verdict::Wait, answer);
    }
    match (failed(Gate::Window), failed(Gate::Staged), failed(Gate::Turn)) {
        (_, Some(_), _) if may_stage => stage(gates),
        (Some(answer), ..) | (None, Some(answer), _) | (None, None, Some(answer)) => {
            Concluded::by(Verdict::Wait, answer)
        }
        (None, None, None) if has_all(gates) => Concluded::new(
            Verdict::Activate,
            "staged-and-open",
            "the image is staged and a window is open: switch to it",
        ),
        (None, None, None) => {
            Concluded::new(Verdict::Wait, "undecided", "not every gate could be judged")
        }
    }
}

/// Stage for the reason that the image is wanted.
fn stage(gates: &[GateAnswer]) -> Concluded {
    let newer = gates.iter().find(|answer| answer.gate == Gate::Newer);
    newer.map_or_else(
        || Concluded::new(Verdict::Wait, "undecided", "not every gate could be judged"),
        |answer| Concluded::by(Verdict::Stage, answer),
    )
}

fn asks_for_nothing(answer: &GateAnswer) -> bool {
    let says = |gate: Gate, word: &str| answer.gate == gate && answer.reason == word;
    let unasked = says(Gate::Policy, "no-policy") || says(Gate::Target, "nothing-promoted");
    !answer.pass && unasked || is_moot(answer)
}

/// Gates that fail in the ordinary course of an update.
fn is_of_course(gate: Gate) -> bool {
    matches!(gate, Gate::Turn | Gate::Staged | Gate::Window)
}

/// Activation takes the word of every gate there is.
fn has_all(gates: &[GateAnswer]) -> bool {
    Gate::ALL.iter().all(|gate| gates.iter().any(|answer| answer.gate == *gate && answer.pass))
}

/// The earliest moment at which an answer may change by time alone. What changes at a moment does
/// so when one end of `now` passes it, and `now` moves as a whole: its middle is what is looked at.
pub(super) fn next_look(gates: &[GateAnswer], now: &Now) -> Option<WallTime> {
    if !now.known {
        return None;
    }
    let half_ms = now.latest.since_ms(now.earliest) / 2;
    let looks = gates.iter().filter_map(|answer| answer.changes_at).map(|at| {
        let shift_ms = if at > now.latest { -half_ms } else { half_ms };
        at.plus_ms(shift_ms)
    });
    looks.min()
}
