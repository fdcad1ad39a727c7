//! A disk that comes to another board (RULES D6).

use anyhow::ensure;
use daymark_protocol::decide::Gate;
use daymark_real::{Image, Machine, WITHIN, until};

use crate::{on_prepared_fleet, plan};

/// What one of its commands says, and whether it succeeded.
async fn said(machine: &Machine, words: &[&str]) -> anyhow::Result<(bool, String)> {
    let output = machine.node(words).await?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn d6_a_disk_on_another_board_starts_nothing_until_a_person_rebinds_it() -> anyhow::Result<()>
{
    on_prepared_fleet(plan(2), async |fleet| {
        let board = fleet.machines[0].folder.join("serial");
        std::fs::write(&board, "BOARD-1\n")?;
        fleet.machines[0].set("identity.serial", &format!("[{board:?}]"))?;
        fleet.switch_all_on().await?;
        ensure!(fleet.machines[0].status().await.is_ok_and(|status| status.rebind.is_empty()));
        fleet.machines[0].stop()?;

        std::fs::write(&board, "BOARD-2\n")?;
        fleet.switch_on(0).await?;
        let (_, items) = fleet.order(&Image::new("2.0.0"))?;
        fleet.tell(1, items).await?;
        fleet.machines[1].runs("2.0.0").await?;
        let machine = &fleet.machines[0];
        let held = machine.is_held_by(Gate::Inhibited).await?;
        let why = format!("{:?}", held.evidence);
        ensure!(why.contains("BOARD-1") && why.contains("BOARD-2"), "explain says {why}");
        ensure!(machine.durable()?.attempt == 0, "an attempt was begun");
        let status = machine.status().await.map_err(anyhow::Error::msg)?;
        ensure!(status.problems.iter().any(|problem| problem.contains("daymark-node rebind")));
        ensure!(machine.log_text().contains("copied disk or new board?"), "the log is silent");
        let (_, doctor) = said(machine, &["doctor"]).await?;
        ensure!(doctor.contains("PROBLEM  board"), "doctor says {doctor}");
        // The others hear of it, in its one report.
        let id = machine.id();
        until("node-1 holds its word", WITHIN, async || {
            let held = fleet.held_by(1).await?;
            let view = held.replica().host_view(&id).ok_or("no report")?;
            let reason = format!("{:?}", view.facts());
            if reason.contains("inhibited") { Ok(()) } else { Err(reason) }
        })
        .await?;

        // Nobody said yes.
        let (_, preview) = said(&fleet.machines[0], &["rebind"]).await?;
        ensure!(preview.contains("recorded BOARD-1, now BOARD-2"), "{preview}");
        ensure!(preview.contains("nothing was changed"), "{preview}");
        fleet.machines[0].is_held_by(Gate::Inhibited).await?;
        let (done, text) = said(&fleet.machines[0], &["rebind", "--yes"]).await?;
        ensure!(done, "{text}");
        fleet.machines[0].runs("2.0.0").await?;
        fleet.machines[0].stop()?;
        fleet.switch_on(0).await?;
        let status = fleet.machines[0].status().await.map_err(anyhow::Error::msg)?;
        ensure!(status.rebind.is_empty(), "{:?}", status.rebind);
        Ok(())
    })
    .await
}
