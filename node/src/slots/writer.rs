//! Writes an image into a slot, chunk by chunk, each at its final place.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use daymark_protocol::id::{ChunkHash, Digest};
use daymark_protocol::image::IndexPart;
use sha2::{Digest as _, Sha256};

use super::device::end_behind;
use super::error::SlotError;
use super::held::HeldImage;
use super::journal::Journal;
use super::record::SlotRecord;
use super::verified::VerifiedChunk;

/// Most bytes written but not yet in the journal. With what is still on its way to the disk they are
/// what a kill makes the node fetch again: half of the 16 MiB that this may be.
pub const SYNC_BYTES: u64 = 8 * 1024 * 1024;
/// Longest time that written bytes stay out of the journal.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(2);

/// A slot that is being written. All methods block on the disk.
#[derive(Debug)]
pub struct SlotWriter {
    image: Arc<HeldImage>,
    files: Vec<File>,
    journal: Journal,
    journal_path: PathBuf,
    record: SlotRecord,
    record_path: PathBuf,
    previous: Option<Arc<HeldImage>>,
    unsynced: Vec<u32>,
    unsynced_bytes: u64,
    synced_at: Instant,
}

impl SlotWriter {
    pub(super) fn new(
        image: Arc<HeldImage>,
        files: Vec<File>,
        journal: Journal,
        journal_path: PathBuf,
        record: SlotRecord,
        record_path: PathBuf,
        previous: Option<Arc<HeldImage>>,
    ) -> Self {
        Self {
            image,
            files,
            journal,
            journal_path,
            record,
            record_path,
            previous,
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            synced_at: Instant::now(),
        }
    }

    /// The image as far as it is written.
    pub fn image(&self) -> &Arc<HeldImage> {
        &self.image
    }

    /// What the slot held before, as far as it is not overwritten yet: a seed.
    pub fn previous(&self) -> Option<&Arc<HeldImage>> {
        self.previous.as_ref()
    }

    /// Writes a chunk to every place that has its content, and keeps the journal up to date.
    /// Returns how many bytes of the image are new by it.
    ///
    /// # Errors
    /// If the disk fails or is full.
    pub fn put(&mut self, chunk: &VerifiedChunk) -> Result<u64, SlotError> {
        let image = Arc::clone(&self.image);
        let mut new_bytes = 0;
        for place in image.lookup().places(image.index(), &chunk.hash()) {
            if image.holds(*place) {
                continue;
            }
            self.write_at(*place, chunk.bytes())?;
            image.set(*place, true);
            self.unsynced.push(*place);
            new_bytes += chunk.bytes().len() as u64;
        }
        self.unsynced_bytes += new_bytes;
        self.sync_if_due()?;
        Ok(new_bytes)
    }

    /// Syncs if enough was written, or long enough ago.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sync_if_due(&mut self) -> Result<(), SlotError> {
        let much = self.unsynced_bytes >= SYNC_BYTES;
        if much || self.synced_at.elapsed() >= SYNC_INTERVAL { self.sync() } else { Ok(()) }
    }

    /// Takes over chunks that the slot held before at the very places where the new image has
    /// them: nothing is written, each is proven. Returns the bytes taken over.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn keep_in_place(&mut self) -> Result<u64, SlotError> {
        let Some(previous) = self.previous.clone() else { return Ok(0) };
        let mut kept_bytes = 0;
        for number in self.image.held().missing() {
            let Some(old) = same_place(&self.image, &previous, number) else { continue };
            if let Ok(chunk) = previous.read(old) {
                self.image.set(number, true);
                self.unsynced.push(number);
                kept_bytes += chunk.bytes().len() as u64;
            }
        }
        self.sync()?;
        Ok(kept_bytes)
    }

    /// Makes all that was written durable, then says so in the journal; never the other way round.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sync(&mut self) -> Result<(), SlotError> {
        if !self.unsynced.is_empty() {
            for file in &self.files {
                let synced = file.sync_data();
                synced
                    .map_err(|error| SlotError::io("sync", Path::new(self.image.slot()), error))?;
            }
            self.journal.append(&mut self.unsynced)?;
            self.unsynced.clear();
        }
        self.unsynced_bytes = 0;
        self.synced_at = Instant::now();
        Ok(())
    }

    /// Reads every part back and compares it with its signed SHA-256, then marks the slot as
    /// complete, durably. `progress` is told the bytes read so far.
    ///
    /// # Errors
    /// [`SlotError::Rotten`] if bytes changed since they were written: their chunks are no longer
    /// counted as verified and can be fetched again. Otherwise if chunks are missing, the signed
    /// digest is of other bytes, or the disk fails.
    pub fn finish(&mut self, progress: &mut dyn FnMut(u64)) -> Result<(), SlotError> {
        self.sync()?;
        let slot = self.image.slot().to_owned();
        let missing = self.image.index().chunk_count() - self.image.held().count();
        if missing > 0 {
            return Err(SlotError::Incomplete { slot, missing });
        }
        let image = Arc::clone(&self.image);
        let mut rotten = 0;
        let mut read_bytes = 0;
        let mut digests = Vec::new();
        for (part, file) in image.index().parts().iter().zip(&self.files) {
            let (digest, bad) = self.read_back(part, file, &mut read_bytes, progress)?;
            bad.iter().for_each(|chunk| image.set(*chunk, false));
            rotten += u32::try_from(bad.len()).unwrap_or(u32::MAX);
            digests.push((part.name.clone(), digest));
        }
        if rotten > 0 {
            self.record.complete = false;
            self.record.store(&self.record_path)?;
            self.journal = Journal::rewrite(&self.journal_path, image.index(), &image.held())?;
            return Err(SlotError::Rotten { slot, chunks: rotten });
        }
        for (part, got) in digests {
            let expected = self.record.image.parts.get(&part).map_or(got, |signed| signed.sha256);
            if expected != got {
                return Err(SlotError::WrongDigest { slot, part, expected, got });
            }
        }
        for (part, file) in image.index().parts().iter().zip(&self.files) {
            end_behind(file, part.bytes)
                .map_err(|error| SlotError::io("end", Path::new(&part.name), error))?;
        }
        self.record.complete = true;
        self.record.store(&self.record_path)
    }

    /// SHA-256 of a part, and its chunks whose bytes are not theirs.
    fn read_back(
        &self,
        part: &IndexPart,
        file: &File,
        read_bytes: &mut u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(Digest, Vec<u32>), SlotError> {
        let mut whole = Sha256::new();
        let mut bad = Vec::new();
        let mut bytes = Vec::new();
        for number in part.chunk_numbers() {
            let Some(chunk) = self.image.index().chunk(number) else { continue };
            bytes.resize(chunk.bytes as usize, 0);
            let read = file.read_exact_at(&mut bytes, chunk.offset);
            read.map_err(|error| SlotError::io("read back", Path::new(&part.name), error))?;
            whole.update(&bytes);
            if ChunkHash::of(&bytes) != chunk.hash {
                bad.push(number);
            }
            *read_bytes += u64::from(chunk.bytes);
            progress(*read_bytes);
        }
        Ok((Digest(whole.finalize().into()), bad))
    }

    fn write_at(&self, chunk: u32, bytes: &[u8]) -> Result<(), SlotError> {
        let index = self.image.index();
        let place = index.chunk(chunk).zip(index.part_of(chunk));
        let Some((entry, part)) = place else { return Ok(()) };
        let mut files = index.parts().iter().zip(&self.files);
        let Some((_, file)) = files.find(|(other, _)| other.name == part.name) else {
            return Ok(());
        };
        let written = file.write_all_at(bytes, entry.offset);
        written.map_err(|error| SlotError::io("write to", Path::new(&part.name), error))
    }
}

/// The chunk of `old` that lies exactly where `new` has `number`, with the same content.
fn same_place(new: &HeldImage, old: &HeldImage, number: u32) -> Option<u32> {
    let chunk = new.index().chunk(number)?;
    let part = &new.index().part_of(number)?.name;
    let places = old.lookup().places(old.index(), &chunk.hash);
    let there = |place: &&u32| {
        let same_offset = old.index().chunk(**place).is_some_and(|at| at.offset == chunk.offset);
        same_offset && old.index().part_of(**place).is_some_and(|at| at.name == *part)
    };
    places.iter().find(there).copied()
}
