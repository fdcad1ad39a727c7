//! The agent out of a slot's own bytes. A slot may be larger than what was written to it, so the
//! length comes from the program itself: its ELF headers, or for a script the zeros behind it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::slots::CLEARED_BYTES;

/// Largest agent: a debug build has 200 MiB; more is no agent.
const AGENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Largest script.
const SCRIPT_BYTES_MAX: u64 = 1024 * 1024;
/// Most program headers; real programs have about a dozen.
const PROGRAM_HEADERS_MAX: u64 = 128;
/// Name of the extracted program, under which a multi-call binary acts as the agent.
const PROGRAM_NAME: &str = "daymark-node";

/// Why a slot has no agent that could be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentPartError {
    /// The slot cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// File or device.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// There is no program in it.
    #[error("{} holds no program", path.display())]
    NoProgram {
        /// File or device.
        path: PathBuf,
    },
    /// The program is longer than the slot, or than any agent.
    #[error("the program in {} is cut short or too large", path.display())]
    Length {
        /// File or device.
        path: PathBuf,
    },
    /// It cannot be written to the run folder.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
}

/// A program that was copied out of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPart {
    /// The copy, executable.
    pub program: PathBuf,
    /// Its length, bytes.
    pub bytes: u64,
}

impl AgentPart {
    /// Copies the agent out of `slot` to a file below `run_folder`.
    ///
    /// # Errors
    /// If the slot holds no program, or the copy fails.
    pub fn extract(slot: &Path, run_folder: &Path) -> Result<Self, AgentPartError> {
        let read = |cause| AgentPartError::Read { path: slot.to_owned(), cause };
        let mut file = File::open(slot).map_err(read)?;
        let mut head = Vec::new();
        (&mut file).take(64).read_to_end(&mut head).map_err(read)?;
        let bytes = if head.starts_with(b"#!") {
            script_bytes(&mut file).map_err(read)?
        } else if head.starts_with(b"\x7fELF") {
            elf_bytes(&mut file, &head).map_err(read)?
        } else {
            return Err(AgentPartError::NoProgram { path: slot.to_owned() });
        };
        let end = file.seek(SeekFrom::End(0)).map_err(read)?;
        let bytes = bytes.filter(|bytes| *bytes <= end.min(AGENT_BYTES_MAX));
        let bytes = bytes.ok_or_else(|| AgentPartError::Length { path: slot.to_owned() })?;

        let program = run_folder.join(PROGRAM_NAME);
        file.rewind().map_err(read)?;
        copy(&mut file.take(bytes), &program)
            .map_err(|cause| AgentPartError::Write { path: program.clone(), cause })?;
        Ok(Self { program, bytes })
    }
}

fn copy(from: &mut impl Read, program: &Path) -> std::io::Result<()> {
    let temporary = program.with_extension("new");
    if let Some(folder) = program.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&temporary)?;
    std::io::copy(from, &mut file)?;
    file.flush()?;
    drop(file);
    fs::rename(&temporary, program)
}

/// A script ends where as many zeros begin as are written behind each part: what follows them was
/// left by an earlier image, and nobody signed for its being run (I1).
fn script_bytes(file: &mut File) -> std::io::Result<Option<u64>> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(SCRIPT_BYTES_MAX + CLEARED_BYTES as u64).read_to_end(&mut bytes)?;
    let (mut length, mut zeros) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        if zeros == CLEARED_BYTES {
            break;
        }
        length = if *byte == 0 { length } else { at as u64 + 1 };
    }
    Ok((length <= SCRIPT_BYTES_MAX).then_some(length))
}

/// End of the farthest thing that the headers of a 64-bit little-endian program name; `None` if
/// they make no sense.
fn elf_bytes(file: &mut File, head: &[u8]) -> std::io::Result<Option<u64>> {
    let (Some(2), Some(1), 64) = (head.get(4), head.get(5), head.len()) else { return Ok(None) };
    let table_end = |offset: u64, entry: u64, count: u64| offset.checked_add(entry * count);
    let (programs, program_bytes, count) = (long(head, 32), short(head, 54), short(head, 56));
    if program_bytes < 56 || count > PROGRAM_HEADERS_MAX {
        return Ok(None);
    }
    let sections = table_end(long(head, 40), short(head, 58), short(head, 60));
    let Some(mut end) =
        table_end(programs, program_bytes, count).zip(sections).map(|(a, b)| a.max(b))
    else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(programs))?;
    for _ in 0..count {
        let mut header = Vec::new();
        file.take(program_bytes).read_to_end(&mut header)?;
        if header.len() < 56 {
            return Ok(None);
        }
        let Some(segment) = long(&header, 8).checked_add(long(&header, 32)) else {
            return Ok(None);
        };
        end = end.max(segment);
    }
    Ok(Some(end))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn short(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from(u16::from_le_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Extracts from a slot of that size; the folder keeps the copy alive.
    fn extract(content: &[u8], slot_bytes: u64) -> (Result<AgentPart, AgentPartError>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let slot = folder.path().join("slot");
        fs::write(&slot, content).unwrap();
        OpenOptions::new().write(true).open(&slot).unwrap().set_len(slot_bytes).unwrap();
        let part = AgentPart::extract(&slot, &folder.path().join("run"));
        let copy = part.as_ref().map(|part| fs::read(&part.program).unwrap()).unwrap_or_default();
        (part, copy)
    }

    #[test]
    fn a_real_program_comes_out_byte_for_byte_from_a_larger_slot() {
        let program = fs::read("/bin/true").unwrap();
        let (part, copy) = extract(&program, program.len() as u64 + 100_000);
        assert_eq!(part.unwrap().bytes, program.len() as u64);
        assert!(copy == program);
    }

    #[test]
    fn a_script_ends_at_its_last_byte() {
        let (part, copy) = extract(b"#!/bin/sh\nexit 0\n", 4096);
        assert_eq!((part.unwrap().bytes, copy.as_slice()), (17, &b"#!/bin/sh\nexit 0\n"[..]));
    }

    #[test]
    fn i1_what_an_earlier_image_left_behind_a_script_is_not_run() {
        let mut slot = b"#!/bin/sh\nexit 0\n\0\0# still the script\n".to_vec();
        let length = slot.len();
        slot.resize(length + CLEARED_BYTES, 0);
        slot.extend(vec![b'x'; 3 << 20]);
        let (part, copy) = extract(&slot, slot.len() as u64);
        assert_eq!((part.unwrap().bytes, &copy[..]), (length as u64, &slot[..length]));
        let endless = [&b"#!/bin/sh\n"[..], &vec![b'x'; 2 << 20]].concat();
        let refused = extract(&endless, endless.len() as u64).0.unwrap_err();
        assert!(matches!(refused, AgentPartError::Length { .. }));
    }

    #[test]
    fn what_is_no_whole_program_is_refused() {
        let refusal = |content: &[u8], bytes| extract(content, bytes).0.unwrap_err();
        assert!(matches!(refusal(b"", 4096), AgentPartError::NoProgram { .. }));
        assert!(matches!(refusal(b"ext4", 4096), AgentPartError::NoProgram { .. }));
        let program = fs::read("/bin/true").unwrap();
        for length in [20, 64, 100, program.len() as u64 - 1] {
            assert!(matches!(refusal(&program, length), AgentPartError::Length { .. }));
        }
        let mut absurd = program;
        absurd[40..48].fill(0xff);
        assert!(matches!(refusal(&absurd, 1 << 20), AgentPartError::Length { .. }));
        let missing = AgentPart::extract(Path::new("/nonexistent"), Path::new("/tmp"));
        assert!(matches!(missing, Err(AgentPartError::Read { .. })));
    }
}
