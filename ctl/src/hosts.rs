//! What a host has said of itself, in the shape that commands need.

use std::collections::BTreeMap;

use daymark_protocol::decide::{Decision, Machine};
use daymark_protocol::document::{HostView, UpdateRun, UpdateStatus, host_paths};
use daymark_protocol::id::KeyId;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Standing;
use serde::Serialize;

use crate::names;

/// A host's last words.
#[derive(Clone, Debug)]
pub(crate) struct HostSummary {
    /// The machine as it sees itself.
    pub machine: Machine,
    /// EIM's update status.
    pub update: Option<UpdateStatus>,
    /// Its decision.
    pub decision: Option<Decision>,
    /// Runs, newest first.
    pub runs: Vec<Run>,
    /// Hardware and software facts.
    pub facts: Vec<(String, String)>,
    /// From which fleets a local person had it adopted.
    pub adopted: Option<String>,
    /// What of its custom configuration could not be delivered, and why.
    pub configuration_problem: Option<String>,
    /// Peers it saw, by key id.
    pub peers: Vec<(String, String)>,
}

/// One update run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// Its name.
    pub name: String,
    /// EIM's status.
    pub status: String,
    /// Version before.
    pub from: Option<String>,
    /// Version that it installs.
    pub to: String,
    /// Id of the policy.
    pub policy: Option<String>,
    /// Begin.
    pub start: Option<WallTime>,
    /// End; absent while it runs.
    pub end: Option<WallTime>,
    /// Detail.
    pub detail: String,
    /// Bytes from the release service.
    pub origin_bytes: u64,
    /// Bytes from peers.
    pub peer_bytes: u64,
    /// Bytes from the machine's own slots.
    pub own_bytes: u64,
    /// Wrong chunks, by the peer that sent them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub blamed: BTreeMap<KeyId, u64>,
}

impl From<UpdateRun> for Run {
    fn from(run: UpdateRun) -> Self {
        Self {
            name: run.name,
            status: run.status,
            from: run.from,
            to: run.to.unwrap_or_default(),
            policy: run.policy,
            start: run.start,
            end: run.end,
            detail: run.detail,
            origin_bytes: run.bytes.origin,
            peer_bytes: run.bytes.peers,
            own_bytes: run.bytes.own,
            blamed: run.blamed,
        }
    }
}

/// Which peers sent wrong chunks, in a sentence; `None` if none did.
pub(crate) fn blamed(standing: &Standing, blamed: &BTreeMap<KeyId, u64>) -> Option<String> {
    let peers: Vec<String> = blamed
        .iter()
        .map(|(peer, chunks)| format!("{} ({chunks})", names::host_name(standing, peer)))
        .collect();
    (!peers.is_empty()).then(|| format!("wrong chunks, refused, from {}", peers.join(", ")))
}

impl HostSummary {
    /// The summary of a view; `None` before the host has described its machine.
    pub(crate) fn of(view: &HostView) -> Option<Self> {
        let facts = view.facts();
        let machine = facts.machine()?;
        Some(Self {
            machine,
            update: facts.update_status(),
            decision: facts.decision(),
            runs: facts.runs().into_iter().map(Run::from).collect(),
            facts: facts.texts_below(host_paths::FACTS),
            adopted: facts.adopted().map(str::to_owned),
            configuration_problem: facts.configuration_problem().map(str::to_owned),
            peers: facts.texts_below(host_paths::PEERS),
        })
    }

    /// Where it said that it can be reached, as multiaddrs.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let said = self.facts.iter().filter(|(name, _)| name == host_paths::ADDRESSES);
        said.flat_map(|(_, text)| text.split(' ').map(str::to_owned)).collect()
    }

    /// What it runs, for people.
    pub(crate) fn installed(&self) -> String {
        match &self.machine.installed {
            Some(installed) => {
                let profile = installed.profile.as_deref().unwrap_or("?");
                let version = installed.version.as_deref().unwrap_or("?");
                format!("{profile}@{version}")
            }
            None => "unknown".into(),
        }
    }
}
