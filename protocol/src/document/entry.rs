//! Entries: what travels of `fleet` and `site/…` documents (RULES D1 to D3), and which documents
//! an entry belongs to (RULES Q2).
//!
//! The form: format version (1), type, then for a statement (1) its payload as received, for a
//! signature (2) the statement's digest, the key's id and the signature. An entry is refused for
//! good only for what lies in its own bytes; whether its key is known, and whether the signature
//! verifies, is judged by whoever holds the roots and the counterpart.

use std::collections::BTreeSet;

use crate::codec::{DecodeError, Reader, Writer};
use crate::document::{DocumentId, Shared};
use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;
use crate::resource::{Kind, Scope};
use crate::rules::{Rule, holds};
use crate::trust::{RefusedStatement, Signature, Statement};

const FORMAT: u8 = 1;
const STATEMENT: u8 = 1;
const SIGNATURE: u8 = 2;
/// Largest entry: a statement behind two bytes.
pub const ENTRY_BYTES_MAX: usize = 2 + limits::STATEMENT_PAYLOAD_BYTES_MAX;
/// The site of hosts that have none (DESIGN section 4).
const NO_SITE: &str = "none";

/// An entry of a `fleet` or `site/…` document.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A statement's bytes, well-formed.
    Statement(Box<Statement>),
    /// One key's signature of a statement, not yet verified.
    Signature {
        /// The statement.
        statement: Digest,
        /// The key.
        key: KeyId,
        /// The signature.
        signature: Signature,
    },
}

/// Why bytes are no entry; for good, since it lies in the bytes.
#[derive(Debug, thiserror::Error)]
pub enum RefusedEntry {
    /// Larger than [`ENTRY_BYTES_MAX`].
    #[error("an entry has at most {ENTRY_BYTES_MAX} bytes, not {0}")]
    TooLarge(usize),
    /// The bytes are not of the form.
    #[error("the entry is malformed")]
    Malformed(#[from] DecodeError),
    /// The statement in it is refused.
    #[error("the entry's statement is refused")]
    Statement(#[from] RefusedStatement),
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// If the bytes are not exactly one entry within bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, RefusedEntry> {
        Self::decode_sharing(bytes, &Shared::default())
    }

    /// As [`Self::decode`], with a statement that is in the pool already.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn decode_sharing(bytes: &[u8], shared: &Shared) -> Result<Self, RefusedEntry> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(RefusedEntry::TooLarge(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        if reader.u8("entry format")? != FORMAT && holds(Rule::D1Format) {
            return Err(DecodeError::Invalid("entry format").into());
        }
        match reader.u8("entry type")? {
            STATEMENT => {
                let payload = reader.take(reader.remaining(), "payload")?;
                Ok(Self::Statement(Box::new(shared.statement(payload)?)))
            }
            SIGNATURE => {
                let statement = Digest(reader.array("statement")?);
                let key = KeyId(reader.array("key")?);
                let signature = Signature(reader.array("signature")?);
                reader.end()?;
                Ok(Self::Signature { statement, key, signature })
            }
            _ => Err(DecodeError::Invalid("entry type").into()),
        }
    }

    /// The entry's only form.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Statement(statement) => statement_entry(statement.bytes()),
            Self::Signature { statement, key, signature } => {
                signature_entry(statement, key, signature)
            }
        }
    }

    /// SHA-256 of the form: the entry's name in its documents.
    pub fn hash(&self) -> Digest {
        Digest::of(&self.encode())
    }
}

/// The entry of a statement with this payload.
pub fn statement_entry(payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(FORMAT).u8(STATEMENT).raw(payload);
    writer.finish()
}

/// The entry of one key's signature of a statement.
pub fn signature_entry(statement: &Digest, key: &KeyId, signature: &Signature) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(FORMAT).u8(SIGNATURE).raw(statement.as_bytes()).raw(key.as_bytes()).raw(&signature.0);
    writer.finish()
}

/// The documents that a statement and its signatures are entries of (RULES Q2).
///
/// Statements of fleet and region scope live in `fleet`, those of a site's scope in that site's
/// document. Tokens are in `fleet` whatever their scope, since a machine that is not enrolled keeps
/// no site's document, and other sites must be able to judge whom one let in (RULES S9). A Host lives in the document of its own site, whatever the scope: `site/none` without
/// one. The version that moves or ends it, or puts another machine in its place, is also an entry of
/// `fleet` and of the site that it left, so that whoever is shown an older one knows better (RULES
/// S4).
pub fn documents_of(statement: &Statement) -> BTreeSet<DocumentId> {
    let payload = statement.payload();
    let mut documents = BTreeSet::new();
    for resource in &payload.resources {
        documents.insert(home_of(&resource.kind, &payload.scope, resource.site.as_ref()));
        if resource.kind == Kind::Host.name() {
            if let Some(replaced) = &resource.replaces {
                documents.insert(site_document(replaced.site.as_ref()));
            }
            if let Some(left) = &resource.moved_from {
                documents.insert(site_document(Some(left)));
            }
            if resource.gone || resource.moved_from.is_some() || resource.replaces.is_some() {
                documents.insert(DocumentId::Fleet);
            }
        }
    }
    documents
}

/// The one document in which all versions of a resource are looked for: that of its scope, for a
/// Host that of its site, for a token `fleet`.
pub fn home_of(kind: &str, scope: &Scope, site: Option<&ResourceId>) -> DocumentId {
    if kind == Kind::Host.name() {
        return site_document(site);
    }
    if kind == Kind::Token.name() {
        return DocumentId::Fleet;
    }
    match scope {
        Scope::Fleet | Scope::Region(_) => DocumentId::Fleet,
        Scope::Site(site) => DocumentId::Site(site.clone()),
    }
}

/// The document of a site; of the site `none` for hosts without one.
pub fn site_document(site: Option<&ResourceId>) -> DocumentId {
    let site = site.cloned().unwrap_or_else(|| NO_SITE.parse().expect("`none` is a resource id"));
    DocumentId::Site(site)
}
