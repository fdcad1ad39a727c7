//! Which floors are waited for (RULES C2, C6): those of documents that are kept here, of which
//! something that is not a tombstone was lost.

use std::collections::BTreeSet;

use daymark_protocol::document::{DocumentId, Interest, Replica, Sites};
use daymark_protocol::id::{Digest, ResourceId};
use daymark_protocol::limits;
use daymark_protocol::resource::{BlackoutSpec, Kind, ScheduleZone, Scope, Spec, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    FloorRecord, Floors, Line, ResourceDraft, State, Statement, named_id,
};

use crate::support::{Fleet, accept, id_of, key, resource_id, signed};

fn interest(site: &str, hosts: &[u8]) -> Interest {
    Interest {
        sites: Sites::Only(BTreeSet::from([resource_id(site)])),
        own_host: None,
        hosts: hosts.iter().map(|seed| id_of(&key(*seed))).collect(),
    }
}

fn replica(fleet: &Fleet, site: &str) -> Replica {
    Replica::new(fleet.chain(), Floors::default(), interest(site, &[]))
}

fn blackout_id(fleet: &Fleet, scope: &Scope) -> ResourceId {
    named_id(Kind::Blackout, &fleet.id(), scope, "harvest")
}

fn blackout(fleet: &Fleet, scope: &Scope, version: u64) -> Statement {
    let spec = Spec::Blackout(BlackoutSpec {
        name: "harvest".into(),
        from: WallTime::EPOCH,
        to: WallTime::from_ms(i64::try_from(version).unwrap() * 60_000),
        yearly: false,
        zone: ScheduleZone::Utc,
    });
    let resource = ResourceDraft::new(blackout_id(fleet, scope), version, &spec)
        .target(Target { all: true, ..Target::default() });
    fleet.draft(scope.clone()).resource(resource).finish().unwrap()
}

fn tombstone(fleet: &Fleet, scope: &Scope, version: u64) -> Statement {
    let gone = ResourceDraft::tombstone(Kind::Blackout, blackout_id(fleet, scope), version);
    fleet.draft(scope.clone()).resource(gone).finish().unwrap()
}

fn line<'a>(replica: &'a Replica, kind: Kind, id: &ResourceId) -> Option<&'a Line> {
    replica.standing().lines.get(&(kind, id.clone()))
}

fn take(replica: &mut Replica, statement: &Statement) {
    accept(replica, &signed(statement, &[&key(1), &key(2)]));
}

#[test]
fn c2_a_host_that_moved_waits_for_nothing_of_its_old_site_until_it_is_back() {
    let fleet = Fleet::new();
    let mut replica = replica(&fleet, "berlin");
    let berlin = Scope::Site(resource_id("berlin"));
    let id = blackout_id(&fleet, &berlin);
    take(&mut replica, &blackout(&fleet, &berlin, 1));
    assert_eq!(line(&replica, Kind::Blackout, &id).unwrap().state, State::Counts);
    let moved = replica.set_interest(interest("hamburg", &[]));
    assert!(moved.standing_changed && !moved.drops.is_empty());
    assert!(line(&replica, Kind::Blackout, &id).is_none(), "the old site's floor is waited for");
    let back = replica.set_interest(interest("berlin", &[]));
    assert!(back.standing_changed);
    let lost = line(&replica, Kind::Blackout, &id).expect("it closed here once");
    assert!(matches!(lost.state, State::Unknown(_)) && lost.versions.is_empty());
    take(&mut replica, &blackout(&fleet, &berlin, 1));
    assert_eq!(line(&replica, Kind::Blackout, &id).unwrap().state, State::Counts);
}

#[test]
fn c2_a_neighbour_of_another_site_that_went_away_leaves_no_line_but_keeps_its_floor() {
    let fleet = Fleet::new();
    let mut replica = replica(&fleet, "berlin");
    let neighbour = key(50);
    let id = ResourceId::from(id_of(&neighbour));
    let enrolled = |version| signed(&fleet.host(&neighbour, version, "hamburg"), &[&key(5)]);
    replica.set_interest(interest("berlin", &[50]));
    accept(&mut replica, &enrolled(2));
    assert_eq!(line(&replica, Kind::Host, &id).unwrap().state, State::Counts);
    replica.set_interest(interest("berlin", &[]));
    assert!(line(&replica, Kind::Host, &id).is_none());
    replica.set_interest(interest("berlin", &[50]));
    accept(&mut replica, &enrolled(1));
    let older = line(&replica, Kind::Host, &id).unwrap();
    assert!(matches!(older.state, State::Unknown(_)), "an older version must not count");
    accept(&mut replica, &enrolled(2));
    assert_eq!(line(&replica, Kind::Host, &id).unwrap().state, State::Counts);
}

/// The floors that a replica raised, without anything else of it.
fn only_floors_of(fleet: &Fleet, statements: &[Statement]) -> Replica {
    let mut filled = replica(fleet, "berlin");
    for statement in statements {
        take(&mut filled, statement);
    }
    Replica::new(fleet.chain(), filled.floors().clone(), interest("berlin", &[]))
}

#[test]
fn c2_d3_nobody_waits_for_a_tombstone_that_found_no_room_and_what_it_ended_stays_ended() {
    let fleet = Fleet::new();
    let said = [blackout(&fleet, &Scope::Fleet, 1), tombstone(&fleet, &Scope::Fleet, 2)];
    let id = blackout_id(&fleet, &Scope::Fleet);
    let mut replica = only_floors_of(&fleet, &said);
    assert!(line(&replica, Kind::Blackout, &id).is_none());
    take(&mut replica, &said[0]);
    let older = line(&replica, Kind::Blackout, &id).unwrap();
    assert!(matches!(older.state, State::Unknown(_)), "what was ended does not come back as valid");
}

#[test]
fn c2_d3_what_closes_and_found_no_room_is_settled_by_a_tombstone() {
    let fleet = Fleet::new();
    let id = blackout_id(&fleet, &Scope::Fleet);
    let mut replica = only_floors_of(&fleet, &[blackout(&fleet, &Scope::Fleet, 1)]);
    assert!(line(&replica, Kind::Blackout, &id).unwrap().versions.is_empty(), "I6");
    take(&mut replica, &tombstone(&fleet, &Scope::Fleet, 2));
    assert_eq!(line(&replica, Kind::Blackout, &id).unwrap().state, State::Counts);
}

#[test]
fn d3_of_four_kept_versions_the_floor_names_the_highest_in_whatever_order_they_came() {
    let fleet = Fleet::new();
    let id = blackout_id(&fleet, &Scope::Fleet);
    for order in [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [3, 6, 1, 5, 2, 4]] {
        let mut replica = replica(&fleet, "berlin");
        for version in order {
            take(&mut replica, &blackout(&fleet, &Scope::Fleet, version));
        }
        let line = line(&replica, Kind::Blackout, &id).unwrap();
        assert_eq!(line.state, State::Counts);
        assert_eq!(line.versions.iter().map(|v| v.version).collect::<Vec<_>>(), [6, 5, 4, 3]);
    }
}

#[test]
fn i9_floors_have_room_per_kind_and_what_finds_none_is_unknown() {
    let fleet = Fleet::new();
    let mut floors = Floors::default();
    let ended = |number: usize| FloorRecord::Version {
        kind: Kind::Blackout.name().to_owned(),
        id: resource_id(&format!("ended-{number}")),
        version: 1,
        digest: Digest([1; 32]),
        document: DocumentId::Fleet,
        gone: true,
    };
    for number in 1..limits::FLOORS_PER_KIND_MAX {
        assert!(floors.apply(ended(number)));
    }
    let mut replica = Replica::new(fleet.chain(), floors, Interest::default());
    let scopes = [Scope::Fleet, Scope::Site(resource_id("berlin"))];
    let entries: Vec<Vec<u8>> = scopes
        .iter()
        .flat_map(|scope| signed(&blackout(&fleet, scope, 1), &[&key(1), &key(2)]))
        .collect();
    accept(&mut replica, &entries);
    let states = scopes.map(|scope| {
        let line = line(&replica, Kind::Blackout, &blackout_id(&fleet, &scope)).unwrap();
        assert_eq!(line.versions.len(), 1, "what it closes stays closed");
        line.state.clone()
    });
    assert_eq!(states.iter().filter(|state| **state == State::Counts).count(), 1, "{states:?}");
    assert_eq!(replica.floors().versions().count(), limits::FLOORS_PER_KIND_MAX);
    assert_eq!(replica.floors().full_kinds().collect::<Vec<_>>(), ["Blackout"]);
    // Other kinds have their own room, and what has a floor still rises.
    take(&mut replica, &fleet.site("berlin", 1, "Berlin"));
    let site = named_id(Kind::Site, &fleet.id(), &Scope::Fleet, "berlin");
    assert_eq!(line(&replica, Kind::Site, &site).unwrap().state, State::Counts);
    let mut floors = replica.floors().clone();
    let FloorRecord::Version { kind, id, digest, document, gone, .. } = ended(1) else { panic!() };
    let higher = FloorRecord::Version { kind, id, version: 2, digest, document, gone };
    assert!(floors.apply(higher) && !floors.apply(ended(limits::FLOORS_PER_KIND_MAX)));
}

#[test]
fn c2_c1_a_removed_host_stays_removed_whatever_the_digests_of_its_versions() {
    let fleet = Fleet::new();
    for seed in 50..66 {
        let mut replica = fleet.replica_with(&key(seed));
        let id = ResourceId::from(id_of(&key(seed)));
        let gone = ResourceDraft::tombstone(Kind::Host, id.clone(), 2);
        let berlin = Scope::Site(resource_id("berlin"));
        let gone = gone.site(Some(resource_id("berlin")));
        let gone = fleet.draft(berlin).resource(gone).finish().unwrap();
        accept(&mut replica, &signed(&gone, &[&key(5)]));
        // The floor that it raised plays a part from the next judgement on.
        replica.set_interest(interest("berlin", &[]));
        let line = line(&replica, Kind::Host, &id).unwrap();
        assert_eq!(line.state, State::Counts, "{seed}");
        assert!(line.versions[0].gone && line.versions[0].spec.is_ok());
    }
}
