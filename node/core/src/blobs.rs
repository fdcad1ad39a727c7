//! Pulling blobs that reports name, piece by piece, a bounded number at a time.

use std::collections::BTreeMap;

use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::wire::SyncMessage;

use crate::effect::Batch;
use crate::intake::Origin;
use crate::node::Node;

/// Blobs that are being put together at a time.
const PARTIAL_MAX: usize = 16;
/// Largest blob that is pulled: a closed generation of reports with its frame fits well below it.
const BLOB_BYTES_MAX: usize = 256 * 1024;

/// Pieces of blobs, from their beginnings.
#[derive(Debug, Default)]
pub(crate) struct PartialBlobs(BTreeMap<Digest, Vec<u8>>);

impl Node {
    /// Asks a peer that just gave reports for the blobs that they name.
    pub(crate) fn want_blobs(&mut self, peer: KeyId, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let missing = replica.missing_blobs();
        self.partial_blobs.0.retain(|digest, _| missing.contains(digest));
        for digest in missing.into_iter().take(PARTIAL_MAX) {
            let offset = self.partial_blobs.0.get(&digest).map_or(0, Vec::len);
            let Ok(offset) = u32::try_from(offset) else { continue };
            self.send_sync(peer, &SyncMessage::WantBlob { digest, offset }, batch);
        }
    }

    /// Takes a piece that continues what is there, and asks for the next one.
    pub(crate) fn on_blob(
        &mut self,
        peer: KeyId,
        digest: Digest,
        offset: u32,
        total: u32,
        bytes: &[u8],
        batch: &mut Batch,
    ) {
        let Some(replica) = &self.replica else { return };
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let wanted = replica.missing_blobs().contains(&digest);
        let room =
            self.partial_blobs.0.len() < PARTIAL_MAX || self.partial_blobs.0.contains_key(&digest);
        if !wanted || !room || total > BLOB_BYTES_MAX || bytes.is_empty() {
            return;
        }
        let partial = self.partial_blobs.0.entry(digest).or_default();
        if usize::try_from(offset) != Ok(partial.len()) || partial.len() + bytes.len() > total {
            return;
        }
        partial.extend_from_slice(bytes);
        if partial.len() < total {
            let offset = u32::try_from(partial.len()).unwrap_or(u32::MAX);
            return self.send_sync(peer, &SyncMessage::WantBlob { digest, offset }, batch);
        }
        // Pieces from several peers may not fit each other: then it starts again.
        if let Some(blob) = self.partial_blobs.0.remove(&digest)
            && Digest::of(&blob) == digest
        {
            self.take_blobs(&[blob], Origin::Repair, batch);
        }
    }
}
