//! What the machine itself says: other updaters, inhibitors, what is staged, the slot.

use crate::decide::because::Because;
use crate::decide::image::Image;
use crate::decide::model::{Activity, Gate, GateAnswer, Machine};
use crate::time::{Now, WallTime};

/// No other updater is active.
pub(in crate::decide) fn sole_updater(machine: &Machine) -> GateAnswer {
    if machine.other_updaters.is_empty() {
        return Because::new("sole-updater", "no other updater is active").pass(Gate::SoleUpdater);
    }
    let because = Because::new("other-updater", "another updater is active on this machine");
    facts(because, "updater", &machine.other_updaters).fail(Gate::SoleUpdater)
}

/// Nothing local inhibits: a local veto can only stop.
pub(in crate::decide) fn inhibited(machine: &Machine) -> GateAnswer {
    if machine.inhibitors.is_empty() {
        return Because::new("not-inhibited", "nothing local inhibits").pass(Gate::Inhibited);
    }
    let because = Because::new("inhibited", "this machine must not be changed now");
    facts(because, "inhibitor", &machine.inhibitors).fail(Gate::Inhibited)
}

fn facts(because: Because, about: &'static str, facts: &[String]) -> Because {
    facts.iter().fold(because, |because, fact| because.fact(about, fact.clone()))
}

/// What is staged are the wanted bytes; where the image is not ours, the wanted profile. If it is
/// not, staging may begin at `stage_at`.
pub(in crate::decide) fn staged(
    image: &Image,
    machine: &Machine,
    stage_at: Option<WallTime>,
    now: &Now,
) -> GateAnswer {
    let told = format!("{} {}", image.profile, image.written);
    let is_wanted = machine.staged.as_ref().is_some_and(|staged| match &image.index_digest {
        Some(index) => staged.index_digest == *index,
        None => staged.profile == image.digest,
    });
    if is_wanted {
        Because::new("staged", format!("{told} is staged")).pass(Gate::Staged)
    } else {
        let because = Because::new("not-staged", format!("{told} is not staged"));
        let because = match stage_at {
            Some(at) => because.fact("from", at.to_string()).changes_at(now, at),
            None => because,
        };
        because.fail(Gate::Staged)
    }
}

/// The inactive slot is free to be used.
pub(in crate::decide) fn slot(machine: &Machine) -> GateAnswer {
    match (&machine.slot_busy, machine.activity) {
        (_, Activity::Activating) => {
            Because::new("activating", "an update is being activated").fail(Gate::Slot)
        }
        (Some(why), Activity::Idle | Activity::Staging) => {
            Because::new("slot-busy", "no slot can be written")
                .fact("slot", why.clone())
                .fail(Gate::Slot)
        }
        (None, Activity::Idle | Activity::Staging) => {
            Because::new("slot-free", "the inactive slot is free to be used").pass(Gate::Slot)
        }
    }
}
