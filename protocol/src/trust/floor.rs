//! Floors: what may never be undercut again (RULES C6, I4), and the journal that holds them.
//!
//! The journal is lines of text, each under its own checksum, so that a tail torn by a power cut
//! is told apart from what was stored, and one bad line costs no other.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::{BASE64, HEXLOWER};

use crate::document::DocumentId;
use crate::id::{Digest, ResourceId};
use crate::limits;
use crate::resource::Kind;

/// One line of the floor journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FloorRecord {
    /// This version of an id counted.
    Version {
        /// Kind as written.
        kind: String,
        /// Id.
        id: ResourceId,
        /// Version.
        version: u64,
        /// Resource digest.
        digest: Digest,
        /// The document that its versions are entries of.
        document: DocumentId,
        /// Whether this version is a tombstone.
        gone: bool,
    },
    /// A root took back what set a floor (RULES R6).
    Lowered {
        /// Kind as written.
        kind: String,
        /// Id.
        id: ResourceId,
        /// The resource digest that no longer holds.
        digest: Digest,
    },
    /// An entry that is held whole: halts and resumes, statement and signatures alike.
    Whole(Vec<u8>),
}

/// A line of the journal that is torn or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of the floor journal is torn or damaged")]
pub struct BadLine;

const CHECKSUM_CHARS: usize = 16;
/// The last words of a version's line.
const SAID: &str = "said";
const GONE: &str = "gone";

impl FloorRecord {
    /// The record as one line, its end included.
    pub fn encode(&self) -> Vec<u8> {
        let body = match self {
            Self::Version { kind, id, version, digest, document, gone } => {
                let word = if *gone { GONE } else { SAID };
                format!("version {kind} {id} {version} {digest} {document} {word}")
            }
            Self::Lowered { kind, id, digest } => format!("lowered {kind} {id} {digest}"),
            Self::Whole(entry) => format!("whole {}", BASE64.encode(entry)),
        };
        format!("{} {body}\n", checksum(&body)).into_bytes()
    }

    /// Reads one line, without its end.
    pub fn decode(line: &[u8]) -> Result<Self, BadLine> {
        let line = std::str::from_utf8(line).map_err(|_| BadLine)?;
        let (sum, body) = line.split_once(' ').ok_or(BadLine)?;
        if sum != checksum(body) {
            return Err(BadLine);
        }
        let words: Vec<&str> = body.split(' ').collect();
        match words.as_slice() {
            ["version", kind, id, version, digest, document, word @ (SAID | GONE)] => {
                Ok(Self::Version {
                    kind: (*kind).to_owned(),
                    id: id.parse().map_err(|_| BadLine)?,
                    version: version.parse().map_err(|_| BadLine)?,
                    digest: digest.parse().map_err(|_| BadLine)?,
                    document: document.parse().map_err(|_| BadLine)?,
                    gone: *word == GONE,
                })
            }
            ["lowered", kind, id, digest] => Ok(Self::Lowered {
                kind: (*kind).to_owned(),
                id: id.parse().map_err(|_| BadLine)?,
                digest: digest.parse().map_err(|_| BadLine)?,
            }),
            ["whole", entry] => {
                BASE64.decode(entry.as_bytes()).map(Self::Whole).map_err(|_| BadLine)
            }
            _ => Err(BadLine),
        }
    }
}

fn checksum(body: &str) -> String {
    let mut hex = HEXLOWER.encode(Digest::of(body.as_bytes()).as_bytes());
    hex.truncate(CHECKSUM_CHARS);
    hex
}

/// The highest version of an id that ever counted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The version.
    pub version: u64,
    /// What it said: two resource digests, in order, if it was contradicted by an equal, which no
    /// third can make worse.
    pub digests: Vec<Digest>,
    /// The document that its versions are entries of: who does not keep it misses nothing.
    pub document: DocumentId,
    /// Whether all that was said is that it is gone: then losing it loses nothing that closes.
    pub gone: bool,
}

const DIGESTS_MAX: usize = 2;

/// All floors: the fold of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    versions: BTreeMap<String, BTreeMap<ResourceId, Floor>>,
    whole: BTreeSet<Vec<u8>>,
}

/// What reading a journal gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadJournal {
    /// The floors.
    pub floors: Floors,
    /// Lines that were not readable and are left out; the host reports them. A torn last line,
    /// which a power cut leaves, is one.
    pub damaged_lines: usize,
    /// Bytes up to the end of the last complete line: where the next one is to be written.
    pub complete_bytes: usize,
}

impl Floors {
    /// Reads a whole journal.
    pub fn read_journal(journal: &[u8]) -> ReadJournal {
        let complete_bytes = journal.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut damaged_lines = usize::from(complete_bytes < journal.len());
        let mut floors = Self::default();
        for line in journal[..complete_bytes].split_inclusive(|b| *b == b'\n') {
            match FloorRecord::decode(&line[..line.len() - 1]) {
                Ok(record) => drop(floors.apply(record)),
                Err(BadLine) => damaged_lines += 1,
            }
        }
        ReadJournal { floors, damaged_lines, complete_bytes }
    }

    /// Takes one record; whether it changed anything. Floors only ever rise, unless a root took back
    /// what set them.
    pub fn apply(&mut self, record: FloorRecord) -> bool {
        let (kind, id, version, digest, document, gone) = match record {
            FloorRecord::Whole(entry) => return self.whole.insert(entry),
            FloorRecord::Lowered { kind, id, digest } => return self.lower(&kind, &id, &digest),
            FloorRecord::Version { kind, id, version, digest, document, gone } => {
                (kind, id, version, digest, document, gone)
            }
        };
        if !self.would_rise(&kind, &id, version, &digest) {
            return false;
        }
        let floor = self.versions.entry(kind).or_default().entry(id);
        let first = Floor { version, digests: Vec::new(), document, gone };
        let floor = floor.or_insert_with(|| first.clone());
        if version > floor.version {
            *floor = first;
        } else {
            floor.gone &= first.gone;
            // Said in two places, it is looked for in the one that more keep.
            floor.document = first.document.min(floor.document.clone());
        }
        floor.digests.reserve_exact(1);
        floor.digests.push(digest);
        floor.digests.sort_unstable();
        true
    }

    fn lower(&mut self, kind: &str, id: &ResourceId, digest: &Digest) -> bool {
        let Some(of_kind) = self.versions.get_mut(kind) else { return false };
        let Some(floor) = of_kind.get_mut(id) else { return false };
        let held = floor.digests.len();
        floor.digests.retain(|held| held != digest);
        let lowered = floor.digests.len() < held;
        if floor.digests.is_empty() {
            of_kind.remove(id);
        }
        lowered
    }

    /// Whether a record of this version would change anything.
    pub fn would_rise(&self, kind: &str, id: &ResourceId, version: u64, digest: &Digest) -> bool {
        let Some(floor) = self.get(kind, id) else { return self.has_room(kind) };
        let joins = floor.digests.len() < DIGESTS_MAX && !floor.digests.contains(digest);
        version > floor.version || (version == floor.version && joins)
    }

    /// Whether one more id of a kind finds room. What finds none is unknown: without a bound a
    /// stolen key could fill memory and journal until no start can read it (I9).
    pub fn has_room(&self, kind: &str) -> bool {
        let is_known = |kind: &str| kind.parse::<Kind>().is_ok();
        let ids = if is_known(kind) {
            self.versions.get(kind).map_or(0, BTreeMap::len)
        } else {
            let unknown = self.versions.iter().filter(|(kind, _)| !is_known(kind));
            unknown.map(|(_, ids)| ids.len()).sum()
        };
        let is_host = kind == Kind::Host.name();
        ids < if is_host { limits::FLOORS_OF_HOSTS_MAX } else { limits::FLOORS_PER_KIND_MAX }
    }

    /// The kinds that have floors, and no room for another.
    pub fn full_kinds(&self) -> impl Iterator<Item = &str> {
        self.versions.keys().map(String::as_str).filter(|kind| !self.has_room(kind))
    }

    /// The floor of an id.
    pub fn get(&self, kind: &str, id: &ResourceId) -> Option<&Floor> {
        self.versions.get(kind)?.get(id)
    }

    /// All floors of ids, in order.
    pub fn versions(&self) -> impl Iterator<Item = (&str, &ResourceId, &Floor)> {
        self.versions
            .iter()
            .flat_map(|(kind, ids)| ids.iter().map(|(id, floor)| (kind.as_str(), id, floor)))
    }

    /// The entries that are held whole.
    pub fn whole(&self) -> impl Iterator<Item = &[u8]> {
        self.whole.iter().map(Vec::as_slice)
    }

    /// Forgets entries that need no longer be held whole, such as halts that were lifted.
    pub fn retain_whole(&mut self, mut keep: impl FnMut(&[u8]) -> bool) {
        self.whole.retain(|entry| keep(entry));
    }

    /// The records that make up these floors: the journal rewritten (RULES Q12).
    pub fn records(&self) -> impl Iterator<Item = FloorRecord> {
        let versions = self.versions().flat_map(|(kind, id, floor)| {
            floor.digests.iter().map(move |digest| FloorRecord::Version {
                kind: kind.to_owned(),
                id: id.clone(),
                version: floor.version,
                digest: *digest,
                document: floor.document.clone(),
                gone: floor.gone,
            })
        });
        versions.chain(self.whole.iter().cloned().map(FloorRecord::Whole))
    }
}
