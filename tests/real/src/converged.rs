//! Whether machines hold the same: what peers compare, and what an Automerge tool sees.

use std::collections::BTreeMap;

use daymark_protocol::document::{ChainHead, DocumentId};
use daymark_protocol::id::{Digest, KeyId};

use crate::fleet::Fleet;
use crate::wait::{WITHIN, until};

/// All that a machine holds: of each document what peers compare and its Automerge heads, and how
/// far each host's reports are held.
pub type Everything = (BTreeMap<DocumentId, (Digest, Vec<[u8; 32]>)>, BTreeMap<KeyId, ChainHead>);

/// All that a machine holds.
///
/// # Errors
/// If it does not answer.
pub async fn everything(fleet: &Fleet, number: usize) -> Result<Everything, String> {
    let held = fleet.held_by(number).await?;
    let replica = held.replica();
    let heads: BTreeMap<_, _> = replica.heads().map(|(host, head)| (*host, head)).collect();
    let hosts = heads.keys().map(|host| DocumentId::Host(*host));
    let mut documents = BTreeMap::new();
    for document in replica.documents().cloned().chain(hosts) {
        let exported = replica.export(&document).map_err(|error| error.to_string())?;
        documents.insert(document.clone(), (replica.fingerprint(&document), exported.heads));
    }
    Ok((documents, heads))
}

/// Waits until all machines hold the same (I10), and returns it.
///
/// # Errors
/// If they do not in time.
pub async fn all_hold_the_same(fleet: &Fleet) -> anyhow::Result<Everything> {
    until("all hold the same", WITHIN, async || {
        let first = everything(fleet, 0).await?;
        for number in 1..fleet.machines.len() {
            let other = everything(fleet, number).await?;
            if other != first {
                return Err(format!("node-{}: {other:?}, node-1: {first:?}", number + 1));
            }
        }
        Ok(first)
    })
    .await
}
