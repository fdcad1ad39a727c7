//! Whole updates through the `command` platform, by a program that an operator might write.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use daymark_protocol::control::Submitted;
use daymark_protocol::decide::Gate;
use daymark_protocol::id::Digest;
use daymark_real::{Agent, Fleet, Image, Published, Say as _, only};

use crate::{on_prepared_fleet, plan};

const OPERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/operator");

/// Gives node-1 the operator's program, which says that 1.0.0 runs; returns its folder.
fn set_up(fleet: &mut Fleet) -> anyhow::Result<PathBuf> {
    let node = fleet.programs().join("daymark-node");
    for machine in &mut fleet.machines {
        machine.set_variable("NODE", &node);
    }
    let machine = &mut fleet.machines[0];
    let folder = machine.folder.join("operator");
    fs::create_dir(&folder)?;
    fs::write(folder.join("default"), "1.0.0\n")?;
    let program = folder.join("platform");
    std::os::unix::fs::symlink(OPERATOR, &program)?;
    machine.set("platform.kind", "\"command\"")?;
    machine.set("platform.command.program", &format!("{program:?}"))?;
    machine.set("health.timeout_s", "4")?;
    machine.set_variable("OPERATOR", &program);
    Ok(folder)
}

/// Orders node-1 onto an image.
fn order(fleet: &mut Fleet, image: &Image) -> anyhow::Result<(Published, Vec<Submitted>)> {
    let (published, mut items) = fleet.publish(image)?;
    let target = only(&[fleet.machines[0].id()]);
    items.extend(fleet.administrators.policy("press", &published.os, target)?);
    Ok((published, items))
}

/// What the program was called with, without `inspect`.
fn calls(folder: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(folder.join("calls"))?;
    let verbs = text.lines().filter_map(|line| line.split(' ').next());
    Ok(verbs.filter(|verb| *verb != "inspect").map(ToOwned::to_owned).collect())
}

/// The program staged the very bytes that were signed.
fn has_the_bytes(folder: &Path, version: &str, published: &Published) -> anyhow::Result<()> {
    for (name, part) in &published.profile.parts {
        let file = folder.join("os").join(version).join(name);
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        ensure!(Digest::of(&bytes) == part.sha256, "{} has other bytes", file.display());
    }
    ensure!(published.profile.parts.len() == 2, "{:?}", published.profile.parts);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_program_is_rolled_back_and_then_updated() -> anyhow::Result<()> {
    // The second machine has no such program; it is to hear of the runs.
    let mut plan = plan(2);
    // The boot loader runs before the agent.
    let line = "[ -z \"$OPERATOR\" ] || \"$OPERATOR\" boot; exec \"$NODE\" \"$@\"".to_owned();
    plan.installed = Image::new("1.0.0").agent(Agent::Own(line));
    on_prepared_fleet(plan, async |fleet| {
        let folder = set_up(fleet)?;
        fleet.switch_all_on().await?;
        let healthy = fleet.folder().join("healthy");
        let check = format!("test -e {}", healthy.display());
        fleet.machines[0].runs("1.0.0").await?;

        let (bad, mut items) = order(fleet, &Image::new("2.0.0").check(&check))?;
        items.extend(fleet.administrators.window("now", -300, 3600)?);
        fleet.tell(1, items).await?;
        let run = fleet.run_to("2.0.0", 0, 1).await?;
        ensure!(run.status == "FAILED" && run.detail.contains("health"), "{run:?}");
        ensure!(run.attempt == Some(1) && run.bytes.origin > 0, "{run:?}");
        let status = fleet.machines[0].runs("1.0.0").await?;
        ensure!(status.quarantined.len() == 1, "{:?}", status.quarantined);
        fleet.machines[0].is_held_by(Gate::Quarantine).await?;
        has_the_bytes(&folder, "2.0.0", &bad)?;
        // After the restart it is asked again, in case the power went in the middle.
        let rolled_back = ["boot", "stage", "activate", "boot", "rollback", "boot", "rollback"];
        ensure!(calls(&folder)? == rolled_back, "{:?}", calls(&folder)?);

        fs::write(&healthy, "")?;
        let (good, items) = order(fleet, &Image::new("3.0.0").check(&check))?;
        fleet.tell(1, items).await?;
        fleet.machines[0].runs("3.0.0").await?;
        let run = fleet.run_to("3.0.0", 0, 1).await?;
        ensure!(run.status == "UPDATED" && run.attempt == Some(2), "{run:?}");
        ensure!(run.from.as_deref() == Some("1.0.0"), "{run:?}");
        has_the_bytes(&folder, "3.0.0", &good)?;
        let updated = [&rolled_back[..], &["stage", "activate", "boot", "confirm"]].concat();
        ensure!(calls(&folder)? == updated, "{:?}", calls(&folder)?);
        ensure!(fs::read_to_string(folder.join("default"))? == "3.0.0\n", "it boots another");
        fleet.run_to("2.0.0", 0, 1).await.map(drop)
    })
    .await
}
