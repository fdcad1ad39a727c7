//! Documents: who may write what, the entries that travel, what is kept, and the canonical
//! Automerge form (RULES D1 to D7).

mod document_id;

pub use self::document_id::DocumentId;
