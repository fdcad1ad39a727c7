//! Lists that roots name (RULES R5): kept while a root that matters names them, served like roots.

use std::collections::BTreeSet;

use super::accept::with_sources;
use super::{Changes, Outcome, Replica};
use crate::id::Digest;
use crate::trust::DigestList;

impl Replica {
    /// Takes a list that a root names; `None` if the blob is none of those.
    pub(super) fn accept_list(
        &mut self,
        digest: Digest,
        bytes: &[u8],
    ) -> Option<(Outcome, Changes)> {
        let mut changes = Changes::default();
        if self.lists.contains_key(&digest) {
            return Some((Outcome::Known, changes));
        }
        if !self.chain.lists().contains(&digest) {
            return None;
        }
        match DigestList::decode(bytes) {
            Ok(list) => {
                self.lists.insert(digest, list);
                changes.blobs.push((digest, bytes.to_vec()));
                self.settle_anew(&mut changes);
                self.drop_all_strangers(&mut changes);
                changes.standing_changed = true;
                Some((Outcome::New, changes))
            }
            Err(refused) => Some((Outcome::Refused(with_sources(&refused)), changes)),
        }
    }

    /// Lists that roots name and that are not held: what they could name is unknown.
    pub fn missing_lists(&self) -> BTreeSet<Digest> {
        let held = |digest: &Digest| self.lists.contains_key(digest);
        self.chain.lists().into_iter().filter(|digest| !held(digest)).collect()
    }

    /// A held list's blob: authority data, unlike other blobs (RULES A2).
    pub fn list(&self, digest: &Digest) -> Option<&[u8]> {
        self.lists.get(digest).map(DigestList::bytes)
    }

    /// Drops lists that no root that matters names any more.
    pub(super) fn drop_lists(&mut self, changes: &mut Changes) {
        if self.chain.wait().is_some() {
            // Which root is the newest is not known yet.
            return;
        }
        let named = self.chain.lists();
        self.lists.retain(|digest, _| {
            let kept = named.contains(digest);
            if !kept {
                changes.dropped_blobs.push(*digest);
            }
            kept
        });
    }
}
