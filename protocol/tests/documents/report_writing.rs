//! The owning host's side: reports that say what changed, generations, runs, blobs
//! (RULES D4, D5, Q15, N7, N8, S10).

use std::collections::BTreeSet;

use daymark_protocol::decide::{
    Decision, Evidence, Gate, GateAnswer, Installed, InstalledSource, Verdict,
};
use daymark_protocol::document::{
    ClosedGeneration, Facts, HostChain, ImageBytes, Outcome, ReportError, UpdateRun, UpdateStatus,
    host_paths,
};
use daymark_protocol::id::Digest;
use daymark_protocol::limits;
use daymark_protocol::time::WallTime;

use crate::support::{Choices, Fleet, facts, id_of, key};

fn fold(chain: &mut HostChain, reports: Vec<daymark_protocol::document::SignedReport>) {
    for report in reports {
        chain.accept(report);
    }
}

/// What the chain says, without what the writer adds of itself.
fn said(chain: &HostChain) -> Facts {
    chain
        .view()
        .facts()
        .iter()
        .filter(|(path, _)| path.names()[0] != "history")
        .map(|(path, value)| (path.clone(), value.clone()))
        .collect()
}

#[test]
fn rt_s10_what_did_not_change_is_not_reported_again() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut writer = fleet.writer(&host, 1);
    let desired = facts(&[(&["a"], "1"), (&["b", "c"], "2")]);
    assert_eq!(writer.write(&host, &desired).unwrap().reports.len(), 1);
    assert!(writer.write(&host, &desired).unwrap().reports.is_empty());
    let changed = facts(&[(&["a"], "1"), (&["b", "d"], "2")]);
    let report = writer.write(&host, &changed).unwrap().reports.remove(0);
    assert_eq!(report.report().puts.len(), 1);
    assert_eq!(report.report().deletes.len(), 1);
}

#[test]
fn d4_the_fold_of_the_reports_is_what_was_desired() {
    let (fleet, host) = (Fleet::new(), key(50));
    for seed in 0..12 {
        let mut choices = Choices(seed);
        let mut writer = fleet.writer(&host, 1);
        let mut chain = HostChain::new(id_of(&host));
        for _ in 0..200 {
            let mut desired = Facts::default();
            for _ in 0..choices.below(8) {
                let names = ["a", "b", "runs", "c"];
                let path: Vec<&str> =
                    (0..1 + choices.below(3)).map(|_| names[choices.below(4)]).collect();
                desired.set_text(&path, ["x", "y"][choices.below(2)]);
            }
            fold(&mut chain, writer.write(&host, &desired).unwrap().reports);
            assert_eq!(said(&chain), desired, "seed {seed}");
            assert!(chain.reports().len() <= 64);
        }
        assert_eq!(chain.generation(), writer.generation());
    }
}

#[test]
fn rt_n8_d5_a_full_generation_is_closed_as_a_blob_that_the_next_one_names() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut replica = fleet.replica_with(&host);
    let mut writer = fleet.writer(&host, 1);
    let mut closed = Vec::new();
    for step in 0..150 {
        let text = step.to_string();
        let desired = facts(&[(&["step"], &text), (&["facts", "os"], &"x".repeat(900))]);
        let written = writer.write(&host, &desired).unwrap();
        for report in &written.reports {
            assert_eq!(replica.accept_report(report.bytes()).0, Outcome::New);
        }
        if let Some(blob) = written.closed {
            assert_eq!(replica.missing_blobs(), &BTreeSet::from([blob.digest]));
            assert_eq!(replica.accept_blob(&blob.bytes).0, Outcome::New);
            closed.push(blob);
        }
        let bytes: usize = replica.reports(&id_of(&host)).map(<[u8]>::len).sum();
        assert!(bytes <= limits::GENERATION_BYTES_MAX);
        let view = replica.host_view(&id_of(&host)).unwrap();
        assert_eq!(view.facts().text(&["step"]), Some(text.as_str()));
    }
    assert_eq!(closed.len(), 2);
    assert_eq!(writer.generation(), 3);
    let reports = ClosedGeneration::reports(&closed[0].bytes).unwrap();
    assert_eq!(reports.len(), 64);
    // Only what a held report names is kept: the older blob is gone.
    assert!(replica.blob(&closed[0].digest).is_none());
    assert!(replica.blob(&closed[1].digest).is_some());
    assert!(matches!(replica.accept_blob(&closed[0].bytes).0, Outcome::NotKept(_)));
}

#[test]
fn q15_a_restored_host_rises_above_what_it_meets_and_states_everything_anew() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut chain = HostChain::new(id_of(&host));
    let truth = facts(&[(&["os"], "1.0 (disk restored, truly booted)")]);
    for generation in 1..=5 {
        let mut lost = fleet.writer(&host, generation);
        fold(&mut chain, lost.write(&host, &facts(&[(&["os"], "2.0")])).unwrap().reports);
    }
    let mut restored = fleet.writer(&host, 3);
    fold(&mut chain, restored.write(&host, &truth).unwrap().reports);
    assert_eq!(chain.view().facts().text(&["os"]), Some("2.0"));
    assert!(restored.rise_above(chain.generation()));
    assert!(!restored.rise_above(chain.generation()));
    let written = restored.write(&host, &truth).unwrap();
    assert_eq!(written.generation, 6);
    fold(&mut chain, written.reports);
    assert_eq!(said(&chain), truth);
}

fn run(number: u64) -> UpdateRun {
    UpdateRun {
        name: format!("press-01 update {number:06}"),
        status: "UPDATED".into(),
        from: Some("1.0.0".into()),
        to: Some("1.0.1".into()),
        policy: Some("osupdatepolicy-0011223344556677".into()),
        attempt: Some(number),
        start: Some(WallTime::from_seconds(1_000 + i64::try_from(number).unwrap())),
        end: Some(WallTime::from_seconds(2_000)),
        detail: "d".repeat(600),
        bytes: ImageBytes {
            total: 943_000_000,
            verified: 943_000_000,
            own: 9,
            origin: 0,
            peers: 7,
        },
        blamed: (1..=3).map(|peer| (id_of(&key(60 + peer)), number)).collect(),
    }
}

#[test]
fn d5_n8_the_newest_runs_are_kept_and_a_restart_fits_a_generation() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut writer = fleet.writer(&host, 1);
    let mut chain = HostChain::new(id_of(&host));
    let mut desired = Facts::default();
    for number in 1..=40 {
        desired.set_run(&run(number));
        fold(&mut chain, writer.write(&host, &desired).unwrap().reports);
    }
    let runs = chain.view().facts().runs();
    assert!(runs.len() <= limits::RUNS_KEPT && runs.len() >= 20, "{}", runs.len());
    assert_eq!(runs[0].name, run(40).name);
    assert_eq!(runs[0].detail.len(), limits::RUN_DETAIL_BYTES_MAX);
    let mut restarted = fleet.writer(&host, writer.generation() + 1);
    let written = restarted.write(&host, &desired).unwrap();
    let bytes: usize = written.reports.iter().map(|report| report.bytes().len()).sum();
    assert!(bytes <= limits::GENERATION_BYTES_MAX / 2 + 1024, "{bytes}");
    assert!(written.reports.iter().all(|r| r.bytes().len() <= limits::REPORT_BYTES_MAX));
}

#[test]
fn d4_facts_that_do_not_fit_are_an_error_and_write_nothing() {
    let (fleet, host) = (Fleet::new(), key(50));
    let mut writer = fleet.writer(&host, 1);
    let large = facts(&[(&["a"], &"x".repeat(limits::REPORT_BYTES_MAX))]);
    assert!(matches!(writer.write(&host, &large), Err(ReportError::FactTooLarge(_))));
    let mut many = Facts::default();
    for number in 0..50 {
        many.set_text(&["facts", &number.to_string()], &"x".repeat(1000));
    }
    assert!(matches!(writer.write(&host, &many), Err(ReportError::TooMuch(_))));
    let written = writer.write(&host, &facts(&[(&["a"], "b")])).unwrap();
    assert_eq!(written.reports[0].report().count, 1);
}

#[test]
fn d5_what_is_written_is_read_back() {
    let mut facts = Facts::default();
    let installed = Installed {
        profile: Some("edge".into()),
        version: None,
        index_digest: Some(Digest([7; 32])),
        image_sha256: None,
        source: InstalledSource::OsRelease,
    };
    facts.set_installed(&installed);
    assert_eq!(facts.installed(), Some(installed));
    let update = UpdateStatus {
        status: "Updating".into(),
        indicator: "IN_PROGRESS".into(),
        time: Some(WallTime::from_ms(5)),
        available: Some("3.1".into()),
    };
    facts.set_update_status(&update);
    assert_eq!(facts.update_status(), Some(update));
    let progress = ImageBytes { total: 9, verified: 3, own: 1, origin: 1, peers: 1 };
    facts.set_progress(Some(&progress));
    assert_eq!(facts.progress(), Some(progress));
    facts.set_progress(None);
    assert_eq!(facts.progress(), None);
    let short = UpdateRun { detail: "fine".into(), end: None, ..run(1) };
    facts.set_run(&short);
    assert_eq!(facts.run(&short.name), Some(short.clone()));
    // Many peers that sent wrong chunks leave the room that the rest needs: those with most stay.
    let blamed = (1..=50).map(|peer| (id_of(&key(100 + peer)), u64::from(peer)));
    facts.set_run(&UpdateRun { blamed: blamed.collect(), ..short.clone() });
    let kept = facts.run(&short.name).unwrap().blamed;
    assert_eq!(kept, (48..=50).map(|peer| (id_of(&key(100 + peer)), u64::from(peer))).collect());
    // What another version or a liar writes there is left out.
    let path = [host_paths::RUNS, &short.name, host_paths::RUN_BLAMED];
    facts.set_text(&path, &format!("{}=7 x=1 = 9", id_of(&key(60))));
    assert_eq!(facts.run(&short.name).unwrap().blamed, [(id_of(&key(60)), 7)].into());
}

#[test]
fn d5_the_decision_is_read_back_and_a_long_answer_loses_only_its_evidence() {
    let answer = |gate, evidence: usize| GateAnswer {
        gate,
        pass: false,
        reason: "halted".into(),
        message: "A halt stands.".into(),
        evidence: vec![Evidence("halt".into(), "x".repeat(evidence))],
        changes_at: None,
    };
    let mut decision = Decision {
        verdict: Verdict::Wait,
        reason: "halted".into(),
        message: "A halt stands.".into(),
        gates: vec![answer(Gate::Enrolled, 10), answer(Gate::Halted, 5_000)],
        target: None,
        window: None,
        start_at: None,
        next_look: Some(WallTime::from_ms(77)),
    };
    let mut facts = Facts::default();
    facts.set_decision(&decision);
    decision.gates[1].evidence.clear();
    assert_eq!(facts.decision(), Some(decision));
}
