//! One agent per data folder: a locked file that names the process. The kernel drops the lock
//! with the process, so a stale file never blocks.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::DurableError;

/// Tries while the process that took the lock is gone: a program that it was just starting shares
/// the lock until that program runs.
const GONE_TRIES: u32 = 100;
/// Pause between them.
const GONE_PAUSE: Duration = Duration::from_millis(50);

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Gives the lock up for everyone who shares it: closing alone leaves it with a program that is
    /// just being started.
    fn drop(&mut self) {
        if let Err(error) = flock(&self.file, FlockOperation::Unlock) {
            tracing::warn!(%error, "cannot give up the lock of the data folder");
        }
    }
}

impl Lock {
    /// Takes the lock of the folder.
    ///
    /// # Errors
    /// [`DurableError::Locked`] with the other's process id, or what the file system says.
    pub fn take(folder: &Path) -> Result<Self, DurableError> {
        let path = folder.join("lock");
        let failed = |source| DurableError::write(&path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let mut tries = 0;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(failed(error.into()));
            }
            let pid = holder(&mut file);
            tries += 1;
            if tries > GONE_TRIES || Path::new("/proc").join(&pid).exists() || pid == "?" {
                return Err(DurableError::Locked { path: folder.to_owned(), pid });
            }
            std::thread::sleep(GONE_PAUSE);
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }
}

/// The process that the file names; `?` if it cannot be told.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    let pid = read.ok().map_or("", |_| text.trim());
    if pid.is_empty() { "?".to_owned() } else { pid.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_by_process_id_and_may_start_after_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let refused = Lock::take(folder.path()).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }

    #[test]
    fn what_a_program_that_is_being_started_shares_is_given_up_too() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let _shared = first.file.try_clone().unwrap();
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
