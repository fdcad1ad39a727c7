//! The daemon under a service manager: what it says, and that it ends when told to.

use std::os::unix::net::UnixDatagram;

use daymark_protocol::control::{Bytes, Submitted};

use super::process::Machine;
use super::{Fleet, joined};

/// The next message that has this line.
fn until(socket: &UnixDatagram, line: &str) -> String {
    let mut bytes = [0; 4096];
    loop {
        let length = socket.recv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if text.lines().any(|found| found.starts_with(line)) {
            return text;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_hears_ready_status_life_and_end() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut machine = Machine::new(place.path(), "one", "127.0.0.33:17803");
    machine.variables = vec![
        ("NOTIFY_SOCKET", path.to_string_lossy().into_owned()),
        ("WATCHDOG_USEC", "300000".to_owned()),
    ];
    let request = machine.path("request.json");
    assert!(machine.execute(&["init", "--request", request.to_str().unwrap()]).status.success());
    machine.start("").await;
    until(&manager, "READY=1");
    assert!(until(&manager, "STATUS=").contains("idle, 0 peers"));
    until(&manager, "WATCHDOG=1");
    until(&manager, "WATCHDOG=1");
    assert_eq!(machine.stop(), Some(0));
    until(&manager, "STOPPING=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_cleanly_while_it_is_given_work_and_keeps_all_that_it_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::new();
    let mut machine = joined(place.path(), &fleet, "one", "127.0.0.33:17804");
    machine.start("").await;
    let client = machine.client();
    let regions: Vec<_> = (0..400).map(|n| fleet.region(&format!("region-{n}"))).collect();
    let (first, acknowledged) = tokio::sync::oneshot::channel();
    let work = tokio::spawn(async move {
        let mut first = Some(first);
        let mut kept = Vec::new();
        for entries in regions {
            let items = entries.iter().map(|entry| Submitted::Entry(Bytes(entry.clone())));
            if client.submit(items.collect()).await.is_err() {
                break;
            }
            kept.extend(entries);
            first.take().into_iter().for_each(|first| first.send(()).unwrap());
        }
        kept
    });
    acknowledged.await.unwrap();
    assert_eq!(machine.stop(), Some(0));
    let kept = work.await.unwrap();
    assert!(!kept.is_empty());
    machine.start("").await;
    let held = machine.client().replica().await.unwrap();
    let held: Vec<_> = held.entries.into_values().flatten().collect();
    assert!(kept.iter().all(|entry| held.contains(&daymark_protocol::id::Digest::of(entry))));
}
