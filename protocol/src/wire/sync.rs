//! Repair: how two peers find what each lacks (DESIGN section 5). Roots first, then one
//! fingerprint per set, then buckets by leading bits, then what is in the buckets that differ,
//! then the things themselves. Two peers in agreement exchange one [`Hello`].

use std::collections::BTreeSet;

use super::{ITEMS_PER_MESSAGE_MAX, begin, open, read_items, write_items};
use crate::codec::{DecodeError, Reader, Writer};
use crate::document::DocumentId;
use crate::id::{Digest, KeyId};
use crate::limits;
use crate::time::WallTime;

/// Most leading bits that tell buckets apart: 2,048 buckets of 8 bytes fit a message.
pub const BUCKET_BITS_MAX: u8 = 11;
/// Longest name of a document: `site/` and a resource id.
const DOCUMENT_BYTES_MAX: usize = 5 + limits::RESOURCE_ID_BYTES_MAX;
/// Most heads in a message: 80 bytes each.
const HEADS_MAX: usize = 800;

/// Most heartbeats in a message: a node keeps those of the fleet, its site and the regions, and each
/// costs its receiver a signature check or several.
pub const HEARTBEATS_PER_MESSAGE_MAX: usize = 64;

/// The first 16 bytes of the SHA-256 of a sorted set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Of a set of digests in rising order.
    pub fn of<'a>(sorted: impl Iterator<Item = &'a Digest>) -> Self {
        let bytes: Vec<u8> = sorted.flat_map(|digest| digest.0).collect();
        Self(first(&Digest::of(&bytes)))
    }
}

fn first<const N: usize>(digest: &Digest) -> [u8; N] {
    std::array::from_fn(|at| digest.0[at])
}

/// The opening of every comparison: 99 bytes with its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Version of the newest root held.
    pub root_version: u64,
    /// First bytes of its payload's SHA-256: two roots of one version are seen (RULES R4).
    pub root_digest: [u8; 16],
    /// The `fleet` document.
    pub fleet: Fingerprint,
    /// First bytes of the SHA-256 of the name of the sender's site document.
    pub site: [u8; 8],
    /// That document.
    pub site_entries: Fingerprint,
    /// The heads of all reports of that site's hosts.
    pub heads: Fingerprint,
    /// The sender's clock.
    pub wall: WallTime,
    /// Whether its operating system says that it is synchronised.
    pub synchronised: bool,
}

impl Hello {
    /// The short name of a site document.
    pub fn site_name(document: &DocumentId) -> [u8; 8] {
        first(&Digest::of(document.to_string().as_bytes()))
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
pub struct Bucket<T> {
    /// Its leading bits.
    pub index: u16,
    /// In rising order.
    pub items: Vec<T>,
}

/// The newest report of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// The host.
    pub host: KeyId,
    /// Its generation.
    pub generation: u64,
    /// Its count.
    pub count: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Head {
    /// A digest over all of it, for fingerprints.
    pub fn digest(&self) -> Digest {
        Digest::of_parts(&[
            self.host.as_bytes(),
            &self.generation.to_be_bytes(),
            &self.count.to_be_bytes(),
            self.hash.as_bytes(),
        ])
    }
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
        /// Leading bits, at most [`BUCKET_BITS_MAX`].
        bits: u8,
        /// 2^bits of them.
        fingerprints: Vec<[u8; 8]>,
    },
    /// What the sender has of a document in the buckets that differ.
    Hashes {
        /// The document.
        document: DocumentId,
        /// Leading bits.
        bits: u8,
        /// The buckets.
        buckets: Vec<Bucket<Digest>>,
    },
    /// What the sender has of heads in the buckets that differ.
    Heads {
        /// Leading bits.
        bits: u8,
        /// The buckets.
        buckets: Vec<Bucket<Head>>,
    },
    /// Asks for entries by hash.
    WantEntries {
        /// The document.
        document: DocumentId,
        /// Their hashes.
        hashes: Vec<Digest>,
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
            Self::Buckets { of, bits, fingerprints } => {
                writer = begin(4);
                write_of(&mut writer, of);
                writer.u8(*bits);
                fingerprints.iter().for_each(|fingerprint| {
                    writer.raw(fingerprint);
                });
            }
            Self::Hashes { document, bits, buckets } => {
                writer = begin(5);
                writer.text(&document.to_string()).u8(*bits);
                write_buckets(&mut writer, buckets, |writer, hash| {
                    writer.raw(hash.as_bytes());
                });
            }
            Self::Heads { bits, buckets } => {
                writer = begin(6);
                writer.u8(*bits);
                write_buckets(&mut writer, buckets, write_head);
            }
            Self::WantEntries { document, hashes } => {
                writer = begin(7);
                writer.text(&document.to_string()).count(hashes.len());
                hashes.iter().for_each(|hash| {
                    writer.raw(hash.as_bytes());
                });
            }
            Self::Entries(entries) => {
                writer = begin(8);
                write_items(&mut writer, entries);
            }
            Self::WantReports(wanted) => {
                writer = begin(9);
                writer.count(wanted.len());
                for want in wanted {
                    writer.raw(want.host.as_bytes()).u64(want.generation).u64(want.from_count);
                }
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
                let document = read_document(&mut reader)?;
                let bits = read_bits(&mut reader)?;
                let buckets = read_buckets(&mut reader, bits, |reader| {
                    Ok(Digest(reader.array("entry hash")?))
                })?;
                Self::Hashes { document, bits, buckets }
            }
            6 => {
                let bits = read_bits(&mut reader)?;
                Self::Heads { bits, buckets: read_buckets(&mut reader, bits, read_head)? }
            }
            7 => {
                let document = read_document(&mut reader)?;
                let count = reader.count(ITEMS_PER_MESSAGE_MAX, "entry hashes")?;
                let hash = |_| Ok(Digest(reader.array("entry hash")?));
                let hashes = (0..count).map(hash).collect::<Result<Vec<_>, DecodeError>>()?;
                refuse_repeats(&hashes, "entry hashes that repeat")?;
                Self::WantEntries { document, hashes }
            }
            8 => Self::Entries(read_items(&mut reader, ITEMS_PER_MESSAGE_MAX, "entries")?),
            9 => {
                let count = reader.count(HEADS_MAX, "wanted reports")?;
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
            0 | 14.. => return Err(DecodeError::Invalid("sync message type")),
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
    writer.u64(hello.root_version).raw(&hello.root_digest);
    writer.raw(&hello.fleet.0).raw(&hello.site).raw(&hello.site_entries.0).raw(&hello.heads.0);
    writer.i64(hello.wall.as_ms()).bool(hello.synchronised);
}

fn read_hello(reader: &mut Reader<'_>) -> Result<Hello, DecodeError> {
    Ok(Hello {
        root_version: reader.u64("root version")?,
        root_digest: reader.array("root digest")?,
        fleet: Fingerprint(reader.array("fingerprint")?),
        site: reader.array("site")?,
        site_entries: Fingerprint(reader.array("fingerprint")?),
        heads: Fingerprint(reader.array("fingerprint")?),
        wall: WallTime::from_ms(reader.i64("clock reading")?),
        synchronised: reader.bool("synchronised")?,
    })
}

fn write_of(writer: &mut Writer, of: &BucketOf) {
    match of {
        BucketOf::Entries(document) => writer.u8(0).text(&document.to_string()),
        BucketOf::Heads => writer.u8(1),
    };
}

fn read_document(reader: &mut Reader<'_>) -> Result<DocumentId, DecodeError> {
    let text = reader.text(DOCUMENT_BYTES_MAX, "document")?;
    text.parse().map_err(|_| DecodeError::Invalid("document"))
}

fn read_bits(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let bits = reader.u8("bucket bits")?;
    if bits > BUCKET_BITS_MAX { Err(DecodeError::Invalid("bucket bits")) } else { Ok(bits) }
}

fn read_bucket_fingerprints(reader: &mut Reader<'_>) -> Result<SyncMessage, DecodeError> {
    let of = match reader.u8("bucket kind")? {
        0 => BucketOf::Entries(read_document(reader)?),
        1 => BucketOf::Heads,
        2.. => return Err(DecodeError::Invalid("bucket kind")),
    };
    let bits = read_bits(reader)?;
    let mut fingerprints = Vec::with_capacity(1 << bits);
    for _ in 0..1_u32 << bits {
        fingerprints.push(reader.array("bucket fingerprint")?);
    }
    Ok(SyncMessage::Buckets { of, bits, fingerprints })
}

fn write_buckets<T>(
    writer: &mut Writer,
    buckets: &[Bucket<T>],
    mut write_item: impl FnMut(&mut Writer, &T),
) {
    writer.count(buckets.len());
    for bucket in buckets {
        writer.u16(bucket.index).count(bucket.items.len());
        for item in &bucket.items {
            write_item(writer, item);
        }
    }
}

fn read_buckets<T>(
    reader: &mut Reader<'_>,
    bits: u8,
    mut read_item: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<Bucket<T>>, DecodeError> {
    let count = reader.count(1 << bits, "buckets")?;
    let mut buckets = Vec::with_capacity(count);
    for _ in 0..count {
        let index = reader.u16("bucket")?;
        if u32::from(index) >= 1 << bits {
            return Err(DecodeError::Invalid("bucket"));
        }
        // No capacity in advance: an item takes more in memory than the one byte that the count
        // is checked against.
        let mut items = Vec::new();
        for _ in 0..reader.count(limits::MESSAGE_BYTES_MAX, "bucket items")? {
            items.push(read_item(reader)?);
        }
        buckets.push(Bucket { index, items });
    }
    Ok(buckets)
}

fn write_head(writer: &mut Writer, head: &Head) {
    writer.raw(head.host.as_bytes()).u64(head.generation).u64(head.count).raw(head.hash.as_bytes());
}

fn read_head(reader: &mut Reader<'_>) -> Result<Head, DecodeError> {
    Ok(Head {
        host: KeyId(reader.array("host")?),
        generation: reader.u64("generation")?,
        count: reader.u64("count")?,
        hash: Digest(reader.array("report hash")?),
    })
}

fn read_wanted(reader: &mut Reader<'_>) -> Result<WantedReports, DecodeError> {
    Ok(WantedReports {
        host: KeyId(reader.array("host")?),
        generation: reader.u64("generation")?,
        from_count: reader.u64("count")?,
    })
}
