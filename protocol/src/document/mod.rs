//! Documents: who may write what, the entries that travel, what is kept, and the canonical
//! Automerge form (RULES D1 to D7).

mod canonical;
mod chain;
mod closed;
mod document_id;
mod entry;
mod fact;
mod held;
mod host_facts;
mod host_machine;
pub mod host_paths;
mod host_view;
mod id_rooms;
mod replica;
mod report;
mod report_writer;
pub mod retention;
mod room;
mod shared;

pub use self::canonical::{
    CanonicalDocument, CanonicalError, document_of_entries, document_of_reports,
};
pub use self::chain::{ChainHead, ChainLink, ChainOutcome, HostChain, ReportGap};
pub use self::closed::{ClosedGeneration, NotAGeneration};
pub use self::document_id::DocumentId;
pub use self::entry::{
    ENTRY_BYTES_MAX, Entry, RefusedEntry, documents_of, home_of, signature_entry, site_document,
    statement_entry,
};
pub use self::fact::{FactPath, Facts, InvalidPath, Value};
pub use self::host_facts::{ImageBytes, UpdateRun, UpdateStatus};
pub use self::host_view::HostView;
pub use self::replica::{
    Changes, Corrupt, FreshEntry, Interest, Loaded, Outcome, Replica, Sites, Stored, StoredEntry,
    StoredReport,
};
pub use self::report::{RefusedReport, Report, SignedReport};
pub use self::report_writer::{ReportError, ReportWriter, Written};
pub use self::shared::Shared;
