//! Publishing images: what comes out, and that nothing comes out of a bad one.

mod real_images;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daymark_core::event::StageProgress;
use daymark_node::slots::{BootState, ImageIdentity, SlotLayout, Slots};
use daymark_node::transfer::{
    NoPeers, ReleaseSource, StageRequest, StageSettings, StageSources, stage,
};
use daymark_protocol::id::Digest;
use daymark_protocol::image::Index;
use daymark_protocol::resource::{FileSystem, LayoutPart, OsProfileSpec, OsType, PartSource};

use super::sample_disk::{Content, SampleDisk, UKI_PATH, write_sample_disk};
use super::*;

fn profile() -> OsProfileSpec {
    serde_json::from_value(serde_json::json!({
        "name": "Sample 1.2.3", "type": "OS_TYPE_IMMUTABLE", "provider": "OS_PROVIDER_KIND_INFRA",
        "profileName": "sample", "osImageVersion": "1.2.3",
    }))
    .unwrap()
}

fn with_layout(parts: &[(&str, &str, Option<&str>)]) -> OsProfileSpec {
    let file = |path: &str| PartSource { file_system: FileSystem::Vfat, path: path.into() };
    let part = |(name, partition, path): &(&str, &str, Option<&str>)| {
        let partition = (*partition).to_owned();
        ((*name).to_owned(), LayoutPart { partition, file: path.map(file) })
    };
    OsProfileSpec { layout: parts.iter().map(part).collect(), ..profile() }
}

fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A file system of sorts: what compresses, what does not, and a stretch of zeros.
fn file_system() -> Vec<u8> {
    let mut bytes = noise("fs", 3_000_000);
    bytes[500_000..900_000].fill(b'a');
    bytes[1_000_000..1_900_000].fill(0);
    bytes
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Workbench {
    folder: tempfile::TempDir,
}

impl Workbench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn release(&self) -> PathBuf {
        self.folder.path().join("release")
    }

    fn add(&self, image: &Path, profile: OsProfileSpec) -> Result<Added, ReleaseError> {
        add_image(image, profile, &self.release(), &mut |_| {})
    }

    /// The refusal of a bad image, of which nothing is left.
    fn refused(&self, image: &Path, profile: OsProfileSpec) -> String {
        let error = self.add(image, profile).unwrap_err();
        if let Ok(left) = std::fs::read_dir(self.release().join("images")) {
            assert_eq!(left.count(), 0, "something is left after: {error}");
        }
        error.to_string()
    }

    /// What a node gets that stages the image from the release folder, by part.
    fn staged(&self, profile: &OsProfileSpec) -> Vec<(String, Vec<u8>)> {
        let machine = Machine::new(profile);
        machine.stage("b", profile, &self.release());
        let read = |part: &String| (part.clone(), std::fs::read(machine.part("b", part)).unwrap());
        profile.parts.keys().map(read).collect()
    }
}

/// A node's slots.
struct Machine {
    folder: tempfile::TempDir,
    slots: Arc<Slots>,
}

impl Machine {
    fn new(profile: &OsProfileSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, part: &String| folder.path().join(format!("{name}-{part}"));
        let layout = |name: &str| SlotLayout {
            name: name.into(),
            parts: profile.parts.keys().map(|of| (of.clone(), part(name, of))).collect(),
        };
        let records = folder.path().join("records");
        let slots = Arc::new(Slots::open(vec![layout("a"), layout("b")], records).unwrap());
        Self { folder, slots }
    }

    fn part(&self, slot: &str, part: &str) -> PathBuf {
        self.folder.path().join(format!("{slot}-{part}"))
    }

    fn stage(&self, slot: &str, profile: &OsProfileSpec, release: &Path) -> StageProgress {
        let request = StageRequest {
            slot: slot.into(),
            boot: BootState::default(),
            image: ImageIdentity {
                profile: Digest::of(b"profile"),
                profile_name: profile.profile_name.clone(),
                version: profile.os_image_version.clone(),
                index: profile.index_digest.unwrap(),
                parts: profile.parts.clone(),
            },
            index_bytes: profile.index_bytes.unwrap(),
        };
        let origin = ReleaseSource::parse(&release.display().to_string(), None).unwrap();
        let sources = StageSources { peers: Arc::new(NoPeers), origins: vec![origin] };
        let settings = StageSettings { origin_wait_ms: (0, 0), ..StageSettings::default() };
        let slots = Arc::clone(&self.slots);
        let staging =
            stage(slots, request, sources, settings, Default::default(), Default::default());
        tokio::runtime::Runtime::new().unwrap().block_on(staging).unwrap()
    }
}

#[test]
fn a_bare_file_system_reaches_a_node_s_slot() {
    let bench = Workbench::new();
    let bytes = file_system();
    let image = bench.file("edge.raw", &bytes);
    let digest = Digest::of(&bytes);
    let mut steps = Vec::new();
    let signed = OsProfileSpec { os_image_sha256: Some(digest), ..profile() };
    let added = add_image(&image, signed, &bench.release(), &mut |at| {
        if steps.last() != Some(&at.step) {
            steps.push(at.step);
        }
    })
    .unwrap();
    assert_eq!(steps, [AddStep::Checking, AddStep::Packing]);
    assert_eq!(added.profile.parts["rootfs"].sha256, digest);
    assert_eq!(added.image_bytes, 3_000_000);
    assert!(added.unique_chunks < added.chunks && added.pack_bytes < 1_800_000, "{added:?}");
    let index = std::fs::read(added.folder.join("index")).unwrap();
    Index::open(&index, &added.profile.index_digest.unwrap()).unwrap();
    assert!(bench.staged(&added.profile) == [("rootfs".to_owned(), bytes)]);
}

#[test]
fn packed_images_give_the_same_index_as_raw_ones() {
    let bytes = file_system();
    let mut digests = Vec::new();
    for (name, published) in [
        ("edge.raw", bytes.clone()),
        ("edge.raw.gz", gz(&bytes)),
        ("edge.raw.zst", zstd::encode_all(bytes.as_slice(), 3).unwrap()),
    ] {
        let bench = Workbench::new();
        let image = bench.file(name, &published);
        let sha256 = Some(Digest::of(&published));
        let added = bench.add(&image, OsProfileSpec { os_image_sha256: sha256, ..profile() });
        digests.push(added.unwrap().profile.index_digest.unwrap());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn a_whole_disk_is_taken_apart_by_its_layout() {
    let bench = Workbench::new();
    let (uki, root, agent) = (noise("uki", 700_000), noise("root", 2_048_000), noise("ag", 51_200));
    let image = bench.folder.path().join("disk.raw");
    let partitions = [("rootfs", Content::Bytes(&root)), ("agent", Content::Bytes(&agent))];
    write_sample_disk(&image, &SampleDisk { uki: &uki, partitions: &partitions }).unwrap();
    let layout = [("agent", "3", None), ("rootfs", "rootfs", None), ("uki", "ESP", Some(UKI_PATH))];
    let packed = bench.file("disk.raw.gz", &gz(&std::fs::read(&image).unwrap()));
    let added = bench.add(&packed, with_layout(&layout)).unwrap();
    let parts = bench.staged(&added.profile);
    let expected = [("agent", agent), ("rootfs", root), ("uki", uki)];
    assert!(parts == expected.map(|(name, bytes)| (name.to_owned(), bytes)));
}

#[test]
fn the_same_image_again_is_found_and_a_broken_one_replaced() {
    let bench = Workbench::new();
    let image = bench.file("edge.raw", &file_system());
    let first = bench.add(&image, profile()).unwrap();
    let again = bench.add(&image, profile()).unwrap();
    assert!(!first.was_there && again.was_there);
    std::fs::write(first.folder.join("pack"), b"short").unwrap();
    assert!(!bench.add(&image, profile()).unwrap().was_there);
    bench.staged(&first.profile);
    assert_eq!(std::fs::read_dir(bench.release().join("images")).unwrap().count(), 1);
}

#[test]
fn what_an_interrupted_addition_left_goes_with_the_next() {
    let bench = Workbench::new();
    let left = bench.release().join("images/.new-killed");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("pack"), b"half").unwrap();
    let image = bench.file("edge.raw", &file_system());
    let added = bench.add(&image, profile()).unwrap();
    let images = std::fs::read_dir(bench.release().join("images")).unwrap();
    let images: Vec<_> = images.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(images, [added.folder]);
}

#[test]
fn truncated_and_damaged_archives_are_refused_whole() {
    let bench = Workbench::new();
    // As the zstd tool writes it: with a checksum at the end.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&file_system()).unwrap();
    let zst = encoder.finish().unwrap();
    for (name, packed) in [("a.raw.gz", gz(&file_system())), ("a.raw.zst", zst)] {
        let cut = bench.file(name, &packed[..packed.len() - 100]);
        assert!(bench.refused(&cut, profile()).ends_with("was cut short; fetch it again"));
        let mut damaged = packed.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 64].fill(0xff);
        let damaged = bench.file(name, &damaged);
        let refused = bench.refused(&damaged, profile());
        assert!(refused.contains("is damaged") || refused.contains("cut short"), "{refused}");
    }
    let empty = bench.file("empty.raw", b"");
    assert!(bench.refused(&empty, profile()).ends_with("is empty"));
}

#[test]
fn an_image_that_is_not_the_profile_s_is_refused() {
    let bench = Workbench::new();
    let expected = Digest::of(b"another image");
    for (name, published) in [("a.raw", file_system()), ("a.raw.gz", gz(&file_system()))] {
        let got = Digest::of(&published);
        let image = bench.file(name, &published);
        let wrong = OsProfileSpec { os_image_sha256: Some(expected), ..profile() };
        let refused = bench.refused(&image, wrong);
        assert!(refused.contains(&got.to_string()) && refused.contains(&expected.to_string()));
    }
}

#[test]
fn forms_that_are_not_read_are_named() {
    let bench = Workbench::new();
    for (head, form) in
        [(b"\xfd7zXZ\0\0\0".as_slice(), "xz"), (b"QFI\xfb\0\0\0\x03", "qcow2"), (b"BZh9", "bz2")]
    {
        let image = bench.file("image", head);
        assert!(bench.refused(&image, profile()).contains(form));
    }
    let image = bench.file("edge.raw", &file_system());
    let mutable = OsProfileSpec { os_type: OsType::Mutable, ..profile() };
    assert!(bench.refused(&image, mutable).contains("mutable"));
}

#[test]
fn a_layout_that_does_not_fit_the_disk_is_explained() {
    let bench = Workbench::new();
    let disk = bench.folder.path().join("disk.raw");
    let root = noise("root", 2_048_000);
    let twin = |byte| ("twin", Content::Bytes(byte));
    let partitions = [("rootfs", Content::Bytes(&root)), twin(b"x"), twin(b"y")];
    write_sample_disk(&disk, &SampleDisk { uki: b"uki", partitions: &partitions }).unwrap();
    let bare = bench.file("bare.raw", &file_system());
    let short = std::fs::read(&disk).unwrap();
    let mut odd = short.clone();
    // The size of an entry in the first table, which the reading library would stop the program at.
    odd[512 + 84] = 0;
    let odd = bench.file("odd.raw", &odd);
    let short = bench.file("short.raw", &short[..7_000_000]);
    let rootfs = ("rootfs", "rootfs", None);
    for (image, profile, said) in [
        (&disk, profile(), "1 (\"ESP\"), 2 (\"rootfs\"), 3 (\"twin\"), 4 (\"twin\")"),
        (&bare, with_layout(&[rootfs]), "has no GPT"),
        (&disk, with_layout(&[("rootfs", "root", None)]), "has no partition \"root\""),
        (&disk, with_layout(&[("rootfs", "twin", None)]), "more than one partition"),
        (&disk, with_layout(&[("uki", "ESP", Some("EFI/none.efi"))]), "EFI/none.efi"),
        (&disk, with_layout(&[("uki", "rootfs", Some(UKI_PATH))]), UKI_PATH),
        (&short, with_layout(&[rootfs]), "was cut short"),
        (&odd, with_layout(&[rootfs]), "partition table no tool writes"),
    ] {
        let refused = bench.refused(image, profile);
        assert!(refused.contains(said), "{refused}");
    }
}
