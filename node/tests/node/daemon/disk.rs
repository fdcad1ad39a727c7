//! The daemon on a disk that is really full.

use std::path::{Path, PathBuf};
use std::process::Command;

use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::id::Digest;

use super::process::pause;
use super::{Fleet, joined};

/// A file system of a few MiB, mounted while it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir(path).unwrap();
        let words = ["-t", "tmpfs", "-o", "size=3m", "daymark-test"];
        let mounted = Command::new("mount").args(words).arg(path).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_agent_with_one_sentence_and_space_heals_it() {
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&place.path().join("disk")) else { return };
    let fleet = Fleet::new();
    let mut machine = joined(&disk.0, &fleet, "one", "127.0.0.33:17805");
    machine.start("").await;
    let host = machine.client().status().await.unwrap().host;
    let ballast = disk.0.join("ballast");
    // Whatever size the rest has: written until it fails.
    let filled = std::fs::write(&ballast, vec![7; 4 << 20]);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);

    let mut kept = Vec::new();
    for number in 0.. {
        let regions = (0..64).map(|part| fleet.region(&format!("region-{number}-{part}")));
        let entries: Vec<Vec<u8>> = regions.flatten().collect();
        let items = entries.iter().map(|entry| Submitted::Entry(Bytes(entry.clone())));
        if machine.client().submit(items.collect()).await.is_err() {
            break;
        }
        kept.extend(entries);
    }
    let (code, log) = machine.ended();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("the disk is full")).collect();
    assert_eq!((code, told.len()), (Some(1), 1), "{log}");
    assert!(told[0].starts_with("daymark-node: cannot write "), "{log}");
    assert!(told[0].contains("free some space and start again") && !log.contains("panic"), "{log}");

    std::fs::remove_file(&ballast).unwrap();
    machine.start("").await;
    let status = machine.client().status().await.unwrap();
    assert_eq!((status.host, status.fleet), (host, Some(fleet.id)));
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    let held = machine.client().replica().await.unwrap();
    let held: Vec<_> = held.entries.into_values().flatten().collect();
    assert!(kept.iter().all(|entry| held.contains(&Digest::of(entry))));
    pause().await;
    assert_eq!(machine.stop(), Some(0));
}
