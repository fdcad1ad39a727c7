//! Lists of statements: what a root's signers knew a key to have signed (RULES R5). Blobs, named by
//! digest in the root and served like roots.

use std::collections::BTreeSet;

use crate::codec::{DecodeError, Reader, Writer};
use crate::id::Digest;
use crate::limits;

const FORMAT: u8 = 1;
const DIGEST_BYTES: usize = 32;
const FRAME_BYTES: usize = 5;
/// Largest list as a blob: 2 MiB.
pub const LIST_BYTES_MAX: usize = FRAME_BYTES + limits::LIST_DIGESTS_MAX * DIGEST_BYTES;

/// Bytes that are no list.
#[derive(Debug, thiserror::Error)]
pub enum RefusedList {
    /// Larger than [`LIST_BYTES_MAX`].
    #[error("a list has at most {LIST_BYTES_MAX} bytes, not {0}")]
    TooLong(usize),
    /// Not of the form.
    #[error("the list is malformed")]
    Malformed(#[from] DecodeError),
    /// Digests out of order or twice, so that one set would have several forms.
    #[error("the digests of the list do not rise")]
    NotSorted,
}

/// A sorted list of statement digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestList {
    digests: BTreeSet<Digest>,
    bytes: Vec<u8>,
}

impl DigestList {
    /// As few lists as hold all of these digests; none of none.
    pub fn of(digests: &BTreeSet<Digest>) -> Vec<Self> {
        let all: Vec<Digest> = digests.iter().copied().collect();
        let list = |part: &[Digest]| {
            let mut writer = Writer::new();
            writer.u8(FORMAT).count(part.len());
            for digest in part {
                writer.raw(digest.as_bytes());
            }
            Self { digests: part.iter().copied().collect(), bytes: writer.finish() }
        };
        all.chunks(limits::LIST_DIGESTS_MAX).map(list).collect()
    }

    /// Reads a list. Its length is compared with what is really there before anything is allocated.
    pub fn decode(bytes: &[u8]) -> Result<Self, RefusedList> {
        if bytes.len() > LIST_BYTES_MAX {
            return Err(RefusedList::TooLong(bytes.len()));
        }
        let mut reader = Reader::new(bytes);
        if reader.u8("list format")? != FORMAT {
            return Err(DecodeError::Invalid("list format").into());
        }
        let mut digests = BTreeSet::new();
        for _ in 0..reader.count(limits::LIST_DIGESTS_MAX, "digests")? {
            let digest = Digest(reader.array("digest")?);
            if digests.last().is_some_and(|last| *last >= digest) {
                return Err(RefusedList::NotSorted);
            }
            digests.insert(digest);
        }
        reader.end()?;
        Ok(Self { digests, bytes: bytes.to_vec() })
    }

    /// What a root names it by: SHA-256 of [`Self::bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The blob.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a statement is listed.
    pub fn contains(&self, statement: &Digest) -> bool {
        self.digests.contains(statement)
    }

    /// The statements, by digest.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.digests.iter()
    }
}
