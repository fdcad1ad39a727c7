//! The floor journal: an append-only file of frames, each synced before anything relies on it
//! (RULES C6, Q12). What a frame holds is for the caller to say.
//!
//! A frame is a marker, its length, a checksum and the records of one append. A frame that the
//! power cut is the last one, so it has no whole frame after it and is cut off at the next open.
//! A broken frame *before* a whole one is damage: a floor is missing that was relied on, and the
//! journal is refused.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::DurableError;
use super::record::{read_bounded, sync_folder, write_atomic};

pub(crate) const MAGIC: &[u8; 8] = b"DMFLOOR1";
const MARKER: &[u8; 4] = b"\xf7FR\x01";
const HEADER_BYTES: usize = 4 + 4 + 16;
/// Largest journal that is read: the floors of all kinds come to at most 150 MB, and it is rewritten
/// at twice its live size.
const JOURNAL_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// A journal below this size is not worth rewriting.
const REWRITE_BYTES_MIN: u64 = 64 * 1024;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    live_bytes: u64,
}

impl Journal {
    /// Opens or creates the journal and returns its records, oldest first.
    ///
    /// # Errors
    /// [`DurableError::Damaged`] if a floor is missing, or what the file system says.
    pub fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), DurableError> {
        let read = |source| DurableError::Read { path: path.to_owned(), source };
        let bytes = read_bounded(path, JOURNAL_BYTES_MAX).map_err(read)?;
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => {
                write_atomic(path, MAGIC, 0o600).map_err(|e| DurableError::write(path, e))?;
                MAGIC.to_vec()
            }
        };
        let (records, whole) = parse(path, &bytes)?;
        let mut file = OpenOptions::new().write(true).mode(0o600).open(path).map_err(read)?;
        if whole < bytes.len() {
            tracing::warn!(
                cut_bytes = bytes.len() - whole,
                "cut an unfinished line off the floor journal"
            );
            file.set_len(whole as u64).map_err(|e| DurableError::write(path, e))?;
            file.sync_all().map_err(|e| DurableError::write(path, e))?;
        }
        file.seek(SeekFrom::Start(whole as u64)).map_err(read)?;
        let size = whole as u64;
        Ok((Self { path: path.to_owned(), file, bytes: size, live_bytes: 0 }, records))
    }

    /// Appends records and syncs. After an error the journal is not to be used again.
    ///
    /// # Errors
    /// [`DurableError::Write`].
    pub fn append(&mut self, records: &[Vec<u8>]) -> Result<(), DurableError> {
        if records.is_empty() {
            return Ok(());
        }
        let frame = frame(records);
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_data());
        written.map_err(|source| DurableError::write(&self.path, source))?;
        self.bytes += frame.len() as u64;
        Ok(())
    }

    /// Whether the journal has grown to twice what it held after it was last rewritten; a long one
    /// is rewritten once after each open, when nobody knows yet how much of it is live.
    pub fn wants_rewrite(&self) -> bool {
        self.bytes >= REWRITE_BYTES_MIN.max(2 * self.live_bytes)
    }

    /// Replaces the content by the live records.
    ///
    /// # Errors
    /// [`DurableError::Write`]; the old journal is then still whole.
    pub fn rewrite(&mut self, live: &[Vec<u8>]) -> Result<(), DurableError> {
        let mut bytes = MAGIC.to_vec();
        if !live.is_empty() {
            bytes.extend(frame(live));
        }
        let failed = |source| DurableError::write(&self.path, source);
        write_atomic(&self.path, &bytes, 0o600).map_err(failed)?;
        self.file = OpenOptions::new().append(true).open(&self.path).map_err(failed)?;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder).map_err(failed)?;
        }
        self.bytes = bytes.len() as u64;
        self.live_bytes = self.bytes;
        Ok(())
    }
}

/// One append.
pub(crate) fn frame(records: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        body.extend(u32::try_from(record.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(record);
    }
    let mut frame = MARKER.to_vec();
    frame.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(&Sha256::digest(&body)[..16]);
    frame.extend(body);
    frame
}

/// The records, and the length of the whole frames.
pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Vec<u8>>, usize), DurableError> {
    let damaged =
        |what: &str| DurableError::Damaged { path: path.to_owned(), what: what.to_owned() };
    if !bytes.starts_with(MAGIC) {
        return Err(damaged("it is not a floor journal of this version"));
    }
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while let Some((body, next)) = whole_frame(bytes, at) {
        split(body, &mut records).ok_or_else(|| damaged("a frame does not hold whole records"))?;
        at = next;
    }
    let later_frame = (at + 1..bytes.len()).any(|offset| whole_frame(bytes, offset).is_some());
    if later_frame {
        return Err(damaged("a line in the middle is broken, so a floor is missing"));
    }
    Ok((records, at))
}

fn whole_frame(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let header = bytes.get(at..at + HEADER_BYTES)?;
    let length = usize::try_from(u32::from_be_bytes(header[4..8].try_into().ok()?)).ok()?;
    let body = bytes.get(at + HEADER_BYTES..at.checked_add(HEADER_BYTES + length)?)?;
    let whole = header[..4] == *MARKER && Sha256::digest(body)[..16] == header[8..24];
    whole.then_some((body, at + HEADER_BYTES + length))
}

fn split(mut body: &[u8], records: &mut Vec<Vec<u8>>) -> Option<()> {
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (record, rest) =
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        records.push(record.to_vec());
        body = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(folder: &Path, appends: &[&[&[u8]]]) -> PathBuf {
        let path = folder.join("floors");
        let (mut journal, records) = Journal::open(&path).unwrap();
        assert!(records.is_empty());
        for records in appends {
            journal.append(&records.iter().map(|r| r.to_vec()).collect::<Vec<_>>()).unwrap();
        }
        path
    }

    #[test]
    fn c6_appended_floors_are_read_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), &[&[b"one", b""], &[b"three"]]);
        let (_, records) = Journal::open(&path).unwrap();
        assert_eq!(records, [b"one".to_vec(), b"".to_vec(), b"three".to_vec()]);
    }

    #[test]
    fn c6_a_torn_tail_is_kept_out_wherever_the_power_went() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), &[&[b"kept"], &[b"torn", b"also torn"]]);
        let whole = std::fs::read(&path).unwrap();
        let kept = MAGIC.len() + HEADER_BYTES + 8;
        for length in kept..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut journal, records) = Journal::open(&path).unwrap();
            assert_eq!(records, [b"kept".to_vec()]);
            journal.append(&[b"next".to_vec()]).unwrap();
            let (_, records) = Journal::open(&path).unwrap();
            assert_eq!(records, [b"kept".to_vec(), b"next".to_vec()]);
        }
    }

    #[test]
    fn i4_damage_in_the_middle_is_refused_since_a_floor_would_be_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), &[&[b"first"], &[b"second"]]);
        let whole = std::fs::read(&path).unwrap();
        for position in 0..MAGIC.len() + HEADER_BYTES + 9 {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x40;
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(Journal::open(&path), Err(DurableError::Damaged { .. })));
        }
    }

    #[test]
    fn q12_the_journal_is_rewritten_at_twice_its_live_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = journal(folder.path(), &[]);
        let (mut journal, _) = Journal::open(&path).unwrap();
        let record = vec![7u8; 1000];
        while !journal.wants_rewrite() {
            journal.append(std::slice::from_ref(&record)).unwrap();
        }
        journal.rewrite(std::slice::from_ref(&record)).unwrap();
        assert!(!journal.wants_rewrite());
        journal.append(&[b"after".to_vec()]).unwrap();
        let (_, records) = Journal::open(&path).unwrap();
        assert_eq!(records, [record, b"after".to_vec()]);
    }
}
