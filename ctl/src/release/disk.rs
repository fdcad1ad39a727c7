//! Finds the parts of an image: the whole of it, partitions of a GPT disk, or files within one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use daymark_protocol::resource::{FileSystem, LayoutPart, OsProfileSpec, PartName, PartSource};

use super::error::ReleaseError;

/// The part that a bare file system becomes.
const ROOTFS: &str = "rootfs";

/// Bytes of a logical block, as far as images go.
const BLOCK_BYTES: u64 = 512;
/// Where a GPT header says how many entries its table has, and their size (UEFI 2.10, 5.3.2).
const ENTRIES_AT: usize = 80;
const ENTRY_BYTES_AT: usize = 84;
/// The size of an entry in every table that is not made to harm.
const ENTRY_BYTES: u32 = 128;
/// Most entries: tools make 128.
const ENTRIES_MAX: u32 = 1_024;

/// A part within the raw image.
#[derive(Clone, Debug)]
pub(super) struct FoundPart {
    pub(super) name: PartName,
    /// Its bytes in the image: all of them, or the file system that holds the file.
    window: Window,
    partition: String,
    file: Option<PartSource>,
}

/// A stretch of the raw image, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) number: u32,
    pub(super) label: String,
    pub(super) is_esp: bool,
    pub(super) window: Window,
}

/// The parts of `raw`, by ascending name, as the profile's layout says.
pub(super) fn find_parts(
    raw: &File,
    image: &Path,
    profile: &OsProfileSpec,
) -> Result<Vec<FoundPart>, ReleaseError> {
    let bytes = raw.metadata().map_err(|error| ReleaseError::io("read", image, error))?.len();
    let partitions = partitions(raw, image)?;
    match (profile.layout.is_empty(), partitions.is_empty()) {
        (true, true) => {
            let window = Window { start: 0, bytes };
            let name = ROOTFS.to_owned();
            Ok(vec![FoundPart { name, window, partition: String::new(), file: None }])
        }
        (true, false) => Err(ReleaseError::NoLayout {
            path: image.to_owned(),
            found: listed(&partitions),
            first: partitions.first().map_or_else(String::new, shown),
        }),
        (false, true) => Err(ReleaseError::NoPartitions { path: image.to_owned() }),
        (false, false) => {
            let find = |(name, at)| find_part(image, bytes, &partitions, name, at);
            profile.layout.iter().map(find).collect()
        }
    }
}

fn find_part(
    image: &Path,
    bytes: u64,
    partitions: &[Partition],
    name: &PartName,
    at: &LayoutPart,
) -> Result<FoundPart, ReleaseError> {
    let path = || image.to_owned();
    let (part, wanted) = (name.clone(), at.partition.clone());
    let labelled: Vec<&Partition> = partitions.iter().filter(|p| p.label == wanted).collect();
    let by_number = || partitions.iter().find(|p| p.number.to_string() == wanted);
    let found = match labelled.as_slice() {
        [one] => *one,
        [] => by_number().ok_or_else(|| ReleaseError::NoPartition {
            path: path(),
            part: part.clone(),
            partition: wanted.clone(),
            found: listed(partitions),
        })?,
        [..] => return Err(ReleaseError::TwoPartitions { path: path(), part, partition: wanted }),
    };
    let inside = found.window.start.checked_add(found.window.bytes).is_some_and(|end| end <= bytes);
    if !inside {
        return Err(ReleaseError::PartitionOutside { path: path(), part, partition: wanted });
    }
    Ok(FoundPart { name: part, window: found.window, partition: wanted, file: at.file.clone() })
}

/// The partitions of a GPT disk by number; none if the file is no such disk.
pub(super) fn partitions(raw: &File, image: &Path) -> Result<Vec<Partition>, ReleaseError> {
    let failed = |error| ReleaseError::io("read", image, error);
    if has_odd_table(raw).map_err(failed)? {
        return Err(ReleaseError::OddTable { path: image.to_owned() });
    }
    let device = raw.try_clone().map_err(failed)?;
    let Ok(disk) = gpt::GptConfig::new().open_from_device(device) else { return Ok(Vec::new()) };
    let used = disk.partitions().iter().filter(|(_, partition)| partition.is_used());
    used.map(|(number, partition)| {
        let start = partition.bytes_start(*disk.logical_block_size()).map_err(failed)?;
        let bytes = partition.bytes_len(*disk.logical_block_size()).map_err(failed)?;
        let window = Window { start, bytes };
        let is_esp = partition.part_type_guid == gpt::partition_types::EFI;
        Ok(Partition { number: *number, label: partition.name.clone(), is_esp, window })
    })
    .collect()
}

/// Whether a partition table, the first or the one at the end, has entries of another size than all
/// tools write, which the reading library takes for a bug of its own, or more than it should read.
fn has_odd_table(raw: &File) -> io::Result<bool> {
    let end = raw.metadata()?.len().saturating_sub(BLOCK_BYTES);
    for at in [BLOCK_BYTES, end] {
        let mut header = [0; 92];
        let found = std::os::unix::fs::FileExt::read_exact_at(raw, &mut header, at).is_ok();
        let field = |at: usize| header[at..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        let odd = field(ENTRY_BYTES_AT) != ENTRY_BYTES || field(ENTRIES_AT) > ENTRIES_MAX;
        if found && header.starts_with(b"EFI PART") && odd {
            return Ok(true);
        }
    }
    Ok(false)
}

fn shown(partition: &Partition) -> String {
    if partition.label.is_empty() { partition.number.to_string() } else { partition.label.clone() }
}

fn listed(partitions: &[Partition]) -> String {
    let one = |partition: &Partition| format!("{} ({:?})", partition.number, partition.label);
    partitions.iter().map(one).collect::<Vec<_>>().join(", ")
}

impl FoundPart {
    /// Reads the part from its start to its end.
    pub(super) fn read(
        &self,
        raw: &File,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<(), ReleaseError>,
    ) -> Result<(), ReleaseError> {
        let raw = raw.try_clone();
        let raw = raw.map_err(|error| ReleaseError::io("read", Path::new(&self.name), error))?;
        let mut window = WindowReader::new(raw, self.window);
        let Some(file) = &self.file else { return consume(&mut window) };
        let missing = |source| ReleaseError::NoFile {
            part: self.name.clone(),
            partition: self.partition.clone(),
            file: file.path.clone(),
            source,
        };
        match file.file_system {
            FileSystem::Vfat => {
                let options = fatfs::FsOptions::new().update_accessed_date(false);
                let system = fatfs::FileSystem::new(window, options).map_err(missing)?;
                let mut file = system.root_dir().open_file(&file.path).map_err(missing)?;
                consume(&mut file)
            }
        }
    }
}

/// A stretch of the image as a read-only file of its own.
#[derive(Debug)]
pub(super) struct WindowReader {
    raw: File,
    window: Window,
    at: u64,
}

impl WindowReader {
    pub(super) fn new(raw: File, window: Window) -> Self {
        Self { raw, window, at: 0 }
    }
}

impl Read for WindowReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.window.bytes.saturating_sub(self.at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let offset = self.window.start + self.at;
        let count = std::os::unix::fs::FileExt::read_at(&self.raw, &mut buffer[..count], offset)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for WindowReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.window.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// The FAT library asks for it; images are never written.
impl Write for WindowReader {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
