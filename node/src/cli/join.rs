//! `daymark-node join`: takes the fleet from a folder, through the running agent or, if none runs,
//! by one that runs just for this.

use std::path::Path;

use anyhow::Context;
use daymark_protocol::control::{Item, Join, Submitted};
use daymark_protocol::trust::Pin;
use tokio_util::sync::CancellationToken;

use super::{Usage, print};
use crate::control::{Client, ClientError};
use crate::folder::{ItemName, ReplicaFolder};
use crate::settings::Settings;

pub(super) fn join(settings: &Settings, folder: &Path, fleet: &str) -> anyhow::Result<()> {
    let pin: Pin = fleet.parse().map_err(|error: daymark_protocol::id::InvalidId| {
        Usage(format!("{error}; `daymarkctl fleet info` prints it"))
    })?;
    let folder = ReplicaFolder::open(folder)?;
    let (roots, others) = read(&folder)?;
    let join = Join { pin, items: roots };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(async {
        let client = Client::new(&settings.control_socket);
        match client.join(&join).await {
            Err(ClientError::Unreachable { .. }) => alone(settings, &client, &join, &others).await,
            Err(error) => Err(error.into()),
            Ok(()) => {
                client.submit(others).await?;
                print("joined; the running agent has taken what the folder brought")
            }
        }
    })
}

/// Runs an agent without a network until it has taken everything.
async fn alone(
    settings: &Settings,
    client: &Client,
    join: &Join,
    others: &[Submitted],
) -> anyhow::Result<()> {
    let mut offline = settings.clone();
    offline.network.listen.clear();
    offline.network.peers.clear();
    offline.network.mdns = false;
    let stop = CancellationToken::new();
    let agent = tokio::spawn(crate::agent::run(offline, stop.clone()));
    let joined = async {
        while let Err(ClientError::Unreachable { .. }) = client.status().await {
            if agent.is_finished() {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        client.join(join).await?;
        client.submit(others.to_vec()).await.map(|_| ())
    }
    .await;
    stop.cancel();
    agent.await.context("the agent failed")??;
    joined?;
    print("joined; start the agent with `systemctl enable --now daymark`")
}

/// Roots first, then everything else.
fn read(folder: &ReplicaFolder) -> anyhow::Result<(Vec<Submitted>, Vec<Submitted>)> {
    let names = folder.names()?;
    let (roots, others): (Vec<ItemName>, Vec<ItemName>) =
        names.into_iter().partition(|name| matches!(name, ItemName::Root(_)));
    let items = |names: Vec<ItemName>| -> anyhow::Result<Vec<Submitted>> {
        let mut items = Vec::new();
        for name in names {
            items.extend(folder.read(&name)?.map(|item: Item| Submitted::from(item)));
        }
        Ok(items)
    };
    Ok((items(roots)?, items(others)?))
}
