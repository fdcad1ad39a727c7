//! Custom configuration under the rules of what opens (RULES S5 to S7), and leaving a site's group.

use daymark_core::Event;
use daymark_core::effect::{Act, Effect};
use daymark_core::event::OpOutput;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{CustomConfigSpec, HoldSpec, Kind, Scope, Spec};
use daymark_protocol::trust::{Draft, ResourceDraft, Seen, named_id};
use proptest::prelude::*;

use crate::support::{Asked, Fleet, Rig, entries, everyone, start};

const HOUR_MS: i64 = 3_600_000;
const NAME: &str = "motd";

fn id(fleet: &Fleet) -> ResourceId {
    named_id(Kind::CustomConfig, &fleet.id, &Scope::Fleet, NAME)
}

fn config(fleet: &Fleet, text: &str) -> ResourceDraft {
    let spec =
        CustomConfigSpec { name: NAME.into(), config: text.into(), description: String::new() };
    ResourceDraft::new(id(fleet), 1, &Spec::CustomConfig(spec)).target(everyone())
}

/// What the platform holds after a step: each delivery it asks for succeeds at once.
fn settle(rig: &mut Rig, asked: Asked, held: &mut Option<String>) {
    let mut next = Some(asked);
    while let Some(asked) = next.take() {
        for effect in asked.deferred {
            if let Effect::Perform { op, act: Act::DeliverConfig { name, config } } = effect {
                assert_eq!(name, NAME);
                *held = (!config.is_empty()).then_some(config);
                next = Some(rig.step(Event::OpDone { op, result: Ok(OpOutput::Done) }));
            }
        }
    }
}

/// What a hold that ended long ago is seen as, and the hold.
fn seen(fleet: &Fleet) -> (Seen, [Vec<u8>; 2]) {
    let id = named_id(Kind::Hold, &fleet.id, &Scope::Fleet, "seen");
    let spec = Spec::Hold(HoldSpec { name: "seen".into() });
    let resource = ResourceDraft::new(id.clone(), 1, &spec).target(everyone());
    let draft = fleet.draft().until(start().plus_ms(1)).resource(resource);
    (Seen(Scope::Fleet, Kind::Hold.name().to_owned(), id, 1), fleet.signed(&draft))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Delivered while, and only while, all that its signers saw is held, it was issued no more
    /// than a day ahead of now, and its end is not reached; taken away when it ends.
    #[test]
    fn s5_s6_s7_configuration_is_there_while_its_statement_is_in_force(
        issued_hours in -5..60_i64,
        lasts_hours in prop::option::of(1..60_i64),
        sees: bool,
        seen_after in 0..27_usize,
    ) {
        let fleet = Fleet::new(1, 1);
        let mut rig = Rig::member(&fleet, 10);
        let issued = start().plus_ms(issued_hours * HOUR_MS);
        let until = lasts_hours.map(|hours| issued.plus_ms(hours * HOUR_MS));
        let (named, hold) = seen(&fleet);
        let mut draft = Draft::new(fleet.id, Scope::Fleet, issued).resource(config(&fleet, "hi"));
        if let Some(until) = until {
            draft = draft.until(until);
        }
        if sees {
            draft = draft.sees([named]);
        }
        let mut held = None;
        let asked = rig.submit(entries(fleet.signed(&draft)));
        settle(&mut rig, asked, &mut held);
        let mut was_delivered = false;
        for step in 0..27 {
            if step == seen_after {
                let asked = rig.submit(entries(hold.clone()));
                settle(&mut rig, asked, &mut held);
            }
            // The node looks at itself at least once a minute.
            for _ in 0..2 {
                let asked = rig.wait(60_000);
                settle(&mut rig, asked, &mut held);
            }
            let now = start().plus_ms(i64::try_from(rig.now_ms).unwrap() + 60_000);
            let begun = issued.since_ms(now) <= 24 * HOUR_MS;
            let ended = until.is_some_and(|until| until <= now);
            let known = !sees || step >= seen_after;
            if begun && known && !ended {
                prop_assert_eq!(held.as_deref(), Some("hi"), "step {}", step);
                was_delivered = true;
            } else if ended || !was_delivered {
                prop_assert_eq!(held.as_deref(), None, "step {}", step);
            }
            // Three hours a step.
            rig.now_ms += 3 * 3_600_000 - 120_000;
        }
    }
}

#[test]
fn s2_configuration_is_taken_away_with_its_tombstone_and_kept_while_it_is_in_doubt() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let mut held = None;
    let asked = rig.submit(entries(fleet.signed(&fleet.draft().resource(config(&fleet, "hi")))));
    settle(&mut rig, asked, &mut held);
    assert_eq!(held.as_deref(), Some("hi"));
    // Two that share a version: which one counts nobody can tell (C2), so nothing changes.
    let asked = rig.submit(entries(fleet.signed(&fleet.draft().resource(config(&fleet, "ho")))));
    settle(&mut rig, asked, &mut held);
    assert_eq!(held.as_deref(), Some("hi"));
    let gone = ResourceDraft::tombstone(Kind::CustomConfig, id(&fleet), 2);
    let asked = rig.submit(entries(fleet.signed(&fleet.draft().resource(gone))));
    settle(&mut rig, asked, &mut held);
    assert_eq!(held, None);
    assert!(rig.disk.durable.delivered_names.is_empty());
}

/// Q2: a machine that moves leaves the group of the site that it left.
#[test]
fn q2_a_machine_that_moves_leaves_its_old_site_s_topic() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let moved = fleet.host(&rig.key, 2, "hamburg").moved_from(Some("berlin".parse().unwrap()));
    let asked = rig.submit(entries(fleet.signed(&fleet.draft().resource(moved))));
    let (mut left, mut entered) = (Vec::new(), Vec::new());
    for effect in &asked.immediate {
        match effect {
            Effect::Unsubscribe(topic) => left.push(topic.0.clone()),
            Effect::Subscribe(topic) => entered.push(topic.0.clone()),
            _ => {}
        }
    }
    assert!(matches!(left.as_slice(), [topic] if topic.ends_with("site/berlin")), "{left:?}");
    assert!(
        matches!(entered.as_slice(), [topic] if topic.ends_with("site/hamburg")),
        "{entered:?}"
    );
}
