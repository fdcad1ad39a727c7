//! `get peers`: whom the node at hand is connected to, and whom hosts say that they see.

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
    /// Where.
    pub address: String,
}

impl Row for PeerRow {
    const HEADS: &'static [&'static str] = &["host", "peer", "admission", "address"];

    fn cells(&self) -> Vec<String> {
        vec![self.host.clone(), self.peer.clone(), self.admission.clone(), self.address.clone()]
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
    if session.socket().is_some() {
        let status = session.client()?.status().await.map_err(unanswered)?;
        let host = names::host_name(standing, &status.host);
        let rows = status
            .peers
            .into_iter()
            .map(|peer| PeerRow {
                host: host.clone(),
                peer: names::host_name(standing, &peer.host),
                admission: if peer.connected { peer.admission } else { "not connected".into() },
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
            address,
        }));
    }
    Ok((rows, session.as_of()))
}
