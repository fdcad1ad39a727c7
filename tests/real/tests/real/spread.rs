//! What one node is handed reaches all.

use std::net::Ipv4Addr;

use anyhow::{Context as _, ensure};
use daymark_protocol::document::UpdateRun;
use daymark_real::{Image, Logged, Nginx, WITHIN, until};

use crate::{on_fleet, on_prepared_fleet, plan, skipped};

/// Answers of the release service that carry chunks.
fn chunks(logged: &Logged) -> bool {
    logged.path.ends_with("/pack")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_through_one_node_reaches_all_five_and_all_update() -> anyhow::Result<()> {
    if let Some(why) = Nginx::missing() {
        return skipped(why);
    }
    on_prepared_fleet(plan(5), async |fleet| {
        let addresses: Vec<Ipv4Addr> = fleet.machines.iter().map(|m| m.place.address).collect();
        let (folder, at) = (fleet.folder().join("nginx"), (None, Ipv4Addr::LOCALHOST));
        let nginx = Nginx::start(&folder, &fleet.release(), at, &addresses[..1]).await?;
        for machine in &mut fleet.machines {
            machine.set("release.sources", &format!("[{:?}]", nginx.url()))?;
        }
        fleet.switch_all_on().await?;
        let (published, items) = fleet.order(&Image::new("2.0.0").rootfs(6 << 20, 7))?;
        fleet.tell(3, items).await?;
        for machine in &fleet.machines {
            machine.runs("2.0.0").await?;
        }
        for of in 0..5 {
            let run = fleet.run_to("2.0.0", of, (of + 1) % 5).await?;
            ensure!(run.status == "UPDATED", "{run:?}");
            ensure!(run.bytes.total == published.bytes(), "{run:?}");
            ensure!((run.bytes.origin > 0) == (of == 0), "node {of}: {:?}", run.bytes);
            ensure!((run.bytes.peers > 0) == (of != 0), "node {of}: {:?}", run.bytes);
            let switch = fleet.machines[of].boot_switch()?;
            ensure!(switch.default == "b" && switch.trial.is_none(), "{switch:?}");
        }
        only_one_fetched(&nginx.log()?, &addresses, fleet.run_to("2.0.0", 0, 0).await?)
    })
    .await
}

/// By nginx's own log: the first fetched, in ranges and about what its record says, and all
/// others that asked were refused.
fn only_one_fetched(log: &[Logged], all: &[Ipv4Addr], run: UpdateRun) -> anyhow::Result<()> {
    let first = all.first().context("no machine")?;
    ensure!(log.iter().all(|logged| all.contains(&logged.from)), "a stranger asked: {log:?}");
    let (own, others): (Vec<_>, Vec<_>) = log.iter().partition(|logged| logged.from == *first);
    ensure!(!others.is_empty(), "nobody but node-1 asked the release service");
    ensure!(others.iter().all(|logged| logged.status == 403), "{others:?}");
    let served: u64 = own.iter().map(|logged| logged.bytes).sum();
    let packs: Vec<_> = own.into_iter().filter(|logged| chunks(logged)).collect();
    ensure!(packs.iter().all(|logged| logged.status == 206 && logged.range != "-"), "{packs:?}");
    let chunks: u64 = packs.iter().map(|logged| logged.bytes).sum();
    // Besides chunks there are the index and the map of the pack.
    let (low, high) = (chunks.min(run.bytes.total - run.bytes.own), served);
    ensure!((low..=high).contains(&run.bytes.origin), "nginx served {low} to {high}: {run:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_off_catches_up() -> anyhow::Result<()> {
    on_fleet(plan(3), async |fleet| {
        fleet.machines[2].stop()?;
        ensure!(fleet.machines[2].status().await.is_err(), "node-3 still answers");
        let (_, items) = fleet.order(&Image::new("2.0.0"))?;
        fleet.tell(0, items).await?;
        for machine in &fleet.machines[..2] {
            machine.runs("2.0.0").await?;
        }
        fleet.origin.answer_only(&[]);
        fleet.switch_on(2).await?;
        fleet.machines[2].runs("2.0.0").await?;
        let run = fleet.run_to("2.0.0", 2, 0).await?;
        ensure!(run.status == "UPDATED" && run.bytes.peers > 0, "{run:?}");
        until("node-3 holds what node-1 holds", WITHIN, async || {
            let (one, three) = (fleet.held_by(0).await?, fleet.held_by(2).await?);
            if one.entries() == three.entries() { Ok(()) } else { Err("it does not".into()) }
        })
        .await
    })
    .await
}
