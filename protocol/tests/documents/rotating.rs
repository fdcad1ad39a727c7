//! What a root would change, before anyone signs it (RULES R5, R6), and floors that it lowers.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::{Interest, Replica, Stored};
use daymark_protocol::resource::{HaltSpec, Kind, Role, Scope, Spec, TokenSpec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Delegation, Envelope, FloorRecord, Floors, ResourceDraft, RoleKeys, RootDraft,
    SigningKey, State, Statement, join_by_token, may_speak, named_id,
};

use crate::support::{Fleet, NOW, accept, id_of, key, signed};

fn next(fleet: &Fleet) -> RootDraft {
    RootDraft::after(fleet.roots.last().unwrap(), NOW, WallTime::MAX)
}

fn envelope(draft: &RootDraft) -> Vec<u8> {
    let (payload, _) = draft.finish().unwrap();
    Envelope::signed(Context::Root, payload, [&key(9)]).to_json()
}

#[test]
fn r5_a_preview_says_what_falls_and_what_to_sign_anew() {
    let fleet = Fleet::new();
    let (leaves, stays) = (fleet.site("one", 1, "x"), fleet.site("two", 1, "x"));
    let mut replica = fleet.replica();
    accept(&mut replica, &signed(&leaves, &[&key(1), &key(2)]));
    accept(&mut replica, &signed(&stays, &[&key(2), &key(3)]));
    let lists = replica.lists_of(&id_of(&key(1)));
    let kept = next(&fleet).retire(id_of(&key(1)), &lists);
    assert_eq!(replica.preview(&kept, &lists).unwrap(), Default::default(), "all is listed");
    let bare = next(&fleet).retire(id_of(&key(1)), &[]);
    let preview = replica.preview(&bare, &[]).unwrap();
    assert_eq!(preview.falls.keys().collect::<Vec<_>>(), [&leaves.digest()]);
    let lacks = &preview.falls[&leaves.digest()];
    assert_eq!((lacks.role, lacks.quorum.have.len(), lacks.quorum.need), (Role::Policy, 1, 2));
    assert_eq!(lacks.may_sign, BTreeSet::from([id_of(&key(3))]));
    assert_eq!(preview.unknown.len(), 1);
    // Nothing happened yet; and the same bytes signed once more are enough.
    let line = |replica: &Replica| {
        let id = leaves.payload().resources[0].id.clone();
        replica.standing().lines[&(Kind::Site, id)].state.clone()
    };
    assert_eq!(line(&replica), State::Counts);
    accept(&mut replica, &signed(&leaves, &[&key(3)]));
    assert!(replica.preview(&bare, &[]).unwrap().falls.is_empty());
    replica.accept_root(&envelope(&bare));
    assert_eq!(line(&replica), State::Counts);
}

#[test]
fn r5_a_preview_says_who_waits_and_which_halts_fall() {
    let fleet = Fleet::new();
    let host = key(30);
    let mut replica = fleet.replica_with(&host);
    let halt = fleet.halt("stop");
    accept(&mut replica, &signed(&halt, &[&key(1)]));
    let bare = next(&fleet).retire(id_of(&key(5)), &[]);
    let preview = replica.preview(&bare, &[]).unwrap();
    let own = (Kind::Host, id_of(&host).into());
    assert_eq!(preview.waits[&id_of(&host)], BTreeSet::from([own]));
    let void = replica.void_of(&halt.digest(), |_| 1).unwrap();
    let preview = replica.preview(&next(&fleet).void(void), &[]).unwrap();
    assert_eq!(preview.lifted, BTreeSet::from([halt.digest()]));
    assert_eq!(preview.ends, BTreeSet::from([halt.digest()]));
    let revoked = next(&fleet).revoke(id_of(&key(1)), &[]);
    assert_eq!(replica.preview(&revoked, &[]).unwrap().lifted, BTreeSet::from([halt.digest()]));
    let listed = replica.lists_of(&id_of(&key(1)));
    let revoked = next(&fleet).revoke(id_of(&key(1)), &listed);
    assert!(replica.preview(&revoked, &listed).unwrap().lifted.is_empty(), "it is listed");
}

#[test]
fn r6_the_floor_of_a_void_version_goes_in_the_same_save_and_stays_gone() {
    let fleet = Fleet::new();
    let (sound, frozen) = (fleet.site("one", 1, "x"), fleet.site("one", (1 << 63) - 1, "y"));
    let both: [&SigningKey; 2] = [&key(1), &key(2)];
    let mut replica = fleet.replica();
    accept(&mut replica, &signed(&sound, &both));
    accept(&mut replica, &signed(&frozen, &both));
    let mut journal: Vec<FloorRecord> = replica.compact_floors();
    let void = replica.void_of(&frozen.digest(), |_| 1).unwrap();
    // Likewise at a start, if the power failed after the root was stored.
    let (mut chain, mut before) = (fleet.chain(), Floors::default());
    chain.accept(&envelope(&next(&fleet).void(void.clone()))).unwrap();
    for record in &journal {
        before.apply(record.clone());
    }
    let loaded = Replica::load(chain, before, Interest::default(), &Stored::default());
    assert!(matches!(loaded.changes.floors[..], [FloorRecord::Lowered { .. }]));
    let (_, changes) = replica.accept_root(&envelope(&next(&fleet).void(void)));
    assert!(matches!(changes.floors[0], FloorRecord::Lowered { .. }), "{:?}", changes.floors);
    let id = sound.payload().resources[0].id.clone();
    let line = &replica.standing().lines[&(Kind::Site, id.clone())];
    assert_eq!((line.state.clone(), line.versions[0].version), (State::Counts, 1));
    let (_, later) = accept(&mut replica, &signed(&fleet.site("one", 2, "z"), &both));
    journal.extend(changes.floors.into_iter().chain(later.floors));
    let mut floors = Floors::default();
    for record in journal {
        floors.apply(record);
    }
    assert_eq!(floors.get("Site", &id).unwrap().version, 2, "and a later one is a floor again");
}

#[test]
fn s9_a_preview_names_the_hosts_that_only_their_token_would_hold() {
    let fleet = Fleet::new();
    let (token_key, machine) = (key(40), key(30));
    let token = TokenSpec {
        name: "line3".into(),
        public_key: token_key.public().to_string(),
        site: None,
        labels: BTreeMap::new(),
        uses: 1,
    };
    let id = named_id(Kind::Token, &fleet.id(), &Scope::Fleet, "line3");
    let said = ResourceDraft::new(id, 1, &Spec::Token(token.clone()));
    let granted = fleet.draft(Scope::Fleet).until(WallTime::MAX).resource(said).finish().unwrap();
    let joined = join_by_token(fleet.id(), NOW, "press", &token, &token_key, &machine);
    let (host, _) = joined.unwrap();
    let mut replica = fleet.replica();
    accept(&mut replica, &signed(&granted, &[&key(5)]));
    accept(&mut replica, &signed(&host, &[&token_key, &machine, &key(6)]));
    let gone = next(&fleet).role(Role::Enroll, 1, [id_of(&key(5))]).retire(id_of(&key(6)), &[]);
    let preview = replica.preview(&gone, &[]).unwrap();
    assert_eq!(preview.provisional, BTreeSet::from([id_of(&machine)]));
    assert!(preview.waits.is_empty(), "it is still served: {:?}", preview.waits);
    let lists = replica.lists_of(&id_of(&key(6)));
    let kept = next(&fleet).role(Role::Enroll, 1, [id_of(&key(5))]);
    let kept = kept.retire(id_of(&key(6)), &lists);
    assert!(replica.preview(&kept, &lists).unwrap().provisional.is_empty());
}

#[test]
fn r7_who_may_speak_for_a_statement_counts_apart() {
    let fleet = Fleet::new();
    let site: Scope = Scope::Site("site-a".parse().unwrap());
    let given = |role, scope: &Scope| Delegation {
        role,
        speakers: RoleKeys { threshold: 1, keys: [id_of(&key(7))].into() },
        scope: scope.clone(),
        until: WallTime::MAX,
    };
    let root = next(&fleet)
        .delegate("berlin", given(Role::Policy, &site))
        .delegate("images", given(Role::Release, &site));
    let (_, root) = root.finish().unwrap();
    let names = |statement: &Statement| -> Vec<Option<String>> {
        let voices = may_speak(&root, statement).unwrap();
        voices.into_iter().map(|voice| voice.delegation.map(|(name, _)| name)).collect()
    };
    let halt = |scope: Scope| {
        let spec = Spec::Halt(HaltSpec { name: "stop".into(), policy: None });
        let id = named_id(Kind::Halt, &fleet.id(), &scope, "stop");
        fleet.draft(scope).resource(ResourceDraft::new(id, 1, &spec)).finish().unwrap()
    };
    assert_eq!(names(&halt(site.clone())), [None, Some("berlin".into())]);
    assert_eq!(names(&halt(Scope::Fleet)), [None]);
    assert_eq!(names(&fleet.site_in(site, "x", 1, "x")), [None], "sites define scopes");
}
