//! Keys that end while much depends on them: thirty hosts, a freeze, a halt, a hold and a
//! half-signed draft. One host is a real node; what the others do is decided from its replica.

use std::collections::BTreeMap;

use anyhow::ensure;
use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::decide::{
    Activity, Installed, InstalledSource, Machine, PlatformKind, Reach, World, decide,
};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::{
    HaltSpec, HoldSpec, Kind, OsType, ResumeSpec, Role, SiteSpec, Spec,
};
use daymark_protocol::time::Now;
use daymark_protocol::trust::{DigestList, RootDraft, SigningKey, Statement};
use daymark_real::{ADMIN, Say as _, everyone, held_by, now, only};

use super::case::cases;
use super::stage::Stage;

/// Hosts beside the real node.
const OTHERS: u8 = 29;

/// What depends on the keys.
struct Stopped {
    /// Alice's halt.
    halt: Digest,
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
    let (_, half) = stage.people().sign(&draft, &["alice"])?;
    let all = stage.order("all")?;
    stage.tell([freeze, hold, said, half, all].concat()).await?;
    Ok(Stopped { halt: halt.digest() })
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
        let draft = stage.people().draft().resource(resource);
        let (_, items) = stage.people().say(&draft, &["bob", "carol"])?;
        stage.mount(items).await?;
    }
    Ok(())
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
            let draft = stage.people().draft().resource(resource);
            let (_, items) = stage.people().say(&draft, &["bob", "carol"])?;
            stage.mount(items).await?;
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
}
