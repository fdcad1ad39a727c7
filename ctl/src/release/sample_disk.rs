//! Builds whole-disk images, for the demo and for tests: a GPT with an ESP that holds a UKI-named
//! file, a root file system and an agent, from given contents. Needs no tools.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use gpt::mbr::ProtectiveMBR;
use gpt::{GptConfig, partition_types};

/// Where the kernel image lies on the ESP, as on EIM's images.
pub const UKI_PATH: &str = "EFI/Linux/linux.efi";
/// Label of the EFI system partition.
pub const ESP: &str = "ESP";
/// Partitions start at multiples of this, bytes.
const ALIGNMENT_BYTES: u64 = 1024 * 1024;
/// Size of the ESP beside its file, bytes: enough for FAT's own tables.
const ESP_BYTES_MIN: u64 = 4 * 1024 * 1024;
const SECTOR_BYTES: u64 = 512;
/// How much is copied at a time.
const COPY_BYTES: usize = 1024 * 1024;

/// What goes onto a disk.
#[derive(Clone, Copy, Debug)]
pub struct SampleDisk<'a> {
    /// The file at [`UKI_PATH`] of the ESP.
    pub uki: &'a [u8],
    /// Other partitions: label and content. The content is padded with zeros to whole sectors.
    pub partitions: &'a [(&'a str, Content<'a>)],
}

/// What goes into a partition.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A stretch of a file.
    Stretch {
        /// The file.
        file: &'a File,
        /// Where the stretch starts, bytes.
        start: u64,
        /// How long it is, bytes.
        bytes: u64,
    },
}

impl Content<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stretch { bytes, .. } => *bytes,
        }
    }

    /// Writes it to `disk` from `at`; blocks of zeros become holes.
    fn write_to(&self, disk: &File, at: u64) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => disk.write_all_at(bytes, at),
            Self::Stretch { file, start, bytes } => {
                let mut buffer = vec![0; COPY_BYTES];
                let mut done = 0;
                while done < *bytes {
                    let count = usize::try_from(*bytes - done).unwrap_or(COPY_BYTES);
                    let block = &mut buffer[..count.min(COPY_BYTES)];
                    file.read_exact_at(block, start + done)?;
                    if block.iter().any(|byte| *byte != 0) {
                        disk.write_all_at(block, at + done)?;
                    }
                    done += block.len() as u64;
                }
                Ok(())
            }
        }
    }
}

/// Writes a disk image.
///
/// # Errors
/// If the file cannot be written, or a content is empty.
pub fn write_sample_disk(path: &Path, disk: &SampleDisk<'_>) -> io::Result<()> {
    let esp_bytes = ALIGNMENT_BYTES + (disk.uki.len() as u64).max(ESP_BYTES_MIN) * 5 / 4;
    let sizes = disk.partitions.iter().map(|(_, content)| content.len());
    let total: u64 = sizes.chain([esp_bytes]).map(aligned).sum();
    let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    // Both tables take less than one alignment each.
    let disk_bytes = total + 2 * ALIGNMENT_BYTES;
    file.set_len(disk_bytes)?;
    let sectors = u32::try_from(disk_bytes / SECTOR_BYTES - 1).unwrap_or(u32::MAX);
    let guard = ProtectiveMBR::with_lb_size(sectors);
    guard.overwrite_lba0(&mut file).map_err(io::Error::other)?;
    let mut table =
        GptConfig::new().writable(true).create_from_device(file, None).map_err(io::Error::other)?;
    let esp = [(ESP, esp_bytes, partition_types::EFI)];
    let others = disk
        .partitions
        .iter()
        .map(|(label, content)| (*label, content.len(), partition_types::LINUX_FS));
    let mut starts = Vec::new();
    for (label, bytes, kind) in esp.into_iter().chain(others) {
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{label} is empty")));
        }
        let alignment = Some(ALIGNMENT_BYTES / SECTOR_BYTES);
        let number = table.add_partition(label, bytes, kind, 0, alignment);
        let number = number.map_err(io::Error::other)?;
        let added = table.partitions().get(&number).map(|added| added.first_lba * SECTOR_BYTES);
        starts.extend(added);
    }
    let file = table.write().map_err(io::Error::other)?;
    for ((_, content), start) in disk.partitions.iter().zip(starts.iter().skip(1)) {
        content.write_to(&file, *start)?;
    }
    let start = starts.first().copied().unwrap_or_default();
    write_esp(Partition { file, start, bytes: esp_bytes, at: 0 }, disk.uki)
}

fn aligned(bytes: u64) -> u64 {
    bytes.div_ceil(ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

fn write_esp(mut partition: Partition, uki: &[u8]) -> io::Result<()> {
    let options = fatfs::FormatVolumeOptions::new().volume_label(*b"ESP        ");
    fatfs::format_volume(&mut partition, options)?;
    partition.rewind()?;
    let system = fatfs::FileSystem::new(&mut partition, fatfs::FsOptions::new())?;
    let mut folder = system.root_dir();
    let (folders, _) = UKI_PATH.rsplit_once('/').unwrap_or_default();
    for name in folders.split('/') {
        folder = folder.create_dir(name)?;
    }
    let mut file = system.root_dir().create_file(UKI_PATH)?;
    file.write_all(uki)?;
    file.flush()
}

/// A stretch of the disk as a file of its own.
#[derive(Debug)]
struct Partition {
    file: File,
    start: u64,
    bytes: u64,
    at: u64,
}

impl Partition {
    fn room(&self, wanted: usize) -> usize {
        usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX).min(wanted)
    }
}

impl Read for Partition {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let count = self.file.read_at(&mut buffer[..room], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Write for Partition {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let count = self.file.write_at(&buffer[..room], self.start + self.at)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Partition {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
