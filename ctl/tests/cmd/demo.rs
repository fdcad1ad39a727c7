//! The demo, as the README's first command runs it: with its own images and with the user's. Every
//! check reads what a person would see.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use daymarkctl::release::sample_disk::{Content, SampleDisk, write_sample_disk};
use flate2::Compression;
use flate2::write::GzEncoder;

/// The program without its debugging symbols: the demo installs it on every machine, twice.
fn program(folder: &Path) -> PathBuf {
    let stripped = folder.join("daymarkctl");
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(env!("CARGO_BIN_EXE_daymarkctl"))
        .status();
    match strip {
        Ok(status) if status.success() => stripped,
        Ok(_) | Err(_) => env!("CARGO_BIN_EXE_daymarkctl").into(),
    }
}

/// Runs the demo to its end, in a temporary folder of its own, which it must leave empty.
fn demo(program: &Path, arguments: &[&str]) -> String {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "out: {out}\nerr: {err}");
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "left something behind");
    out
}

/// The last table's rows: node, from, to, own slot, origin, peers.
fn rows(out: &str) -> Vec<Vec<String>> {
    let (_, table) = out.split_once("What moved").expect("the demo ends with a table");
    let row = |line: &str| {
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let is_machine = |cells: &Vec<String>| {
        cells.first().is_some_and(|name| name.starts_with("press-") || name.starts_with("oven-"))
    };
    table.lines().map(row).filter(is_machine).collect()
}

/// What holds of every run of the demo.
fn tells_the_whole_story(out: &str) {
    assert!(out.contains("1 of 2 signatures of the role policy; it changes nothing"), "{out}");
    assert!(out.contains("refused") && out.contains("sent wrong bytes for chunk"), "{out}");
    assert!(out.contains("it still runs edge-demo@1.0.20260701"), "{out}");
    let rows = rows(out);
    assert_eq!(rows.len(), 5, "{out}");
    for cells in &rows {
        assert_eq!(cells[1], "1.0.20260601", "{out}");
        assert_eq!(cells[2], "edge-demo@1.0.20260701", "{out}");
        let (origin, peers) = (&cells[4], &cells[5]);
        if cells[0] == "press-01" {
            assert!(origin != "0 B" && peers == "-", "only press-01 reaches the origin: {out}");
        } else {
            let of_a_machine = peers.contains("press-0") || peers.contains("oven-0");
            assert!(origin == "0 B" && of_a_machine, "{} needs peers: {out}", cells[0]);
        }
    }
    assert!(out.contains("The release service answered press-01 only; "), "{out}");
}

/// A whole disk as a user has one: a kernel of its own on the ESP, a root file system.
fn users_disk(path: &Path, kernel: &[u8], version: u8) {
    let mut root = vec![0; 6 << 20];
    blake3::Hasher::new().update(b"root").finalize_xof().fill(&mut root[..4 << 20]);
    root[1 << 20..][..64 << 10].fill(version);
    let partitions = [("data", Content::Bytes(&[7; 512])), ("rootfs-a", Content::Bytes(&root))];
    write_sample_disk(path, &SampleDisk { uki: kernel, partitions: &partitions }).unwrap();
}

/// Both runs are one test: the demo's machines have fixed addresses.
#[test]
fn the_demo_tells_its_story_with_its_own_images_and_with_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path());
    tells_the_whole_story(&demo(&program, &[]));

    let (old, new) = (folder.path().join("old.raw"), folder.path().join("new.raw.gz"));
    users_disk(&old, b"kernel 1", 1);
    let plain = folder.path().join("new.raw");
    users_disk(&plain, b"kernel 2", 2);
    let mut packer = GzEncoder::new(fs::File::create(&new).unwrap(), Compression::fast());
    packer.write_all(&fs::read(&plain).unwrap()).unwrap();
    packer.finish().unwrap();
    let images = ["--image", old.to_str().unwrap(), "--image", new.to_str().unwrap()];
    let out = demo(&program, &images);
    tells_the_whole_story(&out);
    let took = "partition 3 (\"rootfs-a\") as rootfs, EFI/Linux/linux.efi as uki";
    assert_eq!(out.matches(took).count(), 2, "{out}");
}

#[test]
fn the_demo_says_what_is_wrong_with_an_image() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.raw.gz");
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&[1; 100_000]).unwrap();
    let packed = packer.finish().unwrap();
    fs::write(&cut, &packed[..packed.len() / 2]).unwrap();
    let cut = cut.to_str().unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_daymarkctl"));
        let output =
            demo.arg("demo").args(arguments).env("TMPDIR", temporary.path()).output().unwrap();
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0, "left something behind");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = run(&["--image", cut]);
    assert!(code == Some(2) && err.contains("--image twice"), "{err}");
    let (code, err) = run(&["--image", cut, "--image", cut]);
    assert!(code == Some(1) && err.contains("cut.raw.gz") && err.contains("cut short"), "{err}");
}
