//! What a root would change for what this replica holds (RULES R5, R6).

use super::Replica;
use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::trust::{
    DigestList, Grounds, Preview, RefusedRoot, Root, RootDraft, Void, VoidId, lists_of, preview,
};

impl Replica {
    /// The lists for a key that ends: all that is held, counts and was signed by it.
    pub fn lists_of(&self, key: &KeyId) -> Vec<DigestList> {
        lists_of(key, self.statements(), self.judgement())
    }

    /// What takes a held statement back. Its ids count again from the version that `counts_from`
    /// gives for each; below it nothing returns.
    pub fn void_of(
        &self,
        statement: &Digest,
        counts_from: impl Fn(&crate::trust::Resource) -> u64,
    ) -> Option<Void> {
        let held = self.statement(statement)?;
        let resources = held.statement.payload().resources.iter();
        let ids = resources.map(|resource| VoidId {
            kind: resource.kind.clone(),
            id: resource.id.clone(),
            digest: resource.digest(),
            counts_from: counts_from(resource),
        });
        Some(Void { statement: *statement, ids: ids.collect() })
    }

    /// What a root would change here, if its signers signed it. `lists` are those that it names and
    /// that nobody holds yet.
    ///
    /// # Errors
    /// If the root makes no sense by itself.
    pub fn preview(&self, draft: &RootDraft, lists: &[DigestList]) -> Result<Preview, RefusedRoot> {
        let (_, root) = draft.finish()?;
        Ok(self.preview_root(root, lists))
    }

    /// As [`Self::preview`], of a root that somebody else wrote.
    pub fn preview_root(&self, root: Root, lists: &[DigestList]) -> Preview {
        let mut known = self.lists.clone();
        known.extend(lists.iter().map(|list| (list.digest(), list.clone())));
        let keeps = |document: &DocumentId| self.interest.covers(document);
        let (chain, held, floors) = (&self.chain, &self.statements, &self.floors);
        preview(&Grounds { chain, lists: &known, held, floors, keeps: &keeps }, root)
    }
}
