//! What `daymark-node` shows of the running agent and of its configuration.

use std::time::Duration;

use anyhow::Context;
use daymark_protocol::control::{Inhibit, Status};
use daymark_protocol::time::WallTime;

use super::print;
use crate::control::{BlockingClient, Client};
use crate::durable::FORMAT;
use crate::settings::{Inputs, Settings};

fn client(settings: &Settings) -> anyhow::Result<BlockingClient> {
    BlockingClient::new(&settings.control_socket).context("cannot start")
}

pub(super) fn status(settings: &Settings, json: bool) -> anyhow::Result<()> {
    let (status, decision) = client(settings)?
        .run(async |client: &Client| (client.status().await, client.decision().await.ok()));
    let status = status?;
    if json {
        return print(&serde_json::to_string_pretty(&status)?);
    }
    let decision = decision.map(|answer| answer.decision.message);
    print(&screen(&status, decision.as_deref().unwrap_or("nothing is decided yet")))
}

fn screen(status: &Status, decision: &str) -> String {
    let or = |text: &Option<String>, otherwise: &str| {
        text.clone().unwrap_or_else(|| otherwise.to_owned())
    };
    let fleet = status.fleet.map_or_else(
        || "none; run `daymark-node join FOLDER --fleet FINGERPRINT`".to_owned(),
        |fleet| fleet.short(),
    );
    let members = status.peers.iter().filter(|peer| peer.admission == "member").count();
    let brand = if status.evaluation { " (EVALUATION: not for real machines)" } else { "" };
    let clock = if status.now.known { "known" } else { "unknown: updates wait" };
    let mut lines = vec![
        format!("host       {} ({})", or(&status.name, "not enrolled"), status.host),
        format!("fleet      {fleet}, root {}{brand}", status.root_version.unwrap_or_default()),
        format!("site       {}", or(&status.site, "none")),
        format!("installed  {}", or(&status.installed, "unknown")),
        format!("slot       {}", or(&status.booted_slot, "none")),
        format!("update     {}: {decision}", status.update),
        format!("peers      {} connected, {members} of them members", status.peers.len()),
        format!("clock      {clock}, {}", status.now.earliest),
        format!("agent      {} since {}", status.agent, status.started),
    ];
    lines.extend(status.adopted.iter().map(|told| format!("history    {told}")));
    for (why, until) in &status.inhibitors {
        let until = until.map(|until| format!(", until {until}")).unwrap_or_default();
        lines.push(format!("inhibited  {why}{until}"));
    }
    lines.extend(status.problems.iter().map(|problem| format!("problem    {problem}")));
    lines.join("\n")
}

pub(super) fn inhibit(
    settings: &Settings,
    why: String,
    length: Option<Duration>,
) -> anyhow::Result<()> {
    let until = length.map(|length| {
        let ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        WallTime::plus_ms(crate::clock::wall(), ms)
    });
    let request = Inhibit { why, until };
    client(settings)?.run(async |client: &Client| client.inhibit(&request).await)?;
    print(&match until {
        Some(until) => format!("inhibited until {until}"),
        None => "lifted".to_owned(),
    })
}

pub(super) fn config(inputs: &Inputs, json: bool) -> anyhow::Result<()> {
    let lines = crate::settings::show(inputs)?;
    if json {
        return print(&serde_json::to_string_pretty(&lines)?);
    }
    for line in lines {
        let value = if line.value.is_empty() { "(not set)" } else { &line.value };
        print(&format!("{} = {value}  # {}; {}", line.key, line.origin, line.doc))?;
    }
    Ok(())
}

pub(super) fn version() -> anyhow::Result<()> {
    print(&format!("daymark-node {}, data format {FORMAT}", env!("CARGO_PKG_VERSION")))
}
