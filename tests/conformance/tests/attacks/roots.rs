//! Roots: who may write the next one, how a machine walks them, what ends a key (RULES R1 to R7).

use anyhow::ensure;
use daymark_protocol::control::{Bytes, Join, Submitted};
use daymark_protocol::decide::Gate;
use daymark_protocol::limits::RESOURCE_VERSION_MAX;
use daymark_protocol::resource::{Kind, Role, Scope, Spec};
use daymark_protocol::trust::{
    Context, Delegation, DigestList, Draft, Envelope, Pin, ResourceDraft, RoleKeys, Void, VoidId,
    named_id,
};
use daymark_real::{ADMIN, Offices, POLICY, Say as _, everyone};

use super::case::cases;
use super::stage::Joins;

/// Three sign roots, two of them at a time; one orders.
const TWO_OF_THREE: &Offices = &[
    (Role::Root, 2, &["rosa", "ruth", "rolf"]),
    (Role::Policy, 2, &["alice", "bob"]),
    (Role::Release, 1, &["rita"]),
    (Role::Enroll, 1, &["eve"]),
    (Role::Halt, 1, &["harry"]),
];

cases! {
    /// A thief of one key in three writes a root that makes himself the only speaker.
    a_root_by_fewer_than_the_old_threshold
    [Red(R1OldSigners), Rule("R1"), Row(9), Tuf("test_root_rotation[2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-eached]")]
    by TWO_OF_THREE;
    |stage| {
        let thief = stage.people().key("rosa").public().id();
        let draft = stage.people().next_root().role(Role::Root, 1, [thief]);
        let draft = draft.role(Role::Policy, 1, [thief]);
        let (_, envelope) = stage.people().sign_root(&draft, &["rosa"])?;
        let why = "root 2 has 1 of 2 signatures that root 1 demands";
        stage.refuses(vec![Submitted::Root(Bytes(envelope))], why).await?;
        stage.floor_of_roots(1)?;
        stage.wants_nothing("no-policy").await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// The old signers name new ones, who have not signed that they are.
    a_root_that_its_own_threshold_did_not_sign
    [Red(R1OwnSigners), Rule("R1"), Tuf("test_root_rotation[1-of-1-key-rotation-fail-not-signed-with-new-key]")]
    |stage| {
        let next = stage.people().key("nora").public();
        let draft = stage.people().next_root().key(next.clone(), "nora");
        let draft = draft.role(Role::Root, 1, [next.id()]);
        let (_, half) = stage.people().sign_root(&draft, &ADMIN)?;
        let why = "root 2 has 0 of 1 signatures that root 2 demands";
        stage.refuses(vec![Submitted::Root(Bytes(half))], why).await?;
        stage.floor_of_roots(1)?;
        let (root, whole) = stage.people().sign_root(&draft, &["rosa", "nora"])?;
        let root = stage.people().follow(root, whole);
        stage.tell(vec![root]).await?;
        stage.floor_of_roots(2)
    }

    /// A root that skips one is not believed before the one between has come.
    a_root_above_a_gap
    [Red(R1Next), Rule("R1"), Rule("R2"), Tuf("test_root_rotation")]
    |stage| {
        let mut items = Vec::new();
        for _ in 0..3 {
            let draft = stage.people().next_root();
            let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
            items.push(stage.people().follow(root, envelope));
        }
        stage.drops(vec![items[2].clone()], "cannot be placed before root 3 is held").await?;
        stage.floor_of_roots(1)?;
        stage.tell(items).await?;
        stage.floor_of_roots(4)?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A newcomer is shown the newest root alone: what stops under keys that have left it cannot
    /// see, so it judges nothing before it holds all roots.
    a_chain_with_a_hole
    [Red(R2WholeChain), Rule("R2"), Flaw("N2"), Row(11)]
    joins Joins::Within;
    |stage| {
        let (stop, _) = stage.people().halt("stop")?;
        let order = stage.order("all")?;
        let harry = stage.people().key("harry").public().id();
        let next = stage.people().key("hanna").public();
        let draft = stage.people().next_root().key(next.clone(), "hanna");
        let draft = draft.role(Role::Halt, 1, [next.id()]).retire(harry, &[]);
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        stage.people().follow(root, envelope);
        stage.join_with_the_newest_root_only().await?;
        stage.holds(order[1..].to_vec(), "not all roots are held").await?;
        stage.is_held_by(Gate::Authority, "root-incomplete", "root").await?;
        stage.floor_of_order("all", None)?;
        let (roots, said) = (stage.people().roots(), stage.people().said());
        stage.tell([roots, said].concat()).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt stop").await?;
        let resume = stage.people().resume("go", &[stop])?;
        stage.tell(resume).await?;
        stage.installs().await
    }

    /// Another fleet's root comes to a machine that has one, with that fleet's orders.
    a_second_fleet
    [Red(R3FleetOnce), Rule("R3"), Flaw("S8"), Row(1)]
    |stage| {
        let mut others = daymark_real::Administrators::found("others")?;
        let pin: Pin = others.pin();
        let joined = stage.machine().client().join(&Join { pin, items: others.roots() }).await;
        ensure!(joined.is_err(), "it took a second fleet");
        stage.refuses(others.roots(), "is not of the chain that this machine took").await?;
        let order = others.policy("all", &stage.wanted.os, everyone())?;
        stage.mount(order).await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_roots(1)?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// Two roots of one version, each signed by enough: nothing goes until one settles both.
    two_roots_of_one_version
    [Red(R4Rivals), Rule("R4"), Flaw("S8"), Row(13)]
    |stage| {
        let order = stage.order("all")?;
        let [mine, other] = ["mine", "other"].map(|name| {
            let mut draft = stage.people().next_root();
            name.clone_into(&mut draft.fleet_name);
            stage.people().sign_root(&draft, &ADMIN)
        });
        let ((mine, mine_bytes), (other, other_bytes)) = (mine?, other?);
        let rivals = [&mine_bytes, &other_bytes].map(|root| Submitted::Root(Bytes(root.clone())));
        stage.tell(rivals.to_vec()).await?;
        stage.holds(order.clone(), "held").await?;
        stage.is_held_by(Gate::Authority, "root-incomplete", "rival roots of version 2").await?;
        stage.floor_of_order("all", None)?;
        let now = daymark_real::now();
        let both = [&mine, &other];
        let draft = daymark_protocol::trust::RootDraft::settling(&both, now, now.plus_ms(1 << 34));
        let draft = draft.ok_or_else(|| anyhow::anyhow!("nothing to settle"))?;
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        stage.tell(vec![root]).await?;
        stage.installs().await?;
        stage.floor_of_roots(3)?;
        stage.floor_of_order("all", Some(1))
    }

    /// The newest root has expired: nothing starts until a newer one comes; a halt still stops.
    an_expired_root
    [Red(R1Expiry), Rule("R1"), Row(7), Tuf("test_root_expired"), Tuf("test_expired_local_root")]
    |stage| {
        let soon = daymark_real::now().plus_ms(500);
        let root = stage.people().renew_root(soon)?;
        stage.tell(vec![root]).await?;
        let order = stage.order("all")?;
        stage.mount(order).await?;
        stage.is_held_by(Gate::Authority, "root-expired", "it needs a new one").await?;
        stage.floor_of_roots(2)?;
        let later = daymark_real::now().plus_ms(1 << 34);
        let root = stage.people().renew_root(later)?;
        stage.tell(vec![root]).await?;
        stage.installs().await?;
        stage.floor_of_roots(3)
    }

    /// A root says what this version cannot read: it waits rather than act on half of it.
    a_root_that_says_more_than_can_be_read
    [Red(S3UnreadRoot), Rule("R1"), Rule("S3"), Row(37), Tuf("test_custom_fields")]
    |stage| {
        let order = stage.order("all")?;
        let draft = stage.people().next_root();
        let (payload, _) = draft.finish()?;
        let text = String::from_utf8(payload)?.replacen('{', "{\"quorumOfMachines\":3,", 1);
        let key = stage.people().key("rosa");
        let envelope = Envelope::signed(Context::Root, text.into_bytes(), [&key]).to_json();
        stage.tell(vec![Submitted::Root(Bytes(envelope))]).await?;
        stage.mount(order).await?;
        stage.is_held_by(Gate::Authority, "root-incomplete", "quorumOfMachines").await?;
        stage.floor_of_roots(2)?;
        stage.floor_of_order("all", None)
    }

    /// A machine that was away for ten rotations of the root's key walks all ten.
    ten_rotations_at_once
    [Red(R1OldSigners), Rule("R1"), Rule("R2"), Tuf("test_root_rotation[1-of-1-key-rotation]"), Tuf("test_expired_local_root")]
    |stage| {
        const HOLDERS: [&str; 11] =
            ["rosa", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10"];
        let mut items = Vec::new();
        for pair in HOLDERS.windows(2) {
            let next = stage.people().key(pair[1]).public();
            let old = stage.people().key(pair[0]).public().id();
            let draft = stage.people().next_root().key(next.clone(), pair[1]);
            let draft = draft.role(Role::Root, 1, [next.id()]).role(Role::Emergency, 1, [next.id()]);
            let draft = draft.retire(old, &[]);
            let (root, envelope) = stage.people().sign_root(&draft, &[pair[0], pair[1]])?;
            items.push(stage.people().follow(root, envelope));
        }
        items.reverse();
        stage.tell(items).await?;
        stage.floor_of_roots(11)?;
        // The first of them rules nothing any more.
        let rosa = stage.people().key("rosa").public();
        let draft = stage.people().next_root().key(rosa.clone(), "rosa");
        let draft = draft.role(Role::Root, 1, [rosa.id()]);
        let (_, stale) = stage.people().sign_root(&draft, &["rosa"])?;
        let why = "root 12 has 0 of 1 signatures that root 11 demands";
        stage.refuses(vec![Submitted::Root(Bytes(stale))], why).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await
    }

    /// A key is retired: what it was listed with stays, what it signs afterwards has fallen.
    a_retired_key_goes_on_signing
    [Red(C1Fallen), Red(R5Kept), Rule("R5"), Rule("C1"), Flaw("B4"), Flaw("N1"), Row(11), Row(12), Tuf("test_cached_role_is_verified_against_current_delegator")]
    |stage| {
        let os = stage.wanted.os.clone();
        let before = stage.people().wants("before", &os, everyone());
        let before = stage.people().draft().resource(before);
        let (kept, before) = stage.people().sign(&before, &POLICY)?;
        let next = stage.people().key("carol").public();
        let alice = stage.people().key("alice").public().id();
        let bob = stage.people().key("bob").public().id();
        let mut listed = stage.statements_said()?;
        listed.insert(kept.digest());
        let lists = DigestList::of(&listed);
        let draft = stage.people().next_root().key(next.clone(), "carol");
        let draft = draft.role(Role::Policy, 2, [alice, bob, next.id()]).retire(alice, &lists);
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        let blobs = lists.iter().map(|list| Submitted::Blob(Bytes(list.bytes().to_vec())));
        stage.tell([vec![root], blobs.collect()].concat()).await?;
        stage.wants_nothing("no-policy").await?;
        let after = stage.order("after")?;
        stage.mount(after).await?;
        stage.is_held_by(Gate::Policy, "policy-unknown", "lost its signatures").await?;
        // Fallen is not void: it sets a floor, and a higher version by those who may settles it.
        stage.floor_of_order("after", Some(1))?;
        let end = stage.people().tombstone(Kind::OsUpdatePolicy, "after", Some(everyone()));
        let end = stage.people().draft().resource(end);
        let (_, end) = stage.people().sign(&end, &["bob", "carol"])?;
        stage.mount(end).await?;
        stage.wants_nothing("no-policy").await?;
        stage.mount(before).await?;
        stage.installs().await
    }

    /// A key is revoked: the thief's halts and orders count for nothing, backdated or not.
    a_revoked_key_goes_on_signing
    [Red(R5Revoked), Rule("R5"), Flaw("N1"), Flaw("B3"), Row(10), Row(12)]
    |stage| {
        let (known, halt) = stage.people().halt("known")?;
        stage.tell(halt).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt known").await?;
        let harry = stage.people().key("harry").public().id();
        let next = stage.people().key("hanna").public();
        let lists = DigestList::of(&[known].into());
        let draft = stage.people().next_root().key(next.clone(), "hanna");
        let draft = draft.role(Role::Halt, 1, [harry, next.id()]).revoke(harry, &lists);
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        let blobs = lists.iter().map(|list| Submitted::Blob(Bytes(list.bytes().to_vec())));
        stage.tell([vec![root], blobs.collect()].concat()).await?;
        // Revoking opens nothing: what the signers knew still stands.
        stage.is_held_by(Gate::Halted, "halted", "halt known").await?;
        let (_, thiefs) = stage.people().halt("thiefs")?;
        stage.mount(thiefs).await?;
        let resume = stage.people().resume("go", &[known])?;
        stage.tell(resume).await?;
        stage.installs().await
    }

    /// An order at the highest version there is freezes its id; root takes it back by name.
    fast_forward_and_its_cure
    [Red(R6NothingReturns), Red(R6Void), Rule("R6"), Row(8), Flaw("B4"), Flaw("N14"), Tuf("test_targets_fast_forward_recovery")]
    |stage| {
        let os = stage.wanted.os.clone();
        let first = stage.order("all")?;
        let end = stage.people().end(Kind::OsUpdatePolicy, "all")?;
        stage.tell([first, end].concat()).await?;
        let id = stage.people().id(Kind::OsUpdatePolicy, "all");
        let top = RESOURCE_VERSION_MAX;
        let spec = Spec::OsUpdatePolicy(Box::new(daymark_real::wanting("all", &stage.fleet.installed.os)));
        let resource = ResourceDraft::new(id.clone(), top, &spec).target(everyone());
        let draft = stage.people().draft().resource(resource);
        let (statement, items) = stage.people().say(&draft, &POLICY)?;
        stage.tell(items).await?;
        stage.wants_nothing("already-there").await?;
        stage.floor_of_order("all", Some(top))?;
        let third = stage.order("all")?;
        stage.mount(third).await?;
        stage.wants_nothing("already-there").await?;
        let digest = statement.payload().resources.first().map(|resource| resource.digest());
        let void = Void {
            statement: statement.digest(),
            ids: vec![VoidId {
                kind: Kind::OsUpdatePolicy.name().to_owned(),
                id: id.clone(),
                digest: digest.ok_or_else(|| anyhow::anyhow!("no resource"))?,
                counts_from: 4,
            }],
        };
        let draft = stage.people().next_root().void(void);
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        stage.tell(vec![root]).await?;
        // Below the version from which it counts again nothing returns, version 3 neither.
        stage.is_held_by(Gate::Policy, "policy-unknown", "it counts again from version 4").await?;
        let fourth = stage.people().wants("all", &os, everyone());
        let fourth = stage.people().policy_says(fourth)?;
        stage.tell(fourth).await?;
        stage.installs().await?;
        stage.floor_of_order("all", Some(4))
    }

    /// A delegate of one site orders for the fleet, and for another site.
    a_delegate_beyond_its_scope
    [Red(R7Scope), Rule("R7"), Rule("S4"), Flaw("S4"), Tuf("test_targetfile_search"), Tuf("test_graph_traversal[two-level-ignores-all-branches-not-matching-paths]")]
    |stage| {
        let dora = stage.people().key("dora").public();
        let elsewhere = stage.people().id(Kind::Site, "south");
        let scope = Scope::Site(elsewhere);
        let given = Delegation {
            role: Role::Policy,
            speakers: RoleKeys { threshold: 1, keys: [dora.id()].into() },
            scope: scope.clone(),
            until: daymark_real::now().plus_ms(1 << 32),
        };
        let draft = stage.people().next_root().key(dora, "dora").delegate("south", given);
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        stage.tell(vec![root]).await?;
        let os = stage.wanted.os.clone();
        let order = stage.people().wants("all", &os, everyone());
        let draft = stage.people().draft().resource(order);
        let (_, beyond) = stage.people().sign(&draft, &["dora"])?;
        stage.mount(beyond).await?;
        stage.wants_nothing("no-policy").await?;
        stage.floor_of_order("all", None)?;
        let (_, whole) = stage.people().sign(&draft, &POLICY)?;
        stage.mount(whole).await?;
        stage.installs().await
    }

    /// A delegate of this site may order here; past the delegation's end, nothing of it opens.
    a_delegation_that_has_ended
    [Red(R7End), Rule("R7"), Tuf("test_graph_traversal[basic-delegation]"), Tuf("test_delegated_expiration")]
    |stage| {
        let dora = stage.people().key("dora").public();
        let here = stage.people().id(Kind::Site, "north");
        let scope = Scope::Site(here);
        let given = |until| Delegation {
            role: Role::Policy,
            speakers: RoleKeys { threshold: 1, keys: [dora.id()].into() },
            scope: scope.clone(),
            until,
        };
        let draft = stage.people().next_root().key(dora.clone(), "dora");
        let draft = draft.delegate("north", given(daymark_real::now().plus_ms(-1000)));
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        stage.tell(vec![root]).await?;
        let (fleet, os) = (stage.people().fleet(), stage.wanted.os.clone());
        let id = named_id(Kind::OsUpdatePolicy, &fleet, &scope, "here");
        let spec = Spec::OsUpdatePolicy(Box::new(daymark_real::wanting("here", &os)));
        let order = ResourceDraft::new(id.clone(), 1, &spec).target(everyone());
        let issued = daymark_real::now().plus_ms(-300_000);
        let draft = Draft::new(fleet, scope.clone(), issued).resource(order);
        let (_, items) = stage.people().sign(&draft, &["dora"])?;
        stage.tell(items).await?;
        stage.is_held_by(Gate::Policy, "policy-lapsed", "delegation").await?;
        let draft = stage.people().next_root();
        let draft = draft.delegate("north", given(daymark_real::now().plus_ms(1 << 32)));
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        stage.tell(vec![root]).await?;
        stage.installs().await
    }
}
