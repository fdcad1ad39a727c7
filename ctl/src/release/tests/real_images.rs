//! Real images: two versions of Debian packages on ext4, on whole disks, published and updated from
//! one to the next. `tests/images/` builds them once and keeps them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// The folder of the pair: the one that `DAYMARK_IMAGE_PAIR` names, or what `make-pair` makes.
/// `None`, and why on standard error, where that cannot be.
fn pair() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("DAYMARK_IMAGE_PAIR") {
        return Some(folder.into());
    }
    let made = run("make-pair", &[]).map_err(|why| eprintln!("skipped: {why}")).ok()?;
    Some(made.trim_end().into())
}

/// Runs a script of `tests/images/`; what it prints, or what it says is missing.
fn run(script: &str, arguments: &[&Path]) -> Result<String, String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/images");
    let ran = Command::new(scripts.join(script)).args(arguments).output();
    let ran = ran.map_err(|error| error.to_string())?;
    if ran.status.success() {
        String::from_utf8(ran.stdout).map_err(|error| error.to_string())
    } else {
        Err(String::from_utf8_lossy(&ran.stderr).trim_end().to_owned())
    }
}

/// Whether two files have the same bytes, read a piece at a time: images are large.
fn same_bytes(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).unwrap(), File::open(other).unwrap());
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    if one.metadata().unwrap().len() != other.metadata().unwrap().len() {
        return false;
    }
    loop {
        let count = one.read(&mut left).unwrap();
        other.read_exact(&mut right[..count]).unwrap();
        if count == 0 || left[..count] != right[..count] {
            return count == 0;
        }
    }
}

#[test]
fn real_images_are_taken_off_whole_disks_and_updated_from_one_to_the_next() {
    let Some(pair) = pair() else { return };
    let bench = Workbench::new();
    let mut published = Vec::new();
    for (name, version) in [("old", "1.0.20260101"), ("new", "1.1.20260201")] {
        let root = pair.join(name).with_extension("img");
        let uki = bench.file(&format!("{name}.efi"), &noise(name, 5_000_000));
        let disk = bench.folder.path().join(format!("{name}.raw"));
        if let Err(why) = run("make-disk", &[&root, &uki, &disk]) {
            eprintln!("skipped: {why}");
            return;
        }
        let layout = [("rootfs", "rootfs", None), ("uki", "ESP", Some(UKI_PATH))];
        let profile = OsProfileSpec { os_image_version: version.into(), ..with_layout(&layout) };
        let added = bench.add(&disk, profile).unwrap();
        println!(
            "{name}: {} bytes, {} chunks ({} different), pack {} bytes, {:.1} s",
            added.image_bytes,
            added.chunks,
            added.unique_chunks,
            added.pack_bytes,
            added.took.as_secs_f64(),
        );
        published.push((added, root, uki));
    }
    let [(old, old_root, old_uki), (new, new_root, new_uki)] = published.try_into().unwrap();

    let machine = Machine::new(&old.profile);
    let first = machine.stage("a", &old.profile, &bench.release());
    assert!(same_bytes(&machine.part("a", "rootfs"), &old_root));
    assert!(same_bytes(&machine.part("a", "uki"), &old_uki));
    let update = machine.stage("b", &new.profile, &bench.release());
    assert!(same_bytes(&machine.part("b", "rootfs"), &new_root));
    assert!(same_bytes(&machine.part("b", "uki"), &new_uki));
    println!(
        "first: {} bytes moved; update: {} moved, {} from the own slot",
        first.origin_bytes, update.origin_bytes, update.own_bytes,
    );
    assert_eq!(update.verified_bytes, new.image_bytes);
    assert!(update.own_bytes > new.image_bytes * 3 / 4, "{update:?}");
    assert!(update.origin_bytes < first.origin_bytes / 2, "{update:?}");
}
