//! An agent and its newer version take turns on one data folder, as on a machine that tries an
//! image and falls back.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use daymark_node::agent::{AgentError, Ended, run_as};
use daymark_node::control::Client;
use daymark_node::durable::{DurableError, FORMAT, Journal};
use daymark_node::settings::{Inputs, Settings};
use daymark_protocol::control::{Bytes, Status, Submitted};
use daymark_protocol::id::Digest;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::process::{Machine, pause};
use super::{Fleet, joined};

/// Whose boot is confirmed is what this program says of the machine.
const PLATFORM: &str = "#!/bin/sh\n[ \"$1\" = inspect ] && cat \"$(dirname \"$0\")/inspected\"\n";

/// An agent in this process.
struct Agent {
    stop: CancellationToken,
    ended: JoinHandle<Result<Ended, AgentError>>,
    client: Client,
}

impl Agent {
    async fn start(machine: &Machine, address: &str, newest: u32) -> Self {
        let path = |name: &str| machine.path(name).to_string_lossy().into_owned();
        let flags = [
            ("data_dir", path("data")),
            ("control.socket", path("sock")),
            ("network.listen", address.to_owned()),
            ("network.mdns", "false".to_owned()),
            ("clock", "rtc".to_owned()),
            ("platform.kind", "command".to_owned()),
            ("platform.command.program", path("platform")),
            ("inhibit.dir", path("none")),
        ];
        let flags = flags.map(|(key, value)| (key.to_owned(), value)).into();
        let settings = Settings::load(&Inputs { flags, ..Inputs::default() }).unwrap();
        let stop = CancellationToken::new();
        let ended = tokio::spawn(run_as(settings, FORMAT..=newest, stop.clone()));
        let client = Client::new(&machine.path("sock"));
        let agent = Self { stop, ended, client };
        while agent.client.status().await.is_err() && !agent.ended.is_finished() {
            pause().await;
        }
        agent
    }

    /// Hands a region in, which raises a floor.
    async fn raise(&self, fleet: &Fleet, name: &str) -> Vec<Digest> {
        let entries = fleet.region(name);
        let items = entries.iter().map(|entry| Submitted::Entry(Bytes(entry.clone())));
        self.client.submit(items.collect()).await.unwrap();
        entries.iter().map(|entry| Digest::of(entry)).collect()
    }

    /// Its status once it has looked at the machine.
    async fn looked(&self) -> Status {
        loop {
            let status = self.client.status().await.unwrap();
            if status.installed.is_some() {
                return status;
            }
            pause().await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        assert_eq!(self.ended.await.unwrap().unwrap(), Ended::Stopped);
    }
}

fn machine(place: &Path, fleet: &Fleet, address: &str) -> Machine {
    let machine = joined(place, fleet, "one", address);
    let program = machine.path("platform");
    std::fs::write(&program, PLATFORM).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    inspected(&machine, false);
    machine
}

fn inspected(machine: &Machine, unconfirmed: bool) {
    let text = format!("{{\"version\":\"1.0.0\",\"bootUnconfirmed\":{unconfirmed}}}");
    std::fs::write(machine.path("inspected"), text).unwrap();
}

fn floors(machine: &Machine) -> Vec<Vec<u8>> {
    Journal::open(&machine.path("data/floors")).unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_agent_goes_on_with_the_same_identity_and_floors_after_an_unconfirmed_newer_one()
{
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::new();
    let address = "127.0.0.33:17806";
    let machine = machine(place.path(), &fleet, address);
    let older = Agent::start(&machine, address, FORMAT).await;
    let host = older.looked().await.host;
    let mut kept = older.raise(&fleet, "de").await;
    older.stop().await;

    inspected(&machine, true);
    let newer = Agent::start(&machine, address, FORMAT + 1).await;
    newer.looked().await;
    kept.extend(newer.raise(&fleet, "fr").await);
    newer.stop().await;
    let raised = floors(&machine);
    assert!(raised.len() >= 2);

    inspected(&machine, false);
    let older = Agent::start(&machine, address, FORMAT).await;
    let status = older.looked().await;
    assert_eq!((status.host, status.fleet), (host, Some(fleet.id)));
    let held = older.client.replica().await.unwrap();
    let held: Vec<Digest> = held.entries.into_values().flatten().collect();
    assert!(kept.iter().all(|hash| held.contains(hash)));
    older.stop().await;
    let now = floors(&machine);
    assert!(raised.iter().all(|floor| now.contains(floor)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_agent_refuses_in_one_sentence_what_a_confirmed_newer_one_wrote() {
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::new();
    let address = "127.0.0.33:17807";
    let machine = machine(place.path(), &fleet, address);
    let newer = Agent::start(&machine, address, FORMAT + 1).await;
    newer.looked().await;
    newer.raise(&fleet, "de").await;
    newer.stop().await;
    let older = Agent::start(&machine, address, FORMAT).await;
    let refused = older.ended.await.unwrap().unwrap_err();
    assert!(matches!(refused, AgentError::Durable(DurableError::Newer { .. })), "{refused}");
    assert!(refused.to_string().contains("start that version"), "{refused}");
    let newer = Agent::start(&machine, address, FORMAT + 1).await;
    newer.looked().await;
    newer.stop().await;
}
