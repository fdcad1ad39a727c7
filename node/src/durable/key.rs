//! The host's identity on disk. Drawn once by `daymark-node init`; never copied anywhere, never
//! printed.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{DurableError, read_record, write_record};

/// The key file's content. Has no `Debug` or `Serialize` that could show the seed, which is wiped when
/// it is dropped.
pub struct HostKeyFile {
    /// Seed of the Ed25519 key.
    pub seed: [u8; 32],
    /// The machine's id when the key was drawn, to notice a copied disk (RULES D6).
    pub machine_id: Option<String>,
    /// The machine's serial number when the key was drawn.
    pub serial: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    seed: Zeroizing<String>,
    machine_id: Option<String>,
    serial: Option<String>,
}

impl fmt::Debug for HostKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKeyFile").field("machine_id", &self.machine_id).finish_non_exhaustive()
    }
}

impl Drop for HostKeyFile {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl HostKeyFile {
    /// Draws a new identity and stores it; never over another.
    ///
    /// # Errors
    /// [`DurableError::AlreadyInitialised`], [`DurableError::Entropy`] or a failed write.
    pub fn create(
        folder: &Path,
        machine_id: Option<String>,
        serial: Option<String>,
    ) -> Result<Self, DurableError> {
        let path = folder.join("key");
        if path.exists() {
            return Err(DurableError::AlreadyInitialised { path: folder.to_owned() });
        }
        let mut key = Self { seed: [0; 32], machine_id, serial };
        getrandom::fill(&mut key.seed).map_err(|error| DurableError::Entropy(error.to_string()))?;
        key.write(folder)?;
        Ok(key)
    }

    /// Binds the identity to another machine-id and serial number, durably; the old file stands
    /// until the new one does.
    ///
    /// # Errors
    /// A failed write.
    pub fn bind(
        &mut self,
        folder: &Path,
        machine_id: Option<String>,
        serial: Option<String>,
    ) -> Result<(), DurableError> {
        let bound = Self { seed: self.seed, machine_id, serial };
        bound.write(folder)?;
        *self = bound;
        Ok(())
    }

    fn write(&self, folder: &Path) -> Result<(), DurableError> {
        let stored = Stored {
            seed: HEXLOWER.encode(&self.seed).into(),
            machine_id: self.machine_id.clone(),
            serial: self.serial.clone(),
        };
        write_record(&folder.join("key"), "key", 0o600, &stored)
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// [`DurableError::NotInitialised`] if there is none.
    pub fn read(folder: &Path) -> Result<Self, DurableError> {
        let path = folder.join("key");
        let stored: Stored = read_record(&path, "key")?
            .ok_or_else(|| DurableError::NotInitialised { path: folder.to_owned() })?;
        let seed = HEXLOWER.decode(stored.seed.as_bytes()).ok().map(Zeroizing::new);
        let seed = seed.and_then(|seed| <[u8; 32]>::try_from(seed.as_slice()).ok());
        let seed =
            seed.ok_or_else(|| DurableError::Damaged { path, what: "it holds no key".to_owned() })?;
        Ok(Self { seed, machine_id: stored.machine_id, serial: stored.serial })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_identity_is_drawn_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            HostKeyFile::read(folder.path()),
            Err(DurableError::NotInitialised { .. })
        ));
        let made = HostKeyFile::create(folder.path(), Some("m".into()), None).unwrap();
        let mode = std::fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(
            HostKeyFile::create(folder.path(), None, None),
            Err(DurableError::AlreadyInitialised { .. })
        ));
        let read = HostKeyFile::read(folder.path()).unwrap();
        assert_eq!(read.seed, made.seed);
        let mut bound = read;
        bound.bind(folder.path(), Some("n".into()), Some("S".into())).unwrap();
        let read = HostKeyFile::read(folder.path()).unwrap();
        assert_eq!(read.seed, made.seed);
        assert_eq!((read.machine_id.as_deref(), read.serial.as_deref()), (Some("n"), Some("S")));
        assert!(!format!("{read:?}").contains(&HEXLOWER.encode(&read.seed)));
    }
}
