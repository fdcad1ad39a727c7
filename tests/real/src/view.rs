//! What a node holds, read over its control socket and judged as any replica judges it.

use std::collections::BTreeSet;

use daymark_node::control::{Client, ClientError};
use daymark_protocol::control::{Item, Wanted};
use daymark_protocol::document::{Interest, Replica, Stored, StoredEntry, StoredReport, UpdateRun};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::trust::{Floors, Pin, RootChain};

/// A replica as large as a node's.
#[derive(Debug)]
pub struct Held {
    replica: Replica,
    entries: BTreeSet<Digest>,
    items: Vec<Item>,
}

impl Held {
    /// Hashes of all entries that the node holds.
    pub fn entries(&self) -> &BTreeSet<Digest> {
        &self.entries
    }

    /// All of it, as it was handed out.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Runs that a host reports, oldest first.
    pub fn runs(&self, host: &KeyId) -> Vec<UpdateRun> {
        let view = self.replica.host_view(host);
        view.map(|view| view.facts().runs()).unwrap_or_default()
    }
}

/// Reads everything that the node at `client` holds.
///
/// # Errors
/// If it does not answer.
pub async fn held_by(client: &Client, pin: Pin) -> Result<Held, ClientError> {
    let index = client.replica().await?;
    let mut wanted = Wanted { roots: index.roots, blobs: index.blobs, ..Wanted::default() };
    for (document, hashes) in index.entries {
        wanted.entries.extend(hashes.into_iter().map(|hash| (document.clone(), hash)));
    }
    for (host, reports) in index.reports {
        wanted.reports.extend(reports.into_iter().map(|(g, c)| (host, g, c)));
    }
    let entries = wanted.entries.iter().map(|(_, hash)| *hash).collect();
    // A test's fleet fits into one answer.
    let items = client.fetch(&wanted).await?.items;
    let mut chain = RootChain::new(pin);
    let mut stored = Stored::default();
    for item in items.iter().cloned() {
        match item {
            Item::Root { bytes, .. } => drop(chain.accept(&bytes.0)),
            Item::Entry { document, hash, bytes } => {
                stored.entries.push(StoredEntry { document, hash, bytes: bytes.0 });
            }
            Item::Report { host, generation, count, bytes } => {
                stored.reports.push(StoredReport { host, generation, count, bytes: bytes.0 });
            }
            Item::Blob { digest, bytes } => stored.blobs.push((digest, bytes.0)),
        }
    }
    let loaded = Replica::load(chain, Floors::default(), Interest::default(), &stored);
    Ok(Held { replica: loaded.replica, entries, items })
}
