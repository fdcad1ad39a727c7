//! What an administrator does all day, without a node: create, apply, diff, delete, read, sync.

use std::io::Read as _;
use std::process::Stdio;

use crate::{Admin, text};

const POLICY: &str = "appVersion: apps/v1\nspec:\n  name: follow\n  \
                      updatePolicy: UPDATE_POLICY_LATEST\n";

/// A fleet with a region, a site and two machines.
fn site() -> Admin {
    let admin = Admin::with_fleet();
    admin.run(&["create", "region", "de", "--yes"]).ends(0);
    let zone = ["--zone", "Europe/Berlin"];
    let create = [&["create", "site", "berlin", "--region", "de", "--yes"], &zone[..]].concat();
    admin.run(&create).ends(0);
    admin.enroll("press-01", 1, &["--site", "berlin", "-l", "line=3"]);
    admin.enroll("press-02", 2, &["--site", "berlin", "-l", "line=4"]);
    admin
}

#[test]
fn every_format_shows_the_same_hosts() {
    let admin = site();
    let json = admin.run(&["get", "hosts", "-o", "json"]).ends(0).json();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|host| &host["name"]).collect();
    assert_eq!(names, ["press-01", "press-02"]);
    assert_eq!(json[0]["site"], "berlin");
    assert_eq!(admin.run(&["get", "hosts", "-o", "name"]).ends(0).out, "press-01\npress-02\n");
    let csv = admin.run(&["get", "hosts", "-o", "csv"]).ends(0).out;
    assert!(csv.starts_with("name,site,installed,status,decision,labels,key\npress-01,berlin,"));
    let yaml = admin.run(&["get", "hosts", "-o", "yaml"]).ends(0).out;
    assert!(yaml.contains("name: press-02"), "{yaml}");
    let table = admin.run(&["get", "hosts"]).ends(0);
    assert!(table.out.starts_with(" NAME") && table.err.contains("synced"), "{}", table.err);
    let wide = admin.run(&["get", "hosts", "-o", "wide"]).ends(0).out;
    assert!(wide.contains("LABELS") && wide.contains("line=3"), "{wide}");
    let one = admin.run(&["get", "hosts", "-l", "line=4", "-o", "name"]).ends(0).out;
    assert_eq!(one, "press-02\n");
}

#[test]
fn every_kind_can_be_listed_and_described() {
    let admin = site();
    for kind in [
        "hosts",
        "policies",
        "schedules",
        "windows",
        "osprofiles",
        "runs",
        "sites",
        "regions",
        "peers",
        "conflicts",
        "blackouts",
        "holds",
        "halts",
        "promotions",
        "configs",
        "quarantine",
        "approvals",
    ] {
        admin.run(&["get", kind, "-o", "json"]).ends(0).json();
    }
    for (kind, name) in [("site", "berlin"), ("region", "de"), ("host", "press-01")] {
        let shown = admin.run(&["describe", kind, name, "-o", "json"]).ends(0).json();
        assert_eq!(shown["name"], name);
        assert_eq!(shown["versions"][0]["signedBy"][0], "alice");
    }
    admin.run(&["status"]).ends(0);
}

#[test]
fn schedules_and_blackouts_print_their_next_ten_occurrences_and_show_as_windows() {
    let admin = site();
    let schedule = ["create", "schedule", "line3", "--weekly", "sun", "--at", "02:00"];
    let more = ["--for", "3h", "--zone", "site", "-l", "line=3", "--yes"];
    let said = admin.run(&[&schedule[..], &more[..]].concat()).ends(0).out;
    assert!(said.contains("Europe/Berlin and UTC"), "{said}");
    assert_eq!(said.matches(" Sun ").count(), 20, "{said}");
    let blackout = ["create", "blackout", "xmas", "--from", "12-19", "--to", "01-07", "--yearly"];
    let said = admin.run(&[&blackout[..], &["--all", "--yes"]].concat()).ends(0).out;
    assert_eq!(said.matches("-12-19 00:00Z to ").count(), 10, "{said}");
    let windows = admin.run(&["get", "windows", "press-01", "--days", "370", "-o", "json"]);
    let windows = windows.ends(0).json();
    let closed = |window: &&serde_json::Value| window["closedBy"] == "xmas";
    assert!(windows.as_array().unwrap().iter().filter(closed).count() >= 2, "{windows}");
    let other = admin.run(&["get", "windows", "press-02", "-o", "json"]).ends(0).json();
    assert_eq!(other, serde_json::json!([]));
}

#[test]
fn eims_file_applies_with_a_target_by_flags_and_then_changes_nothing() {
    let admin = site();
    let policy = admin.file("policy.yaml", POLICY);
    let diff = ["diff", "-f", text(&policy), "--site", "berlin"];
    assert!(admin.run(&diff).ends(1).out.contains("+ OsUpdatePolicy follow"));
    let apply = ["apply", "-f", text(&policy), "--site", "berlin", "--yes"];
    let dry = admin.run(&[&apply[..], &["--dry-run"]].concat()).ends(0).out;
    assert!(dry.contains("reaches 2 of 2 hosts") && dry.contains("--dry-run"), "{dry}");
    assert_eq!(admin.run(&["get", "policies", "-o", "name"]).ends(0).out, "");
    admin.run(&apply).ends(0);
    admin.run(&diff).ends(0);
    assert!(admin.run(&apply).ends(0).out.contains("Nothing changes"));
    admin.run(&["delete", "policy", "follow", "--yes"]).ends(0);
    assert_eq!(admin.run(&["get", "policies", "-o", "name"]).ends(0).out, "");
}

#[test]
fn our_files_hold_targets_and_several_resources() {
    let admin = site();
    let file = admin.file(
        "set.yaml",
        "kind: OsUpdatePolicy\ntarget: {site: berlin, labels: {line: \"3\"}}\nspec:\n  \
         name: follow\n  updatePolicy: UPDATE_POLICY_LATEST\n  schedules: [nights]\n---\n\
         kind: RepeatedSchedule\ntarget: {site: berlin}\nspec: {name: nights, \
         scheduleStatus: SCHEDULE_STATUS_OS_UPDATE, durationSeconds: 10800, cronMinutes: 0, \
         cronHours: 2, cronDayMonth: \"*\", cronMonth: \"*\", cronDayWeek: \"*\", zone: site}\n",
    );
    let said = admin.run(&["apply", "-f", text(&file), "--yes"]).ends(0).out;
    assert!(said.contains("for site berlin, line=3"), "{said}");
    let policies = admin.run(&["get", "policies", "-o", "json"]).ends(0).json();
    assert_eq!(policies[0]["state"], "in force");
    assert_eq!(admin.run(&["get", "schedules", "-o", "name"]).ends(0).out, "nights\n");
}

#[test]
fn halts_and_holds_come_and_go() {
    let admin = site();
    admin.run(&["halt", "--site", "berlin", "--for", "4h", "--yes"]).ends(0);
    let halts = admin.run(&["get", "halts", "-o", "json"]).ends(0).json();
    assert_eq!(halts.as_array().unwrap().len(), 1);
    let name = halts[0]["name"].as_str().unwrap();
    admin.run(&["resume", name, "--yes"]).ends(0);
    assert_eq!(admin.run(&["get", "halts", "-o", "json"]).ends(0).json(), serde_json::json!([]));
    assert!(admin.run(&["resume", "--yes"]).ends(0).out.contains("nothing to resume"));

    admin.run(&["hold", "-l", "line=3", "--until", "2099-12-31", "--yes"]).ends(0);
    assert_eq!(admin.run(&["get", "holds", "-o", "name"]).ends(0).out, "hold-press-01\n");
    admin.run(&["unhold", "press-01", "--yes"]).ends(0);
    assert_eq!(admin.run(&["get", "holds", "-o", "name"]).ends(0).out, "");
    admin.run(&["update", "press-01", "--now", "--yes"]).ends(0);
    let windows = admin.run(&["get", "windows", "press-01", "-o", "json"]).ends(0).json();
    assert_eq!(windows.as_array().unwrap().len(), 1);
}

#[test]
fn two_homes_exchange_by_a_folder_both_ways() {
    let admin = site();
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    let info = admin.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    let pin = info["fingerprint"].as_str().unwrap();
    // The key moves to the laptop, which reads and writes; the first home learns of it.
    let laptop = Admin::new();
    let keys = laptop.folder("home/keys");
    let key = admin.place.path().join("home/keys/alice.json");
    std::fs::copy(key, keys.join("alice.json")).unwrap();
    laptop.run(&["context", "add", "acme", text(&stick), "--fleet", pin]).ends(0);
    assert_eq!(laptop.run(&["get", "hosts", "-o", "name"]).ends(0).out, "press-01\npress-02\n");
    laptop.run(&["create", "site", "munich", "--yes"]).ends(0);
    laptop.run(&["sync", text(&stick)]).ends(0);
    let moved = admin.run(&["sync", text(&stick), "-o", "json"]).ends(0).json();
    assert_eq!(moved["received"], 2, "a statement and its signature");
    assert_eq!(admin.run(&["get", "sites", "-o", "name"]).ends(0).out, "berlin\nmunich\n");
    let again = admin.run(&["sync", text(&stick), "-o", "json"]).ends(0).json();
    assert_eq!((&again["received"], &again["sent"]), (&0.into(), &0.into()));
}

#[test]
fn an_exported_document_opens_in_automerge() {
    let admin = site();
    for (document, file) in [("fleet", "fleet.automerge"), ("site/berlin", "b.automerge")] {
        let to = admin.place.path().join(file);
        admin.run(&["export", "document", document, "--to", text(&to)]).ends(0);
        let saved = std::fs::read(&to).unwrap();
        let opened = automerge::AutoCommit::load(&saved).unwrap();
        let entries = automerge::ReadDoc::length(&opened, automerge::ROOT);
        assert!(entries >= 4, "{document} has {entries} entries");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let admin = site();
    let mut child = admin
        .command(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said, "");
    let mut child =
        admin.command(&["get", "hosts", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
