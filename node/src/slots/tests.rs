//! Slots on real files: what is refused, what survives, what is read back.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::testing::{TestImage, noise, two_slots};
use super::*;

fn old() -> TestImage {
    TestImage::new(
        "1.0.0",
        &[("agent", noise("agent1", 50_000)), ("rootfs", noise("root", 900_000))],
    )
}

/// The old image with 3 bytes inserted early and a change late.
fn new() -> TestImage {
    let mut root = noise("root", 900_000);
    root.splice(100_000..100_000, [1, 2, 3]);
    root[700_000] ^= 1;
    TestImage::new("1.1.0", &[("agent", noise("agent2", 60_000)), ("rootfs", root)])
}

fn booted(slot: &str) -> BootState {
    BootState { booted: Some(slot.into()), default: Some(slot.into()), ..BootState::default() }
}

#[test]
fn an_image_is_written_verified_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let image = old();
    image.install(&two_slots(folder.path()), "b");
    let root = fs::read(folder.path().join("b-rootfs.img")).unwrap();
    assert!(root == image.parts["rootfs"]);

    let slots = two_slots(folder.path());
    let record = slots.record("b").unwrap().unwrap();
    assert_eq!(record, SlotRecord { image: image.identity.clone(), complete: true });
    assert_eq!(slots.record("a").unwrap(), None);
    let held = slots.image(&image.index.digest()).unwrap();
    assert!(held.held().is_full());
    assert_eq!(held.read(3).unwrap(), image.chunk(3));
}

#[test]
fn i5_the_running_slot_and_the_way_back_are_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    old().install(&slots, "a");
    let before = fs::read(folder.path().join("a-rootfs.img")).unwrap();
    let begin = |slot: &str, boot: &BootState| {
        slots.begin(slot, boot, &new().identity, new().index).map(|_| ())
    };
    assert!(matches!(begin("a", &booted("a")), Err(SlotError::Booted(_))));
    let trial = BootState { unconfirmed: true, default: Some("a".into()), ..booted("b") };
    assert!(matches!(begin("a", &trial), Err(SlotError::Unconfirmed { .. })));
    let renamed = booted("A");
    assert!(matches!(begin("a", &renamed), Err(SlotError::BootedUnknown(_))));
    assert_eq!(slots.inactive(Some("A")), None, "any slot could be the running one");
    assert_eq!(slots.inactive(Some("a")), Some("b"));
    assert!(fs::read(folder.path().join("a-rootfs.img")).unwrap() == before);
    assert!(slots.record("a").unwrap().unwrap().complete);
}

#[test]
fn a_restart_resumes_with_what_the_journal_says() {
    let folder = tempfile::tempdir().unwrap();
    let image = old();
    {
        let slots = two_slots(folder.path());
        let mut writer = image.begin(&slots, "b");
        for number in 0..4 {
            writer.put(&image.chunk(number)).unwrap();
        }
        writer.sync().unwrap();
        writer.put(&image.chunk(4)).unwrap();
        // Dropped without a sync, as by SIGKILL: chunk 4 was never put in the journal.
    }
    let slots = two_slots(folder.path());
    assert!(!slots.record("b").unwrap().unwrap().complete);
    let mut writer = image.begin(&slots, "b");
    assert_eq!(writer.image().held().iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(matches!(writer.finish(&mut |_| {}), Err(SlotError::Incomplete { .. })));
    for number in 4..image.index.chunk_count() {
        writer.put(&image.chunk(number)).unwrap();
    }
    writer.finish(&mut |_| {}).unwrap();
}

#[test]
fn a_new_image_voids_the_old_record_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    old().install(&slots, "b");
    drop(new().begin(&slots, "b"));
    let record = two_slots(folder.path()).record("b").unwrap().unwrap();
    assert_eq!((record.image.version.as_str(), record.complete), ("1.1.0", false));
    let reopened = two_slots(folder.path());
    assert_eq!(reopened.image_in("b").unwrap().held().count(), 0);
}

/// A power cut between the two files: the record is the new image's, the index still the old one's.
#[test]
fn a_cut_between_record_and_index_is_mended_by_the_next_writing() {
    for left in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("records/b.index");
        old().install(&two_slots(folder.path()), "b");
        let before = fs::read(&index).unwrap();
        drop(new().begin(&two_slots(folder.path()), "b"));
        if left {
            fs::write(&index, before).unwrap()
        } else {
            fs::remove_file(&index).unwrap()
        }

        let slots = two_slots(folder.path());
        assert!(slots.image_in("b").is_none(), "what the slot holds is unknown until then");
        new().install(&slots, "b");
        let held = two_slots(folder.path()).image_in("b").expect("known after a restart");
        assert!(held.held().is_full());
    }
}

#[test]
fn a_part_that_was_lost_after_its_verification_is_named_and_staged_again() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    slots.check_parts_there("b").expect("nothing is recorded of it");
    old().install(&slots, "b");
    slots.check_parts_there("b").unwrap();
    let agent = folder.path().join("b-agent.img");
    let lost = || slots.check_parts_there("b").unwrap_err();
    fs::File::options().write(true).open(&agent).unwrap().set_len(49_999).unwrap();
    assert!(matches!(lost(), SlotError::PartLost { part, .. } if part == "agent"));
    fs::remove_file(&agent).unwrap();
    assert!(matches!(lost(), SlotError::PartLost { part, .. } if part == "agent"));

    let slots = two_slots(folder.path());
    let image = old();
    let mut writer = image.begin(&slots, "b");
    assert!(matches!(writer.finish(&mut |_| {}), Err(SlotError::Rotten { .. })));
    for number in writer.image().held().missing() {
        writer.put(&image.chunk(number)).unwrap();
    }
    writer.finish(&mut |_| {}).unwrap();
    slots.check_parts_there("b").unwrap();
}

#[test]
fn chunks_that_lie_where_they_must_are_kept_and_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    old().install(&slots, "b");
    let image = new();
    let mut writer = image.begin(&slots, "b");
    let kept = writer.keep_in_place().unwrap();
    let held = writer.image().held();
    assert!(kept > 0, "the start of the part is the same in both images");
    let total: u64 = held.iter().map(|n| u64::from(image.index.chunk(n).unwrap().bytes)).sum();
    assert_eq!(kept, total);
    for number in held.missing() {
        writer.put(&image.chunk(number)).unwrap();
    }
    writer.finish(&mut |_| {}).unwrap();
}

#[test]
fn rot_is_not_served_and_not_accepted_as_complete() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    let image = old();
    image.install(&slots, "b");
    let file = fs::File::options().write(true).open(folder.path().join("b-rootfs.img")).unwrap();
    file.write_all_at(b"rot", 5).unwrap();
    let damaged = image.index.part("rootfs").unwrap().first_chunk;

    let held = slots.image(&image.index.digest()).unwrap();
    assert!(matches!(held.read(damaged), Err(ReadChunkError::Rotten(_))));
    assert!(matches!(held.read(damaged), Err(ReadChunkError::NotHeld(_))));

    let mut writer = image.begin(&slots, "b");
    let rotten = writer.finish(&mut |_| {});
    assert!(matches!(rotten, Err(SlotError::Rotten { chunks: 1, .. })), "{rotten:?}");
    assert!(!slots.record("b").unwrap().unwrap().complete);
    assert_eq!(writer.image().held().missing().collect::<Vec<_>>(), [damaged]);
    writer.put(&image.chunk(damaged)).unwrap();
    writer.finish(&mut |_| {}).unwrap();
}

#[test]
fn i1_a_part_whose_sha256_is_not_the_signed_one_is_never_complete() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    let mut image = old();
    image.identity.parts.get_mut("rootfs").unwrap().sha256 =
        daymark_protocol::id::Digest::of(b"other");
    let mut writer = image.begin(&slots, "b");
    for number in 0..image.index.chunk_count() {
        writer.put(&image.chunk(number)).unwrap();
    }
    let refused = writer.finish(&mut |_| {});
    assert!(matches!(refused, Err(SlotError::WrongDigest { .. })), "{refused:?}");
    assert!(!slots.record("b").unwrap().unwrap().complete);
}

#[test]
fn images_that_do_not_fit_the_slot_are_refused_before_anything_changes() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    let boot = BootState::default();
    let foreign = TestImage::new("2.0.0", &[("uki", noise("uki", 100))]);
    let refused = slots.begin("b", &boot, &foreign.identity, foreign.index);
    assert_eq!(
        refused.map(|_| ()).unwrap_err().to_string(),
        "the image has a part uki, but slot b has no place for it; name one in `slots`"
    );
    let mut unsigned = old();
    unsigned.identity.parts.get_mut("rootfs").unwrap().bytes += 1;
    let refused = slots.begin("b", &boot, &unsigned.identity, unsigned.index);
    assert!(matches!(refused, Err(SlotError::PartsDiffer(_))));
    assert_eq!(slots.record("b").unwrap(), None);
    assert!(!folder.path().join("b-rootfs.img").exists());
}

#[test]
fn a_part_that_the_image_lacks_does_not_stay_bootable() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    old().install(&slots, "b");
    let bare = TestImage::new("2.0.0", &[("rootfs", noise("bare", 30_000))]);
    bare.install(&slots, "b");
    let agent = fs::read(folder.path().join("b-agent.img")).unwrap();
    assert!(agent[..4096].iter().all(|byte| *byte == 0));
    assert_eq!(agent.len(), 50_000);
}

#[test]
fn equal_chunks_are_written_to_all_their_places_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    let image = TestImage::new("1.0.0", &[("rootfs", vec![0; 1_000_000])]);
    let mut writer = image.begin(&slots, "b");
    assert_eq!(writer.put(&image.chunk(0)).unwrap(), 3 * 262_144);
    assert_eq!(writer.put(&image.chunk(0)).unwrap(), 0);
    assert_eq!(writer.image().held().missing().collect::<Vec<_>>(), [3]);
}

#[test]
fn clashing_layouts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let layout = |name: &str, file: &str| SlotLayout {
        name: name.into(),
        parts: [("rootfs".to_owned(), folder.path().join(file))].into(),
    };
    let open = |layouts| Slots::open(layouts, folder.path().join("records")).map(|_| ());
    assert!(matches!(open(vec![layout("a", "x")]), Err(SlotError::SlotNames(_))));
    assert!(matches!(open(vec![layout("a", "x"), layout("a", "y")]), Err(SlotError::SlotNames(_))));
    fs::write(folder.path().join("x"), b"").unwrap();
    std::os::unix::fs::symlink(folder.path().join("x"), folder.path().join("y")).unwrap();
    let shared = open(vec![layout("a", "x"), layout("b", "y")]);
    assert!(matches!(shared, Err(SlotError::SharedPath { .. })));
}

#[test]
fn a_damaged_record_means_unknown_content() {
    let folder = tempfile::tempdir().unwrap();
    let image = old();
    image.install(&two_slots(folder.path()), "b");
    let path = folder.path().join("records/b.record");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("1.0.0", "9.9.9")).unwrap();
    let slots = two_slots(folder.path());
    assert_eq!(slots.record("b").unwrap(), None);
    assert!(slots.image(&image.index.digest()).is_none());
}

#[test]
fn only_proven_bytes_become_a_chunk() {
    let image = old();
    let mut bytes = image.bytes(1);
    bytes[0] ^= 1;
    assert_eq!(VerifiedChunk::check(&image.index, 1, bytes), Err(WrongBytes { chunk: 1 }));
    let short = image.bytes(1)[1..].to_vec();
    assert!(VerifiedChunk::check(&image.index, 1, short).is_err());
    let beyond = image.index.chunk_count();
    assert!(VerifiedChunk::check(&Arc::clone(&image.index), beyond, vec![]).is_err());
}

/// On the block device of 1 MiB or more that `DAYMARK_BLOCK_DEVICE` names, such as a loop device.
/// Its content is lost.
#[test]
fn a_block_device_is_written_but_never_grown() {
    let Some(device) = std::env::var_os("DAYMARK_BLOCK_DEVICE") else { return };
    let folder = tempfile::tempdir().unwrap();
    let layout = |name: &str, path: std::path::PathBuf| SlotLayout {
        name: name.into(),
        parts: [("rootfs".to_owned(), path)].into(),
    };
    let layouts = vec![layout("a", folder.path().join("a")), layout("b", device.clone().into())];
    let slots = Slots::open(layouts, folder.path().join("records")).unwrap();
    let image = TestImage::new("1.0.0", &[("rootfs", noise("device", 900_000))]);
    image.install(&slots, "b");
    let mut found = vec![0; 900_000];
    fs::File::open(&device).unwrap().read_exact_at(&mut found, 0).unwrap();
    assert!(found == image.parts["rootfs"]);

    let large = TestImage::new("2.0.0", &[("rootfs", vec![7; 1 << 30])]);
    let boot = BootState::default();
    let refused = slots.begin("b", &boot, &large.identity, large.index).map(|_| ());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("slot b part rootfs has "), "{refused}");
    assert!(refused.ends_with(" bytes, the image needs 1073741824"), "{refused}");
    assert!(slots.record("b").unwrap().unwrap().complete, "what was there still counts");
}

/// In the folder on a file system of less than 1 GiB that `DAYMARK_SMALL_DISK` names.
#[test]
fn a_full_disk_is_told_before_anything_changes() {
    let Some(disk) = std::env::var_os("DAYMARK_SMALL_DISK") else { return };
    let folder = tempfile::tempdir_in(disk).unwrap();
    let slots = two_slots(folder.path());
    let image = old();
    image.install(&slots, "b");
    let before = fs::read(folder.path().join("b-rootfs.img")).unwrap();
    let large = TestImage::new("2.0.0", &[("rootfs", vec![7; 1 << 30])]);
    let boot = BootState::default();
    let refused = slots.begin("b", &boot, &large.identity, large.index).map(|_| ());
    assert!(matches!(refused, Err(SlotError::NoSpace { .. })), "{refused:?}");
    assert!(fs::read(folder.path().join("b-rootfs.img")).unwrap() == before);
    assert!(slots.record("b").unwrap().unwrap().complete, "what was there still counts");
}

#[test]
fn i1_behind_a_part_nothing_of_an_earlier_image_follows() {
    let folder = tempfile::tempdir().unwrap();
    let slots = two_slots(folder.path());
    old().install(&slots, "b");
    let agent = folder.path().join("b-agent.img");
    let before = fs::read(&agent).unwrap();
    let short =
        TestImage::new("3.0.0", &[("agent", b"#!/bin/sh\n".to_vec()), ("rootfs", vec![7; 20_000])]);
    short.install(&slots, "b");
    let after = fs::read(&agent).unwrap();
    assert_eq!(after.len(), before.len(), "the place keeps its size");
    assert!(after.starts_with(b"#!/bin/sh\n"));
    let behind = &after[10..10 + CLEARED_BYTES];
    assert!(behind.iter().all(|byte| *byte == 0), "bytes of the earlier image follow");
}
