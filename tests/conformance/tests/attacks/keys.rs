//! Keys that end while much depends on them: thirty hosts, a freeze, a halt, a hold and a
//! half-signed draft. One host is a real node; what the others do is decided from its replica.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::decide::{
    Activity, Gate, Installed, InstalledSource, Machine, PlatformKind, Reach, World, decide,
};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::limits::RESOURCE_VERSION_MAX;
use daymark_protocol::resource::{
    HaltSpec, HoldSpec, Kind, OsType, ResumeSpec, Role, SiteSpec, Spec,
};
use daymark_protocol::time::Now;
use daymark_protocol::trust::{
    DigestList, ResourceDraft, RootDraft, SigningKey, Statement, Void, VoidId,
};
use daymark_real::{ADMIN, POLICY, Say as _, everyone, held_by, now, only};

use super::case::cases;
use super::stage::Stage;

/// Hosts beside the real node.
const OTHERS: u8 = 29;

/// What depends on the keys.
struct Stopped {
    /// Alice's halt.
    halt: Digest,
    /// An order that Alice alone has signed.
    draft: Statement,
}

/// The other hosts' keys.
fn others() -> impl Iterator<Item = SigningKey> {
    (1..=OTHERS).map(|number| SigningKey::from_seed([number; 32]))
}

/// Enrols the others; freezes, halts, holds one of them, and leaves an order half-signed.
async fn stop_everything(stage: &mut Stage) -> anyhow::Result<Stopped> {
    for (number, key) in others().enumerate() {
        let name = format!("press-{:02}", number + 2);
        let items = stage.people().enroll(&name, &key.public(), "north")?;
        stage.tell(items).await?;
    }
    let freeze = stage.people().closes("freeze", -600, 3000);
    let freeze = stage.people().policy_says(freeze)?;
    let held: Vec<KeyId> = others().take(1).map(|key| key.public().id()).collect();
    let hold = Spec::Hold(HoldSpec { name: "one".into() });
    let hold = stage.people().resource("one", &hold, Some(only(&held)));
    let hold = stage.people().policy_says(hold)?;
    let halt = Spec::Halt(HaltSpec { name: "alices".into(), policy: None });
    let halt = stage.people().resource("alices", &halt, Some(everyone()));
    let halt = stage.people().draft().resource(halt);
    let (halt, said): (Statement, _) = stage.people().say(&halt, &["alice"])?;
    let os = stage.wanted.os.clone();
    let order = stage.people().wants("draft", &os, everyone());
    let draft = stage.people().draft().resource(order);
    let (draft, half) = stage.people().sign(&draft, &["alice"])?;
    let all = stage.order("all")?;
    stage.tell([freeze, hold, said, half, all].concat()).await?;
    Ok(Stopped { halt: halt.digest(), draft })
}

/// What every host decides by what the real node holds: reasons, and how many hosts say each.
async fn every_host(stage: &mut Stage) -> anyhow::Result<BTreeMap<String, usize>> {
    let held = held_by(&stage.machine().client(), stage.pin).await?;
    let installed = Installed {
        profile: Some("edge".into()),
        version: Some("1.0.0".into()),
        index_digest: None,
        image_sha256: None,
        source: InstalledSource::Slot,
    };
    let machine = Machine {
        os_type: OsType::Immutable,
        platform: PlatformKind::Slots,
        architecture: String::new(),
        installed: Some(installed),
        staged: None,
        quarantine: Vec::new(),
        inhibitors: Vec::new(),
        other_updaters: Vec::new(),
        activation_ms: None,
        activity: Activity::Idle,
        slot_busy: None,
    };
    let own = stage.machine().id();
    let mut said = BTreeMap::new();
    for host in others().map(|key| key.public().id()).chain([own]) {
        let reach = Reach::new(held.replica().standing(), host);
        let decision = decide(&World { reach: &reach, machine: &machine }, &Now::reading(now(), 0));
        *said.entry(decision.reason.into_owned()).or_default() += 1;
    }
    Ok(said)
}

/// What every host says, for the reader of a failure.
async fn all_say(stage: &mut Stage, expected: &[(&str, usize)]) -> anyhow::Result<()> {
    let said = every_host(stage).await?;
    let expected: BTreeMap<String, usize> =
        expected.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    ensure!(said == expected, "the hosts say {said:?} instead of {expected:?}");
    Ok(())
}

/// Signs the next root, and tells the machine with the lists that it names.
async fn next_root(
    stage: &mut Stage,
    draft: RootDraft,
    lists: &[DigestList],
) -> anyhow::Result<()> {
    let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
    let root = stage.people().follow(root, envelope);
    let blobs = lists.iter().map(|list| Submitted::Blob(Bytes(list.bytes().to_vec())));
    stage.tell([vec![root], blobs.collect()].concat()).await
}

/// The next root, in which Carol orders in Alice's place.
fn carol_for_alice(stage: &mut Stage) -> (RootDraft, KeyId) {
    let carol = stage.people().key("carol").public();
    let [alice, bob] = ["alice", "bob"].map(|holder| stage.people().key(holder).public().id());
    let draft = stage.people().next_root().key(carol.clone(), "carol");
    (draft.role(Role::Policy, 2, [alice, bob, carol.id()]), alice)
}

/// Bob and Carol lift the halt, end freeze and hold, and sign an order.
async fn the_new_signers_go_on(stage: &mut Stage, halts: &[Digest]) -> anyhow::Result<()> {
    let os = stage.wanted.os.clone();
    let people = stage.people();
    let resume = Spec::Resume(ResumeSpec { name: "go".into(), halts: halts.to_vec() });
    let said = [
        people.resource("go", &resume, None),
        people.tombstone(Kind::Blackout, "freeze", Some(everyone())),
        people.tombstone(Kind::Hold, "one", Some(everyone())),
        people.wants("all", &os, everyone()),
    ];
    for resource in said {
        said_by_the_new_signers(stage, resource).await?;
    }
    Ok(())
}

/// Bob and Carol say something.
async fn said_by_the_new_signers(stage: &mut Stage, resource: ResourceDraft) -> anyhow::Result<()> {
    let draft = stage.people().draft().resource(resource);
    let (_, items) = stage.people().say(&draft, &["bob", "carol"])?;
    stage.mount(items).await.map(drop)
}

cases! {
    /// Alice's key is revoked, and the root lists only what is known of her: nothing that she
    /// stopped opens by that; what she signs from now on stops nobody.
    a_thief_of_a_key_that_stopped_everything
    [Red(R5Revoked), Rule("R5"), Flaw("N1"), Row(10), Row(12)]
    |stage| {
        let stopped = stop_everything(stage).await?;
        all_say(stage, &[("halted", 30)]).await?;
        let lists = DigestList::of(&stage.statements_said()?);
        let (draft, alice) = carol_for_alice(stage);
        next_root(stage, draft.revoke(alice, &lists), &lists).await?;
        // The site that she signed for has fallen with her: nobody knows where the hosts are.
        all_say(stage, &[("place-unknown", 30)]).await?;
        stage.is_untouched()?;
        let spec = Spec::Halt(HaltSpec { name: "thiefs".into(), policy: None });
        let halt = stage.people().resource("thiefs", &spec, Some(everyone()));
        let halt = stage.people().draft().resource(halt);
        let (_, thiefs) = stage.people().sign(&halt, &["alice"])?;
        stage.mount(thiefs).await?;
        let site = Spec::Site(SiteSpec {
            name: "north".into(),
            zone: Some("UTC".into()),
            ..SiteSpec::default()
        });
        let site = stage.people().resource("north", &site, None);
        let window = stage.people().opens("now", -300, 3600, everyone());
        let again = [site, window];
        for resource in again {
            said_by_the_new_signers(stage, resource).await?;
        }
        all_say(stage, &[("halted", 30)]).await?;
        the_new_signers_go_on(stage, &[stopped.halt]).await?;
        all_say(stage, &[("newer", 30)]).await?;
        stage.installs().await
    }

    /// The only key that enrols leaves, and nothing that it signed is kept: nobody is evicted, no
    /// host starts anything, and one batch signed anew heals the whole site.
    a_leaver_who_enrolled_everyone
    [Red(C1Fallen), Rule("A2"), Rule("C1"), Flaw("B5"), Row(11)]
    |stage| {
        let stopped = stop_everything(stage).await?;
        let (eve, nina) = (stage.people().key("eve").public(), stage.people().key("nina").public());
        let draft = stage.people().next_root().key(nina.clone(), "nina");
        let draft = draft.role(Role::Enroll, 1, [nina.id()]).retire(eve.id(), &[]);
        next_root(stage, draft, &[]).await?;
        all_say(stage, &[("host-untrusted", 30)]).await?;
        stage.is_untouched()?;
        let resume = stage.people().resume("go", &[stopped.halt])?;
        let end = stage.people().end(Kind::Blackout, "freeze")?;
        let hold = stage.people().end(Kind::Hold, "one")?;
        stage.tell([resume, end, hold].concat()).await?;
        // All that stopped them is gone, and still none of them starts.
        all_say(stage, &[("host-untrusted", 30)]).await?;
        stage.is_untouched()?;
        let own = stage.machine().public_key()?;
        let keys = others().map(|key| key.public()).chain([own]);
        for (number, key) in keys.enumerate() {
            let items = stage.enroll_by("nina", &format!("host-{number}"), &key)?;
            stage.mount(items).await?;
        }
        all_say(stage, &[("newer", 30)]).await?;
        stage.installs().await
    }

    /// Alice leaves while a freeze, a halt and a hold of hers stand, and is kept by name: nothing
    /// changes for any host. What she had half signed needs the others.
    a_leaver_in_a_freeze
    [Red(R5Kept), Rule("R5"), Rule("C4"), Flaw("B4"), Row(11)]
    |stage| {
        let stopped = stop_everything(stage).await?;
        all_say(stage, &[("halted", 30)]).await?;
        let lists = DigestList::of(&stage.statements_said()?);
        let (draft, alice) = carol_for_alice(stage);
        next_root(stage, draft.retire(alice, &lists), &lists).await?;
        all_say(stage, &[("halted", 30)]).await?;
        stage.is_untouched()?;
        // Her draft, with Bob's signature beside her own: it would have been enough.
        let bobs = stage.signatures_of(&stopped.draft, &["bob"]);
        stage.mount(bobs).await?;
        stage.floor_of_order("draft", Some(1))?;
        let spec = Spec::Resume(ResumeSpec { name: "go".into(), halts: vec![stopped.halt] });
        let resume = stage.people().resource("go", &spec, None);
        said_by_the_new_signers(stage, resume).await?;
        // Under the roots before it would have counted, so it has fallen, and that is a stop.
        all_say(stage, &[("held", 1), ("policy-unknown", 29)]).await?;
        stage.is_untouched()?;
        let end = stage.people().tombstone(Kind::OsUpdatePolicy, "draft", Some(everyone()));
        said_by_the_new_signers(stage, end).await?;
        all_say(stage, &[("held", 1), ("newer", 29)]).await?;
        let end = stage.people().tombstone(Kind::Hold, "one", Some(everyone()));
        said_by_the_new_signers(stage, end).await?;
        all_say(stage, &[("newer", 30)]).await?;
        stage.installs().await
    }

    /// The root that revokes a thief is kept from a site: there the thief's word stops everyone and
    /// starts nobody, and the root lifts that when it comes.
    a_revocation_that_is_withheld
    [Red(R5Revoked), Red(C5Threshold), Rule("R5"), Flaw("N1"), Row(7), Row(12), Row(25)]
    |stage| {
        let stopped = stop_everything(stage).await?;
        let spec = Spec::Halt(HaltSpec { name: "thiefs".into(), policy: None });
        let halt = stage.people().resource("thiefs", &spec, Some(everyone()));
        let halt = stage.people().draft().resource(halt);
        let (halt, thiefs) = stage.people().sign(&halt, &["alice"])?;
        let spec = Spec::Resume(ResumeSpec { name: "thiefs".into(), halts: vec![halt.digest()] });
        let lift = stage.people().resource("thiefs", &spec, None);
        let lift = stage.people().draft().resource(lift);
        let (_, lifts) = stage.people().sign(&lift, &["alice"])?;
        stage.mount([thiefs, lifts].concat()).await?;
        let resume = stage.people().resume("before", &[stopped.halt])?;
        stage.tell(resume).await?;
        all_say(stage, &[("halted", 30)]).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt thiefs").await?;
        let known = stage.statements_said()?;
        let lists = DigestList::of(&known);
        let (draft, alice) = carol_for_alice(stage);
        next_root(stage, draft.revoke(alice, &lists).keep(known), &lists).await?;
        all_say(stage, &[("held", 1), ("newer", 29)]).await?;
        stage.installs().await
    }

    /// Thieves of both keys hold everyone under the highest version there is: 30 hosts wait until
    /// root takes it back by name.
    a_hold_at_the_highest_version
    [Red(R6Void), Rule("R6"), Row(8), Flaw("N14"), Tuf("test_targets_fast_forward_recovery")]
    |stage| {
        let stopped = stop_everything(stage).await?;
        let id = stage.people().id(Kind::Hold, "one");
        let spec = Spec::Hold(HoldSpec { name: "one".into() });
        let top = ResourceDraft::new(id.clone(), RESOURCE_VERSION_MAX, &spec).target(everyone());
        let draft = stage.people().draft().resource(top);
        let (thiefs, items) = stage.people().say(&draft, &POLICY)?;
        stage.tell(items).await?;
        let resume = stage.people().resume("go", &[stopped.halt])?;
        stage.tell(resume).await?;
        all_say(stage, &[("held", 30)]).await?;
        let second = stage.people().end(Kind::Hold, "one")?;
        stage.mount(second).await?;
        all_say(stage, &[("held", 30)]).await?;
        stage.is_untouched()?;
        let digest = thiefs.payload().resources.first().map(|resource| resource.digest());
        let kind = Kind::Hold.name().to_owned();
        let digest = digest.context("no resource")?;
        let ids = vec![VoidId { kind, id, digest, counts_from: 3 }];
        let draft = stage.people().next_root().void(Void { statement: thiefs.digest(), ids });
        next_root(stage, draft, &[]).await?;
        // Below what was taken back nothing is lifted: whom the first version held, it holds.
        all_say(stage, &[("held", 1), ("newer", 29)]).await?;
        let third = stage.people().end(Kind::Hold, "one")?;
        stage.tell(third).await?;
        all_say(stage, &[("newer", 30)]).await?;
        stage.installs().await
    }
}
