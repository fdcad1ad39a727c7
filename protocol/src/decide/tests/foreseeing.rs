//! What is foreseen, against a walk of every second that asks the decision each time.

use serde_json::json;

use super::fleet::*;
use crate::decide::{
    Activity, Foresight, Gate, Reach, StagedImage, Verdict, World, decide, foresee,
};
use crate::resource::Kind;
use crate::time::{Now, WallTime};

const FROM: &str = "2026-06-16T00:00:00Z";
const TO: &str = "2026-06-17T06:00:00Z";

fn foreseen(fleet: &Fleet) -> Foresight {
    foresee(&Reach::new(&fleet.standing, HOST), &fleet.machine, at(FROM), at(TO))
}

/// The first second at which a machine that is asked each second stages, and activates.
fn walked(fleet: &Fleet) -> (Option<WallTime>, Option<WallTime>) {
    let reach = Reach::new(&fleet.standing, HOST);
    let mut machine = fleet.machine.clone();
    let mut stages_at = None;
    let mut now = at(FROM);
    while now < at(TO) {
        let decision = decide(&World { reach: &reach, machine: &machine }, &Now::reading(now, 0));
        match decision.verdict {
            Verdict::Activate => return (stages_at, Some(now)),
            Verdict::Stage => {
                let target = decision.target.unwrap();
                let index_digest = target.index_digest.unwrap();
                machine.staged = Some(StagedImage { profile: target.digest, index_digest });
                stages_at = Some(now);
            }
            Verdict::Nothing | Verdict::Wait => now = now.plus_ms(1_000),
        }
    }
    (stages_at, None)
}

#[test]
fn a_walk_of_every_second_comes_to_the_same_instant() {
    let mut spread = Fleet::ready();
    spread.machine.staged = None;
    let mut staged = Fleet::ready();
    staged.machine.activity = Activity::Staging;
    let mut shut = Fleet::ready();
    let spec = blackout("2026-06-16T00:00:00Z", "2026-06-16T03:58:00Z");
    shut.put(Kind::Blackout, "b", json!({ "all": true }), spec);
    for fleet in [&spread, &staged, &shut] {
        let (stages_at, activates) = walked(fleet);
        let foresight = foreseen(fleet);
        let update = foresight.updates.first().expect("it updates");
        // A turn may come within a second.
        let after_ms = activates.expect("it updates").since_ms(update.at);
        assert!((0..1_000).contains(&after_ms), "{update:?} {activates:?}");
        assert_eq!(update.stages_at, stages_at);
        assert_eq!(foresight.updates.len(), 1, "then it is there");
        assert_eq!(&*foresight.last.reason, "already-there");
        assert_eq!(foresight.looked_until, at(TO));
        let (begin, offset_ms) = update.spread.expect("it has a turn");
        assert_eq!(begin.plus_ms(offset_ms), update.at);
        assert!(update.window.expect("a window").start <= update.at);
    }
    let second_night = foreseen(&shut).updates.remove(0);
    assert!(second_night.at >= at("2026-06-17T02:00:00Z"), "{second_night:?}");
}

#[test]
fn each_reason_is_told_once_and_from_when_on() {
    let mut fleet = Fleet::ready();
    let until = "2026-06-16T01:00:00Z";
    let hold = fleet.put(Kind::Hold, "h", json!({ "all": true }), json!({ "name": "h" }));
    hold.until = Some(at(until));
    let foresight = foreseen(&fleet);
    let told = |foresight: &Foresight| {
        let objections = foresight.objections.iter();
        objections.map(|one| (one.gate, one.reason.to_string(), one.from)).collect::<Vec<_>>()
    };
    let updated = foresight.updates[0].until;
    assert_eq!(
        told(&foresight),
        [
            (Some(Gate::Halted), "held".to_owned(), at(FROM)),
            (Some(Gate::Window), "outside-window".to_owned(), at(until)),
            (Some(Gate::Newer), "already-there".to_owned(), updated),
        ]
    );
    fleet.machine.inhibitors.push("a shift runs".to_owned());
    let inhibited = foreseen(&fleet);
    let gates: Vec<_> = inhibited.objections.iter().map(|one| one.gate).collect();
    assert_eq!(gates, [Some(Gate::Halted), Some(Gate::Inhibited)]);
    assert_eq!((inhibited.updates, walked(&fleet).1), (vec![], None));
}
