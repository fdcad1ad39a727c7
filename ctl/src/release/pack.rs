//! Cuts parts into chunks and packs them: equal chunks once, compressed where that helps, in the
//! order of their first use, so that what lies side by side in the image does so in the pack.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use daymark_node::transfer::compress_chunk;
use daymark_protocol::id::{ChunkHash, Digest};
use daymark_protocol::image::{Index, IndexBuilder, PackMap, PackSpan, chunker};
use daymark_protocol::limits::CHUNK_BYTES_MAX;
use daymark_protocol::resource::PartDigest;
use sha2::{Digest as _, Sha256};

use super::error::ReleaseError;

/// zstd level of the pack: made once, fetched often.
const LEVEL: i32 = 9;
/// Chunks that are compressed together: at most 16 MiB in memory.
const BATCH: usize = 64;

/// Writes a pack while parts are read.
#[derive(Debug)]
pub(super) struct Packer<W> {
    pack: W,
    /// For messages.
    path: PathBuf,
    pack_bytes: u64,
    index: IndexBuilder,
    spans: Vec<PackSpan>,
    unique: BTreeMap<ChunkHash, PackSpan>,
}

/// What was packed.
#[derive(Debug)]
pub(super) struct Packed<W> {
    pub(super) pack: W,
    pub(super) index: Index,
    pub(super) map: PackMap,
    pub(super) pack_bytes: u64,
    pub(super) unique_chunks: u32,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(pack: W, path: &Path) -> Self {
        Self {
            pack,
            path: path.to_owned(),
            pack_bytes: 0,
            index: IndexBuilder::default(),
            spans: Vec::new(),
            unique: BTreeMap::new(),
        }
    }

    /// Reads a part to its end and packs it. `progress` is told the bytes of each batch.
    pub(super) fn add_part(
        &mut self,
        name: &str,
        reader: &mut dyn Read,
        progress: &mut dyn FnMut(u64),
    ) -> Result<PartDigest, ReleaseError> {
        self.index.begin_part(name).map_err(ReleaseError::Index)?;
        let mut whole = Sha256::new();
        let mut bytes = 0;
        let mut chunks = Chunks { reader, buffer: Vec::new(), start: 0, at_end: false };
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH
                && let Some(chunk) = chunks
                    .next_chunk()
                    .map_err(|error| ReleaseError::io("read part", Path::new(name), error))?
            {
                whole.update(&chunk);
                batch.push((ChunkHash::of(&chunk), chunk));
            }
            if batch.is_empty() {
                break;
            }
            let batch_bytes: u64 = batch.iter().map(|(_, chunk)| chunk.len() as u64).sum();
            self.add_batch(batch)?;
            bytes += batch_bytes;
            progress(batch_bytes);
        }
        Ok(PartDigest { bytes, sha256: Digest(whole.finalize().into()) })
    }

    fn add_batch(&mut self, batch: Vec<(ChunkHash, Vec<u8>)>) -> Result<(), ReleaseError> {
        let new: Vec<bool> =
            batch.iter().map(|(hash, _)| !self.unique.contains_key(hash)).collect();
        let stored = compress_all(&batch, &new);
        for ((hash, chunk), stored) in batch.into_iter().zip(stored) {
            let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            self.index.push_chunk(hash, length).map_err(ReleaseError::Index)?;
            let span = match self.unique.get(&hash) {
                Some(span) => *span,
                None => self.write(hash, &stored.unwrap_or(chunk))?,
            };
            self.spans.push(span);
        }
        Ok(())
    }

    fn write(&mut self, hash: ChunkHash, stored: &[u8]) -> Result<PackSpan, ReleaseError> {
        let written = self.pack.write_all(stored);
        written.map_err(|error| ReleaseError::io("write", &self.path, error))?;
        let stored_bytes = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        let span = PackSpan { offset: self.pack_bytes, stored: stored_bytes };
        self.pack_bytes = span.end();
        self.unique.insert(hash, span);
        Ok(span)
    }

    pub(super) fn finish(self) -> Result<Packed<W>, ReleaseError> {
        let index = self.index.finish().map_err(ReleaseError::Index)?;
        let map = PackMap::new(&index, self.spans).map_err(ReleaseError::Map)?;
        let unique_chunks = u32::try_from(self.unique.len()).unwrap_or(u32::MAX);
        Ok(Packed { pack: self.pack, index, map, pack_bytes: self.pack_bytes, unique_chunks })
    }
}

/// The stored form of each new chunk, on all cores; `None` where the chunk is stored raw.
fn compress_all(batch: &[(ChunkHash, Vec<u8>)], new: &[bool]) -> Vec<Option<Vec<u8>>> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = batch
            .chunks(share)
            .zip(new.chunks(share))
            .map(|(chunks, new)| {
                scope.spawn(move || {
                    let pairs = chunks.iter().zip(new);
                    let one = |((_, chunk), new): (&(ChunkHash, Vec<u8>), &bool)| {
                        if *new { compress_chunk(chunk, LEVEL) } else { None }
                    };
                    pairs.map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|part| part.expect("compressing a chunk does not panic")).collect()
    })
}

/// Content-defined chunks of a stream.
struct Chunks<'a> {
    reader: &'a mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    at_end: bool,
}

impl Chunks<'_> {
    fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.fill()?;
        let window = &self.buffer[self.start..];
        let window = &window[..window.len().min(CHUNK_BYTES_MAX)];
        let length = chunker::next_cut(window);
        let chunk = window[..length].to_vec();
        self.start += length;
        Ok((length > 0).then_some(chunk))
    }

    /// Makes sure that a largest chunk is in the buffer, or the rest of the stream.
    fn fill(&mut self) -> io::Result<()> {
        if self.at_end || self.buffer.len() - self.start >= CHUNK_BYTES_MAX {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let wanted = 8 * CHUNK_BYTES_MAX - self.buffer.len();
        let got = self.reader.take(wanted as u64).read_to_end(&mut self.buffer)?;
        self.at_end = got < wanted;
        Ok(())
    }
}
