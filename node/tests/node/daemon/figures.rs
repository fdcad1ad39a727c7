//! What a node costs that has nothing to do; printed, not judged.

use std::time::Duration;

use super::process::{Machine, pause};
use super::{Fleet, joined};

const NODES: u8 = 5;
const MEASURED: Duration = Duration::from_secs(60);

async fn metric(machine: &Machine, name: &str) -> u64 {
    let text = machine.client().metrics().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of a minute"]
async fn memory_and_traffic_of_idle_nodes() {
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::new();
    let address = |number: u8| format!("127.0.0.{}:17807", 33 + number);
    let mut machines = Vec::new();
    for number in 0..NODES {
        let mut machine = joined(place.path(), &fleet, &format!("node-{number}"), &address(number));
        machine.start(if number == 0 { String::new() } else { address(0) }.as_str()).await;
        machines.push(machine);
    }
    for machine in &machines {
        while machine.client().status().await.unwrap().peers.len() < usize::from(NODES) - 1 {
            pause().await;
        }
    }
    let mut before = Vec::new();
    for machine in &machines {
        before.push(metric(machine, "daymark_sent_bytes_total").await);
    }
    tokio::time::sleep(MEASURED).await;
    for (machine, before) in machines.iter().zip(before) {
        let sent = metric(machine, "daymark_sent_bytes_total").await - before;
        println!(
            "{} KiB resident, {} B/s sent to {} peers",
            machine.resident_kib(),
            sent / MEASURED.as_secs(),
            NODES - 1
        );
    }
}
