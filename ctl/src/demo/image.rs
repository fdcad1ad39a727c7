//! The demo's OS images: two disks that differ as a small update does, each with the agent in a
//! partition of its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use daymark_protocol::resource::{FileSystem, LayoutPart, OsProfileSpec, OsType, PartSource};

use crate::output;
use crate::release::sample_disk::{Content, SampleDisk, UKI_PATH, write_sample_disk};
use crate::release::user_image::UserImage;

/// The demo's OS profile.
pub(super) const PROFILE: &str = "edge-demo";
/// Size of the demo's own root file system, bytes.
const ROOTFS_BYTES: usize = 24 << 20;
/// An update changes one block in this many.
const CHANGED_EVERY: u32 = 12;

/// One version of the OS.
#[derive(Clone, Debug)]
pub(super) struct Release {
    /// Image version.
    pub(super) version: String,
    /// The disk image.
    pub(super) disk: PathBuf,
}

/// Writes the disk image of one version. `content` is the user's image, or else `generation` tells
/// the demo's own apart.
pub(super) fn write(
    folder: &Path,
    version: &str,
    generation: u32,
    agent: &[u8],
    content: Option<&Path>,
) -> anyhow::Result<Release> {
    let disk = folder.join(format!("{PROFILE}-{version}.raw"));
    let own_uki = format!("UKI of {PROFILE} {version}\n").repeat(4096);
    let agent = ("agent", Content::Bytes(agent));
    let written = match content {
        Some(path) => {
            let image = UserImage::open(path, folder)?;
            output::text(&format!("  took of {}: {}", path.display(), image.taken));
            let uki = image.kernel.as_deref().unwrap_or(own_uki.as_bytes());
            let partitions = [("rootfs", image.rootfs()), agent];
            write_sample_disk(&disk, &SampleDisk { uki, partitions: &partitions })
        }
        None => {
            let rootfs = rootfs(generation);
            let partitions = [("rootfs", Content::Bytes(&rootfs)), agent];
            let uki = own_uki.as_bytes();
            write_sample_disk(&disk, &SampleDisk { uki, partitions: &partitions })
        }
    };
    written.with_context(|| format!("cannot write {}", disk.display()))?;
    Ok(Release { version: version.to_owned(), disk })
}

/// A root file system of blocks that compress about as well as programs do; of a later generation
/// every twelfth block is new.
fn rootfs(generation: u32) -> Vec<u8> {
    const BLOCK_BYTES: usize = 64 << 10;
    let mut bytes = Vec::with_capacity(ROOTFS_BYTES);
    for block in 0..u32::try_from(ROOTFS_BYTES / BLOCK_BYTES).unwrap_or(0) {
        let changed =
            if block % CHANGED_EVERY == generation % CHANGED_EVERY { generation } else { 0 };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&block.to_be_bytes()).update(&changed.to_be_bytes());
        let mut random = vec![0_u8; BLOCK_BYTES / 2];
        hasher.finalize_xof().fill(&mut random);
        bytes.extend_from_slice(&random);
        bytes.resize(bytes.len() + BLOCK_BYTES / 2, u8::try_from(block % 251).unwrap_or(0));
    }
    bytes
}

/// The profile of one version, as `release add` takes it.
pub(super) fn profile(version: &str) -> OsProfileSpec {
    let partition = |label: &str| LayoutPart { partition: label.to_owned(), file: None };
    let uki = LayoutPart {
        partition: "ESP".into(),
        file: Some(PartSource { file_system: FileSystem::Vfat, path: UKI_PATH.into() }),
    };
    OsProfileSpec {
        name: format!("Demo edge OS {version}"),
        os_type: OsType::Immutable,
        provider: "OS_PROVIDER_KIND_INFRA".into(),
        architecture: String::new(),
        profile_name: PROFILE.into(),
        os_image_url: String::new(),
        os_image_version: version.into(),
        os_image_sha256: None,
        os_package_manifest_url: String::new(),
        os_existing_cves_url: String::new(),
        os_fixed_cves_url: String::new(),
        security_feature: String::new(),
        platform_bundle: None,
        description: String::new(),
        tls_ca_certificate: String::new(),
        layout: [
            ("rootfs".to_owned(), partition("rootfs")),
            ("agent".to_owned(), partition("agent")),
            ("uki".to_owned(), uki),
        ]
        .into(),
        index_digest: None,
        index_bytes: None,
        parts: [].into(),
        minimum_version: None,
        activation_seconds: Some(30),
        health_checks: Vec::new(),
    }
}
