//! Which chunks of a slot are verified, durably (RULES Q13): an append-only file per slot.
//!
//! Form, all numbers big-endian: the magic `DMCJ`, format version (1 byte), the index's digest
//! (32), number of chunks (4); then runs: first chunk (4), number of chunks (4), check (4). The
//! check covers the image and the run, so a torn end, an old block or another image's run is seen;
//! from the first bad run on the journal counts for nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use daymark_protocol::image::{ChunkSet, Index};

use super::error::SlotError;
use super::record::write_durably;

const MAGIC: &[u8; 4] = b"DMCJ";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 41;
const RUN_BYTES: usize = 12;

/// The open journal of a slot.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    header: Vec<u8>,
}

impl Journal {
    /// Reads what is verified of `index`; nothing if the journal is of another image.
    pub(super) fn load(path: &Path, index: &Index) -> Result<ChunkSet, SlotError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(replay(&bytes, index)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(ChunkSet::new(index.chunk_count()))
            }
            Err(error) => Err(SlotError::io("read", path, error)),
        }
    }

    /// Writes the journal anew with exactly `verified`, durably, and opens it for more.
    pub(super) fn rewrite(
        path: &Path,
        index: &Index,
        verified: &ChunkSet,
    ) -> Result<Self, SlotError> {
        let header = header(index);
        write_durably(path, &journal_of(index, verified.iter()))?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|error| SlotError::io("open", path, error))?;
        Ok(Self { path: path.to_owned(), file, header })
    }

    /// Adds chunks, durably. Their bytes must be on the disk already.
    pub(super) fn append(&mut self, chunks: &mut [u32]) -> Result<(), SlotError> {
        chunks.sort_unstable();
        let mut bytes = Vec::new();
        push_runs(&mut bytes, &self.header, chunks.iter().copied());
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| SlotError::io("append to", &self.path, error))
    }
}

/// A journal of exactly these ascending chunks.
pub(crate) fn journal_of(index: &Index, chunks: impl Iterator<Item = u32>) -> Vec<u8> {
    let header = header(index);
    let mut bytes = header.clone();
    push_runs(&mut bytes, &header, chunks);
    bytes
}

fn header(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(index.digest().as_bytes());
    bytes.extend_from_slice(&index.chunk_count().to_be_bytes());
    bytes
}

fn check(header: &[u8], run: &[u8]) -> [u8; 4] {
    let mut check = [0; 4];
    blake3::Hasher::new().update(header).update(run).finalize_xof().fill(&mut check);
    check
}

/// Appends ascending chunk numbers as runs.
fn push_runs(bytes: &mut Vec<u8>, header: &[u8], chunks: impl Iterator<Item = u32>) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for chunk in chunks {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == chunk => *count += 1,
            _ => runs.push((chunk, 1)),
        }
    }
    for (first, count) in runs {
        let run = [first.to_be_bytes(), count.to_be_bytes()].concat();
        bytes.extend_from_slice(&run);
        bytes.extend_from_slice(&check(header, &run));
    }
}

/// The chunks that a journal's bytes say are verified.
pub(crate) fn replay(bytes: &[u8], index: &Index) -> ChunkSet {
    let mut verified = ChunkSet::new(index.chunk_count());
    let expected = header(index);
    let Some(runs) = bytes.strip_prefix(expected.as_slice()) else { return verified };
    for run in runs.as_chunks::<RUN_BYTES>().0 {
        let [f0, f1, f2, f3, c0, c1, c2, c3, sum @ ..] = *run;
        let first = u32::from_be_bytes([f0, f1, f2, f3]);
        let count = u32::from_be_bytes([c0, c1, c2, c3]);
        if sum != check(&expected, &run[..8]) {
            break;
        }
        let end = first.saturating_add(count).min(index.chunk_count());
        for chunk in first..end {
            verified.insert(chunk);
        }
    }
    verified
}

#[cfg(test)]
mod tests {
    use daymark_protocol::id::ChunkHash;
    use daymark_protocol::image::IndexBuilder;

    use super::*;

    fn index(name: &str) -> Index {
        let mut builder = IndexBuilder::default();
        builder.begin_part(name).unwrap();
        for chunk in 0..50_u32 {
            builder.push_chunk(ChunkHash::of(&chunk.to_be_bytes()), 20_000).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn q13_the_journal_survives_and_a_torn_end_costs_only_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.chunks");
        let index = index("rootfs");
        assert_eq!(Journal::load(&path, &index).unwrap().count(), 0);
        let mut journal = Journal::rewrite(&path, &index, &ChunkSet::new(50)).unwrap();
        journal.append(&mut [3, 1, 2]).unwrap();
        journal.append(&mut [40, 41, 7]).unwrap();
        let held: Vec<_> = Journal::load(&path, &index).unwrap().iter().collect();
        assert_eq!(held, [1, 2, 3, 7, 40, 41]);

        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let held: Vec<_> = Journal::load(&path, &index).unwrap().iter().collect();
        assert_eq!(held, [1, 2, 3, 7]);
        let mut flipped = bytes;
        flipped[HEADER_BYTES] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert_eq!(Journal::load(&path, &index).unwrap().count(), 0);
    }

    #[test]
    fn the_journal_of_another_image_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.chunks");
        drop(Journal::rewrite(&path, &index("rootfs"), &ChunkSet::full(50)).unwrap());
        assert!(Journal::load(&path, &index("rootfs")).unwrap().is_full());
        assert_eq!(Journal::load(&path, &index("agent")).unwrap().count(), 0);
    }
}
