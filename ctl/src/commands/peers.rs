//! `get peers`: whom the node at hand is connected to, and whom hosts say that they see.

use std::collections::BTreeMap;

use daymark_protocol::time::WallTime;
use serde::Serialize;

use crate::exit::Outcome;
use crate::output::Row;
use crate::session::{Session, unanswered};
use crate::{names, times};

/// A peer of a host.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PeerRow {
    /// The host that says so.
    pub host: String,
    /// Its peer.
    pub peer: String,
    /// What connections let through.
    pub admission: String,
    /// Points for what it did, not forgiven yet, of the 64 at which it is dropped; as far as a node
    /// was asked.
    pub score: Option<u64>,
    /// What it is blamed for since the node's agent started, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Until when nobody listens to it, if so.
    pub dropped_until: Option<WallTime>,
    /// Where.
    pub address: String,
}

impl PeerRow {
    fn blame(&self) -> String {
        let words = |(kind, count): (&String, &u64)| {
            let what = match kind.as_str() {
                "refused" => "items refused",
                "malformed" => "messages unreadable",
                "flood" => "messages too many",
                "wrongChunk" => "wrong chunks",
                "wrongProof" => "wrong proofs",
                newer => newer,
            };
            format!("{count} {what}")
        };
        self.faults.iter().map(words).collect::<Vec<_>>().join(", ")
    }
}

impl Row for PeerRow {
    const HEADS: &'static [&'static str] =
        &["host", "peer", "admission", "score", "blamed for", "dropped until", "address"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.host.clone(),
            self.peer.clone(),
            self.admission.clone(),
            self.score.map_or_else(String::new, |score| score.to_string()),
            self.blame(),
            self.dropped_until.map_or_else(String::new, times::show),
            self.address.clone(),
        ]
    }

    fn name(&self) -> String {
        self.peer.clone()
    }
}

impl PeerRow {
    /// Whether it is about a host of this name, at either end.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        self.host == name || self.peer == name
    }
}

/// The rows, and how old they are.
pub(crate) async fn rows(session: &Session) -> Outcome<(Vec<PeerRow>, String)> {
    let standing = session.standing();
    if session.node().is_some() {
        let client = session.client().await?;
        let status = client.status().await.map_err(unanswered)?;
        let host = names::host_name(standing, &status.host);
        let peers = client.peers().await.map_err(unanswered)?;
        let rows = peers
            .into_iter()
            .map(|peer| PeerRow {
                host: host.clone(),
                peer: peer.name.unwrap_or_else(|| names::host_name(standing, &peer.host)),
                admission: if peer.connected { peer.admission } else { "not connected".into() },
                score: Some(peer.score),
                faults: peer.faults,
                dropped_until: peer.dropped_until,
                address: peer.address.unwrap_or_default(),
            })
            .collect();
        return Ok((rows, format!("Asked {host} at {}.", times::show(times::now()))));
    }
    let mut rows = Vec::new();
    for (key, _, spec) in names::hosts(standing) {
        let peers = session.host(&key).map(|host| host.peers).unwrap_or_default();
        rows.extend(peers.into_iter().map(|(peer, address)| PeerRow {
            host: spec.name.clone(),
            peer:
                peer.parse().map_or_else(|_| peer.clone(), |key| names::host_name(standing, &key)),
            admission: "reported".into(),
            score: None,
            faults: BTreeMap::new(),
            dropped_until: None,
            address,
        }));
    }
    Ok((rows, session.as_of()))
}
