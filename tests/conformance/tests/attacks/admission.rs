//! Who is served what: strangers, machines that were removed, delegates (RULES A1, A2, C4).

use anyhow::ensure;
use daymark_core::effect::Topic;
use daymark_node::mesh::OpenError;
use daymark_protocol::decide::Gate;
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{Kind, ResumeSpec, Role, Scope, Spec};
use daymark_protocol::trust::{Delegation, Draft, ResourceDraft, RoleKeys, named_id};
use daymark_real::{ADMIN, BarePeer, Machine, OFFICE, Say as _, everyone, now, until};

use super::case::cases;
use super::stage::Stage;
use super::within;

/// Lets the machine listen to the network, and a bare peer connect to it with a key of its own
/// machine, which takes the other for a member and listens to everything.
pub(super) async fn a_peer(
    stage: &mut Stage,
    name: &str,
    enrolled: bool,
) -> anyhow::Result<(Machine, BarePeer)> {
    stage.listen().await?;
    let other = stage.fleet.stranger(name).await?;
    if enrolled {
        let items = stage.people().enroll(name, &other.public_key()?, "north")?;
        stage.tell(items).await?;
    }
    let site = stage.people().id(Kind::Site, "north");
    let fleet = stage.people().fleet();
    let topics = [DocumentId::Fleet, DocumentId::Site(site)]
        .map(|document| Topic(format!("daymark/{fleet}/{document}")));
    let host = stage.machine().id();
    let peer = BarePeer::start(&other, &[host], topics.to_vec()).await?;
    until("they are connected", within(), async || {
        let connected = peer.seen().connected;
        if connected.contains_key(&host) { Ok(()) } else { Err(format!("{connected:?}")) }
    })
    .await?;
    Ok((other, peer))
}

/// What the machine calls its peer.
pub(super) async fn is_called(
    stage: &Stage,
    peer: &Machine,
    admission: &str,
) -> anyhow::Result<()> {
    let id = peer.id();
    until(&format!("the peer is a {admission}"), within(), async || {
        let peers = stage.machine().status().await?.peers;
        let ours = peers.iter().find(|one| one.host == id);
        if ours.is_some_and(|one| one.admission == admission) {
            return Ok(());
        }
        Err(format!("{peers:?}"))
    })
    .await
}

cases! {
    /// A stranger on the network listens to every topic, asks, and wants chunks.
    a_stranger_that_listens
    [Red(A2Members), Rule("A1"), Rule("A2"), Flaw("S1"), Row(21), Row(24), Row(25), Row(26)]
    |stage| {
        let (other, peer) = a_peer(stage, "peer", false).await?;
        is_called(stage, &other, "stranger").await?;
        let host = stage.machine().id();
        peer.ask(host).await;
        let opened = peer.open_chunks(host).await;
        ensure!(opened == Err(OpenError::NotAdmitted), "a stranger may ask for chunks: {opened:?}");
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await?;
        peer.ask(host).await;
        ensure!(peer.open_chunks(host).await.is_err(), "a stranger may ask for chunks");
        let seen = peer.seen();
        ensure!(seen.syncs == 0 && seen.gossip == 0, "it heard {seen:?}");
        peer.stop().await;
        Ok(())
    }

    /// The same, by an enrolled machine: it hears everything, until it is removed.
    a_member_that_is_removed
    [Red(A1Removed), Rule("A1"), Rule("A2"), Flaw("B5"), Flaw("S4"), Row(23), Row(25)]
    |stage| {
        let (other, peer) = a_peer(stage, "peer", true).await?;
        is_called(stage, &other, "member").await?;
        let host = stage.machine().id();
        until("it is answered", within(), async || {
            peer.ask(host).await;
            if peer.seen().syncs > 0 { Ok(()) } else { Err("it is not".to_owned()) }
        })
        .await?;
        let id = ResourceId::from(other.id());
        let site = stage.people().id(Kind::Site, "north");
        let gone = ResourceDraft::tombstone(Kind::Host, id, 2).site(Some(site.clone()));
        let (fleet, scope) = (stage.people().fleet(), Scope::Site(site));
        let (_, gone) = stage.people().sign(&Draft::new(fleet, scope, now()).resource(gone), &OFFICE)?;
        stage.tell(gone).await?;
        is_called(stage, &other, "stranger").await?;
        let opened = peer.open_chunks(host).await;
        ensure!(opened.is_err(), "a removed machine may ask for chunks");
        let order = stage.order("all")?;
        stage.tell(order).await?;
        stage.installs().await?;
        peer.stop().await;
        Ok(())
    }

    /// A delegate of another site resumes a halt of the whole fleet.
    a_resume_beyond_its_scope
    [Red(C4Resume), Rule("C4"), Rule("R7"), Flaw("N13"), Row(9)]
    |stage| {
        let dora = stage.people().key("dora").public();
        let scope = Scope::Site(stage.people().id(Kind::Site, "south"));
        let given = Delegation {
            role: Role::Policy,
            speakers: RoleKeys { threshold: 1, keys: [dora.id()].into() },
            scope: scope.clone(),
            until: now().plus_ms(1 << 32),
        };
        let draft = stage.people().next_root().key(dora, "dora").delegate("south", given);
        let (root, envelope) = stage.people().sign_root(&draft, &ADMIN)?;
        let root = stage.people().follow(root, envelope);
        let (halt, items) = stage.people().halt("stop")?;
        let order = stage.order("all")?;
        stage.tell([vec![root], items, order].concat()).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt stop").await?;
        let north = Scope::Site(stage.people().id(Kind::Site, "north"));
        let fleet = stage.people().fleet();
        let narrow = |stage: &mut Stage, scope: Scope, by: &[&str]| {
            let spec = Spec::Resume(ResumeSpec { name: "go".into(), halts: vec![halt] });
            let id = named_id(Kind::Resume, &fleet, &scope, "go");
            let resume = ResourceDraft::new(id, 1, &spec).target(everyone());
            let draft = Draft::new(fleet, scope, now().plus_ms(-300_000)).resource(resume);
            Ok::<_, anyhow::Error>(stage.people().sign(&draft, by)?.1)
        };
        // A resume for one site by the fleet's own keys is narrower than the halt, too.
        let by_policy = narrow(stage, north, &["alice", "bob"])?;
        let by_dora = narrow(stage, scope, &["dora"])?;
        stage.mount([by_policy, by_dora].concat()).await?;
        stage.is_held_by(Gate::Halted, "halted", "halt stop").await?;
        let resume = stage.people().resume("go", &[halt])?;
        stage.tell(resume).await?;
        stage.installs().await
    }
}
