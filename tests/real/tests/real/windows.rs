//! Updates happen inside windows only.

use anyhow::ensure;
use daymark_protocol::decide::{Gate, Verdict};
use daymark_real::{Image, Say as _, WITHIN, everyone, until};

use crate::{on_fleet, plan};

#[tokio::test(flavor = "multi_thread")]
async fn before_its_window_a_node_stages_and_waits_and_within_it_activates() -> anyhow::Result<()> {
    // Four machines agree on the time to the millisecond (RULES Q6).
    on_fleet(plan(4), async |fleet| {
        let (published, mut items) = fleet.publish(&Image::new("2.0.0"))?;
        items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
        items.extend(fleet.administrators.window("soon", 3600, 7200)?);
        fleet.tell(1, items).await?;
        for machine in &fleet.machines {
            let staged = until(&format!("{} staged", machine.name), WITHIN, async || {
                let status = machine.status().await?;
                if status.update == "staged" { Ok(status) } else { Err(status.update) }
            })
            .await?;
            ensure!(staged.installed.as_deref() == Some("edge@1.0.0"), "{staged:?}");
            let held = machine.is_held_by(Gate::Window).await?;
            ensure!(held.reason == "outside-window", "{held:?}");
            let answer = machine.decision().await.map_err(anyhow::Error::msg)?;
            ensure!(answer.decision.verdict == Verdict::Wait, "{answer:?}");
        }
        // The same window, in ten seconds, of which rounding takes at most one.
        let opens = daymark_node::clock::wall().plus_ms(9000);
        let items = fleet.administrators.window("soon", 10, 7200)?;
        fleet.tell(1, items).await?;
        for machine in &fleet.machines {
            let status = machine.runs("2.0.0").await?;
            ensure!(status.started >= opens, "restarted before the window: {status:?}");
            ensure!(machine.boot_switch()?.boots == 2, "it started more often than it should");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_over_starts_nothing() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, mut items) = fleet.publish(&Image::new("2.0.0"))?;
        items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
        items.extend(fleet.administrators.window("gone", -3600, -60)?);
        fleet.tell(0, items).await?;
        let machine = &fleet.machines[0];
        until("the window holds it back", WITHIN, async || {
            let held = machine.held_by().await?;
            match held.iter().find(|answer| answer.gate == Gate::Window) {
                Some(answer) if answer.reason == "no-window" => Ok(()),
                _ => Err(format!("{held:?}")),
            }
        })
        .await?;
        ensure!(machine.durable()?.attempt == 0, "an attempt was begun");
        Ok(())
    })
    .await
}
