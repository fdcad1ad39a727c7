//! Repair: how two peers find what each lacks (DESIGN section 5). Roots first, then one tag per set,
//! then buckets, then short marks of what is in the buckets that differ, then the things themselves.
//! Two peers in agreement exchange one [`Hello`]. What items are compared by is keyed anew for
//! each comparison ([`super::Session`]).

use std::collections::BTreeSet;

use super::session::{Mark, Nonce, Session, Tag};
use super::{ITEMS_PER_MESSAGE_MAX, begin, open, read_clock, read_items, write_items};
use crate::codec::{DecodeError, Reader, Writer};
use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::time::WallTime;

/// Most leading bits that tell buckets apart: 4,096 buckets of 4 bytes.
pub const BUCKET_BITS_MAX: u8 = 12;
/// Longest name of a document: `site/` and a resource id.
const DOCUMENT_BYTES_MAX: usize = 5 + limits::RESOURCE_ID_BYTES_MAX;
/// Most marks of one bucket, or of what is lacking, in a message: 4 bytes each.
pub const MARKS_MAX: usize = 15_000;
/// Most reports asked for in a message by host: 48 bytes each.
const WANTED_MAX: usize = 800;

/// Most heartbeats in a message: a node keeps those of the fleet, its site and the regions, and each
/// costs its receiver a signature check or several.
pub const HEARTBEATS_PER_MESSAGE_MAX: usize = 64;

/// The opening of every comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the newest root held.
    pub root_version: u64,
    /// Drawn for this message; all tags in it are under it.
    pub nonce: Nonce,
    /// The newest root, or its rivals together: two roots of one version are seen (RULES R4).
    pub root: Tag,
    /// The `fleet` document.
    pub fleet: Tag,
    /// First bytes of the SHA-256 of the name of the sender's site document.
    pub site: [u8; 8],
    /// That document.
    pub site_entries: Tag,
    /// The heads of all reports of that site's hosts.
    pub heads: Tag,
    /// The sender's clock.
    pub wall: WallTime,
    /// Whether its operating system says that it is synchronised.
    pub synchronised: bool,
}

impl Hello {
    /// The short name of a site document.
    pub fn site_name(document: &DocumentId) -> [u8; 8] {
        let digest = Digest::of(document.to_string().as_bytes());
        std::array::from_fn(|at| digest.0[at])
    }
}

/// What a comparison is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BucketOf {
    /// The hashes of a document's entries.
    Entries(DocumentId),
    /// The heads of hosts' reports.
    Heads,
}

/// One bucket with what one side has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its leading bits.
    pub index: u16,
    /// Marks of its items.
    pub marks: Vec<Mark>,
}

/// Where a host's reports stand, for a peer that marked them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHead {
    /// The place of the host under the session's key, which names it.
    pub host: u64,
    /// The generation.
    pub generation: u64,
    /// The count, at most 255.
    pub count: u8,
    /// The head's mark.
    pub mark: Mark,
}

/// A range of one host's reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedReports {
    /// The host.
    pub host: KeyId,
    /// The generation; also the newest one the asker knows of, so that a newer one is sent whole.
    pub generation: u64,
    /// The first count that is missing.
    pub from_count: u64,
}

/// A message over the sync channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncMessage {
    /// Opens a comparison.
    Hello(Hello),
    /// Asks for roots.
    WantRoots {
        /// Lowest version.
        first: u64,
        /// Highest version.
        last: u64,
    },
    /// Root envelopes.
    Roots(Vec<Vec<u8>>),
    /// Fingerprints of all buckets of the sender's set.
    Buckets {
        /// Of what.
        of: BucketOf,
        /// The comparison.
        session: Session,
        /// Leading bits, at most [`BUCKET_BITS_MAX`].
        bits: u8,
        /// 2^bits of them.
        fingerprints: Vec<Mark>,
    },
    /// What the sender has in the buckets that differ.
    Marks {
        /// Of what.
        of: BucketOf,
        /// The comparison.
        session: Session,
        /// Leading bits.
        bits: u8,
        /// The buckets.
        buckets: Vec<Bucket>,
    },
    /// What the sender has instead of the heads that it was shown marks of.
    Heads {
        /// The comparison.
        session: Session,
        /// The heads that no mark fits.
        heads: Vec<ShortHead>,
        /// The marks that no head fits.
        wanted: Vec<Mark>,
    },
    /// Asks for entries by mark.
    WantEntries {
        /// The document.
        document: DocumentId,
        /// The comparison.
        session: Session,
        /// Their marks.
        marks: Vec<Mark>,
    },
    /// Asks for reports by the marks of heads.
    WantMarked {
        /// The comparison.
        session: Session,
        /// The marks, each with the first count that is missing.
        wanted: Vec<(Mark, u8)>,
    },
    /// Entries.
    Entries(Vec<Vec<u8>>),
    /// Asks for reports.
    WantReports(Vec<WantedReports>),
    /// Reports, of each host in rising order.
    Reports(Vec<Vec<u8>>),
    /// Asks for a piece of a blob.
    WantBlob {
        /// Its digest.
        digest: Digest,
        /// Where the piece starts.
        offset: u32,
    },
    /// A piece of a blob.
    Blob {
        /// Its digest.
        digest: Digest,
        /// Where the piece starts.
        offset: u32,
        /// Size of the whole blob.
        total: u32,
        /// The piece.
        bytes: Vec<u8>,
    },
    /// Heartbeats, as envelopes.
    Heartbeats(Vec<Vec<u8>>),
}

impl SyncMessage {
    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer;
        match self {
            Self::Hello(hello) => {
                writer = begin(1);
                write_hello(&mut writer, hello);
            }
            Self::WantRoots { first, last } => {
                writer = begin(2);
                writer.u64(*first).u64(*last);
            }
            Self::Roots(roots) => {
                writer = begin(3);
                write_items(&mut writer, roots);
            }
            Self::Buckets { of, session, bits, fingerprints } => {
                writer = begin(4);
                write_of(&mut writer, of);
                write_session(&mut writer, session).u8(*bits);
                write_marks(&mut writer, fingerprints);
            }
            Self::Marks { of, session, bits, buckets } => {
                writer = begin(5);
                write_of(&mut writer, of);
                write_session(&mut writer, session).u8(*bits);
                write_buckets(&mut writer, buckets);
            }
            Self::Heads { session, heads, wanted } => {
                writer = begin(6);
                write_session(&mut writer, session).count(heads.len());
                write_heads(&mut writer, heads);
                writer.count(wanted.len());
                write_marks(&mut writer, wanted);
            }
            Self::WantEntries { document, session, marks } => {
                writer = begin(7);
                writer.text(&document.to_string());
                write_session(&mut writer, session).count(marks.len());
                write_marks(&mut writer, marks);
            }
            Self::WantMarked { session, wanted } => {
                writer = begin(14);
                write_session(&mut writer, session).count(wanted.len());
                write_wanted_marks(&mut writer, wanted);
            }
            Self::Entries(entries) => {
                writer = begin(8);
                write_items(&mut writer, entries);
            }
            Self::WantReports(wanted) => {
                writer = begin(9);
                write_wanted(&mut writer, wanted);
            }
            Self::Reports(reports) => {
                writer = begin(10);
                write_items(&mut writer, reports);
            }
            Self::WantBlob { digest, offset } => {
                writer = begin(11);
                writer.raw(digest.as_bytes()).u32(*offset);
            }
            Self::Blob { digest, offset, total, bytes } => {
                writer = begin(12);
                writer.raw(digest.as_bytes()).u32(*offset).u32(*total).bytes(bytes);
            }
            Self::Heartbeats(heartbeats) => {
                writer = begin(13);
                write_items(&mut writer, heartbeats);
            }
        }
        writer.finish()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// If the bytes are not exactly one message within bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (kind, mut reader) = open(bytes)?;
        let message = match kind {
            1 => Self::Hello(read_hello(&mut reader)?),
            2 => Self::WantRoots {
                first: reader.u64("lowest root")?,
                last: reader.u64("highest root")?,
            },
            3 => Self::Roots(read_items(&mut reader, limits::ROOTS_PER_MESSAGE_MAX, "roots")?),
            4 => read_bucket_fingerprints(&mut reader)?,
            5 => {
                let (of, session) = (read_of(&mut reader)?, read_session(&mut reader)?);
                let bits = read_bits(&mut reader)?;
                Self::Marks { of, session, bits, buckets: read_buckets(&mut reader, bits)? }
            }
            6 => {
                let session = read_session(&mut reader)?;
                let heads = read_heads(&mut reader)?;
                Self::Heads { session, heads, wanted: read_marks(&mut reader)? }
            }
            7 => {
                let (document, session) = (read_document(&mut reader)?, read_session(&mut reader)?);
                let marks = read_marks(&mut reader)?;
                refuse_repeats(&marks, "marks that repeat")?;
                Self::WantEntries { document, session, marks }
            }
            8 => Self::Entries(read_items(&mut reader, ITEMS_PER_MESSAGE_MAX, "entries")?),
            9 => {
                let count = reader.count(WANTED_MAX, "wanted reports")?;
                let want = |_| read_wanted(&mut reader);
                let wanted = (0..count).map(want).collect::<Result<Vec<_>, DecodeError>>()?;
                let hosts: Vec<KeyId> = wanted.iter().map(|want| want.host).collect();
                refuse_repeats(&hosts, "hosts that repeat")?;
                Self::WantReports(wanted)
            }
            10 => Self::Reports(read_items(&mut reader, ITEMS_PER_MESSAGE_MAX, "reports")?),
            11 => Self::WantBlob {
                digest: Digest(reader.array("blob digest")?),
                offset: reader.u32("offset")?,
            },
            12 => Self::Blob {
                digest: Digest(reader.array("blob digest")?),
                offset: reader.u32("offset")?,
                total: reader.u32("size")?,
                bytes: reader.bytes(limits::MESSAGE_BYTES_MAX, "piece")?.to_vec(),
            },
            13 => {
                Self::Heartbeats(read_items(&mut reader, HEARTBEATS_PER_MESSAGE_MAX, "heartbeats")?)
            }
            14 => read_want_marked(&mut reader)?,
            0 | 15.. => return Err(DecodeError::Invalid("sync message type")),
        };
        reader.end()?;
        Ok(message)
    }
}

/// One request must not ask for the same thing many times over.
fn refuse_repeats<T: Ord>(items: &[T], what: &'static str) -> Result<(), DecodeError> {
    let distinct: BTreeSet<&T> = items.iter().collect();
    if distinct.len() < items.len() { Err(DecodeError::Invalid(what)) } else { Ok(()) }
}

fn write_hello(writer: &mut Writer, hello: &Hello) {
    writer.u64(hello.root_version).raw(&hello.nonce.0).raw(&hello.root.0).raw(&hello.fleet.0);
    writer.raw(&hello.site).raw(&hello.site_entries.0).raw(&hello.heads.0);
    writer.i64(hello.wall.as_ms()).bool(hello.synchronised);
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    Ok(Hello {
        root_version: reader.u64("root version")?,
        nonce: Nonce(reader.array("nonce")?),
        root: Tag(reader.array("root")?),
        fleet: Tag(reader.array("tag")?),
        site: reader.array("site")?,
        site_entries: Tag(reader.array("tag")?),
        heads: Tag(reader.array("tag")?),
        wall: read_clock(reader)?,
        synchronised: reader.bool("synchronised")?,
    })
}

fn write_session<'a>(writer: &'a mut Writer, session: &Session) -> &'a mut Writer {
    writer.raw(&session.opener.0).raw(&session.answerer.0)
}

fn read_session(reader: &mut Reader<'_>) -> Result<Session, DecodeError> {
    let opener = Nonce(reader.array("nonce")?);
    Ok(Session { opener, answerer: Nonce(reader.array("nonce")?) })
}

fn write_wanted_marks(writer: &mut Writer, wanted: &[(Mark, u8)]) {
    for (mark, from) in wanted {
        writer.raw(&mark.0).u8(*from);
    }
}

fn write_marks(writer: &mut Writer, marks: &[Mark]) {
    for mark in marks {
        writer.raw(&mark.0);
    }
}

fn read_marks(reader: &mut Reader<'_>) -> Result<Vec<Mark>, DecodeError> {
    let count = reader.count(MARKS_MAX, "marks")?;
    (0..count).map(|_| Ok(Mark(reader.array("mark")?))).collect()
}

fn write_heads(writer: &mut Writer, heads: &[ShortHead]) {
    for head in heads {
        writer.u64(head.host).u64(head.generation).u8(head.count).raw(&head.mark.0);
    }
}

fn read_heads(reader: &mut Reader<'_>) -> Result<Vec<ShortHead>, DecodeError> {
    let count = reader.count(MARKS_MAX, "heads")?;
    let head = |_| {
        Ok(ShortHead {
            host: reader.u64("host")?,
            generation: reader.u64("generation")?,
            count: reader.u8("count")?,
            mark: Mark(reader.array("mark")?),
        })
    };
    (0..count).map(head).collect()
}

fn read_want_marked(reader: &mut Reader<'_>) -> Result<SyncMessage, DecodeError> {
    let session = read_session(reader)?;
    let count = reader.count(ITEMS_PER_MESSAGE_MAX, "wanted reports")?;
    let want = |_| Ok((Mark(reader.array("mark")?), reader.u8("count")?));
    let wanted = (0..count).map(want).collect::<Result<Vec<_>, DecodeError>>()?;
    let marks: Vec<Mark> = wanted.iter().map(|(mark, _)| *mark).collect();
    refuse_repeats(&marks, "marks that repeat")?;
    Ok(SyncMessage::WantMarked { session, wanted })
}

fn write_of(writer: &mut Writer, of: &BucketOf) {
    match of {
        BucketOf::Entries(document) => writer.u8(0).text(&document.to_string()),
        BucketOf::Heads => writer.u8(1),
    };
}

fn read_document(reader: &mut Reader<'_>) -> Result<DocumentId, DecodeError> {
    let text = reader.text(DOCUMENT_BYTES_MAX, "document")?;
    #[cfg(feature = "planted-bugs")]
    let text = if text[..5] == *"fleet" { &text[..5] } else { text };
    text.parse().map_err(|_| DecodeError::Invalid("document"))
}

fn read_bits(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let bits = reader.u8("bucket bits")?;
    if bits > BUCKET_BITS_MAX { Err(DecodeError::Invalid("bucket bits")) } else { Ok(bits) }
}

fn read_of(reader: &mut Reader<'_>) -> Result<BucketOf, DecodeError> {
    match reader.u8("bucket kind")? {
        0 => Ok(BucketOf::Entries(read_document(reader)?)),
        1 => Ok(BucketOf::Heads),
        2.. => Err(DecodeError::Invalid("bucket kind")),
    }
}

fn read_bucket_fingerprints(reader: &mut Reader<'_>) -> Result<SyncMessage, DecodeError> {
    let (of, session) = (read_of(reader)?, read_session(reader)?);
    let bits = read_bits(reader)?;
    let mut fingerprints = Vec::with_capacity(1 << bits);
    for _ in 0..1_u32 << bits {
        fingerprints.push(Mark(reader.array("bucket fingerprint")?));
    }
    Ok(SyncMessage::Buckets { of, session, bits, fingerprints })
}

fn write_buckets(writer: &mut Writer, buckets: &[Bucket]) {
    writer.count(buckets.len());
    for bucket in buckets {
        // Whoever splits buckets into messages cuts them at [`MARKS_MAX`].
        let marks = &bucket.marks[..bucket.marks.len().min(MARKS_MAX)];
        writer.u16(bucket.index).u16(u16::try_from(marks.len()).unwrap_or(u16::MAX));
        write_marks(writer, marks);
    }
}

fn read_buckets(reader: &mut Reader<'_>, bits: u8) -> Result<Vec<Bucket>, DecodeError> {
    let count = reader.count(1 << bits, "buckets")?;
    let mut buckets = Vec::with_capacity(count);
    for _ in 0..count {
        let index = reader.u16("bucket")?;
        if u32::from(index) >= 1 << bits {
            return Err(DecodeError::Invalid("bucket"));
        }
        let count = reader.u16("marks")?;
        let marks = (0..count).map(|_| Ok(Mark(reader.array("mark")?)));
        let marks = marks.collect::<Result<Vec<_>, DecodeError>>()?;
        buckets.push(Bucket { index, marks });
    }
    Ok(buckets)
}

fn write_wanted(writer: &mut Writer, wanted: &[WantedReports]) {
    writer.count(wanted.len());
    for want in wanted {
        writer.raw(want.host.as_bytes()).u64(want.generation).u64(want.from_count);
    }
}

fn read_wanted(reader: &mut Reader<'_>) -> Result<WantedReports, DecodeError> {
    Ok(WantedReports {
        host: KeyId(reader.array("host")?),
        generation: reader.u64("generation")?,
        from_count: reader.u64("count")?,
    })
}
