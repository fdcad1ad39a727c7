//! `daymark-node rebind`: a person says that this machine keeps its key (RULES D6).

use std::path::Path;

use anyhow::Context;
use daymark_protocol::control::{Rebind, Status};

use super::{confirmed, print};
use crate::control::{BlockingClient, Client};
use crate::durable::HostKeyFile;
use crate::platform::facts;
use crate::settings::Settings;

/// Shows what was recorded and what is there, asks, and binds.
pub(super) fn rebind(settings: &Settings, yes: bool) -> anyhow::Result<()> {
    let client = BlockingClient::new(&settings.control_socket).context("cannot start")?;
    let status = client.run(async |client: &Client| client.status().await)?;
    if status.rebind.is_empty() {
        return print("this machine keeps its key already, and nothing waits for that");
    }
    let recorded = HostKeyFile::read(&settings.data_dir)?;
    let found = facts::hardware(Path::new("/"), &settings.identity);
    let now = Rebind { machine_id: found.machine_id, serial: found.serial };
    print(&preview(&status, &recorded, &now))?;
    if !yes && !confirmed("Does this machine keep the key?")? {
        return print("nothing was changed");
    }
    client.run(async |client: &Client| client.rebind(&now).await)?;
    print("bound to this machine; it goes on from here")
}

fn preview(status: &Status, recorded: &HostKeyFile, now: &Rebind) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut lines = vec![
        format!("host        {} ({})", or(&status.name), status.host),
        format!("serial      recorded {}, now {}", or(&recorded.serial), or(&now.serial)),
        format!("machine-id  recorded {}, now {}", or(&recorded.machine_id), or(&now.machine_id)),
    ];
    lines.extend(status.rebind.iter().map(|why| format!("it waits    {why}")));
    lines.push(
        "If another machine still runs with this key, both stop again as soon as they hear of \
         each other: enrol that one anew first, with `daymarkctl enroll REQUEST --replace NAME`, or \
         switch it off for good."
            .to_owned(),
    );
    lines.join("\n")
}
