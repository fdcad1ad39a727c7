//! Images that are no good: the machine ends on the slot that was good.

use std::path::Path;

use anyhow::{Context as _, ensure};
use daymark_protocol::decide::Gate;
use daymark_real::{Agent, Fleet, Image, Machine, Say as _, WITHIN, until};

use crate::{NEXT, on_fleet, plan};

/// Orders node-1 onto an image, with the boot program as impatient as a test.
async fn order(fleet: &mut Fleet, image: &Image) -> anyhow::Result<daymark_real::Published> {
    let (published, items) = fleet.order(image)?;
    fleet.tell(0, items).await?;
    Ok(published)
}

/// It runs the old slot again, has one truthful record, and does not try again.
async fn fell_back(fleet: &Fleet, version: &str) -> anyhow::Result<()> {
    let machine = &fleet.machines[0];
    let run = fleet.run_to(version, 0, 0).await?;
    ensure!(run.status == "FAILED" && !run.detail.is_empty(), "{run:?}");
    let status = machine.runs("1.0.0").await?;
    ensure!(status.booted_slot.as_deref() == Some("a"), "{status:?}");
    ensure!(status.quarantined.len() == 1, "{:?}", status.quarantined);
    let switch = machine.boot_switch()?;
    ensure!(switch.default == "a" && switch.boots >= 3, "slot b was never started: {switch:?}");
    machine.is_held_by(Gate::Quarantine).await?;
    ensure!(machine.durable()?.attempt == 1, "it was tried again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_fails_its_health_check_falls_back_until_a_retry() -> anyhow::Result<()> {
    on_fleet(plan(2), async |fleet| {
        for number in 0..2 {
            fleet.machines[number].stop()?;
            fleet.machines[number].set("health.timeout_s", "8")?;
            fleet.switch_on(number).await?;
        }
        let healthy = fleet.folder().join("healthy");
        let image = Image::new("2.0.0").check(&format!("test -e {}", healthy.display()));
        let published = order(fleet, &image).await?;
        fell_back(fleet, "2.0.0").await?;
        let at_the_other = fleet.run_to("2.0.0", 0, 1).await?;
        ensure!(at_the_other.detail.contains("health"), "{at_the_other:?}");
        // Anything new makes it decide again; quarantine still holds.
        let items = fleet.administrators.window("more", -300, 7200)?;
        fleet.tell(0, items).await?;
        fleet.machines[0].is_held_by(Gate::Quarantine).await?;
        ensure!(fleet.machines[0].durable()?.attempt == 1, "it was tried again");

        std::fs::write(&healthy, "")?;
        let host = fleet.machines[0].id();
        let retry = fleet.administrators.retry("again", host, published.os.digest, 1)?;
        fleet.tell(1, retry).await?;
        fleet.machines[0].runs("2.0.0").await?;
        ensure!(fleet.machines[0].durable()?.attempt == 2);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_boot_program_starts_the_very_bytes_of_the_slot() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        order(fleet, &Image::new("2.0.0").agent(Agent::Program)).await?;
        let machine = &fleet.machines[0];
        let status = machine.runs("2.0.0").await?;
        ensure!(status.booted_slot.as_deref() == Some("b"), "{status:?}");
        let program = std::fs::read_link(format!("/proc/{}/exe", agent(machine)?))?;
        ensure!(program == machine.folder.join("run/b/daymark-node"), "{}", program.display());
        let (running, slot) =
            (std::fs::read(&program)?, std::fs::read(machine.part("b", "agent"))?);
        ensure!(running.starts_with(b"\x7fELF") && slot.starts_with(&running), "other bytes");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_an_agent_ends_on_the_old_slot() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        order(fleet, &Image::new("2.0.0").agent(Agent::Nothing)).await?;
        fell_back(fleet, "2.0.0").await?;
        ensure!(fleet.machines[0].boot_switch()?.failed.as_deref() == Some("b"));
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_confirms_is_given_up_without_the_old_one() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        fleet.machines[0].confirm_within(4);
        fleet.switch_on(0).await?;
        let mark = fleet.folder().join("started");
        let line = format!("date > {}; exec sleep 1000", mark.display());
        order(fleet, &Image::new("2.0.0").agent(Agent::Own(line))).await?;
        let machine = &fleet.machines[0];
        until("the new slot hangs", WITHIN, async || {
            let on_trial = machine.boot_switch().is_ok_and(|switch| switch.is_on_trial("b"));
            let silent = machine.status().await.is_err();
            if mark.exists() && on_trial && silent { Ok(()) } else { Err("not yet".into()) }
        })
        .await?;
        fell_back(fleet, "2.0.0").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_newer_agent_migrated_and_fell_back_the_old_one_goes_on() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        fleet.machines[0].set("health.timeout_s", "8")?;
        // The next version's own: where its data folder is, before it reads its configuration.
        let data = fleet.machines[0].data();
        fleet.machines[0].set_variable("MIGRATE", &data);
        fleet.switch_on(0).await?;
        let before = fleet.machines[0].status().await.map_err(anyhow::Error::msg)?;
        let key = std::fs::read(fleet.machines[0].data().join("key"))?;
        let floors = std::fs::read(fleet.machines[0].data().join("floors"))?;
        let next = Agent::Another(NEXT.into());
        order(fleet, &Image::new("2.0.0").agent(next).check("false")).await?;
        fell_back(fleet, "2.0.0").await?;
        let machine = &fleet.machines[0];
        let (program, slot) = (std::fs::read(NEXT)?, std::fs::read(machine.part("b", "agent"))?);
        ensure!(slot.starts_with(&program), "the slot holds another program");
        let migrated = std::fs::read_to_string(machine.data().join("migrated"))?;
        ensure!(migrated == "layout 1, may write 2, boot not confirmed\n", "{migrated}");
        let after = machine.status().await.map_err(anyhow::Error::msg)?;
        ensure!((after.host, after.fleet) == (before.host, before.fleet), "{after:?}");
        ensure!(after.problems.is_empty(), "{:?}", after.problems);
        let kept = std::fs::read(machine.data().join("floors"))?;
        ensure!(!floors.is_empty() && kept.starts_with(&floors), "floors are gone");
        ensure!(std::fs::read(machine.data().join("key"))? == key, "another identity");
        // It works: it still updates.
        let (published, mut items) = fleet.publish(&Image::new("3.0.0"))?;
        items.extend(fleet.again(&published)?);
        fleet.tell(0, items).await?;
        fleet.machines[0].runs("3.0.0").await?;
        ensure!(fleet.machines[0].durable()?.attempt == 2, "another attempt");
        Ok(())
    })
    .await
}

/// The process that holds the lock of the data folder.
fn agent(machine: &Machine) -> anyhow::Result<u32> {
    let lock = read(&machine.data().join("lock"))?;
    lock.trim().parse().context("the lock names no process")
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}
