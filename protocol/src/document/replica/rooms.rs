//! Whether there is room for one more signature, asked by those who are about to sign (RULES Q12).

use std::collections::BTreeSet;

use super::Replica;
use super::index::{is_of, resources_of};
use crate::document::DocumentId;
use crate::document::entry::documents_of;
use crate::document::retention::{Candidate, FullRoom, Standing};
use crate::id::KeyId;
use crate::resource::Kind;
use crate::trust::Statement;

impl Replica {
    /// The document and the room of `key` in it that have no place for a statement once this key
    /// has signed it too. `finishes`: whether its threshold is met then. A halt always has room: of
    /// a full room it halts all (RULES C4).
    pub fn full_room(
        &self,
        statement: &Statement,
        key: &KeyId,
        finishes: bool,
    ) -> Option<(DocumentId, FullRoom)> {
        let digest = statement.digest();
        let held = self.statement(&digest).into_iter().flat_map(|held| held.signatures.keys());
        let signers: BTreeSet<KeyId> = held.chain([key]).copied().collect();
        let standing = match finishes {
            true if is_of(statement, Kind::Resume) => Standing::Resume(signers.clone()),
            true => Standing::Finished(signers.clone()),
            false => Standing::Draft,
        };
        let new = Candidate { resources: resources_of(statement), signers, standing };
        documents_of(statement).into_iter().find_map(|name| {
            let rooms = self.documents.get(&name).map(|document| &document.rooms);
            let full = rooms?.full_room(&digest, new.clone(), key)?;
            Some((name, full))
        })
    }
}
