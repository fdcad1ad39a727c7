//! Custom configuration under the rules of what opens (RULES S5 to S7), and leaving a site's group.

use daymark_core::Event;
use daymark_core::effect::{Act, Effect, OpId};
use daymark_core::event::{Carried, OpOutput};
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{CustomConfigSpec, HoldSpec, Kind, Scope, Spec, Target};
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

/// Configuration of a name for whoever is named, signed over a scope.
fn of(fleet: &Fleet, name: &str, scope: &Scope, target: Target, text: &str) -> Vec<Carried> {
    let spec =
        CustomConfigSpec { name: name.into(), config: text.into(), description: String::new() };
    let id = named_id(Kind::CustomConfig, &fleet.id, scope, &format!("{name}-{text}"));
    let resource = ResourceDraft::new(id, 1, &Spec::CustomConfig(spec)).target(target);
    entries(fleet.signed(&Draft::new(fleet.id, scope.clone(), start()).resource(resource)))
}

/// The acts of a step on configuration.
fn acts(asked: &Asked) -> Vec<(OpId, String, String)> {
    let deliver = |effect: &Effect| match effect {
        Effect::Perform { op, act: Act::DeliverConfig { name, config } } => {
            Some((*op, name.clone(), config.clone()))
        }
        _ => None,
    };
    asked.deferred.iter().filter_map(deliver).collect()
}

/// What the host's report says of its configuration; empty if nothing is wrong.
fn told(rig: &mut Rig) -> String {
    rig.wait(10_000);
    let view = rig.node.replica().unwrap().host_view(&rig.id()).unwrap();
    view.facts().configuration_problem().unwrap_or_default().to_owned()
}

/// Q10: of one name the nearest counts, in whatever order they come and whatever their ids are.
#[test]
fn q10_the_nearest_configuration_of_a_name_is_delivered() {
    let fleet = Fleet::new(1, 1);
    let berlin = Scope::Site("berlin".parse().unwrap());
    let near = |name: &str, rig: &Rig| match name {
        "all" => (Scope::Fleet, everyone()),
        "site" => (berlin.clone(), everyone()),
        _ => (Scope::Fleet, Target { hosts: [rig.id()].into(), ..Target::default() }),
    };
    for order in [["all", "site", "host"], ["host", "site", "all"], ["site", "host", "all"]] {
        let mut rig = Rig::member(&fleet, 10);
        let mut held = None;
        for name in order {
            let (scope, target) = near(name, &rig);
            let asked = rig.submit(of(&fleet, NAME, &scope, target, name));
            settle(&mut rig, asked, &mut held);
        }
        assert_eq!(held.as_deref(), Some("host"), "{order:?}");
        assert_eq!(told(&mut rig), "");
    }
    // Two that are as near as each other: it stays as it was, and people are told.
    let mut rig = Rig::member(&fleet, 10);
    let mut held = None;
    for name in ["one", "two"] {
        let asked = rig.submit(of(&fleet, NAME, &Scope::Fleet, everyone(), name));
        settle(&mut rig, asked, &mut held);
    }
    assert_eq!(held.as_deref(), Some("one"));
    assert!(told(&mut rig).starts_with("motd: several configurations"));
    let asked = rig.submit(of(&fleet, NAME, &berlin, everyone(), "site"));
    settle(&mut rig, asked, &mut held);
    assert_eq!((held.as_deref(), told(&mut rig).as_str()), (Some("site"), ""));
}

#[test]
fn a_delivery_that_fails_is_told_and_stops_no_other() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let mut both = of(&fleet, "a", &Scope::Fleet, everyone(), "first");
    both.extend(of(&fleet, "b", &Scope::Fleet, everyone(), "second"));
    let (op, name, _) = acts(&rig.submit(both)).remove(0);
    assert_eq!(name, "a");
    let failed = rig.step(Event::OpDone { op, result: Err("disk full".into()) });
    let (op, name, _) = acts(&failed).remove(0);
    assert_eq!(name, "b");
    rig.step(Event::OpDone { op, result: Ok(OpOutput::Done) });
    assert_eq!(told(&mut rig), "a: disk full");
    let problems = rig.node.status().problems;
    assert!(problems.iter().any(|p| p == "custom configuration: a: disk full"), "{problems:?}");
    // What did not fail is not written again; what failed is, after a minute.
    let again = rig.wait(60_000);
    let (op, name, _) = acts(&again).remove(0);
    assert_eq!((name.as_str(), acts(&again).len()), ("a", 1));
    rig.step(Event::OpDone { op, result: Ok(OpOutput::Done) });
    assert_eq!(told(&mut rig), "");
    assert!(rig.disk.durable.delivered_config.is_some());
    assert!((0..5).all(|_| acts(&rig.wait(60_000)).is_empty()), "delivered again");
}

#[test]
fn a_delivery_that_hangs_is_given_up_and_new_content_does_not_wait_for_it() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let (hung, ..) =
        acts(&rig.submit(of(&fleet, "a", &Scope::Fleet, everyone(), "first"))).remove(0);
    let later = of(&fleet, "b", &Scope::Fleet, everyone(), "second");
    assert!(acts(&rig.submit(later)).is_empty(), "one file at a time");
    let given_up = rig.wait(600_000);
    let cancels = |effect: &Effect| matches!(effect, Effect::Cancel { op } if *op == hung);
    assert!(given_up.immediate.iter().any(cancels));
    let (op, name, _) = acts(&given_up).remove(0);
    assert_eq!(name, "b");
    rig.step(Event::OpDone { op, result: Ok(OpOutput::Done) });
    assert_eq!(told(&mut rig), "a: not written within 10 minutes");
    rig.step(Event::OpDone { op: hung, result: Err("it was called off".into()) });
    assert!((0..58).all(|_| acts(&rig.wait(60_000)).is_empty()), "each try may hang too");
    let tried: Vec<String> =
        (0..3).flat_map(|_| acts(&rig.wait(60_000))).map(|(_, name, _)| name).collect();
    assert_eq!(tried, ["a"]);
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
