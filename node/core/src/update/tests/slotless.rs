//! Machines whose slots nobody names, as with an operator's program that tells only what is
//! installed: whether the new system came up is read from that alone.

use daymark_protocol::decide::Verdict;

use super::rig::{Asked, Hardware, NEW, OLD, Rig, Told, decision, digest_of};
use crate::durable::{DurableState, UpdateState};
use crate::effect::Act;
use crate::event::{OpOutput, StageProgress};

/// An update from the first to the second of these, restarted into `came_up`; what the next start
/// of the agent asks for.
fn restarted_into(came_up: usize, told: [Told; 2]) -> (Rig, Hardware, Asked) {
    let mut hardware = Hardware { told: Some(told), ..Hardware::new() };
    let mut rig = Rig::start(DurableState::default());
    rig.resume(&hardware);
    let op = rig.decided(&hardware, &decision(Verdict::Stage, NEW)).acts[0].0;
    let activate = decision(Verdict::Activate, NEW);
    rig.done(&hardware, op, Ok(OpOutput::Staged(StageProgress::default())), &activate);
    let op = rig.decided(&hardware, &activate).acts[0].0;
    rig.done(&hardware, op, Ok(OpOutput::Done), &activate);
    hardware.boots += 1;
    hardware.booted = came_up;
    let mut rig = Rig::start(rig.saved.get().clone());
    let asked = rig.resume(&hardware);
    (rig, hardware, asked)
}

/// Whether the machine takes what came up for the image that it installed.
fn is_taken_for_new(came_up: usize, told: [Told; 2]) -> bool {
    let asked = restarted_into(came_up, told).2;
    let act = &asked.acts[0].1;
    let taken = matches!(act, Act::CheckHealth { .. });
    assert!(taken || matches!(act, Act::FallBack { .. }), "{act:?}");
    taken
}

/// By version, profile or bytes, whatever of them differs and is told.
#[test]
fn i12_an_old_system_that_came_back_never_counts_as_updated() {
    let published = Some(digest_of("the published file"));
    let before = Some(digest_of("the file before"));
    for told in [
        [(None, OLD, None), (None, NEW, None)],
        [(Some("p"), OLD, None), (Some("p"), NEW, None)],
        [(Some("q"), NEW, None), (Some("p"), NEW, None)],
        [(Some("p"), NEW, before), (Some("p"), NEW, published)],
        [(None, NEW, before), (None, NEW, published)],
        [(None, OLD, None), (None, NEW, published)],
    ] {
        assert!(!is_taken_for_new(0, told), "the old of {told:?}");
        assert!(is_taken_for_new(1, told), "the new of {told:?}");
    }
}

#[test]
fn i12_what_cannot_be_told_apart_falls_back() {
    let before = Some(digest_of("the file before"));
    for told in [
        [(None, NEW, None), (None, NEW, None)],
        [(Some("p"), NEW, None), (Some("p"), NEW, None)],
        [(None, NEW, None), (Some("p"), NEW, None)],
        [(Some("p"), OLD, None), (Some("q"), NEW, None)],
        [(Some("p"), OLD, before), (Some("p"), NEW, before)],
    ] {
        assert!(!is_taken_for_new(0, told), "the old of {told:?}");
        assert!(!is_taken_for_new(1, told), "the new of {told:?}");
    }
}

/// Back on an old system of the same version, the machine is not "still on the image that failed".
#[test]
fn i12_falling_back_to_another_profile_of_the_same_version_ends() {
    let told = [(Some("q"), NEW, None), (Some("p"), NEW, None)];
    let (mut rig, hardware, asked) = restarted_into(0, told);
    let done =
        rig.done(&hardware, asked.acts[0].0, Ok(OpOutput::Done), &decision(Verdict::Wait, NEW));
    assert!(done.acts.is_empty(), "{:?}", done.acts);
    assert_eq!(rig.saved.get().update, UpdateState::Idle);
    assert_eq!(rig.saved.get().finished[0].status, "FAILED");
}
