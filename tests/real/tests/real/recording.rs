//! A real daemon's recorded run, repeated in a fresh core: the same events bring about the same.

use std::path::Path;

use anyhow::{Context as _, ensure};
use daymark_core::recording::{Replay, ReplayError, Replayed};
use daymark_node::durable::HostKeyFile;
use daymark_protocol::trust::SigningKey;
use daymark_real::{Image, Machine};

use crate::{on_prepared_fleet, plan};

fn replayed(machine: &Machine, lines: &[String]) -> anyhow::Result<Result<Replayed, ReplayError>> {
    let key = SigningKey::from_seed(HostKeyFile::read(&machine.data())?.seed);
    let (first, steps) = lines.split_first().context("the recording is empty")?;
    let mut replay = Replay::begin(first, key)?;
    let ended = steps.iter().try_for_each(|line| replay.step(line));
    Ok(ended.map(|()| replay.replayed().clone()))
}

fn lines(recording: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(recording)?;
    Ok(text.lines().map(ToOwned::to_owned).collect())
}

/// Whether something of these kinds came of any start.
fn brought_about(runs: &[Replayed], variants: &[&str]) -> bool {
    variants.iter().all(|variant| runs.iter().any(|run| run.compared.contains_key(*variant)))
}

/// Alters one event of a recording: what an operation came to.
fn altered(lines: &[String]) -> anyhow::Result<(usize, Vec<String>)> {
    let done = "\"result\":{\"Ok\":";
    let at = lines.iter().position(|line| line.contains(done));
    let at = at.context("no operation ended")?;
    let mut step: serde_json::Value = serde_json::from_str(&lines[at])?;
    step["event"][1]["opDone"]["result"] = serde_json::json!({ "Err": "planted" });
    let mut altered = lines.to_vec();
    altered[at] = step.to_string();
    Ok((at, altered))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_update_comes_to_the_same_in_a_fresh_core() -> anyhow::Result<()> {
    on_prepared_fleet(plan(3), async |fleet| {
        for machine in &mut fleet.machines {
            machine.record();
        }
        fleet.switch_all_on().await?;
        let (_, items) = fleet.order(&Image::new("2.0.0"))?;
        fleet.tell(1, items).await?;
        for machine in &fleet.machines {
            machine.runs("2.0.0").await?;
        }
        for number in 0..fleet.machines.len() {
            fleet.run_to("2.0.0", number, 0).await?;
        }
        for machine in &mut fleet.machines {
            machine.stop()?;
        }
        for machine in &fleet.machines {
            let recordings = machine.recordings()?;
            ensure!(recordings.len() == 2, "before and after the update: {recordings:?}");
            let mut runs = Vec::new();
            for recording in &recordings {
                runs.push(replayed(machine, &lines(recording)?)?.context(machine.name.clone())?);
            }
            let all =
                ["PutRoot", "PutEntry", "PutState", "PutReport", "Perform", "Send", "Publish"];
            ensure!(brought_about(&runs, &all), "{runs:?}");
            ensure!(runs.iter().all(|run| run.steps > 10), "{runs:?}");
            secrets_are_not_in(machine, &recordings)?;
        }
        let machine = &fleet.machines[2];
        let first = machine.recordings()?.swap_remove(0);
        let (at, altered) = altered(&lines(&first)?)?;
        match replayed(machine, &altered)? {
            Err(ReplayError::Differs(difference)) => {
                // The start has no event, and lines are counted from the start's own.
                ensure!(difference.step == at - 1, "line {at}: {difference}");
                ensure!(difference.event.contains("planted"), "{difference}");
            }
            other => anyhow::bail!("nobody noticed what was altered: {other:?}"),
        }
        the_tool_says_so(machine, &first).await
    })
    .await
}

fn secrets_are_not_in(machine: &Machine, recordings: &[std::path::PathBuf]) -> anyhow::Result<()> {
    let seed = HostKeyFile::read(&machine.data())?.seed;
    let hex: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    for recording in recordings {
        let text = std::fs::read_to_string(recording)?;
        let base64 = serde_json::to_string(&daymark_protocol::control::Bytes(seed.to_vec()))?;
        ensure!(!text.contains(&hex) && !text.contains(&base64), "the key is in the recording");
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(recording)?);
        ensure!(mode & 0o077 == 0, "others can read it: {mode:o}");
    }
    Ok(())
}

/// `daymark-node replay`, also of a recording whose last line was torn off.
async fn the_tool_says_so(machine: &Machine, recording: &Path) -> anyhow::Result<()> {
    let said = async |recording: &Path| {
        let output = machine.node(&["replay", &recording.to_string_lossy()]).await?;
        let [out, err] = [output.stdout, output.stderr].map(String::from_utf8);
        anyhow::Ok((output.status.code(), out?, err?))
    };
    let (code, out, err) = said(recording).await?;
    ensure!(code == Some(0) && out.contains("are the same"), "{out} {err}");
    let torn = machine.folder.join("torn.jsonl");
    let text = std::fs::read(recording)?;
    std::fs::write(&torn, &text[..text.len() - 5])?;
    let (code, out, err) = said(&torn).await?;
    ensure!(code == Some(0) && out.contains("torn off"), "{out} {err}");
    let (_, other) = altered(&lines(recording)?)?;
    std::fs::write(&torn, other.join("\n"))?;
    let (code, out, err) = said(&torn).await?;
    ensure!(code == Some(1) && err.contains("differs at its effect"), "{out} {err}");
    Ok(())
}
