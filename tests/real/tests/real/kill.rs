//! Power cuts: `kill -9` of boot program and agent at once.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use daymark_real::{Fleet, Image, Say as _, WITHIN, everyone, until};

use crate::{on_fleet, plan};

/// What may be fetched again after a cut (DESIGN section 10).
const FETCHED_AGAIN_BYTES_MAX: u64 = 16 << 20;
/// Cuts that came too late to hit a short state, before the test gives up.
const CUTS_MAX: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_was_cut_resumes() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.origin.slow_down(Duration::from_millis(150));
        let (published, items) = fleet.order(&Image::new("2.0.0").rootfs(64 << 20, 5))?;
        fleet.tell(0, items).await?;
        let half = published.bytes() / 2;
        until("half of it is there", WITHIN, async || {
            let attempt = fleet.machines[0].status().await?.attempt.ok_or("no attempt yet")?;
            if attempt.verified_bytes > half { Ok(()) } else { Err(format!("{attempt:?}")) }
        })
        .await?;
        fleet.machines[0].cut_power()?;
        let before = fleet.origin.served_bytes("node-1");
        ensure!(before > half && before < published.bytes(), "the cut came at {before}");
        fleet.origin.slow_down(Duration::ZERO);
        fleet.switch_on(0).await?;
        fleet.machines[0].runs("2.0.0").await?;
        let served = fleet.origin.served_bytes("node-1");
        ensure!(
            served <= published.bytes() + FETCHED_AGAIN_BYTES_MAX,
            "{served} bytes fetched of {}",
            published.bytes()
        );
        let run = fleet.run_to("2.0.0", 0, 0).await?;
        ensure!(run.status == "UPDATED" && run.attempt == Some(1), "{run:?}");
        Ok(())
    })
    .await
}

/// Updates node-1 to ever new versions until a cut hits the state; after each cut all is well.
async fn cut_at(fleet: &mut Fleet, state: &'static str, image: Image) -> anyhow::Result<()> {
    for number in 0..CUTS_MAX {
        let version = format!("{}.{}.0", 2 + number, state.len());
        let image = Image { version: version.clone(), ..image.clone() };
        let machine = &fleet.machines[0];
        let installed = until("it knows what it runs", WITHIN, async || {
            machine.status().await?.installed.ok_or_else(|| "it does not".to_owned())
        })
        .await?;
        let (published, mut items) = fleet.publish(&image)?;
        items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
        fleet.tell(0, items).await?;
        // Without a window it does not even stage.
        let open = fleet.administrators.window(&version, -300, 3600)?;
        let watched = fleet.machines[0].client();
        // The cut may come before the answer to what caused it, so whether it was taken is asked
        // again afterwards: what is held already is no error.
        let order = watched.submit(open.clone());
        let (hit, _) = tokio::join!(fleet.machines[0].cut_power_at(state), order);
        let hit = hit?;
        fleet.switch_on(0).await?;
        fleet.tell(0, open).await?;
        ends_well(fleet, &version, Some(&installed)).await?;
        let end =
            fleet.administrators.end(daymark_protocol::resource::Kind::SingleSchedule, &version)?;
        fleet.tell(0, end).await?;
        if hit == state {
            return Ok(());
        }
    }
    anyhow::bail!("{CUTS_MAX} cuts all missed the state {state}")
}

/// One record, and what it says is what runs; the slot that runs is the one that boots next.
async fn ends_well(fleet: &Fleet, version: &str, before: Option<&str>) -> anyhow::Result<()> {
    let machine = &fleet.machines[0];
    // A cut before the switch fails that attempt, and the next one follows in the same window: only
    // an image that was updated to, or put away, is the end.
    let (run, status) = until("it has come to an end", WITHIN, async || {
        let mut runs = fleet.runs(0, 0).await?;
        runs.retain(|run| run.to.as_deref().is_some_and(|to| to.ends_with(version)));
        let attempts: BTreeSet<_> = runs.iter().map(|run| run.attempt).collect();
        let status = machine.status().await?;
        let newest = runs.iter().max_by_key(|run| run.attempt).cloned();
        let ended = runs.iter().all(|run| run.end.is_some()) && attempts.len() == runs.len();
        let last = newest.filter(|run| run.status == "UPDATED" || !status.quarantined.is_empty());
        match last {
            Some(run) if ended && status.update == "idle" => Ok((run, status)),
            Some(_) | None => Err(format!("{runs:?} {}", status.update)),
        }
    })
    .await?;
    let wanted = format!("edge@{version}");
    let expected = if run.status == "UPDATED" { Some(wanted.as_str()) } else { before };
    ensure!(status.installed.as_deref() == expected, "{run:?} but {status:?}");
    let switch = machine.boot_switch()?;
    ensure!(Some(&switch.default) == status.booted_slot.as_ref(), "{switch:?} but {status:?}");
    ensure!(switch.trial.is_none_or(|trial| trial.tries_left == 0), "a slot is still to be tried");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_while_staging() -> anyhow::Result<()> {
    let image = Image::new("").rootfs(16 << 20, 3);
    on_fleet(plan(1), async |fleet| {
        fleet.origin.slow_down(Duration::from_millis(50));
        cut_at(fleet, "staging", image).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_while_activating() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| cut_at(fleet, "activating", Image::new("")).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_while_rebooting() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| cut_at(fleet, "rebooting", Image::new("")).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_while_confirming() -> anyhow::Result<()> {
    let image = Image::new("").check("sleep 1");
    on_fleet(plan(1), async |fleet| cut_at(fleet, "confirming", image).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_while_falling_back() -> anyhow::Result<()> {
    let image = Image::new("").check("false");
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        fleet.machines[0].set("health.timeout_s", "2")?;
        fleet.switch_on(0).await?;
        cut_at(fleet, "fallingBack", image).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cut_when_staged() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let (published, mut items) = fleet.publish(&Image::new("2.0.0"))?;
        items.extend(fleet.administrators.policy("all", &published.os, everyone())?);
        items.extend(fleet.administrators.window("later", 3600, 7200)?);
        let watched = fleet.machines[0].client();
        let (hit, told) =
            tokio::join!(fleet.machines[0].cut_power_at("staged"), watched.submit(items));
        told?;
        ensure!(hit? == "staged");
        let served = fleet.origin.served_bytes("node-1");
        fleet.switch_on(0).await?;
        let open = fleet.administrators.window("now", -300, 3600)?;
        fleet.tell(0, open).await?;
        fleet.machines[0].runs("2.0.0").await?;
        ends_well(fleet, "2.0.0", None).await?;
        ensure!(fleet.origin.served_bytes("node-1") == served, "it was fetched again");
        Ok(())
    })
    .await
}
