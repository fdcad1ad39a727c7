//! `release add`: from an image file to a published image and a profile that is ready to sign.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use daymark_protocol::resource::{OsProfileSpec, OsType};

use super::disk::find_parts;
use super::error::ReleaseError;
use super::pack::Packer;
use super::published::Unpublished;
use super::unpack::open_raw;

/// What `release add` is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddStep {
    /// Hashing the file as published.
    Checking,
    /// Unpacking and hashing it.
    Unpacking,
    /// Cutting and packing the parts.
    Packing,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddProgress {
    /// The step.
    pub step: AddStep,
    /// Bytes done in this step.
    pub done_bytes: u64,
    /// Bytes that this step has to do, at most.
    pub total_bytes: u64,
}

/// A published image.
#[derive(Clone, Debug)]
pub struct Added {
    /// The profile with index and parts filled in: what there is to sign.
    pub profile: OsProfileSpec,
    /// Where the image is.
    pub folder: PathBuf,
    /// Whether it was there already.
    pub was_there: bool,
    /// Bytes of all parts.
    pub image_bytes: u64,
    /// Chunks of all parts.
    pub chunks: u32,
    /// Different chunks among them.
    pub unique_chunks: u32,
    /// Bytes of the pack.
    pub pack_bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// Publishes `image` under `profile` in the release folder `to`: all of it or nothing.
///
/// # Errors
/// If the image cannot be read, is not the profile's, does not have its layout, or the folder
/// cannot be written.
pub fn add_image(
    image: &Path,
    profile: OsProfileSpec,
    to: &Path,
    progress: &mut dyn FnMut(AddProgress),
) -> Result<Added, ReleaseError> {
    let began = Instant::now();
    match profile.os_type {
        OsType::Immutable => {}
        OsType::Mutable => return Err(ReleaseError::MutableProfile(profile.profile_name)),
    }
    let unpublished = Unpublished::begin(to)?;
    let raw = open_raw(image, profile.os_image_sha256, unpublished.path(), progress)?;
    let found = find_parts(&raw, image, &profile)?;
    let total_bytes = raw.metadata().map_or(0, |raw| raw.len());

    let pack_path = unpublished.path().join("pack");
    let failed = |error| ReleaseError::io("write", &pack_path, error);
    let pack = File::create(&pack_path).map_err(failed)?;
    let mut packer = Packer::new(BufWriter::with_capacity(1 << 20, pack), &pack_path);
    let mut profile = profile;
    profile.parts.clear();
    let mut done_bytes = 0;
    for part in found {
        part.read(&raw, &mut |reader| {
            let digest = packer.add_part(&part.name, reader, &mut |bytes| {
                done_bytes += bytes;
                progress(AddProgress { step: AddStep::Packing, done_bytes, total_bytes });
            })?;
            profile.parts.insert(part.name.clone(), digest);
            Ok(())
        })?;
    }
    let mut packed = packer.finish()?;
    packed.pack.flush().map_err(failed)?;
    packed.pack.get_ref().sync_all().map_err(failed)?;
    let (folder, was_there) = unpublished.publish(&packed.index, &packed.map)?;

    profile.index_digest = Some(packed.index.digest());
    profile.index_bytes = Some(packed.index.encode().len() as u64);
    Ok(Added {
        profile,
        folder,
        was_there,
        image_bytes: packed.index.total_bytes(),
        chunks: packed.index.chunk_count(),
        unique_chunks: packed.unique_chunks,
        pack_bytes: packed.pack_bytes,
        took: began.elapsed(),
    })
}
