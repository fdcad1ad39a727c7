//! Disks that fill up below a running agent.

use anyhow::ensure;
use daymark_real::{Image, Machine, SmallDisk, WITHIN, until};

use crate::{on_prepared_fleet, plan, skipped};

/// Room for the agent, and little more than the test fills.
const DATA_BYTES: u64 = 24 << 20;

/// What the agent said when it ended, each in one line.
fn complaints(machine: &Machine) -> Vec<String> {
    let log = machine.log_text();
    let said = log.lines().filter(|line| line.starts_with("daymark-node: "));
    said.map(ToOwned::to_owned).collect()
}

/// Alone, it reports only half a minute after its restart (RULES Q15): this is what it will say.
fn one_good_run(machine: &Machine) -> anyhow::Result<()> {
    let finished = machine.durable()?.finished;
    let good = finished.len() == 1 && finished.iter().all(|run| run.status.ends_with("UPDATED"));
    ensure!(good, "{finished:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_data_disk_fills_up_ends_and_goes_on_where_it_was() -> anyhow::Result<()> {
    if let Some(why) = SmallDisk::missing() {
        return skipped(why);
    }
    on_prepared_fleet(plan(1), async |fleet| {
        let data = fleet.machines[0].data();
        let disk = SmallDisk::under(&data, DATA_BYTES)?;
        fleet.switch_all_on().await?;
        let machine = &fleet.machines[0];
        let before = fleet.held_by(0).await.map_err(anyhow::Error::msg)?;
        let (key, floors) = (std::fs::read(data.join("key"))?, std::fs::read(data.join("floors"))?);
        ensure!(complaints(machine).is_empty(), "{:?}", complaints(machine));

        disk.fill()?;
        let (_, items) = fleet.order(&Image::new("2.0.0"))?;
        let machine = &fleet.machines[0];
        let answer = machine.client().submit(items.clone()).await;
        ensure!(answer.is_err(), "it took what it cannot keep: {answer:?}");
        until("the agent ends", WITHIN, async || {
            let ended = machine.log_text().contains("the agent ended (exit status: 1)");
            if ended { Ok(()) } else { Err("it runs".to_owned()) }
        })
        .await?;
        ensure!(disk.free_bytes()? == 0, "the disk is not full any more");
        let said = complaints(machine);
        let clear = |line: &String| line.contains("full") && line.contains("free some space");
        ensure!(!said.is_empty() && said.iter().all(clear), "{said:?}");
        ensure!(!machine.log_text().contains("panicked"), "it panicked");

        disk.clear()?;
        until("it answers again", WITHIN, async || machine.status().await.map(drop)).await?;
        let after = fleet.held_by(0).await.map_err(anyhow::Error::msg)?;
        ensure!(after.entries().is_superset(before.entries()), "entries are gone");
        ensure!(std::fs::read(data.join("key"))? == key, "another identity");
        ensure!(std::fs::read(data.join("floors"))?.starts_with(&floors), "floors are gone");
        fleet.tell(0, items).await?;
        let status = fleet.machines[0].runs("2.0.0").await?;
        ensure!(status.problems.is_empty(), "{:?}", status.problems);
        one_good_run(&fleet.machines[0])?;
        fleet.machines[0].stop()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_on_a_full_disk_waits_for_room() -> anyhow::Result<()> {
    if let Some(why) = SmallDisk::missing() {
        return skipped(why);
    }
    on_prepared_fleet(plan(1), async |fleet| {
        let slot = fleet.machines[0].folder.join("slots").join("b");
        let disk = SmallDisk::under(&slot, 1 << 20)?;
        fleet.switch_all_on().await?;
        let (published, items) = fleet.order(&Image::new("2.0.0"))?;
        ensure!(published.bytes() > disk.free_bytes()?, "the image fits");
        fleet.tell(0, items).await?;
        let machine = &fleet.machines[0];
        let status = until("it says that the disk is full", WITHIN, async || {
            let status = machine.status().await?;
            let full = |problem: &&String| problem.contains("no space for slot b");
            let told = status.problems.iter().filter(full).count();
            if told == 1 { Ok(status) } else { Err(format!("{:?}", status.problems)) }
        })
        .await?;
        ensure!(status.update == "staging", "{status:?}");
        ensure!(status.installed.as_deref() == Some("edge@1.0.0"), "{status:?}");
        disk.resize(16 << 20)?;
        let status = machine.runs("2.0.0").await?;
        ensure!(status.booted_slot.as_deref() == Some("b"), "{status:?}");
        one_good_run(&fleet.machines[0])?;
        fleet.machines[0].stop()
    })
    .await
}
