//! Taking the statements and reports of 1,000 and 10,000 hosts, in messages as repair sends them: the
//! work of a first sync. Beside it, in the same run, the signature checks alone, which nothing can
//! save, and one more statement on top of all. Budget: 2 s of one core for 10,000 (DESIGN section 10).

use std::time::Duration;

use daymark_bench::{Enrolled, SITE, best_of_three, figure, ms, ratio};
use daymark_protocol::document::{Entry, Outcome, Replica};
use daymark_protocol::trust::Context;
use daymark_protocol::wire::{ITEMS_PER_MESSAGE_MAX, in_parts};

/// Reports of each host.
const REPORTS: u64 = 20;

fn main() {
    for count in [1_000, 10_000] {
        let enrolled = Enrolled::new(count);
        let checks = signature_checks(&enrolled);
        let (took, replica) = take_entries(&enrolled, ITEMS_PER_MESSAGE_MAX);
        let beside = format!("{} checking its signatures", ratio(took, checks));
        figure(&format!("{count} Host statements, message by message"), &ms(took), &beside);
        let (took, _) = take_entries(&enrolled, usize::MAX);
        let beside = format!("{} checking its signatures", ratio(took, checks));
        figure(&format!("{count} Host statements, as a start loads them"), &ms(took), &beside);
        one_more(&enrolled, &replica);
        take_reports(&enrolled, &replica);
    }
}

fn slices(items: &[Vec<u8>]) -> Vec<&[u8]> {
    items.iter().map(Vec::as_slice).collect()
}

/// Only the signature of every statement, checked.
fn signature_checks(enrolled: &Enrolled) -> Duration {
    let chain = enrolled.chain();
    let entries: Vec<Entry> = enrolled
        .entries
        .iter()
        .map(|entry| Entry::decode(entry).expect("the fleet's own entries are well-formed"))
        .collect();
    let check = |()| {
        for pair in entries.chunks(2) {
            let [Entry::Statement(statement), Entry::Signature { key, signature, .. }] = pair
            else {
                continue;
            };
            let key = chain.key(key).expect("the root names the key");
            assert!(key.verify(Context::Statement, statement.bytes(), signature));
        }
    };
    best_of_three(|| (), check).0
}

fn take_entries(enrolled: &Enrolled, per_message: usize) -> (Duration, Replica) {
    let messages = if per_message == usize::MAX {
        vec![enrolled.entries.clone()]
    } else {
        in_parts(enrolled.entries.clone(), per_message)
    };
    best_of_three(
        || enrolled.replica(),
        |mut replica| {
            for message in &messages {
                let (outcomes, _) = replica.accept_entries(&slices(message));
                let kept = |outcome| matches!(outcome, &Outcome::New | &Outcome::Held(_));
                assert!(outcomes.iter().all(kept), "{outcomes:?}");
            }
            replica
        },
    )
}

fn one_more(enrolled: &Enrolled, replica: &Replica) {
    let items = enrolled.fleet.create_site("one more");
    let entries: Vec<Vec<u8>> = items.into_iter().map(daymark_bench::bytes_of).collect();
    let (took, _) = best_of_three(
        || replica.clone(),
        |mut replica| {
            drop(replica.accept_entries(&slices(&entries)));
            replica
        },
    );
    let what = format!("one more statement on {}", enrolled.hosts.len());
    figure(&what, &ms(took), "into the fleet document");
    let newcomer = daymark_protocol::trust::SigningKey::from_seed([9; 32]).public();
    let items = enrolled.fleet.enroll("newcomer", &newcomer, SITE);
    let entries: Vec<Vec<u8>> = items.into_iter().map(daymark_bench::bytes_of).collect();
    let (took, _) = best_of_three(
        || replica.clone(),
        |mut replica| {
            drop(replica.accept_entries(&slices(&entries)));
            replica
        },
    );
    figure(&what, &ms(took), "into the site's document");
}

fn take_reports(enrolled: &Enrolled, replica: &Replica) {
    let reports: Vec<Vec<u8>> =
        enrolled.hosts.iter().flat_map(|host| enrolled.reports(host, REPORTS)).collect();
    let bytes: usize = reports.iter().map(Vec::len).sum();
    let messages = in_parts(reports, ITEMS_PER_MESSAGE_MAX);
    let (took, _) = best_of_three(
        || replica.clone(),
        |mut replica| {
            for message in &messages {
                drop(replica.accept_reports(&slices(message)));
            }
            assert_eq!(replica.host_views().count(), enrolled.hosts.len());
            replica
        },
    );
    let what = format!("{} host documents of {REPORTS} reports", enrolled.hosts.len());
    figure(&what, &ms(took), &format!("{bytes} B"));
}
