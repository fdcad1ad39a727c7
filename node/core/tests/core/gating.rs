//! What a decision of the node rests on: the whole chain of roots, what the signers saw, retries.

use daymark_core::durable::DurableState;
use daymark_core::effect::Admission;
use daymark_protocol::decide::{Gate, Quarantined, Verdict};
use daymark_protocol::id::Digest;
use daymark_protocol::resource::{
    BlackoutSpec, HoldSpec, Kind, RetrySpec, ScheduleZone, Scope, Spec, Target,
};
use daymark_protocol::trust::{Draft, ResourceDraft, Seen, named_id};
use proptest::prelude::*;

use crate::support::{Disk, Fleet, Rig, entries, everyone, key, start, talk};

const ROOTS: u64 = 4;

/// What an ordered member of a fleet of [`ROOTS`] roots stored.
fn ordered(fleet: &Fleet) -> Disk {
    let mut rig = Rig::member(fleet, 10);
    rig.submit(entries(fleet.enroll(&key(11), "berlin")));
    rig.submit(fleet.order("2.0.0").1);
    assert_eq!(rig.node.decision().unwrap().verdict, Verdict::Stage);
    // Only the order matters here, not what followed from it.
    let durable = DurableState {
        pin: rig.disk.durable.pin,
        root_floor: rig.disk.durable.root_floor,
        ..DurableState::default()
    };
    Disk { durable, ..rig.disk }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// R2: whichever roots are lost, nothing is judged, and the node says why; with the roots of a
    /// peer it decides as before.
    #[test]
    fn r2_a_gap_in_the_chain_of_roots_means_wait_until_it_is_filled(lost in 0_u64..1 << ROOTS) {
        let fleet = Fleet::new(1, ROOTS);
        let mut disk = ordered(&fleet);
        disk.roots.retain(|(version, _)| lost & (1 << (version - 1)) == 0);
        let mut rig = Rig::restarted(10, disk);
        let decision = rig.node.decision().unwrap().clone();
        if lost == 0 {
            prop_assert_eq!(decision.verdict, Verdict::Stage);
            return Ok(());
        }
        prop_assert_eq!(decision.verdict, Verdict::Wait);
        prop_assert_eq!(&*rig.gate(Gate::Authority).reason, "root-incomplete");
        let problems = rig.node.status().problems;
        prop_assert!(problems.iter().any(|said| said.starts_with("nothing is judged")));
        let mut member = Rig::member(&fleet, 11);
        talk(&mut rig, &mut member, Admission::Stranger);
        prop_assert!(rig.gate(Gate::Authority).pass);
        prop_assert_eq!(rig.node.decision().unwrap().verdict, Verdict::Stage);
    }
}

/// R2: the version of the newest root that was ever held is a floor that outlasts its file. Without
/// it a machine would judge under the roots that an old copy of its folder holds.
#[test]
fn r2_an_older_chain_is_not_whole_once_a_newer_root_was_held() {
    let fleet = Fleet::new(1, 3);
    let mut rig = Rig::new(10);
    let mut items = vec![daymark_core::event::Carried::Root(fleet.roots[0].clone())];
    items.extend(entries(fleet.enroll(&key(10), "berlin")));
    rig.join(fleet.pins[0], items);
    assert!(rig.node.status().name.is_some());
    let mut member = Rig::member(&fleet, 11);
    member.submit(entries(fleet.enroll(&key(10), "berlin")));
    talk(&mut rig, &mut member, Admission::Stranger);
    assert_eq!(rig.node.status().root_version, 3);
    assert_eq!(rig.disk.durable.root_floor, 3, "durable with the roots themselves");
    let mut disk = rig.disk.clone();
    disk.roots.retain(|(version, _)| *version == 1);
    let rig = Rig::restarted(10, disk);
    assert!(rig.node.replica().unwrap().chain().wait().is_some());
    assert_eq!(rig.node.status().name, None, "it judges under an older root");
    assert_eq!(&*rig.gate(Gate::Authority).reason, "root-incomplete");
}

fn blackout(fleet: &Fleet, version: u64) -> (Seen, ResourceDraft) {
    let id = named_id(Kind::Blackout, &fleet.id, &Scope::Fleet, "harvest");
    let spec = Spec::Blackout(BlackoutSpec {
        name: "harvest".into(),
        from: start().plus_ms(-2_000),
        to: start().plus_ms(-1_000),
        yearly: false,
        zone: ScheduleZone::Utc,
    });
    let resource = ResourceDraft::new(id.clone(), version, &spec).target(everyone());
    (Seen(Scope::Fleet, Kind::Blackout.name().to_owned(), id, version), resource)
}

/// S5: a closing that exists nowhere any more, because its tombstone found no room, holds only those
/// back that never held it, and a newer version of what names it lets these go.
#[test]
fn s5_what_found_no_room_is_waited_for_only_where_it_never_was_and_until_it_is_signed_anew() {
    let fleet = Fleet::new(1, 1);
    let (seen, blackout) = blackout(&fleet, 1);
    let (digest, released) = fleet.release("2.0.0");
    let named = fleet.signed(&fleet.policy(1, "2.0.0", digest).sees([seen.clone()]));
    let order = [fleet.site(), released, named, fleet.window()].concat();

    let mut older = Rig::member(&fleet, 10);
    older.submit(entries(fleet.signed(&fleet.draft().resource(blackout))));
    let gone = ResourceDraft::tombstone(Kind::Blackout, seen.2.clone(), 2);
    older.submit(entries(fleet.signed(&fleet.draft().resource(gone))));
    let Disk { durable, roots, floors, .. } = older.disk;
    // Its floors are what is left when the room is full.
    let mut older = Rig::restarted(10, Disk { durable, roots, floors, ..Disk::default() });
    let mut fresh = Rig::member(&fleet, 11);
    for rig in [&mut older, &mut fresh] {
        rig.submit(entries(fleet.enroll(&key(10), "berlin")));
        rig.submit(entries(order.clone()));
    }
    assert_eq!(older.node.decision().unwrap().verdict, Verdict::Stage);
    assert_eq!(fresh.node.decision().unwrap().verdict, Verdict::Wait);
    let answer = fresh.gate(Gate::Sees);
    assert!(answer.evidence.iter().any(|fact| fact.1.contains(seen.2.as_str())), "{answer:?}");
    fresh.submit(entries(fleet.signed(&fleet.policy(2, "2.0.0", digest))));
    assert_eq!(fresh.node.decision().unwrap().verdict, Verdict::Stage);
}

fn retry(fleet: &Fleet, profile: Digest, attempt: u64) -> Draft {
    let spec = Spec::Retry(RetrySpec { name: "again".into(), profile, attempt });
    let id = named_id(Kind::Retry, &fleet.id, &Scope::Fleet, "again");
    let target = Target { hosts: vec![key(10).public().id()], ..Target::default() };
    fleet.draft().resource(ResourceDraft::new(id, 1, &spec).target(target))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Q3: a retry lifts the quarantine of the profile that it names, up to the attempt that it
    /// names, and of nothing else.
    #[test]
    fn q3_a_retry_lifts_the_quarantine_of_its_profile_up_to_its_attempt(
        failed in 1..6_u64,
        named in 1..6_u64,
        same_profile: bool,
    ) {
        let fleet = Fleet::new(1, 1);
        let mut disk = ordered(&fleet);
        let (profile, _) = fleet.order("2.0.0");
        disk.durable.attempt = failed;
        disk.durable.quarantine = vec![Quarantined {
            profile,
            index_digest: Digest::of(b"2.0.0"),
            attempt: failed,
            reason: "it did not start".into(),
        }];
        let mut rig = Rig::restarted(10, disk);
        prop_assert_eq!(&*rig.gate(Gate::Quarantine).reason, "quarantined");
        prop_assert_eq!(rig.node.decision().unwrap().verdict, Verdict::Wait);
        let other = fleet.release("3.0.0").0;
        let about = if same_profile { profile } else { other };
        rig.submit(entries(fleet.signed(&retry(&fleet, about, named))));
        let lifted = same_profile && failed <= named;
        prop_assert_eq!(rig.gate(Gate::Quarantine).pass, lifted);
        let verdict = if lifted { Verdict::Stage } else { Verdict::Wait };
        prop_assert_eq!(rig.node.decision().unwrap().verdict, verdict);
    }
}

#[test]
fn q3_a_hold_stops_and_its_tombstone_lets_go() {
    let fleet = Fleet::new(1, 1);
    let mut rig = Rig::restarted(10, ordered(&fleet));
    let id = named_id(Kind::Hold, &fleet.id, &Scope::Fleet, "pinned");
    let hold = Spec::Hold(HoldSpec { name: "pinned".into() });
    let hold = ResourceDraft::new(id.clone(), 1, &hold).target(everyone());
    rig.submit(entries(fleet.signed(&fleet.draft().resource(hold))));
    assert_eq!(&*rig.gate(Gate::Halted).reason, "held");
    let gone = ResourceDraft::tombstone(Kind::Hold, id, 2);
    rig.submit(entries(fleet.signed(&fleet.draft().resource(gone))));
    assert!(rig.gate(Gate::Halted).pass);
}
