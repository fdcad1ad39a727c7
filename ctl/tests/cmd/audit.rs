//! The audit, and evidence checked where no fleet is known.

use std::fs;

use daymark_protocol::resource::OsType;

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
