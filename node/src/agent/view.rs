//! What the control socket shows of the agent. Nothing is decided from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use daymark_core::durable::{Attempt, UpdateState};
use daymark_core::effect::Admission;
use daymark_core::event::Inspection;
use daymark_core::status::{PeerConduct, PeerStatus};
use daymark_protocol::control::{AttemptStatus, DecisionAnswer, Peer, Status};
use daymark_protocol::id::KeyId;
use daymark_protocol::time::WallTime;

use super::Agent;
use crate::platform::boot_id;

/// What the agent itself remembers for its view.
#[derive(Debug)]
pub(super) struct View {
    started: WallTime,
    inspection: Option<Inspection>,
    listening: Vec<String>,
    boot_id: Option<String>,
}

impl View {
    pub(super) fn new(started: WallTime) -> Self {
        Self { started, inspection: None, listening: Vec::new(), boot_id: boot_id() }
    }

    pub(super) fn inspected(&mut self, inspection: &Inspection) {
        self.inspection = Some(inspection.clone());
    }

    pub(super) fn listening(&mut self, addresses: &[String]) {
        self.listening = addresses.to_vec();
    }
}

impl Agent {
    /// What goes on, in one line for the service manager.
    pub(super) fn headline(&self) -> String {
        let (update, attempt) = update(&self.node.durable().update);
        let peers = *self.peers.borrow();
        match attempt {
            Some(Attempt { target, .. }) => {
                format!("{update} {}@{}, {peers} peers", target.profile, target.version)
            }
            None => format!("{update}, {peers} peers"),
        }
    }

    pub(super) fn status(&self) -> Status {
        let core = self.node.status();
        let durable = self.node.durable();
        let seen = self.view.inspection.as_ref();
        let installed = seen.and_then(|seen| seen.machine.installed.as_ref());
        let installed = installed.and_then(|installed| {
            let version = installed.version.clone()?;
            Some(match &installed.profile {
                Some(profile) => format!("{profile}@{version}"),
                None => version,
            })
        });
        let mut inhibitors: Vec<(String, Option<WallTime>)> =
            core.inhibitors.into_iter().map(|(why, until)| (why, Some(until))).collect();
        inhibitors.extend(
            seen.iter().flat_map(|seen| &seen.machine.inhibitors).map(|why| (why.clone(), None)),
        );
        let mut problems = core.problems;
        problems.extend(core.last_error);
        problems.extend(self.disk.store().set_aside().map(|aside| {
            let aside = aside.display();
            format!("the store was damaged and is refilled from peers; delete {aside} when done")
        }));
        problems.extend(self.staging_trouble());
        let (update, attempt) = update(&core.update);
        let attempt = attempt.map(|attempt| self.attempt_status(attempt));
        problems.extend(attempt.iter().flat_map(|attempt| blamed(attempt, &core.peers)));
        Status {
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            host: core.host,
            name: core.name,
            site: core.site,
            fleet: core.fleet,
            root_version: Some(core.root_version).filter(|version| *version > 0),
            evaluation: core.evaluation,
            now: core.now,
            clock_synchronised: core.clock_synchronised,
            started: self.view.started,
            documents: core.documents,
            peers: core.peers.into_iter().map(peer).collect(),
            booted_slot: seen.and_then(|seen| seen.booted_slot.clone()),
            boot_id: self.view.boot_id.clone(),
            installed,
            slot_busy: seen.and_then(|seen| seen.machine.slot_busy.clone()),
            update: update.to_owned(),
            attempt,
            quarantined: durable
                .quarantine
                .iter()
                .map(|image| format!("attempt {}: {}", image.attempt, image.reason))
                .collect(),
            inhibitors,
            adopted: core.adopted,
            rebind: core.rebind,
            problems,
            mesh_restarts: self.mesh.stats().restarts,
            listening: self.view.listening.clone(),
        }
    }

    /// What last went wrong with a source, as long as the image is not complete.
    fn staging_trouble(&self) -> Option<String> {
        let staging = matches!(self.node.durable().update, UpdateState::Staging(_));
        let progress = self.progress.as_ref().filter(|_| staging)?;
        let trouble = progress.borrow().trouble.clone();
        (!trouble.is_empty()).then(|| format!("staging: {trouble}"))
    }

    fn attempt_status(&self, attempt: &Attempt) -> AttemptStatus {
        // The task's own figures are newer than what the core made durable.
        let running = self.progress.as_ref().map(|progress| progress.borrow().clone());
        let progress = running
            .filter(|running| running.total_bytes > 0)
            .unwrap_or_else(|| attempt.progress.clone());
        AttemptStatus {
            number: attempt.number,
            from: attempt.from_version.clone(),
            to: format!("{}@{}", attempt.target.profile, attempt.target.version),
            started: attempt.started,
            verified_bytes: progress.verified_bytes,
            total_bytes: progress.total_bytes,
            own_bytes: progress.own_bytes,
            origin_bytes: progress.origin_bytes,
            peer_bytes: progress.peer_bytes,
            refused: progress.refused,
            refused_from_origin: progress.refused_from_origin,
            trouble: progress.trouble,
        }
    }

    pub(super) fn decision(&self) -> Option<DecisionAnswer> {
        let decision = self.node.decision()?.clone();
        Some(DecisionAnswer { now: self.node.decided_for(), decision })
    }

    /// Every connected peer, and every other that is blamed for something.
    pub(super) async fn peer_list(&self) -> Vec<Peer> {
        let connected = self.mesh.peers().await;
        let core = self.node.status();
        let mut peers = peers(core.peers, core.conduct);
        for peer in &mut peers {
            let found = connected.iter().find(|connected| connected.peer == peer.host);
            peer.connected = found.is_some();
            if let Some(found) = found {
                peer.admission = admission(found.admission).to_owned();
            }
        }
        peers
    }

    /// Prometheus' text format; names end in their unit.
    pub(super) fn metrics(&self) -> String {
        let core = self.node.status();
        let mesh = self.mesh.stats();
        let counts = core.counters;
        let figures = [
            ("connections", "gauge", mesh.connections),
            ("received_bytes_total", "counter", mesh.bytes_in),
            ("sent_bytes_total", "counter", mesh.bytes_out),
            ("dropped_messages_total", "counter", mesh.dropped_messages),
            ("mesh_restarts_total", "counter", mesh.restarts),
            ("malformed_total", "counter", counts.malformed),
            ("unadmitted_total", "counter", counts.unadmitted),
            ("over_budget_total", "counter", counts.over_budget),
            ("refused_total", "counter", counts.refused),
            ("taken_total", "counter", counts.taken),
            ("agreements_total", "counter", counts.agreements),
            ("differences_total", "counter", counts.differences),
            ("published_bytes_total", "counter", counts.published_bytes),
            ("held_entries", "gauge", core.held_entries),
            ("root_version", "gauge", core.root_version),
            ("report_generation", "gauge", core.generation),
            ("store_bytes", "gauge", self.disk.store().size_bytes()),
            ("clock_known", "gauge", u64::from(core.now.known)),
        ];
        let mut text = String::new();
        for (name, kind, value) in figures {
            let _ = writeln!(text, "# TYPE daymark_{name} {kind}\ndaymark_{name} {value}");
        }
        for (document, entries) in &core.documents {
            let _ = writeln!(text, "daymark_document_entries{{document=\"{document}\"}} {entries}");
        }
        text
    }
}

/// Who sent wrong chunks of the image under way.
fn blamed(attempt: &AttemptStatus, peers: &[PeerStatus]) -> Vec<String> {
    let name = |host: &KeyId| {
        let peer = peers.iter().find(|peer| peer.host == *host);
        let name = peer.and_then(|peer| peer.name.clone());
        name.map_or_else(|| host.short(), |name| format!("{name} ({})", host.short()))
    };
    let blame = |(host, chunks): (&KeyId, &u64)| {
        let (peer, image) = (name(host), &attempt.to);
        format!(
            "peer {peer} sent {chunks} wrong chunks of {image}, which were refused; have that \
             machine's disk and memory checked"
        )
    };
    attempt.refused.iter().map(blame).collect()
}

fn update(state: &UpdateState) -> (&'static str, Option<&Attempt>) {
    match state {
        UpdateState::Idle => ("idle", None),
        UpdateState::Staging(attempt) => ("staging", Some(attempt)),
        UpdateState::Staged(attempt) => ("staged", Some(attempt)),
        UpdateState::Activating(attempt) => ("activating", Some(attempt)),
        UpdateState::Rebooting(attempt) => ("rebooting", Some(attempt)),
        UpdateState::Confirming(attempt) => ("confirming", Some(attempt)),
        UpdateState::FallingBack(attempt) => ("fallingBack", Some(attempt)),
    }
}

fn admission(admission: Admission) -> &'static str {
    match admission {
        Admission::Stranger => "stranger",
        Admission::Visitor => "visitor",
        Admission::Authority => "authority",
        Admission::Member => "member",
    }
}

/// The peers that are connected, then those that only did what they must not.
fn peers(connected: Vec<PeerStatus>, conduct: Vec<PeerConduct>) -> Vec<Peer> {
    let mut peers: Vec<Peer> = connected.into_iter().map(peer).collect();
    for PeerConduct { host, name, score, faults, dropped_until } in conduct {
        let place = peers.iter().position(|peer| peer.host == host).unwrap_or_else(|| {
            let admission = admission(Admission::Stranger).to_owned();
            peers.push(Peer { admission, connected: false, ..nobody(host, name) });
            peers.len() - 1
        });
        peers[place].score = score;
        peers[place].faults =
            faults.into_iter().map(|(fault, count)| (fault.name().to_owned(), count)).collect();
        peers[place].dropped_until = dropped_until;
    }
    peers
}

fn peer(peer: PeerStatus) -> Peer {
    Peer {
        address: Some(peer.address),
        admission: admission(peer.admission).to_owned(),
        connected: true,
        ..nobody(peer.host, peer.name)
    }
}

fn nobody(host: KeyId, name: Option<String>) -> Peer {
    Peer {
        host,
        name,
        address: None,
        admission: String::new(),
        connected: false,
        score: 0,
        faults: BTreeMap::new(),
        dropped_until: None,
    }
}
