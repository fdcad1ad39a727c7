//! Fleets known to one machine: added whole or not at all, chosen, and removed.

use crate::{Admin, files, finish, text};

/// An administrator of one fleet, and a stick of another's with its fingerprint.
fn two_fleets() -> (Admin, std::path::PathBuf, String) {
    let (ours, theirs) = (Admin::with_fleet(), Admin::with_fleet());
    let stick = ours.folder("theirs");
    theirs.run(&["sync", text(&stick)]).ends(0);
    (ours, stick, theirs.pin())
}

fn current(admin: &Admin) -> String {
    let listed = admin.run(&["context", "list", "-o", "json"]).ends(0).json();
    let current = listed.as_array().unwrap().iter().find(|row| row["current"] == true);
    current.map_or_else(String::new, |row| row["name"].as_str().unwrap().to_owned())
}

#[test]
fn a_context_that_cannot_be_added_leaves_nothing_and_the_current_one_stays() {
    let (admin, stick, pin) = two_fleets();
    let add =
        |pin: &str| ["context", "add", "other", text(&stick), "--fleet", pin].map(str::to_owned);
    let own = admin.pin();
    let wrong = add(&own);
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    let before = files(&admin.place.path().join("home"));
    admin.refused(&wrong, 4, &["belongs to fleet", "context other is fleet"]);
    for name in ["acme", "nowhere"] {
        admin.refused(&[&wrong[..], &["--context", name]].concat(), 4, &["belongs to fleet"]);
        finish(admin.command(&wrong).env("DAYMARK_CONTEXT", name)).ends(4);
    }
    assert_eq!(before, files(&admin.place.path().join("home")));
    assert_eq!(current(&admin), "acme");

    // What a killed `context add` leaves is no context, and the next one takes it away.
    let left = admin.folder("home/contexts/.new-killed");
    std::fs::copy(
        admin.place.path().join("home/contexts/acme/context.json"),
        left.join("context.json"),
    )
    .unwrap();
    assert_eq!(admin.run(&["context", "list", "-o", "name"]).ends(0).out, "acme\n");
    let right = add(&pin);
    admin.run(&right.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    assert_eq!(current(&admin), "other");
    assert!(!left.exists());
}

#[test]
fn a_context_is_removed_by_name_and_never_a_key() {
    let (admin, stick, pin) = two_fleets();
    admin.run(&["context", "add", "other", text(&stick), "--fleet", &pin]).ends(0);
    let remove = |name| ["context", "remove", name, "--yes"];
    admin.refused(&remove("nowhere"), 2, &["nowhere", "context list"]);
    admin.refused(&remove("other"), 4, &["is the current one", "context use"]);
    admin.run(&["context", "use", "acme"]).ends(0);
    admin.refused(&["context", "remove", "other"], 4, &["nothing was removed"]);
    admin.run(&remove("other")).ends(0);
    assert_eq!(admin.run(&["context", "list", "-o", "name"]).ends(0).out, "acme\n");
    admin.run(&remove("acme")).ends(0);
    assert!(files(&admin.place.path().join("home/contexts")).is_empty());
    admin.refused(&["status"], 2, &["no fleet is set up"]);
    assert_eq!(admin.run(&["key", "list", "-o", "name"]).ends(0).out, "alice\n");
    admin.run(&["fleet", "init", "--name", "acme"]).ends(0);
}
