//! Entrances to decoders that are private otherwise, for the fuzz targets. Exists only under the
//! feature `fuzzing`. Each does what the daemon does with such bytes and returns what it made of
//! them, so that a target can ask for the round trip.

use std::io;
use std::path::Path;

use daymark_protocol::image::{ChunkSet, Index};
use daymark_protocol::limits::INDEX_BYTES_MAX;
use futures::executor::block_on;

use crate::durable::DurableError;
use crate::settings::{Settings, SettingsError};

/// Reads frames of a chunk stream to its end, and writes them again.
///
/// # Errors
/// At the first malformed one.
pub fn chunk_frames(bytes: &[u8]) -> io::Result<Vec<u8>> {
    use crate::transfer::frame::{read_frame, write_frame};
    let (mut stream, mut written) = (bytes, Vec::new());
    while let Some(frame) = block_on(read_frame(&mut stream, INDEX_BYTES_MAX))? {
        block_on(write_frame(&mut written, &frame))?;
    }
    Ok(written)
}

/// Reads the framed messages of a stream to its end, and writes them again.
///
/// # Errors
/// At the first that is too long or cut short.
pub fn message_frames(bytes: &[u8]) -> io::Result<Vec<u8>> {
    use crate::mesh::frame::{read, write};
    let (mut stream, mut written) = (bytes, Vec::new());
    while let Some(message) = block_on(read(&mut stream)).map_err(io::Error::other)? {
        block_on(write(&mut written, &message))?;
    }
    Ok(written)
}

/// The chunks of an image that a slot's journal says are verified.
pub fn slot_journal(bytes: &[u8], index: &Index) -> ChunkSet {
    crate::slots::replayed(bytes, index)
}

/// A slot's journal that says these ascending chunks are verified.
pub fn slot_journal_of(index: &Index, chunks: &[u32]) -> Vec<u8> {
    crate::slots::journal_of(index, chunks.iter().copied())
}

/// The records of a floor journal and the bytes of its whole frames.
///
/// # Errors
/// If a floor is missing.
pub fn floor_journal(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, usize), DurableError> {
    crate::durable::parse_journal(Path::new("floors"), bytes)
}

/// A floor journal with one frame of these records.
pub fn floor_journal_of(records: &[Vec<u8>]) -> Vec<u8> {
    [crate::durable::JOURNAL_MAGIC.as_slice(), &crate::durable::journal_frame(records)].concat()
}

/// A small file of that kind, as JSON.
///
/// # Errors
/// If it is damaged, of another kind or newer.
pub fn record(bytes: &[u8], kind: &str) -> Result<serde_json::Value, DurableError> {
    crate::durable::parse_record(Path::new(kind), bytes, kind, &(1..=1))
}

/// The settings of one file, merged with the defaults and checked.
///
/// # Errors
/// The first problem found.
pub fn settings(text: &str) -> Result<Settings, SettingsError> {
    Settings::of_text(text)
}

/// What systemd's list of inhibitors says.
pub fn systemd_inhibitors(bytes: &[u8]) -> Vec<String> {
    crate::platform::inhibitors::parse_systemd(bytes)
}

/// Where an address leads, as configured or as a peer says it, if it can be read.
pub fn peer_address(text: &str) -> Option<String> {
    let addresses = crate::mesh::parse_address(text).ok()?;
    Some(addresses.iter().map(|one| format!("{:?} {one}", crate::mesh::endpoint(one))).collect())
}
