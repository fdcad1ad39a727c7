//! Pulling blobs that reports name, piece by piece, a bounded number at a time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::time::MonoTime;
use daymark_protocol::trust::LIST_BYTES_MAX;
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
        let from = self.blob_choice.digest();
        let wanted = going_round(replica.missing_blobs(), from);
        self.want(peer, wanted, batch);
    }

    /// Asks a peer for lists that roots name (RULES R5): authority data, and urgent, since what they
    /// could name is unknown.
    pub(crate) fn want_lists(&mut self, peer: KeyId, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let from = self.blob_choice.digest();
        let wanted = going_round(&replica.missing_lists(), from);
        self.want(peer, wanted, batch);
    }

    /// Whether a blob is a list that is held.
    pub(crate) fn holds_list(&self, digest: &Digest) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.list(digest).is_some())
    }

    /// Whether a blob is a list that is missing.
    pub(crate) fn lacks_list(&self, digest: &Digest) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.missing_lists().contains(digest))
    }

    fn want(&mut self, peer: KeyId, wanted: Vec<Digest>, batch: &mut Batch) {
        let Some(replica) = &self.replica else { return };
        let (missing, lists) = (replica.missing_blobs(), replica.missing_lists());
        let is_missing = |digest: &Digest| missing.contains(digest) || lists.contains(digest);
        self.partial_blobs.0.retain(|digest, _| is_missing(digest));
        let now = self.reading.mono;
        let is_stale = |partial: &Partial| now.since_ms(partial.asked) >= PIECE_MS_MAX;
        for digest in wanted {
            if self.partial_blobs.0.len() >= PARTIAL_MAX
                && !self.partial_blobs.0.contains_key(&digest)
            {
                // One that nobody continued gives way; a list, which is urgent, to none but a list.
                let (lists, held) = (&lists, self.partial_blobs.0.iter());
                let stale = held.filter(|(other, partial)| {
                    is_stale(partial) && (lists.contains(&digest) || !lists.contains(*other))
                });
                let longest = stale.min_by_key(|(_, partial)| partial.asked);
                let Some(longest) = longest.map(|(digest, _)| *digest) else { continue };
                self.partial_blobs.0.remove(&longest);
            }
            let partial = self.partial_blobs.0.entry(digest);
            let is_new = matches!(partial, Entry::Vacant(_));
            let partial = partial.or_insert(Partial { bytes: Vec::new(), asked: now });
            if !is_new && !is_stale(partial) {
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
        let is_list = self.lacks_list(&digest);
        let wanted = is_list || replica.missing_blobs().contains(&digest);
        let most = if is_list { LIST_BYTES_MAX } else { BLOB_BYTES_MAX };
        if !wanted || total > most || bytes.is_empty() {
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

/// As many as are put together at a time, from a random one on: blobs that nobody has must not keep
/// the others waiting.
fn going_round(missing: &BTreeSet<Digest>, from: Digest) -> Vec<Digest> {
    let all = missing.range(from..).chain(missing.range(..from));
    all.take(PARTIAL_MAX).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn d5_every_missing_blob_is_asked_for_however_many_nobody_has() {
        let missing: BTreeSet<Digest> = (0..200_u8).map(|n| Digest::of(&[n])).collect();
        let mut choice = Stream::new(&[1; 32], "choice of blobs");
        let mut asked = BTreeSet::new();
        for _ in 0..200 {
            let wanted = going_round(&missing, choice.digest());
            assert_eq!(wanted.len(), PARTIAL_MAX);
            asked.extend(wanted);
        }
        assert_eq!(asked, missing);
        let few = missing.into_iter().take(3).collect();
        assert_eq!(going_round(&few, choice.digest()).len(), 3);
    }
}
