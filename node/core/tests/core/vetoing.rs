//! Local inhibitors, custom configuration and operations.

use daymark_core::Event;
use daymark_core::effect::{Act, Effect, OpId, Reply};
use daymark_core::event::{OpOutput, RequestId};
use daymark_protocol::resource::{CustomConfigSpec, Kind, Scope, Spec, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{ResourceDraft, named_id};

use crate::support::{Asked, Fleet, Rig, entries, start};

fn inhibit(rig: &mut Rig, why: &str, until: Option<WallTime>) -> Reply {
    let (request, why) = (RequestId(3), why.to_owned());
    rig.step(Event::Inhibit { request, why, until }).reply()
}

#[test]
fn an_inhibitor_is_set_lifted_and_ends() {
    let mut rig = Rig::member(&Fleet::new(1, 1), 10);
    let inhibitors = |rig: &Rig| rig.node.machine().unwrap().inhibitors;
    let until = start().plus_ms(120_000);
    assert!(matches!(inhibit(&mut rig, "", Some(until)), Reply::Refused(_)));
    assert!(matches!(inhibit(&mut rig, "shift", None), Reply::Refused(_)));
    assert_eq!(inhibit(&mut rig, "shift", Some(until)), Reply::Done);
    assert_eq!(inhibitors(&rig), ["shift"]);
    assert_eq!(rig.node.durable().inhibitors.len(), 1);
    assert_eq!(inhibit(&mut rig, "shift", None), Reply::Done);
    assert!(inhibitors(&rig).is_empty());
    assert_eq!(inhibit(&mut rig, "shift", Some(until)), Reply::Done);
    rig.wait(59_999);
    assert_eq!(inhibitors(&rig), ["shift"]);
    rig.wait(1);
    assert!(inhibitors(&rig).is_empty());
}

/// One that is over stays on the disk until the next is set, and asks for nothing.
#[test]
fn an_inhibitor_that_is_over_no_longer_makes_the_node_decide() {
    let mut rig = Rig::member(&Fleet::new(1, 1), 10);
    let decisions = |rig: &mut Rig, minutes: u32| {
        let before = rig.node.status().counters.decisions;
        (0..minutes).for_each(|_| drop(rig.wait(60_000)));
        rig.node.status().counters.decisions - before
    };
    assert_eq!(decisions(&mut rig, 60), 0, "nothing asks for a decision");
    let until = start().plus_ms(i64::try_from(rig.now_ms).unwrap() + 240_000);
    assert_eq!(inhibit(&mut rig, "shift", Some(until)), Reply::Done);
    assert_eq!(decisions(&mut rig, 3), 3, "it is looked at until it ends");
    assert_eq!(rig.node.durable().inhibitors.len(), 1);
    assert_eq!(decisions(&mut rig, 60), 0, "it goes on deciding");
}

fn delivered(asked: &Asked) -> Option<(OpId, String)> {
    let deliver = |effect: &Effect| match effect {
        Effect::Perform { op, act: Act::DeliverConfig { config, .. } } => {
            Some((*op, config.clone()))
        }
        _ => None,
    };
    assert!(
        asked.immediate.iter().all(|effect| deliver(effect).is_none()),
        "acts wait for the save"
    );
    asked.deferred.iter().find_map(deliver)
}

#[test]
fn custom_configuration_is_delivered_once_for_each_content() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::member(&fleet, 10);
    let config = |version: u64, text: &str| {
        let spec = CustomConfigSpec {
            name: "motd".into(),
            config: text.into(),
            description: String::new(),
        };
        let id = named_id(Kind::CustomConfig, &fleet.id, &Scope::Fleet, "motd");
        let resource = ResourceDraft::new(id, version, &Spec::CustomConfig(spec))
            .target(Target { all: true, ..Target::default() });
        entries(fleet.signed(&fleet.draft().resource(resource)))
    };
    let (op, text) = delivered(&rig.submit(config(1, "hello"))).unwrap();
    assert_eq!(text, "hello");
    rig.step(Event::OpDone { op, result: Err("disk full".into()) });
    let (op, _) = delivered(&rig.wait(60_000)).expect("it is tried again");
    rig.step(Event::OpDone { op, result: Ok(OpOutput::Done) });
    assert!(rig.node.durable().delivered_config.is_some());
    assert!((0..20).all(|_| delivered(&rig.wait(30_000)).is_none()), "delivered again");
    assert_eq!(delivered(&rig.submit(config(2, "bye"))).unwrap().1, "bye");
}

#[test]
fn the_end_of_an_operation_that_nobody_waits_for_changes_nothing() {
    let mut rig = Rig::member(&Fleet::new(1, 1), 10);
    rig.wait(60_000);
    let before = rig.node.durable().clone();
    for result in [Ok(OpOutput::Done), Ok(OpOutput::Healthy), Err("late".to_owned())] {
        rig.step(Event::OpDone { op: OpId(999), result });
    }
    assert_eq!(rig.node.status().counters.stale_operations, 3);
    assert_eq!(*rig.node.durable(), before);
}
