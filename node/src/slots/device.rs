//! The places of a slot's parts: regular files, which are made and grown, and block devices, which
//! have the size they have.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use super::error::{SlotError, is_full};
use crate::durable::sync_folder;

/// What is zeroed of a part that an image does not bring: enough for every magic number that a
/// boot loader, a kernel or the boot program looks for. And what is zeroed behind a part in a
/// larger place, where the bytes of another image may still be.
pub(crate) const CLEARED_BYTES: usize = 4096;

/// Zeroes what follows a part of that length in its place, so that nobody reads on into what an
/// earlier image left there: no signature covers it (I1). What lies farther off is left.
pub(super) fn end_behind(file: &File, part_bytes: u64) -> std::io::Result<()> {
    let mut end = file;
    let room = end.seek(SeekFrom::End(0))?.saturating_sub(part_bytes);
    let count = usize::try_from(room).map_or(CLEARED_BYTES, |room| room.min(CLEARED_BYTES));
    if count == 0 {
        return Ok(());
    }
    file.write_all_at(&[0; CLEARED_BYTES][..count], part_bytes)?;
    file.sync_data()
}

/// The length of what is at a part's place, a file or a device; `None` if there is nothing.
pub(super) fn length_of(path: &Path) -> Result<Option<u64>, SlotError> {
    match File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0))) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SlotError::io("look at", path, error)),
    }
}

/// A part's place, open for writing.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) slot: &'a str,
    pub(super) part: &'a str,
    pub(super) path: &'a Path,
    file: File,
    /// A device's size; a file's size before it is grown.
    bytes: u64,
    is_device: bool,
}

impl<'a> Place<'a> {
    /// Opens the place, making a regular file, durably, if there is nothing: syncing the file alone
    /// would leave it without a name after a power cut. A device that is mounted or otherwise in
    /// use is refused by the kernel.
    pub(super) fn open(slot: &'a str, part: &'a str, path: &'a Path) -> Result<Self, SlotError> {
        let failed = |error| SlotError::io("open for writing", path, error);
        let there = std::fs::metadata(path);
        let is_device = there.as_ref().is_ok_and(|at| at.file_type().is_block_device());
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if is_device {
            options.custom_flags(OFlags::EXCL.bits().cast_signed());
        } else {
            options.create(true).truncate(false);
        }
        let mut file = options.open(path).map_err(failed)?;
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if there.is_err()
            && let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
        {
            sync_folder(folder).map_err(|error| SlotError::io("sync", folder, error))?;
        }
        Ok(Self { slot, part, path, file, bytes, is_device })
    }

    /// Refuses a device that is smaller than `needed`. Changes nothing.
    pub(super) fn check(&self, needed: u64) -> Result<(), SlotError> {
        if self.is_device && self.bytes < needed {
            return Err(SlotError::TooSmall {
                slot: self.slot.to_owned(),
                part: self.part.to_owned(),
                capacity: self.bytes,
                needed,
            });
        }
        Ok(())
    }

    /// Makes room for `needed` bytes. A file is grown at once, so that a full disk shows before
    /// anything of the slot is overwritten.
    pub(super) fn reserve(&self, needed: u64) -> Result<(), SlotError> {
        if self.is_device {
            return Ok(());
        }
        let reserved = match fallocate(&self.file, FallocateFlags::empty(), 0, needed.max(1)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) if self.bytes < needed => {
                self.file.set_len(needed)
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        };
        reserved.map_err(|error| {
            if !is_full(&error) {
                return SlotError::io("grow", self.path, error);
            }
            SlotError::NoSpace {
                slot: self.slot.to_owned(),
                part: self.part.to_owned(),
                path: self.path.to_owned(),
                needed,
            }
        })
    }

    /// Gives back what [`Self::reserve`] grew.
    pub(super) fn give_back(&self) {
        if !self.is_device && self.file.set_len(self.bytes).is_err() {
            tracing::warn!(path = %self.path.display(), "could not shrink the part again");
        }
    }

    /// Makes the part unusable, since the image that comes into the slot does not bring it.
    pub(super) fn clear(&self) -> Result<(), SlotError> {
        let zeros = [0; CLEARED_BYTES];
        let count = usize::try_from(self.bytes).map_or(CLEARED_BYTES, |b| b.min(CLEARED_BYTES));
        let cleared = self.file.write_all_at(&zeros[..count], 0);
        cleared
            .and_then(|()| self.file.sync_data())
            .map_err(|error| SlotError::io("clear", self.path, error))
    }

    pub(super) fn into_file(self) -> File {
        self.file
    }
}
