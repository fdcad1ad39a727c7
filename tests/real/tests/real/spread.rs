//! What one node is handed reaches all.

use anyhow::ensure;
use daymark_real::{Image, WITHIN, until};

use crate::{on_fleet, plan};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_through_one_node_reaches_all_five_and_all_update() -> anyhow::Result<()> {
    on_fleet(plan(5), async |fleet| {
        fleet.origin.answer_only(&["node-1"]);
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
        let others = ["node-2", "node-3", "node-4", "node-5"];
        ensure!(others.iter().all(|name| fleet.origin.served_bytes(name) == 0));
        let refused: u64 = others.iter().map(|name| fleet.origin.refused(name)).sum();
        ensure!(refused > 0, "nobody but node-1 asked the release service");
        Ok(())
    })
    .await
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
