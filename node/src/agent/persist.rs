//! What the core writes, on disk: irreplaceable things in files, replicated data in the store.

use std::ops::RangeInclusive;
use std::path::Path;

use daymark_core::durable::DurableState;
use daymark_core::effect::Write;
use daymark_protocol::trust::{FloorRecord, Floors};

use super::AgentError;
use crate::durable::{DataFolder, Journal, RootFiles};
use crate::store::{Store, Stored};

/// Everything that was durable at the start.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) state: DurableState,
    pub(super) roots: Vec<Vec<u8>>,
    pub(super) stored: Stored,
    pub(super) floors: Floors,
}

/// The data folder and the store, open.
#[derive(Debug)]
pub(super) struct Disk {
    data: DataFolder,
    journal: Journal,
    store: Store,
}

impl Disk {
    pub(super) fn open(
        folder: &Path,
        formats: RangeInclusive<u32>,
    ) -> Result<(Self, Read), AgentError> {
        let data = DataFolder::open_as(folder, formats)?;
        let (journal, lines) = Journal::open(&data.path().join("floors"))?;
        let (store, stored) = Store::open(&data.path().join("store"))?;
        let mut floors = Floors::default();
        for line in lines {
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            floors.apply(FloorRecord::decode(line).map_err(|_| AgentError::Floor)?);
        }
        let (state, roots) = (data.read_state()?, data.read_roots()?);
        let read = Read { state, roots, stored, floors };
        Ok((Self { data, journal, store }, read))
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn roots(&self) -> RootFiles {
        self.data.roots()
    }

    /// Makes writes durable, in their order: neighbouring floors share one sync, and so do all
    /// writes to the store.
    pub(super) fn write(&mut self, writes: &[Write]) -> Result<(), AgentError> {
        let mut floors = Vec::new();
        let mut stored = false;
        for write in writes {
            if !matches!(write, Write::AppendFloor(_)) {
                self.append(&mut floors)?;
            }
            stored |= !write.is_irreplaceable();
            match write {
                Write::PutEntry { document, hash, bytes } => {
                    self.store.put_entry(document, hash, bytes)?;
                }
                Write::DropEntry { document, hash } => self.store.drop_entry(document, hash)?,
                Write::PutReport { host, generation, count, bytes } => {
                    self.store.put_report(host, *generation, *count, bytes)?;
                }
                Write::DropReports { host, below } => self.store.drop_reports(host, *below)?,
                Write::PutBlob { digest, bytes } => self.store.put_blob(digest, bytes)?,
                Write::DropBlob { digest } => self.store.drop_blob(digest)?,
                Write::PutRoot { version, bytes } => self.data.write_root(*version, bytes)?,
                Write::AppendFloor(record) => floors.push(record.clone()),
                Write::PutState(state) => self.data.write_state(state)?,
            }
        }
        self.append(&mut floors)?;
        if stored {
            self.store.flush()?;
        }
        Ok(())
    }

    fn append(&mut self, records: &mut Vec<FloorRecord>) -> Result<(), AgentError> {
        let lines: Vec<Vec<u8>> = records.iter().map(FloorRecord::encode).collect();
        records.clear();
        Ok(self.journal.append(&lines)?)
    }

    /// Whether the floor journal has grown to twice what it must hold (RULES Q12).
    pub(super) fn wants_compact_floors(&self) -> bool {
        self.journal.wants_rewrite()
    }

    /// Replaces the floor journal by what it must hold.
    pub(super) fn rewrite_floors(&mut self, live: &[FloorRecord]) -> Result<(), AgentError> {
        let live: Vec<Vec<u8>> = live.iter().map(FloorRecord::encode).collect();
        Ok(self.journal.rewrite(&live)?)
    }

    /// The running boot is good: the agent of the other slot is no longer waited for.
    pub(super) fn boot_is_confirmed(&mut self) -> Result<(), AgentError> {
        Ok(self.data.raise_format()?)
    }

    pub(super) fn close(&self) -> Result<(), AgentError> {
        Ok(self.store.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use daymark_protocol::document::DocumentId;
    use daymark_protocol::id::{Digest, KeyId};

    use super::*;
    use crate::durable::FORMATS_READ;

    #[test]
    fn c6_q13_everything_written_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let floor = |version| FloorRecord::Version {
            kind: "Blackout".into(),
            id: "blackout-1".parse().unwrap(),
            version,
            digest: Digest([1; 32]),
            document: DocumentId::Fleet,
            gone: false,
        };
        let state = DurableState { generation: 5, ..DurableState::default() };
        let writes = [
            Write::AppendFloor(floor(1)),
            Write::AppendFloor(floor(2)),
            Write::PutRoot { version: 1, bytes: b"root".to_vec() },
            Write::AppendFloor(FloorRecord::Whole(b"halt".to_vec())),
            Write::PutState(Box::new(state.clone())),
            Write::PutEntry {
                document: DocumentId::Fleet,
                hash: Digest([2; 32]),
                bytes: b"entry".to_vec(),
            },
            Write::PutReport {
                host: KeyId([3; 32]),
                generation: 5,
                count: 1,
                bytes: b"report".to_vec(),
            },
            Write::PutBlob { digest: Digest([4; 32]), bytes: b"blob".to_vec() },
        ];
        let (mut disk, read) = Disk::open(folder.path(), FORMATS_READ).unwrap();
        assert_eq!((read.floors.records().count(), read.stored), (0, Stored::default()));
        disk.write(&writes).unwrap();
        drop(disk);
        let (_disk, read) = Disk::open(folder.path(), FORMATS_READ).unwrap();
        assert_eq!(read.state, state);
        // The higher version takes the place of the lower.
        assert_eq!(read.floors.records().count(), 2);
        assert_eq!(read.roots, [b"root".to_vec()]);
        assert_eq!(read.stored.entries[0].bytes, b"entry");
        assert_eq!(read.stored.reports[0].bytes, b"report");
        assert_eq!(read.stored.blobs, [(Digest([4; 32]), b"blob".to_vec())]);
    }

    #[test]
    fn c6_an_unreadable_floor_stops_the_agent_and_both_causes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (mut disk, _) = Disk::open(folder.path(), FORMATS_READ).unwrap();
        disk.journal.append(&[b"0000 of another day\n".to_vec()]).unwrap();
        drop(disk);
        let error = Disk::open(folder.path(), FORMATS_READ).err().unwrap();
        assert!(matches!(error, AgentError::Floor));
        let text = error.to_string();
        assert!(text.contains("newer") && text.contains("damaged"), "{text}");
    }
}
