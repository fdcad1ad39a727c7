//! Images: the signed index and what goes with it, and the disks that administrators publish.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use daymark_protocol::id::{ChunkHash, Digest};
use daymark_protocol::image::{ChunkSet, Index, IndexBuilder, PackMap};
use daymarkctl::fuzzing;

use super::{BINARY, comes_back, refused};
use crate::target::{Allowance, Target, Told};

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Sectors of the disk that inputs are put on.
pub(crate) const DISK_SECTORS: u16 = 4_096;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "index",
        about: "indexes of images",
        input_bytes_max: 256 * 1024,
        allowance: BINARY,
        words: &["rootfs", "agent", "uki"],
        sources: &["protocol/src/image/index.rs", "protocol/src/image/reader.rs"],
        run: |input| {
            let index = Index::decode(input).map_err(refused)?;
            assert!(Index::open(input, &Digest::of(input)).is_ok(), "its own digest is another");
            let parts: u32 = index.parts().iter().map(|part| part.chunks).sum();
            assert_eq!(parts, index.chunk_count(), "chunks that belong to no part");
            comes_back("index", &index.encode(), input)
        },
    },
    Target {
        name: "pack-map",
        about: "maps of packs",
        input_bytes_max: 64 * 1024,
        allowance: BINARY,
        words: &[],
        sources: &["protocol/src/image/pack_map.rs"],
        run: |input| {
            let map = PackMap::decode(input, &index()).map_err(refused)?;
            comes_back("map", &map.encode(), input)
        },
    },
    Target {
        name: "chunk-set",
        about: "bitmaps of chunks, behind their number",
        input_bytes_max: 64 * 1024,
        allowance: BINARY,
        words: &[],
        sources: &["protocol/src/image/chunk_set.rs"],
        run: |input| {
            let (chunks, bitmap) = input.split_first_chunk::<4>().ok_or("too short")?;
            let chunks = u32::from_be_bytes(*chunks);
            let set = ChunkSet::from_bytes(chunks, bitmap).map_err(refused)?;
            assert_eq!(set.iter().count() + set.missing().count(), chunks as usize, "lost chunks");
            comes_back("set", set.as_bytes(), bitmap)
        },
    },
    Target {
        name: "disk",
        about: "GPT disks with an ESP, their checksums as they are and as they want to be",
        input_bytes_max: 32 * 1024,
        allowance: Allowance { base_bytes: 8 * 1024 * 1024, per_byte: 64 },
        words: &["EFI PART", "ESP", "rootfs", "FAT12", "LINUX   EFI", "EFI        "],
        sources: &["ctl/src/release/disk.rs", "ctl/src/release/user_image.rs"],
        run: disk,
    },
    Target {
        name: "archive",
        about: "images as published: gzip, zstd, and forms that are refused by their first bytes",
        input_bytes_max: 32 * 1024,
        allowance: Allowance { base_bytes: 8 * 1024 * 1024, per_byte: 64 },
        words: &["QFI\u{fb}", "PK\u{3}\u{4}", "BZh", "\u{fd}7zXZ"],
        sources: &["ctl/src/release/unpack.rs"],
        run: |input| {
            let place = tempfile::tempdir().map_err(refused)?;
            let path = place.path().join("image");
            std::fs::write(&path, input).map_err(refused)?;
            fuzzing::image(&path, place.path()).map_err(|error| without(&error, place.path()))
        },
    },
];

fn without(error: &str, place: &std::path::Path) -> String {
    error.replace(&place.display().to_string(), "")
}

/// An index that maps and journals are of.
pub(crate) fn index() -> Index {
    let mut builder = IndexBuilder::default();
    let built = builder.begin_part("rootfs").and_then(|()| {
        (0..20_u32).try_for_each(|number| {
            builder.push_chunk(ChunkHash::of(&number.to_be_bytes()), 20_000 + number)
        })
    });
    built.and_then(|()| builder.finish()).expect("its part and chunks are within every limit")
}

/// Sectors, each behind its number (2 bytes); all others are zeros.
fn disk(input: &[u8]) -> Told {
    let as_is = image_of(input, |_| {})?;
    let repaired = image_of(input, repair)?;
    as_is.or(repaired)
}

fn image_of(input: &[u8], change: impl FnOnce(&mut [u8])) -> Result<Told, String> {
    let mut head = vec![0; 40 * SECTOR];
    let place = tempfile::tempdir().map_err(refused)?;
    let path = place.path().join("image");
    let mut file = File::create(&path).map_err(refused)?;
    file.write_all(&[0]).map_err(refused)?;
    file.set_len(u64::from(DISK_SECTORS) * 512).map_err(refused)?;
    for placed in input.chunks(2 + SECTOR) {
        let Some((number, sector)) = placed.split_first_chunk::<2>() else { break };
        let number = u16::from_be_bytes(*number) % DISK_SECTORS;
        let at = usize::from(number) * SECTOR;
        match head.get_mut(at..at + sector.len()) {
            Some(there) => there.copy_from_slice(sector),
            None => file.write_all_at(sector, at as u64).map_err(refused)?,
        }
    }
    change(&mut head);
    file.write_all_at(&head, 0).map_err(refused)?;
    drop(file);
    let opened = fuzzing::image(&path, place.path());
    Ok(opened.map_err(|error| without(&error, place.path())))
}

/// Writes the checksums that a GPT header and its table want.
fn repair(head: &mut [u8]) {
    let field = |head: &[u8], at: usize| {
        let bytes = head.get(SECTOR + at..SECTOR + at + 4).and_then(|bytes| bytes.try_into().ok());
        usize::try_from(bytes.map_or(0, u32::from_le_bytes)).unwrap_or(usize::MAX)
    };
    let table_at = field(head, 72).saturating_mul(SECTOR);
    let table_bytes = field(head, 80).saturating_mul(field(head, 84));
    let end = table_at.saturating_add(table_bytes);
    if let Some(sum) = head.get(table_at..end).map(crc32) {
        head[SECTOR + 88..SECTOR + 92].copy_from_slice(&sum.to_le_bytes());
    }
    head[SECTOR + 16..SECTOR + 20].fill(0);
    let header_bytes = field(head, 12).min(SECTOR);
    let sum = crc32(&head[SECTOR..SECTOR + header_bytes]);
    head[SECTOR + 16..SECTOR + 20].copy_from_slice(&sum.to_le_bytes());
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}
