//! A snapshot of what the node knows, for the control API. Nothing is decided from it.

use std::collections::BTreeMap;

use daymark_protocol::id::{FleetId, KeyId};
use daymark_protocol::time::{Now, WallTime};
use serde::{Deserialize, Serialize};

use crate::durable::UpdateState;

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
    /// What is known of the time.
    pub now: Now,
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
    /// Problems that a person should see.
    pub problems: Vec<String>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The peer.
    pub host: KeyId,
    /// Its address as connected.
    pub address: String,
    /// What its connections should let through.
    pub admission: crate::effect::Admission,
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
    /// Comparisons that found both sides alike.
    pub agreements: u64,
    /// Comparisons that found a difference.
    pub differences: u64,
    /// Bytes sent to single peers.
    pub sent_bytes: u64,
    /// Bytes published.
    pub published_bytes: u64,
}
