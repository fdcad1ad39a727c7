//! Pulling blobs that reports name, piece by piece, a bounded number at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::MonoTime;
use daymark_protocol::wire::SyncMessage;

use crate::effect::Batch;
use crate::intake::Origin;
use crate::node::Node;

/// Blobs that are being put together at a time.
const PARTIAL_MAX: usize = 16;
/// Largest blob that is pulled: a closed generation of reports with its frame fits well below it.
const BLOB_BYTES_MAX: usize = 256 * 1024;

/// A piece that did not come in this time is asked of the next peer, ms.
const PIECE_MS_MAX: u64 = 10_000;

/// The beginning of a blob, and when its next piece was asked for.
#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    asked: MonoTime,
}

/// Blobs that are being put together.
#[derive(Debug, Default)]
pub(crate) struct PartialBlobs(BTreeMap<Digest, Partial>);

impl Node {
    /// Asks a peer that just gave reports for the blobs that they name.
    pub(crate) fn want_blobs(&mut self, peer: KeyId, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let missing = replica.missing_blobs();
        self.partial_blobs.0.retain(|digest, _| missing.contains(digest));
        let now = self.reading.mono;
        let missing: Vec<Digest> = missing.iter().take(PARTIAL_MAX).copied().collect();
        for digest in missing {
            let partial = self.partial_blobs.0.entry(digest);
            let is_new = matches!(partial, Entry::Vacant(_));
            let partial = partial.or_insert(Partial { bytes: Vec::new(), asked: now });
            if !is_new && now.since_ms(partial.asked) < PIECE_MS_MAX {
                continue;
            }
            partial.asked = now;
            let Ok(offset) = u32::try_from(partial.bytes.len()) else { continue };
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
        if !wanted || total > BLOB_BYTES_MAX || bytes.is_empty() {
            return;
        }
        let Some(partial) = self.partial_blobs.0.get_mut(&digest) else { return };
        let held = partial.bytes.len();
        if usize::try_from(offset) != Ok(held) || held + bytes.len() > total {
            return;
        }
        partial.bytes.extend_from_slice(bytes);
        partial.asked = self.reading.mono;
        if partial.bytes.len() < total {
            let offset = u32::try_from(partial.bytes.len()).unwrap_or(u32::MAX);
            return self.send_sync(peer, &SyncMessage::WantBlob { digest, offset }, batch);
        }
        // Pieces from several peers may not fit each other: then it starts again.
        if let Some(Partial { bytes: blob, .. }) = self.partial_blobs.0.remove(&digest)
            && Digest::of(&blob) == digest
        {
            self.take_blobs(&[blob], Origin::Repair, batch);
        }
    }
}
