//! A disk of its own for a folder, small enough to be filled. Needs root.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The name that mounts of this module have; the process that made them follows.
const PREFIX: &str = "daymark-real-";
const FILLER: &str = "filler";

/// A mounted disk, gone when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Why disks cannot be mounted here, if so.
    pub fn missing() -> Option<&'static str> {
        let root = rustix::process::geteuid().is_root();
        (!root).then_some("only root can mount a small disk")
    }

    /// Mounts a disk of that size in place of a folder, with what was in the folder.
    ///
    /// # Errors
    /// If the system refuses, or the folder does not fit.
    pub fn under(folder: &Path, bytes: u64) -> anyhow::Result<Self> {
        unmount_leftovers()?;
        let aside = folder.with_extension("aside");
        fs::rename(folder, &aside)?;
        fs::create_dir(folder)?;
        let size = format!("size={bytes}");
        let name = format!("{PREFIX}{}", std::process::id());
        run("mount", ["-t", "tmpfs", "-o", &size, &name].map(OsStr::new), folder)?;
        let disk = Self { folder: folder.to_owned() };
        let all = aside.join(".");
        run("cp", [OsStr::new("-a"), all.as_os_str()], folder)?;
        Ok(disk)
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// If there still is room afterwards.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut filler = fs::File::create(self.folder.join(FILLER))?;
        let mut size = 1 << 20;
        while size > 0 {
            if std::io::Write::write_all(&mut filler, &vec![1; size]).is_err() {
                size /= 2;
            }
        }
        ensure!(self.free_bytes()? == 0, "the disk is not full");
        Ok(())
    }

    /// Makes room again by what [`Self::fill`] took.
    ///
    /// # Errors
    /// If there is no room afterwards.
    pub fn clear(&self) -> anyhow::Result<()> {
        fs::remove_file(self.folder.join(FILLER))?;
        ensure!(self.free_bytes()? > 0, "the disk is still full");
        Ok(())
    }

    /// Gives it another size.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        let options = format!("remount,size={bytes}");
        run("mount", [OsStr::new("-o"), OsStr::new(&options)], &self.folder)
    }

    /// Free room.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has files open there is about to end.
        let _ = run("umount", [OsStr::new("-l")], &self.folder);
    }
}

fn run<const N: usize>(program: &str, arguments: [&OsStr; N], at: &Path) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).arg(at).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {}", at.display(), why.trim());
    Ok(())
}

/// Unmounts disks of test processes that were killed.
fn unmount_leftovers() -> anyhow::Result<()> {
    for line in fs::read_to_string("/proc/self/mounts")?.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(folder)) = (words.next(), words.next()) else { continue };
        let Some(owner) = name.strip_prefix(PREFIX) else { continue };
        if !Path::new("/proc").join(owner).exists() {
            run("umount", [OsStr::new("-l")], Path::new(folder))?;
        }
    }
    Ok(())
}
