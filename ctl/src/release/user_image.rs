//! Takes the root file system and the kernel image out of somebody's own disk image, for the demo.
//!
//! The same opening and the same partitions as `release add`; what it adds is a guess at the
//! layout, since nobody wrote a profile: the demo says what it took.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::disk::{Partition, Window, WindowReader, partitions};
use super::error::ReleaseError;
use super::sample_disk::Content;
use super::unpack::open_raw;

/// Where the kernel images of an ESP lie.
const KERNELS: &str = "EFI/Linux";
/// Largest kernel image that is taken, bytes: it is held in memory.
const KERNEL_BYTES_MAX: u64 = 512 << 20;

/// What was found in an image.
#[derive(Debug)]
pub(crate) struct UserImage {
    raw: File,
    rootfs: Window,
    /// The kernel image, if a partition holds one where EIM's images do.
    pub(crate) kernel: Option<Vec<u8>>,
    /// What was taken, for people.
    pub(crate) taken: String,
}

impl UserImage {
    /// Opens `image`: raw, gz or zst, a GPT disk or a bare file system. What must be unpacked goes
    /// into a nameless file in `scratch`.
    ///
    /// # Errors
    /// If the image cannot be read, is damaged, or has no partition that may be a root file system.
    pub(crate) fn open(image: &Path, scratch: &Path) -> Result<Self, ReleaseError> {
        let raw = open_raw(image, None, scratch, &mut |_| {})?;
        let length = raw.metadata().map_err(|error| ReleaseError::io("read", image, error))?.len();
        let found = partitions(&raw, image)?;
        let rootfs = match root_of(&found) {
            Some(partition) => partition,
            None if found.is_empty() => {
                let rootfs = Window { start: 0, bytes: length };
                let taken = "all of it as a bare file system".to_owned();
                return Ok(Self { raw, rootfs, kernel: None, taken });
            }
            None => return Err(ReleaseError::NoRoot { path: image.to_owned() }),
        };
        let window = rootfs.window;
        if window.start.checked_add(window.bytes).is_none_or(|end| end > length) {
            return Err(ReleaseError::PartitionOutside {
                path: image.to_owned(),
                part: "rootfs".into(),
                partition: rootfs.label.clone(),
            });
        }
        let mut taken = format!("partition {} ({:?}) as rootfs", rootfs.number, rootfs.label);
        let mut kernel = None;
        for esp in found.iter().filter(|partition| partition.is_esp) {
            if let Some((name, bytes)) = kernel_of(&raw, image, esp)? {
                taken.push_str(&format!(", {KERNELS}/{name} as uki"));
                kernel = Some(bytes);
                break;
            }
        }
        Ok(Self { raw, rootfs: window, kernel, taken })
    }

    /// The root file system's bytes.
    pub(crate) fn rootfs(&self) -> Content<'_> {
        let Window { start, bytes } = self.rootfs;
        Content::Stretch { file: &self.raw, start, bytes }
    }
}

/// The partition labelled as a root file system, or else the largest that is no ESP.
fn root_of(partitions: &[Partition]) -> Option<&Partition> {
    let named = |partition: &&Partition| partition.label.to_lowercase().starts_with("root");
    let largest = || {
        let others = partitions.iter().filter(|partition| !partition.is_esp);
        others.max_by_key(|partition| partition.window.bytes)
    };
    partitions.iter().find(named).or_else(largest)
}

/// The first kernel image of an ESP, by name.
fn kernel_of(
    raw: &File,
    image: &Path,
    esp: &Partition,
) -> Result<Option<(String, Vec<u8>)>, ReleaseError> {
    let failed = |error| ReleaseError::io("read the ESP of", image, error);
    let window = WindowReader::new(raw.try_clone().map_err(failed)?, esp.window);
    let options = fatfs::FsOptions::new().update_accessed_date(false);
    let system = fatfs::FileSystem::new(window, options).map_err(failed)?;
    let Ok(folder) = system.root_dir().open_dir(KERNELS) else { return Ok(None) };
    let mut names = Vec::new();
    for entry in folder.iter() {
        let entry = entry.map_err(failed)?;
        if entry.is_file() && entry.file_name().to_lowercase().ends_with(".efi") {
            names.push(entry.file_name());
        }
    }
    names.sort_unstable();
    let Some(name) = names.into_iter().next() else { return Ok(None) };
    let mut bytes = Vec::new();
    let file = folder.open_file(&name).map_err(failed)?;
    file.take(KERNEL_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some((name, bytes)))
}
