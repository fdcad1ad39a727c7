//! Starts that must fail: one clear sentence, the right exit code, nothing half-done.

use std::net::TcpListener;
use std::process::Command;

use anyhow::ensure;
use daymark_node::durable::write_record;
use daymark_real::Machine;

use crate::{on_fleet, plan};

/// Runs the agent, which must end by itself with this code and these words in one line.
async fn refused(machine: &Machine, code: i32, words: &[&str]) -> anyhow::Result<()> {
    let output = machine.node(&["run"]).await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(code), "{}: {text}", output.status);
    let said: Vec<&str> = text.lines().filter(|line| line.starts_with("daymark-node: ")).collect();
    ensure!(said.len() == 1, "not one sentence: {text}");
    ensure!(words.iter().all(|word| said[0].contains(word)), "{said:?} does not say {words:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_on_the_same_folder() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        let machine = &fleet.machines[0];
        let lock = std::fs::read_to_string(machine.data().join("lock"))?;
        refused(machine, 1, &["already runs", lock.trim(), "stop it first"]).await?;
        machine.status().await.map(drop).map_err(anyhow::Error::msg)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_occupied_port() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        let occupied = TcpListener::bind((fleet.machines[0].place.address, 0))?;
        let address = occupied.local_addr()?.to_string();
        fleet.machines[0].set("network.listen", &format!("[{address:?}]"))?;
        let port = occupied.local_addr()?.port().to_string();
        refused(&fleet.machines[0], 1, &[&port]).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_a_newer_version() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        let machine = &fleet.machines[0];
        let state = std::fs::read(machine.data().join("state"))?;
        let format = serde_json::json!({ "format": daymark_node::durable::FORMAT + 1 });
        write_record(&machine.data().join("format"), "format", 0o600, &format)?;
        refused(machine, 1, &["newer version", "start that version"]).await?;
        ensure!(std::fs::read(machine.data().join("state"))? == state, "the state was written");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key() -> anyhow::Result<()> {
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        fleet.machines[0].set("network.listne", "[]")?;
        let words = ["daymark.toml", "network.listne", "did you mean `network.listen`"];
        refused(&fleet.machines[0], 2, &words).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::print_stderr, reason = "says why nothing was tested")]
async fn a_full_disk() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small disk");
        return Ok(());
    }
    on_fleet(plan(1), async |fleet| {
        fleet.machines[0].stop()?;
        let small = fleet.folder().join("small");
        std::fs::create_dir(&small)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "daymark-real"]).arg(&small);
        ensure!(mount.status()?.success(), "cannot mount a tmpfs");
        let tried = async {
            let machine = &mut fleet.machines[0];
            for name in ["key", "format", "state", "floors"] {
                std::fs::copy(machine.data().join(name), small.join(name))?;
            }
            // Fills the disk to the last byte.
            let filled = std::fs::write(small.join("filler"), vec![1; 2 << 20]);
            ensure!(filled.is_err(), "the disk is not full");
            machine.set("data_dir", &format!("{small:?}"))?;
            refused(machine, 1, &["full", "free some space"]).await
        }
        .await;
        let unmounted = Command::new("umount").arg(&small).status()?;
        ensure!(unmounted.success(), "cannot unmount {}", small.display());
        tried
    })
    .await
}
