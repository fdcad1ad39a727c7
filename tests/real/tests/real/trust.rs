//! What does not count changes nothing, and strangers get nothing.

use anyhow::ensure;
use daymark_core::effect::Topic;
use daymark_node::mesh::OpenError;
use daymark_protocol::control::{Join, SubmitOutcome};
use daymark_protocol::decide::{Gate, Verdict};
use daymark_protocol::document::DocumentId;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::Kind;
use daymark_real::{
    Administrators, BarePeer, Fleet, Image, Machine, POLICY, Say as _, WITHIN, everyone, held_by,
    until,
};

use crate::{on_fleet, plan};

/// The first machine is asked for nothing, for this reason.
async fn wants_nothing(fleet: &Fleet) -> anyhow::Result<()> {
    let machine = &fleet.machines[0];
    until("no policy reaches it", WITHIN, async || {
        let decision = machine.decision().await?.decision;
        let nothing = decision.verdict == Verdict::Nothing && decision.reason == "no-policy";
        if nothing { Ok(()) } else { Err(format!("{decision:?}")) }
    })
    .await?;
    ensure!(machine.durable()?.attempt == 0, "an attempt was begun");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_below_its_threshold_changes_nothing() -> anyhow::Result<()> {
    on_fleet(plan(2), async |fleet| {
        let (published, mut items) = fleet.publish(&Image::new("2.0.0"))?;
        items.extend(fleet.administrators.window("now", -300, 3600)?);
        let policy = fleet.administrators.wants("all", &published.os, everyone());
        let draft = fleet.administrators.draft().resource(policy);
        let (statement, half) = fleet.administrators.sign(&draft, &["alice"])?;
        items.extend(half);
        // The same key twice is one key, and a key without the role is none.
        items.extend(fleet.administrators.sign(&draft, &["alice", "harry"])?.1);
        fleet.tell(1, items).await?;
        until("node-1 holds the half-signed policy", WITHIN, async || {
            let held = fleet.held_by(0).await?;
            let there = held.replica().statement(&statement.digest()).is_some();
            if there { Ok(()) } else { Err("it does not".into()) }
        })
        .await?;
        wants_nothing(fleet).await?;
        let (_, whole) = fleet.administrators.sign(&draft, &["bob"])?;
        fleet.tell(1, whole).await?;
        fleet.machines[0].runs("2.0.0").await.map(drop)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_another_fleet_changes_nothing() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, items) = fleet.publish(&Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        let before = fleet.held_by(0).await.map_err(anyhow::Error::msg)?.entries().clone();
        let mut others = Administrators::found("others")?;
        let mut items = others.roots();
        items.extend(others.policy("all", &published.os, everyone())?);
        items.extend(others.window("now", -300, 3600)?);
        // The fleet's own keys under the other fleet's name.
        let resource = fleet.administrators.wants("all", &published.os, everyone());
        let draft = others.draft().resource(resource);
        items.extend(fleet.administrators.sign(&draft, &POLICY)?.1);
        let count = items.len();
        let answer = fleet.machines[0].client().submit(items).await?;
        let taken = |outcome: &&SubmitOutcome| matches!(outcome, SubmitOutcome::New);
        ensure!(answer.outcomes.len() == count);
        ensure!(!answer.outcomes.iter().any(|outcome| taken(&outcome)), "{:?}", answer.outcomes);
        let after = fleet.held_by(0).await.map_err(anyhow::Error::msg)?.entries().clone();
        ensure!(before == after, "it keeps entries of another fleet");
        wants_nothing(fleet).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_floor_nothing_comes_back_even_on_an_empty_store() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, items) = fleet.publish(&Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        let opens = fleet.administrators.policy("all", &published.os, everyone())?;
        let ends = fleet.administrators.end(Kind::OsUpdatePolicy, "all")?;
        let before_the_end = fleet.administrators.said();
        fleet.tell(0, ends.clone()).await?;
        wants_nothing(fleet).await?;
        // What peers could give back is lost; floors are not.
        fleet.machines[0].stop()?;
        std::fs::remove_dir_all(fleet.machines[0].data().join("store"))?;
        fleet.switch_on(0).await?;
        let mut items: Vec<_> =
            before_the_end.into_iter().filter(|item| !ends.contains(item)).collect();
        items.extend(opens);
        items.extend(fleet.administrators.window("now", -300, 3600)?);
        fleet.tell(0, items).await?;
        let answer = fleet.machines[0].is_held_by(Gate::Policy).await?;
        ensure!(answer.reason == "policy-unknown", "{answer:?}");
        ensure!(fleet.machines[0].durable()?.attempt == 0, "an attempt was begun");
        fleet.tell(0, ends).await?;
        wants_nothing(fleet).await
    })
    .await
}

/// A stranger that takes all for members, asks them, and listens to the fleet's topics.
async fn a_listener(fleet: &mut Fleet) -> anyhow::Result<BarePeer> {
    let machine = fleet.stranger("listener").await?;
    let members: Vec<_> = fleet.machines.iter().map(Machine::id).collect();
    let site = fleet.administrators.id(Kind::Site, "north");
    let fleet_id = fleet.administrators.fleet();
    let topics = [DocumentId::Fleet, DocumentId::Site(site)]
        .map(|document| Topic(format!("daymark/{fleet_id}/{document}")));
    let listener = BarePeer::start(&machine, &members, topics.to_vec()).await?;
    until("the listener is connected to all", WITHIN, async || {
        let connected = listener.seen().connected;
        let all = members.iter().all(|member| connected.contains_key(member));
        if all { Ok(()) } else { Err(format!("{connected:?}")) }
    })
    .await?;
    for member in members {
        listener.ask(member).await;
        let opened = listener.open_chunks(member).await;
        ensure!(opened == Err(OpenError::NotAdmitted), "a stranger asks for chunks: {opened:?}");
    }
    Ok(listener)
}

/// After its questions, and all that the fleet said meanwhile.
async fn it_heard_nothing(fleet: &Fleet, listener: BarePeer) -> anyhow::Result<()> {
    for machine in &fleet.machines {
        listener.ask(machine.id()).await;
        ensure!(listener.open_chunks(machine.id()).await.is_err(), "a stranger may ask for chunks");
    }
    let seen = listener.seen();
    ensure!(seen.syncs == 0 && seen.gossip == 0, "{seen:?}");
    listener.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_on_the_same_network_receives_nothing() -> anyhow::Result<()> {
    on_fleet(plan(2), async |fleet| {
        let (_, items) = fleet.order(&Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        let mut stranger = fleet.stranger("stranger").await?;
        stranger.start()?;
        until("the stranger answers", WITHIN, async || stranger.status().await.map(drop)).await?;
        // It even knows the fleet's root.
        let (pin, items) = (fleet.administrators.pin(), fleet.administrators.roots());
        stranger.client().join(&Join { pin, items }).await?;
        let id = stranger.id();
        until("both see a stranger", WITHIN, async || {
            for machine in &fleet.machines {
                let peers = machine.status().await?.peers;
                let seen = peers.iter().find(|peer| peer.host == id);
                if seen.is_none_or(|peer| peer.admission != "stranger") {
                    return Err(format!("{} sees {peers:?}", machine.name));
                }
            }
            Ok(())
        })
        .await?;
        let listener = a_listener(fleet).await?;
        for machine in &fleet.machines {
            machine.runs("2.0.0").await?;
        }
        it_heard_nothing(fleet, listener).await?;
        let index = stranger.client().replica().await?;
        // Members say who they are, in the join exchange, and nothing else (RULES A2).
        let held = held_by(&stranger.client(), pin).await?;
        for (_, statement) in held.replica().statements() {
            for resource in &statement.statement.payload().resources {
                let of = |machine: &Machine| resource.id == ResourceId::from(machine.id());
                ensure!(
                    fleet.machines.iter().any(of),
                    "it holds {} {}",
                    resource.kind,
                    resource.id
                );
            }
        }
        ensure!(index.reports.keys().all(|host| *host == id), "{:?}", index.reports);
        ensure!(stranger.durable()?.attempt == 0, "it was told of an update");
        Ok(())
    })
    .await
}
