//! Puts a finished image into the release folder, all at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use daymark_protocol::image::{Index, PackMap};

use super::error::ReleaseError;
use crate::whole_file::NewFolder;

/// A folder that is filled out of sight and then renamed to where readers look.
#[derive(Debug)]
pub(super) struct Unpublished {
    images: PathBuf,
    folder: NewFolder,
}

impl Unpublished {
    /// Begins an image below `to`; what an interrupted one left there goes.
    pub(super) fn begin(to: &Path) -> Result<Self, ReleaseError> {
        let images = to.join("images");
        fs::create_dir_all(&images).map_err(|error| ReleaseError::io("make", &images, error))?;
        let folder = NewFolder::begin(&images)
            .map_err(|error| ReleaseError::io("make a folder in", &images, error))?;
        Ok(Self { images, folder })
    }

    /// The folder that is not visible yet.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Adds index and map, makes all durable, and gives the folder its name. If a whole image
    /// with that index is there, it stays. Returns where it is and whether it was there.
    pub(super) fn publish(
        self,
        index: &Index,
        map: &PackMap,
    ) -> Result<(PathBuf, bool), ReleaseError> {
        let place = self.images.join(index.digest().to_string());
        if is_whole(&place, index) {
            return Ok((place, true));
        }
        for (name, bytes) in [("index", index.encode()), ("map", map.encode())] {
            let path = self.path().join(name);
            let written = File::create(&path).and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            });
            written.map_err(|error| ReleaseError::io("write", &path, error))?;
        }
        let renamed = self.rename(index);
        renamed.map_err(|error| ReleaseError::io("publish", &place, error))?;
        Ok((place, false))
    }

    fn rename(self, index: &Index) -> io::Result<()> {
        // Readable by whoever serves it: a temporary folder is its owner's alone.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.folder.path(), mode)?;
        let name = index.digest().to_string();
        match fs::remove_dir_all(self.images.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.folder.publish(&name).map(drop)
    }
}

/// Whether the image is there already, with everything that a node asks for.
fn is_whole(place: &Path, index: &Index) -> bool {
    let same_index = fs::read(place.join("index")).is_ok_and(|bytes| bytes == index.encode());
    let Ok(map) = fs::read(place.join("map")) else { return false };
    let Ok(map) = PackMap::decode(&map, index) else { return false };
    let pack_bytes = fs::metadata(place.join("pack")).map_or(0, |pack| pack.len());
    let spans = (0..index.chunk_count()).filter_map(|chunk| map.span(chunk));
    same_index && spans.map(|span| span.end()).max().is_some_and(|end| end <= pack_bytes)
}
