//! The sealed packs of a stick: `FOLDER/daymark/sealed/<SHA-256 of the pack>`. Roots lie beside them
//! in the clear, for machines that join; all else is for the fleet's members alone
//! (`daymark_protocol::sealed`). Finds, checks and writes packs; what is in them is the caller's.

use std::path::{Path, PathBuf};

use daymark_protocol::id::Digest;
use daymark_protocol::sealed::PACK_BYTES_MAX;

use crate::folder::{FolderError, ReplicaFolder};

/// Where packs lie.
const SEALED: &str = "daymark/sealed";
/// Most packs that are looked at: a fleet of 10,000 hosts fills a few hundred.
const PACKS_MAX: usize = 4_096;

/// A pack as it lies on a stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickPack {
    /// What its name says.
    Whole(Vec<u8>),
    /// Torn, altered, or no ordinary file: it says nothing.
    Damaged,
}

fn path(pack: &Digest) -> PathBuf {
    Path::new(SEALED).join(pack.to_string())
}

/// Where a pack lies.
pub fn file(folder: &ReplicaFolder, pack: &Digest) -> PathBuf {
    folder.path().join(path(pack))
}

/// The packs on a stick, by the digest of their bytes.
///
/// # Errors
/// [`FolderError`]: the folder cannot be listed, or holds more than can be right.
pub fn packs(folder: &ReplicaFolder) -> Result<Vec<Digest>, FolderError> {
    let names = folder.list_files(Path::new(SEALED), PACKS_MAX + 1)?;
    if names.len() > PACKS_MAX {
        return Err(FolderError::TooMany { path: PathBuf::from(SEALED), most: PACKS_MAX });
    }
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Reads a pack, at most [`PACK_BYTES_MAX`] bytes.
///
/// # Errors
/// [`FolderError::Read`].
pub fn read(folder: &ReplicaFolder, pack: &Digest) -> Result<StickPack, FolderError> {
    let read = folder.read_file(&path(pack), PACK_BYTES_MAX as u64)?;
    let whole = read.filter(|bytes| Digest::of(bytes) == *pack);
    Ok(whole.map_or(StickPack::Damaged, StickPack::Whole))
}

/// Writes a pack, durably, under the name that follows from it.
///
/// # Errors
/// [`FolderError::Write`].
pub fn write(folder: &ReplicaFolder, bytes: &[u8]) -> Result<Digest, FolderError> {
    let name = Digest::of(bytes);
    folder.write_file(&path(&name), bytes)?;
    Ok(name)
}

/// Removes a pack.
///
/// # Errors
/// [`FolderError::Write`].
pub fn remove(folder: &ReplicaFolder, pack: &Digest) -> Result<(), FolderError> {
    folder.remove_file(&path(pack))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_named_by_what_they_are_and_torn_ones_are_told() {
        let place = tempfile::tempdir().unwrap();
        let folder = ReplicaFolder::open_or_begin(place.path()).unwrap();
        assert!(packs(&folder).unwrap().is_empty());
        let pack = write(&folder, b"sealed").unwrap();
        assert_eq!(packs(&folder).unwrap(), [pack]);
        assert_eq!(read(&folder, &pack).unwrap(), StickPack::Whole(b"sealed".to_vec()));
        let file = place.path().join(path(&pack));
        for torn in [&b"seale"[..], b"sealeD", b""] {
            std::fs::write(&file, torn).unwrap();
            assert_eq!(read(&folder, &pack).unwrap(), StickPack::Damaged);
        }
        std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&folder, &pack).unwrap(), StickPack::Damaged);
        // What was copied under another name, and what is none of ours, says nothing.
        std::fs::write(place.path().join(path(&Digest([1; 32]))), b"sealed").unwrap();
        std::fs::write(place.path().join(SEALED).join("desktop.ini"), b"x").unwrap();
        assert_eq!(packs(&folder).unwrap().len(), 2);
        assert_eq!(read(&folder, &Digest([1; 32])).unwrap(), StickPack::Damaged);
        remove(&folder, &pack).unwrap();
        remove(&folder, &pack).unwrap();
        assert_eq!(packs(&folder).unwrap(), [Digest([1; 32])]);
    }
}
