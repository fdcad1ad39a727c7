//! What one node is handed reaches all.

use anyhow::ensure;
use daymark_real::{Image, Say as _, everyone};

use crate::{on_fleet, plan};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_through_one_node_reaches_all_five_and_all_update() -> anyhow::Result<()> {
    on_fleet(plan(5), |fleet| {
        Box::pin(async move {
            fleet.origin.answer_only(&["node-1"]);
            let image = Image::new("2.0.0").rootfs(6 << 20, 7);
            let (published, mut items) = fleet.publish(&image)?;
            items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
            items.extend(fleet.administrators.window("now", -60, 3600)?);
            fleet.tell(3, items).await?;
            for machine in &fleet.machines {
                machine.runs("2.0.0").await?;
            }
            for of in 0..5 {
                let run = fleet.only_run(of, (of + 1) % 5).await?;
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
            ensure!(refused > 0, "nobody but node 1 asked the release service");
            Ok(())
        })
    })
    .await
}
