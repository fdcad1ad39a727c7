//! The audit, and evidence checked where no fleet is known.

use std::fs;

use daymark_core::durable::Adoption;
use daymark_protocol::decide::{Decision, Verdict};
use daymark_protocol::document::{Facts, UpdateRun};
use daymark_protocol::id::FleetId;
use daymark_protocol::resource::OsType;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::SigningKey;

use crate::kinds::machine;
use crate::{Admin, text};

fn fleet() -> Admin {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes", "--reason", "new hall"]).ends(0);
    admin.enroll("press-01", 1, &["--site", "berlin"]);
    admin.enroll("press-02", 2, &["--site", "berlin"]);
    admin.reports(1, &machine(OsType::Immutable));
    admin
}

/// The rows as (about, event, what, who).
fn rows(admin: &Admin, more: &[&str]) -> Vec<(String, String, String, String)> {
    let rows = admin.run(&[&["audit", "-o", "json"], more].concat()).ends(0).json();
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (text(row, "about"), text(row, "event"), text(row, "what"), text(row, "who")))
        .collect()
}

#[test]
fn it_says_who_signed_what_when_it_came_and_what_a_machine_ran() {
    let admin = fleet();
    let all = rows(&admin, &[]);
    let has =
        |event: &str, what: &str| all.iter().any(|row| row.1 == event && row.2.contains(what));
    assert!(
        has("root", "root 1") && has("signed", "+ Site berlin (version 1) (new hall)"),
        "{all:?}"
    );
    assert!(has("arrived here", "Site berlin") && has("runs", "edge@1.0.0"), "{all:?}");
    assert!(all.iter().filter(|row| row.1 == "signed").all(|row| row.3 == "alice"));
    admin.run(&["delete", "host", "press-01", "--yes"]).ends(0);
    let gone = rows(&admin, &["--host", "press-01"]);
    assert!(gone.iter().any(|row| row.1 == "runs"), "its history stays: {gone:?}");
    assert!(gone.iter().all(|row| row.0 == "press-01"), "{gone:?}");
    assert!(gone.iter().any(|row| row.2.starts_with("- Host")), "{gone:?}");
    assert!(rows(&admin, &["--since", "1h"]).iter().any(|row| row.1 == "signed"));
    assert!(rows(&admin, &["--since", "2100-01-01"]).iter().all(|row| row.1 == "runs"));
    admin.refused(&["audit", "--host", "press-99"], 2, &["never was a host", "press-99"]);
}

#[test]
fn evidence_verifies_on_a_clean_machine_and_what_was_changed_does_not() {
    let admin = fleet();
    let folder = admin.place.path().join("evidence");
    let said = admin.run(&["audit", "--export", text(&folder)]).ends(0).out;
    assert!(said.contains("daymarkctl verify"), "{said}");
    let pin = admin.pin();
    let auditor = Admin::new();
    let verify = ["verify", text(&folder), "--fleet", &pin];
    let ran = auditor.run(&[&verify[..], &["-o", "json"]].concat()).ends(0).json();
    assert_eq!((&ran["valid"], &ran["problems"]), (&3.into(), &serde_json::json!([])));
    assert_eq!(ran["arrivals"], 3);
    let ran = auditor.run(&["verify", text(&folder)]).ends(0);
    assert!(ran.err.contains("the fingerprint is the folder's own"), "{}", ran.err);

    let table = folder.join("audit.csv");
    let right = fs::read_to_string(&table).unwrap();
    fs::write(&table, right.replace("new hall", "no reason")).unwrap();
    auditor.run(&verify).ends(4).says(&["2 things do not verify"]);
    // An arrival's time is its writer's word; whose arrival it is is not.
    let arrival = right.lines().find(|row| row.contains("arrived here")).unwrap();
    let (_, rest) = arrival.split_once(',').unwrap();
    let other_time = right.replace(arrival, &format!("2020-01-01T00:00:00Z,{rest}"));
    for (rows, code) in [
        (format!("{right}2026-01-01T00:00:00Z,fleet,arrived here,+ Site x,mallory,00ff\n"), 4),
        (format!("{right}{arrival}\n"), 4),
        (right.replace(arrival, &format!("never,{rest}")), 4),
        (other_time, 0),
    ] {
        fs::write(&table, rows).unwrap();
        let said = auditor.run(&verify).ends(code).out;
        assert!(said.contains("rows of audit.csv say when a statement came"), "{said}");
    }
    fs::write(&table, &right).unwrap();
    let entries = folder.join("daymark/documents/fleet");
    let entry = fs::read_dir(entries).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&entry).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&entry, bytes).unwrap();
    let ran = auditor.run(&verify).ends(4);
    assert!(ran.out.contains("PROBLEM") && ran.out.contains("documents/fleet/"), "{}", ran.out);
    let other = Admin::with_fleet();
    let foreign = ["verify", text(&folder), "--fleet", &other.pin()];
    auditor.run(&foreign).ends(4).says(&["do not verify"]);
}

/// What only a host itself knows: who sent it wrong chunks, and what it could not write.
#[test]
fn a_run_names_who_sent_wrong_chunks_and_a_host_tells_what_it_could_not_deliver() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    admin.enroll("press-01", 1, &["--site", "berlin"]);
    admin.enroll("press-02", 2, &["--site", "berlin"]);
    let mut facts = Facts::default();
    facts.set_machine(&machine(OsType::Immutable));
    facts.set_configuration_problem("motd: disk full");
    facts.set_decision(&nothing());
    let stranger = SigningKey::from_seed([9; 32]).public().id();
    let press_02 = SigningKey::from_seed([2; 32]).public().id();
    facts.set_run(&UpdateRun {
        name: "press-01 #4".into(),
        status: "UPDATED".into(),
        to: Some("edge@1.0.1".into()),
        start: Some(WallTime::from_seconds(1_800_000_000)),
        end: Some(WallTime::from_seconds(1_800_000_060)),
        blamed: [(press_02, 3), (stranger, 1)].into(),
        ..UpdateRun::default()
    });
    admin.reports_facts(1, &facts);
    let names = |text: &str| {
        assert!(
            text.contains("wrong chunks, refused, from") && text.contains("press-02 (3)"),
            "{text}"
        );
        assert!(text.contains(&format!("{} (1)", stranger.short())), "{text}");
    };
    names(&admin.run(&["get", "runs"]).ends(0).out);
    let audited = rows(&admin, &["--host", "press-01"]);
    names(&audited.iter().find(|row| row.1 == "update run").unwrap().2);
    let run = admin.run(&["describe", "run", "press-01 #4", "-o", "json"]).ends(0).json();
    assert_eq!(run["run"]["blamed"][press_02.to_string()], 3);
    let chunks = |name: &str| {
        let mut blamed = run["blamed"].as_array().unwrap().iter();
        blamed.find(|one| one["peer"] == name).map(|one| one["wrongChunks"].clone())
    };
    assert_eq!(chunks("press-02"), Some(3.into()));
    admin.refused(&["describe", "run", "press-01 #5"], 2, &["no update run", "press-01 #5"]);
    let host = admin.run(&["describe", "host", "press-01", "-o", "json"]).ends(0).json();
    assert_eq!(host["reported"]["configuration"], "motd: disk full");
    let said = admin.run(&["explain", "press-01"]).ends(0).out;
    assert!(said.contains("Config      not delivered: motd: disk full"), "{said}");
}

/// What a machine says that a person had take this fleet, in each place where people look.
#[test]
fn a_machine_that_was_adopted_shows_it_wherever_people_look() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    admin.enroll("press-01", 1, &["--site", "berlin"]);
    let adoption =
        Adoption { from: FleetId([0xab; 32]), at: WallTime::from_seconds(1_800_000_000) };
    let told = adoption.to_string();
    let mut facts = Facts::default();
    facts.set_machine(&machine(OsType::Immutable));
    facts.set_decision(&nothing());
    facts.set_adopted(&told);
    admin.reports_facts(1, &facts);
    assert!(told.contains("abababab") && told.contains("by a local person"), "{told}");
    let explained = admin.run(&["explain", "press-01"]).ends(0).out;
    assert!(explained.contains(&format!("History     {told}")), "{explained}");
    let listed = admin.run(&["get", "hosts", "press-01", "-o", "wide"]).ends(0).out;
    assert!(listed.contains(&format!("({told})")), "{listed}");
    let host = admin.run(&["describe", "host", "press-01", "-o", "json"]).ends(0).json();
    assert_eq!(host["reported"]["history"], told);
    let audited = rows(&admin, &["--host", "press-01"]);
    let adopted: Vec<_> = audited.iter().filter(|row| row.1 == "adopted").collect();
    assert!(adopted.len() == 1 && adopted[0].2 == told, "{audited:?}");
}

/// A decision, as a host reports it that no policy reaches.
fn nothing() -> Decision {
    Decision {
        verdict: Verdict::Nothing,
        reason: "no-policy".into(),
        message: "No policy reaches this host.".into(),
        gates: vec![],
        target: None,
        window: None,
        start_at: None,
        next_look: None,
    }
}

#[test]
fn single_things_are_verified_too() {
    let admin = fleet();
    let auditor = Admin::new();
    let request = admin.request("press-03", 3);
    let said = auditor.run(&["verify", text(&request)]).ends(0).out;
    assert!(said.contains("press-03") && said.contains("signed by its own key"), "{said}");
    let root = admin.place.path().join("home/contexts/acme/daymark/roots/1.json");
    let said = auditor.run(&["verify", text(&root)]).ends(0).out;
    assert!(said.contains(&admin.pin()) && said.contains("By itself it verifies"), "{said}");
    let junk = admin.file("junk.json", "{}");
    auditor.run(&["verify", text(&junk)]).ends(2).says(&["junk.json", "no evidence"]);
}
