//! Chains of reports: order, gaps, generations, forks (RULES D4 to D6, S5, N7 to N9).

use daymark_protocol::document::{
    ChainOutcome, HostChain, Outcome, Replica, ReportWriter, SignedReport,
};
use daymark_protocol::id::FleetId;
use daymark_protocol::trust::SigningKey;
use proptest::prelude::*;

use crate::support::{Choices, Fleet, facts, id_of, key, repair};

/// A generation in which the fact `step` counts up.
fn generation(fleet: &Fleet, host: &SigningKey, number: u64, reports: u64) -> Vec<SignedReport> {
    let mut writer = fleet.writer(host, number);
    (1..=reports).map(|step| step_to(&mut writer, host, step)).collect()
}

fn step_to(writer: &mut ReportWriter, host: &SigningKey, step: u64) -> SignedReport {
    let desired = facts(&[(&["step"], &step.to_string()), (&["facts", "os"], "Debian")]);
    writer.write(host, &desired).unwrap().reports.remove(0)
}

fn step_of(replica: &Replica, host: &SigningKey) -> Option<String> {
    replica.host_view(&id_of(host))?.facts().text(&["step"]).map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn d4_reports_in_any_order_give_the_same_chain_and_view(seed: u64, together: bool) {
        let (fleet, host) = (Fleet::new(), key(50));
        let mut reports = generation(&fleet, &host, 1, 12);
        let mut straight = HostChain::new(id_of(&host));
        for report in &reports {
            prop_assert_eq!(straight.accept(report.clone()), ChainOutcome::Added(1));
        }
        Choices(seed).shuffle(&mut reports);
        let mut shuffled = HostChain::new(id_of(&host));
        if together {
            shuffled.accept_all(reports);
        } else {
            for report in reports {
                shuffled.accept(report);
            }
        }
        prop_assert_eq!(shuffled.head(), straight.head());
        prop_assert_eq!(shuffled.view(), straight.view());
        prop_assert_eq!(shuffled.gap(), None);
    }

    /// Replicas that saw different parts of a forked generation come to the same two sides.
    #[test]
    fn d6_n9_forked_chains_converge(seed: u64) {
        let (fleet, host) = (Fleet::new(), key(50));
        let mut choices = Choices(seed);
        let mut branches = Vec::new();
        for _ in 0..4 {
            let mut writer = fleet.writer(&host, 1);
            let common = choices.below(4) as u64;
            let branch: Vec<SignedReport> = (1..=6)
                .map(|step| {
                    let own = step > common;
                    // Never the value before: a report of no change is not written.
                    let step = if own { step * 1_000 + choices.next() % 1_000 } else { step };
                    step_to(&mut writer, &host, step)
                })
                .collect();
            branches.push(branch);
        }
        let mut replicas: Vec<Replica> = (0..3).map(|_| fleet.replica_with(&host)).collect();
        for branch in &branches {
            for (at, replica) in replicas.iter_mut().enumerate() {
                if at == 0 || choices.below(2) == 0 {
                    let upto = 1 + choices.below(6);
                    for report in &branch[..upto] {
                        replica.accept_report(report.bytes());
                    }
                }
            }
        }
        for _ in 0..3 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (0, 2), (2, 1)] {
                let source = replicas[from].clone();
                repair(&source, &mut replicas[to]);
            }
        }
        let head = replicas[0].head(&id_of(&host));
        for replica in &replicas {
            prop_assert_eq!(replica.head(&id_of(&host)), head);
        }
        // The next generation settles it.
        let next = generation(&fleet, &host, 2, 1);
        replicas[0].accept_report(next[0].bytes());
        prop_assert_eq!(step_of(&replicas[0], &host), Some("1".to_owned()));
    }
}

#[test]
fn d4_n7_a_report_without_the_one_before_is_held_and_the_gap_is_named() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut replica = fleet.replica_with(&host);
    let reports = generation(&fleet, &host, 1, 6);
    replica.accept_report(reports[0].bytes());
    let (outcome, changes) = replica.accept_report(reports[4].bytes());
    assert!(matches!(outcome, Outcome::Held(_)));
    assert!(changes.is_empty());
    let (_, gap) = replica.report_gaps().next().unwrap();
    assert_eq!((gap.generation, gap.from), (1, 2));
    for report in &reports[1..3] {
        replica.accept_report(report.bytes());
    }
    let (outcome, changes) = replica.accept_report(reports[3].bytes());
    assert_eq!(outcome, Outcome::New);
    assert_eq!(changes.reports.len(), 2);
    assert_eq!(step_of(&replica, &host).as_deref(), Some("5"));
    assert_eq!(replica.report_gaps().count(), 0);
}

#[test]
fn d4_at_most_16_reports_of_a_host_are_held() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut reports = generation(&fleet, &host, 1, 40);
    let first = reports.remove(0);
    let mut chain = HostChain::new(id_of(&host));
    let held = reports.into_iter().rev().map(|report| chain.accept(report));
    assert_eq!(held.filter(|outcome| *outcome == ChainOutcome::Held).count(), 39);
    assert_eq!(chain.accept(first), ChainOutcome::Added(1 + 16));
}

#[test]
fn d5_a_higher_generation_replaces_the_chain_and_nothing_older_returns() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut replica = fleet.replica_with(&host);
    let old = generation(&fleet, &host, 3, 5);
    for report in &old {
        replica.accept_report(report.bytes());
    }
    let new = generation(&fleet, &host, 4, 1);
    let (outcome, changes) = replica.accept_report(new[0].bytes());
    assert_eq!(outcome, Outcome::New);
    assert_eq!(changes.dropped_reports, [(id_of(&host), 4)]);
    assert_eq!(step_of(&replica, &host).as_deref(), Some("1"));
    for report in &old {
        let (outcome, changes) = replica.accept_report(report.bytes());
        assert!(matches!(outcome, Outcome::NotKept(_)));
        assert!(changes.is_empty());
    }
}

#[test]
fn rt_s5_a_report_is_bound_to_its_fleet_and_its_key() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut replica = fleet.replica_with(&host);
    let mut foreign = ReportWriter::new(FleetId([1; 32]), id_of(&host), 1, None);
    let report = step_to(&mut foreign, &host, 1);
    assert!(matches!(replica.accept_report(report.bytes()).0, Outcome::Refused(_)));
    // Signed by a key that no Host statement names.
    let stranger = key(51);
    let report = generation(&fleet, &stranger, 1, 1);
    assert!(matches!(replica.accept_report(report[0].bytes()).0, Outcome::NotKept(_)));
    // The host's key in the report, another's signature under it.
    let mut forged = generation(&fleet, &host, 1, 1)[0].bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(matches!(replica.accept_report(&forged).0, Outcome::Refused(_)));
    assert_eq!(replica.heads().filter(|(_, head)| head.generation > 0).count(), 0);
}

#[test]
fn rt_s5_d6_two_reports_for_one_place_make_the_hosts_reports_unknown() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut writer = fleet.writer(&host, 1);
    let first = step_to(&mut writer, &host, 1);
    let mut clone = writer.clone();
    let sides = [step_to(&mut writer, &host, 2), step_to(&mut clone, &host, 3)];
    let after = step_to(&mut writer, &host, 4);
    let mut heads = Vec::new();
    for (one, other) in [(0, 1), (1, 0)] {
        let mut replica = fleet.replica_with(&host);
        replica.accept_report(first.bytes());
        replica.accept_report(sides[one].bytes());
        assert!(replica.host_view(&id_of(&host)).is_some());
        replica.accept_report(after.bytes());
        assert_eq!(replica.accept_report(sides[other].bytes()).0, Outcome::New);
        assert!(replica.host_view(&id_of(&host)).is_none());
        assert!(replica.host_chain(&id_of(&host)).unwrap().is_forked());
        assert_eq!(replica.reports(&id_of(&host)).count(), 3);
        heads.push(replica.head(&id_of(&host)));
        let next = generation(&fleet, &host, 2, 1);
        replica.accept_report(next[0].bytes());
        assert_eq!(step_of(&replica, &host).as_deref(), Some("1"));
    }
    assert_eq!(heads[0], heads[1]);
}

#[test]
fn d5_the_last_signature_vouches_and_a_forged_one_does_not() {
    let (fleet, host) = (Fleet::new(), key(50));
    let reports = generation(&fleet, &host, 1, 8);
    let mut replica = fleet.replica_with(&host);
    let bytes: Vec<&[u8]> = reports.iter().map(SignedReport::bytes).collect();
    let (outcomes, changes) = replica.accept_reports(&bytes);
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::New));
    assert_eq!(changes.reports.len(), 8);
    // With the last one forged, those below stand by their own signatures.
    let mut forged = reports[7].bytes().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut bytes = bytes[..7].to_vec();
    bytes.push(&forged);
    let mut replica = fleet.replica_with(&host);
    let (outcomes, _) = replica.accept_reports(&bytes);
    assert!(outcomes[..7].iter().all(|outcome| *outcome == Outcome::New));
    assert!(matches!(outcomes[7], Outcome::Refused(_)));
    assert_eq!(step_of(&replica, &host).as_deref(), Some("7"));
}

#[test]
fn d5_the_own_hosts_reports_are_kept_before_it_is_enrolled() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut replica = fleet.replica();
    let report = &generation(&fleet, &host, 1, 1)[0];
    assert!(matches!(replica.accept_report(report.bytes()).0, Outcome::NotKept(_)));
    let own_host = Some(id_of(&host));
    replica.set_interest(daymark_protocol::document::Interest { own_host, ..Default::default() });
    assert_eq!(replica.accept_report(report.bytes()).0, Outcome::New);
}
