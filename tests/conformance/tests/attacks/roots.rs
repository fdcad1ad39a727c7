//! Roots: who may write the next one, how a machine walks them, what ends a key (RULES R1 to R7).

use anyhow::ensure;
use daymark_protocol::control::{Bytes, Join, Submitted};
use daymark_protocol::decide::Gate;
use daymark_protocol::resource::Role;
use daymark_protocol::trust::Pin;
use daymark_real::{ADMIN, Offices, Say as _, everyone};

use super::case::cases;

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
    [Rule("R1"), Row(9), Tuf("test_root_rotation[2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-eached]")]
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
    [Rule("R1"), Tuf("test_root_rotation[1-of-1-key-rotation-fail-not-signed-with-new-key]")]
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
    [Rule("R2"), Tuf("test_root_rotation")]
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

    /// Another fleet's root comes to a machine that has one, with that fleet's orders.
    a_second_fleet
    [Rule("R3"), Flaw("S8"), Row(1)]
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
    [Rule("R4"), Flaw("S8"), Row(13)]
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
}
