//! A snapshot of what the node knows, for the control API. Nothing is decided from it.

use std::collections::BTreeMap;

use daymark_protocol::decide::Reach;
use daymark_protocol::id::{FleetId, KeyId};
use daymark_protocol::rules::{Rule, holds};
use daymark_protocol::time::{MonoTime, Now, WallTime};
use daymark_protocol::trust::{FallsOn, Root};
use serde::{Deserialize, Serialize};

use crate::admission;
use crate::conduct::Faults;
use crate::durable::UpdateState;
use crate::node::Node;

/// Kinds that are told to have no room; made-up ones share one.
const FULL_KINDS_TOLD_MAX: usize = 16;

/// One screen of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The host.
    pub host: KeyId,
    /// Its name, once enrolled.
    pub name: Option<String>,
    /// Its site as written in its Host statement.
    pub site: Option<String>,
    /// The fleet that it took.
    pub fleet: Option<FleetId>,
    /// Version of the newest root held; 0 if none is.
    pub root_version: u64,
    /// Whether the fleet only serves to try things.
    pub evaluation: bool,
    /// What is known of the time.
    pub now: Now,
    /// Why the clock's reading counts, or does not.
    pub clock: String,
    /// Whether the operating system says that its clock is synchronised.
    pub clock_synchronised: bool,
    /// When the node started, by the host's clock.
    pub started: WallTime,
    /// Generation of its reports; 0 before the first.
    pub generation: u64,
    /// The update state machine.
    pub update: UpdateState,
    /// Why the last try of what it does now failed.
    pub last_error: Option<String>,
    /// Peers connected now.
    pub peers: Vec<PeerStatus>,
    /// Peers that did what they must not since the start, whether they are connected or not.
    pub conduct: Vec<PeerConduct>,
    /// Addresses that peers may dial.
    pub listening: Vec<String>,
    /// Local inhibitors that have not ended.
    pub inhibitors: Vec<(String, WallTime)>,
    /// Entries by document and reports by host.
    pub documents: BTreeMap<String, u64>,
    /// Entries held in memory until a root or a counterpart arrives.
    pub held_entries: u64,
    /// What happened since the start.
    pub counters: Counters,
    /// From which fleets a local person had this machine adopted.
    #[serde(default)]
    pub adopted: Vec<String>,
    /// Why nothing starts before a person says that this machine keeps its key (RULES D6).
    #[serde(default)]
    pub rebind: Vec<String>,
    /// Problems that a person should see.
    pub problems: Vec<String>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The peer.
    pub host: KeyId,
    /// Its name, if it is enrolled.
    pub name: Option<String>,
    /// Its address as connected.
    pub address: String,
    /// What its connections should let through.
    pub admission: crate::effect::Admission,
}

/// What a peer is blamed for since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerConduct {
    /// The peer.
    pub host: KeyId,
    /// Its name, if it is enrolled or let in.
    pub name: Option<String>,
    /// Points that are not forgiven yet: 0 is good, [`crate::conduct::POINTS_MAX`] is dropped.
    pub score: u64,
    /// How often it did what.
    pub faults: Faults,
    /// Until when it is a stranger that nobody listens to, if it is, by the host's clock.
    pub dropped_until: Option<WallTime>,
}

/// Counts since the start, for people and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Messages and gossip that were not well-formed.
    pub malformed: u64,
    /// Messages from peers that may not send them.
    pub unadmitted: u64,
    /// Messages dropped because their sender sent too many.
    pub over_budget: u64,
    /// Entries and reports refused for good.
    pub refused: u64,
    /// Entries and reports that were new.
    pub taken: u64,
    /// Ends of operations that nobody waits for.
    pub stale_operations: u64,
    /// Decisions taken.
    #[serde(default)]
    pub decisions: u64,
    /// Comparisons that found both sides alike.
    pub agreements: u64,
    /// Comparisons that found a difference.
    pub differences: u64,
    /// Bytes sent to single peers.
    pub sent_bytes: u64,
    /// Bytes published.
    pub published_bytes: u64,
}

impl Node {
    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether the start found something damaged in the store.
    pub fn found_damage(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// A snapshot.
    pub fn status(&self) -> Status {
        let replica = self.replica.as_ref();
        let spec = replica.and_then(|held| admission::host_spec(held.standing(), &self.own));
        let site = spec.and(replica).map(|held| admission::site_of(held.standing(), &self.own));
        Status {
            host: self.own,
            name: spec.map(|spec| spec.name.clone()),
            site: site.map(|site| site.to_string()),
            fleet: replica.and_then(|held| held.chain().fleet()),
            root_version: self.root_version(),
            evaluation: self.newest_root().is_some_and(|root| root.evaluation),
            now: self.now(),
            clock: self.clock_verdict.basis.to_string(),
            clock_synchronised: self.reading.synchronised,
            started: self.started,
            generation: self.reporter.generation(),
            update: self.saved.get().update.clone(),
            last_error: self.updater.last_error().map(str::to_owned),
            peers: self.peer_statuses(),
            conduct: self.peer_conducts(),
            listening: self.listening.clone(),
            inhibitors: self.inhibitors().cloned().collect(),
            documents: self.document_sizes(),
            held_entries: replica.map_or(0, |held| held.waiting() as u64),
            counters: self.counters,
            adopted: self.adoptions(),
            rebind: self.rebind_asked().collect(),
            problems: self.problems(),
        }
    }

    /// From which fleets a local person had this machine adopted, each in a sentence.
    pub(crate) fn adoptions(&self) -> Vec<String> {
        self.saved.get().adopted.iter().map(ToString::to_string).collect()
    }

    fn peer_statuses(&self) -> Vec<PeerStatus> {
        let status = |(host, peer): (&KeyId, &crate::peers::Peer)| PeerStatus {
            host: *host,
            name: self.peer_name(host),
            address: peer.address.clone(),
            admission: self.wanted_admission(host),
        };
        self.peers.iter().map(status).collect()
    }

    fn peer_name(&self, host: &KeyId) -> Option<String> {
        let standing = self.replica.as_ref().map(|replica| replica.standing());
        let spec = standing.and_then(|standing| admission::host_spec(standing, host));
        spec.map(|spec| spec.name.clone()).or_else(|| self.visitor_name(host))
    }

    fn peer_conducts(&self) -> Vec<PeerConduct> {
        let now = self.reading.mono;
        let of = |host: &KeyId| {
            let connected = self.peers.get(host).map(|peer| &peer.budget);
            let budget = connected.or_else(|| self.parted.get(host));
            let dropped = budget.and_then(|budget| budget.heard_again(now));
            let wall = |until: MonoTime| {
                let ms = i64::try_from(until.since_ms(now)).unwrap_or(i64::MAX);
                self.reading.wall.plus_ms(ms)
            };
            PeerConduct {
                host: *host,
                name: self.peer_name(host),
                score: budget.map_or(0, |budget| budget.score(now)),
                faults: self.conduct.of(host),
                dropped_until: dropped.map(wall),
            }
        };
        self.conduct.peers().map(of).collect()
    }

    fn document_sizes(&self) -> BTreeMap<String, u64> {
        let Some(replica) = &self.replica else { return BTreeMap::new() };
        let entries = replica
            .documents()
            .map(|document| (document.to_string(), replica.hashes(document).count() as u64));
        let reports = replica.heads().map(|(host, head)| (format!("host/{host}"), head.count));
        entries.chain(reports).collect()
    }

    /// What of the fleet's trust a person should see to before it stops anything.
    fn trust_problems(&self) -> Vec<String> {
        let Some(replica) = &self.replica else { return vec![] };
        let standing = replica.standing();
        let mut problems = Vec::new();
        let lists = replica.missing_lists();
        if !lists.is_empty() {
            let names: Vec<String> = lists.iter().map(|list| list.short()).collect();
            problems.push(format!(
                "lists that the newest root names are missing, and what they could name is \
                 unknown: {}",
                names.join(", ")
            ));
        }
        for (token, (uses, hosts)) in standing.tokens() {
            if hosts.len() > uses as usize && holds(Rule::S9Number) {
                problems.push(format!(
                    "{} machines joined by {token}, which is for {uses}: look at each before you \
                     countersign it",
                    hosts.len()
                ));
            }
        }
        let as_of = self.reach.as_ref().map(Reach::fresh_as_of);
        if let (Some(root), Some(as_of)) = (&standing.root, as_of)
            && root.freshness.alarms_at(as_of).is_some_and(|at| at <= self.now().earliest)
        {
            problems
                .push(format!("the newest word of the fleet is of {as_of}: no heartbeat since"));
        }
        problems
    }

    fn newest_root(&self) -> Option<&Root> {
        self.replica.as_ref().and_then(|replica| replica.chain().newest())
    }

    /// What runs out within half a year, as far as the time is known.
    fn falls_on(&self) -> Vec<String> {
        let now = self.now();
        let falls = self.newest_root().filter(|_| now.known);
        let falls = falls.map(|root| root.falls_on(now.latest)).unwrap_or_default();
        falls
            .into_iter()
            .map(|FallsOn { what, at, within_days }| match within_days {
                0 => format!("{what} has expired, at {at}: a new root is needed"),
                days => format!("{what} falls on {at}, within {days} days: a new root is needed"),
            })
            .collect()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.damaged.clone();
        problems.extend(self.report_problem.clone());
        let configuration = self.deliveries.problem();
        problems.extend(configuration.map(|why| format!("custom configuration: {why}")));
        problems.extend(self.peers.keys().filter(|peer| self.is_shut_out(peer)).map(|peer| {
            format!("host {} sends what does not verify and is not heard for a while", peer.short())
        }));
        let full = self.replica.iter().flat_map(|replica| replica.floors().full_kinds());
        problems.extend(full.take(FULL_KINDS_TOLD_MAX).map(|kind| {
            format!("there is no room for one more {kind}: new ones count for nothing here")
        }));
        problems.extend(self.rebind_asked());
        problems.extend(self.trust_problems());
        problems.extend(self.falls_on());
        let wait = self.replica.as_ref().and_then(|replica| replica.chain().wait());
        problems.extend(wait.map(|wait| format!("nothing is judged: {wait}")));
        problems
    }
}
