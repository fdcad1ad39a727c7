//! Images: a release service and mirrors that lie, stall, or give what nobody asked for.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use daymark_real::until;

use super::case::cases;
use super::stage::Stage;
use super::within;

/// Replaces a file below the release folder, wherever it lies.
fn in_release(
    stage: &Stage,
    name: &str,
    change: impl Fn(&[u8]) -> Vec<u8>,
) -> anyhow::Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let mut folders = vec![stage.fleet.release()];
    let mut before = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|file| file == name) {
                let bytes = std::fs::read(&path)?;
                std::fs::write(&path, change(&bytes))?;
                before.push((path, bytes));
            }
        }
    }
    ensure!(!before.is_empty(), "there is no {name} in the release folder");
    Ok(before)
}

/// The machine says that its source of images gives it nothing that it can use.
async fn says_trouble(stage: &Stage, words: &str) -> anyhow::Result<()> {
    until("the machine tells of the trouble", within(), async || {
        let status = stage.machine().status().await?;
        let trouble = status.attempt.as_ref().map(|attempt| attempt.trouble.clone());
        let told = format!("{:?} {trouble:?}", status.problems);
        if told.contains(words) { Ok(()) } else { Err(told) }
    })
    .await
}

/// The machine refused chunks that its source of images gave it.
async fn chunks_were_refused(stage: &Stage) -> anyhow::Result<()> {
    until("chunks were refused", within(), async || {
        let status = stage.machine().status().await?;
        let refused = status.attempt.as_ref().map(|attempt| attempt.refused_from_origin);
        if refused > Some(0) { Ok(()) } else { Err(format!("{refused:?}")) }
    })
    .await
}

cases! {
    /// Each answer with chunks has one wrong byte: none of them is kept, and the service is blamed.
    a_release_service_that_damages_chunks
    [Red(I1Chunks), Row(1), Row(19), Row(14), Tuf("test_targets_hash_mismatch"), Tuf("test_repository_substitutes_target_file")]
    |stage| {
        stage.fleet.origin.damage(true);
        let order = stage.order("all")?;
        stage.tell(order).await?;
        chunks_were_refused(stage).await?;
        ensure!(stage.fleet.origin.damaged() > 0, "nothing was damaged");
        stage.is_not_staged().await?;
        stage.fleet.origin.damage(false);
        stage.restart().await?;
        stage.installs().await
    }

    /// The index is another one than the profile signs for.
    a_release_service_with_another_index
    [Red(I1Index), Row(1), Row(4), Tuf("test_snapshot_hash_mismatch"), Tuf("test_targets_hash_mismatch")]
    |stage| {
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            bytes
        };
        let before = in_release(stage, "index", flipped)?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        says_trouble(stage, "index").await?;
        stage.is_not_staged().await?;
        for (path, bytes) in before {
            std::fs::write(path, bytes)?;
        }
        stage.restart().await?;
        stage.installs().await
    }

    /// The index never ends: no more of it is read than was signed for.
    an_index_without_end
    [Red(I1Length), Row(17), Row(18), Tuf("test_snapshot_404")]
    |stage| {
        let before = in_release(stage, "index", |bytes| {
            [bytes, &vec![0x55; 64 << 20]].concat()
        })?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        says_trouble(stage, "another length than was asked for").await?;
        stage.is_not_staged().await?;
        for (path, bytes) in before {
            std::fs::write(path, bytes)?;
        }
        stage.restart().await?;
        stage.installs().await
    }

    /// The pack map, which nothing signs, points anywhere: bytes are lost, and nothing else.
    a_pack_map_that_lies
    [Red(I1Chunks), Row(1), Row(19), Row(17)]
    |stage| {
        let garbled = |bytes: &[u8]| bytes.iter().map(|byte| byte ^ 0x0f).collect::<Vec<u8>>();
        let before = in_release(stage, "map", garbled)?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        says_trouble(stage, "map").await?;
        stage.is_not_staged().await?;
        for (path, bytes) in &before {
            std::fs::write(path, bytes)?;
        }
        // In form, but each chunk but the first begins one byte early.
        in_release(stage, "map", |bytes| {
            let mut bytes = bytes.to_vec();
            for span in bytes[41..].chunks_exact_mut(12) {
                let offset = u64::from_be_bytes(span[..8].try_into().unwrap());
                span[..8].copy_from_slice(&offset.saturating_sub(1).to_be_bytes());
            }
            bytes
        })?;
        stage.restart().await?;
        chunks_were_refused(stage).await?;
        stage.is_not_staged().await?;
        for (path, bytes) in before {
            std::fs::write(path, bytes)?;
        }
        stage.restart().await?;
        stage.installs().await
    }

    /// The service answers nobody: the machine says so, and waits.
    a_release_service_that_refuses
    [Red(I1Status), Row(14), Row(15), Tuf("test_targets_404"), Tuf("test_timestamp_404")]
    |stage| {
        stage.fleet.origin.answer_only(&[]);
        let order = stage.order("all")?;
        stage.tell(order).await?;
        says_trouble(stage, "403").await?;
        ensure!(stage.fleet.origin.refused("node-1") > 0, "it was never asked");
        stage.is_not_staged().await?;
        stage.fleet.origin.answer_only(&["node-1"]);
        stage.restart().await?;
        stage.installs().await
    }

    /// The service stalls before each answer: a slow one is not stuck, and of one that is stuck
    /// others are asked.
    a_release_service_that_stalls
    [Red(I1Stall), Row(14), Row(16)]
    |stage| {
        stage.fleet.origin.slow_down(Duration::from_secs(12));
        let mirror = stage.fleet.folder().join("mirror");
        let sources = [stage.fleet.origin.url("node-1"), mirror.display().to_string()];
        let machine = stage.fleet.machines.first_mut().context("no machine")?;
        machine.stop()?;
        machine.set("release.sources", &format!("{sources:?}"))?;
        stage.fleet.switch_on(0).await?;
        let order = stage.order("all")?;
        stage.tell(order).await?;
        until("the first source is asked", within(), async || {
            let asked = stage.fleet.origin.asked("node-1");
            if asked > 0 { Ok(()) } else { Err("it is not".to_owned()) }
        })
        .await?;
        std::os::unix::fs::symlink(stage.fleet.release(), mirror)?;
        stage.installs_within(Duration::from_secs(11)).await
    }
}
