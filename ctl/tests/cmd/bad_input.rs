//! Wrong names, keys and times on the command line.

use crate::{Admin, text};

#[test]
fn unknown_things_are_named_with_where_to_look() {
    let admin = Admin::with_fleet();
    admin.refused(&["create", "site", "s", "--region", "x", "--yes"], 2, &["\"x\"", "regions"]);
    admin.refused(&["create", "site", "s", "--zone", "Mars/Base", "--yes"], 2, &["Mars/Base"]);
    admin.refused(&["get", "gadgets"], 2, &["gadgets", "hosts"]);
    admin.refused(&["explain", "press-99"], 2, &["press-99", "get hosts"]);
    admin.refused(&["halt", "nothing", "--yes"], 2, &["nothing"]);
    admin.refused(&["delete", "policy", "p", "--yes"], 2, &["\"p\"", "get policies"]);
    admin.refused(&["export", "document", "attic"], 2, &["attic", "site/NAME"]);
    admin.refused(&["--context", "other", "status"], 2, &["other", "context list"]);
    admin.refused(&["promote", "edge", "9.9.9", "--yes"], 2, &["edge@9.9.9"]);
    admin.refused(&["update", "--now", "--yes"], 2, &["no host was named", "--label"]);
}

#[test]
fn a_command_before_any_fleet_says_how_to_get_one() {
    let admin = Admin::new();
    admin.refused(&["status"], 2, &["no fleet", "fleet init", "context add"]);
    admin.refused(&["fleet", "init", "--name", "x"], 2, &["no key", "key new"]);
}

#[test]
fn a_name_that_fits_two_hosts_asks_for_the_id() {
    let admin = Admin::with_fleet();
    admin.enroll("twin", 1, &[]);
    let request = admin.request("twin", 2);
    admin.refused(&["enroll", text(&request), "--yes"], 4, &["twin already", "--name"]);
    admin.refused(&["enroll", text(&admin.request("twin", 1)), "--yes"], 4, &["enrolled already"]);
    // Two administrators who could not see each other enrolled both.
    let stick = admin.folder("stick");
    let other = admin.second_home(&stick);
    other.enroll("late", 3, &[]);
    admin.enroll("late", 4, &[]);
    other.run(&["sync", text(&stick)]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    admin.refused(&["hold", "late", "--yes"], 2, &["\"late\" fits 2", "use the id"]);
}

#[test]
fn a_key_without_the_role_is_refused_and_the_holder_named() {
    let alice = Admin::new();
    alice.run(&["key", "new", "--name", "alice", "--no-passphrase"]).ends(0);
    alice.run(&["key", "new", "--name", "bob", "--no-passphrase"]).ends(0);
    let roles = ["--root", "1-of-alice", "--enroll", "1-of-bob", "--policy", "1-of-alice"];
    alice.run(&[&["fleet", "init", "--evaluation", "--name", "acme"][..], &roles].concat()).ends(0);
    let create = ["create", "site", "berlin", "--key", "bob", "--yes"];
    alice.refused(&create, 4, &["bob does not have the role policy", "fleet info"]);
    std::fs::remove_file(alice.place.path().join("home/keys/alice.json")).unwrap();
    let create = ["create", "site", "berlin", "--yes"];
    alice.refused(&create, 4, &["no key of this machine has the role policy", "held by alice"]);
}

#[test]
fn times_that_cannot_be_are_refused() {
    let admin = Admin::with_fleet();
    let blackout = ["create", "blackout", "b", "--all", "--yes"];
    let with = |more: &[&'static str]| [&blackout[..], more].concat();
    let backwards = with(&["--from", "2026-12-20", "--to", "2026-12-01"]);
    admin.refused(&backwards, 2, &["ends", "before it starts"]);
    admin.refused(&with(&["--from", "soonish", "--to", "12-01"]), 2, &["soonish"]);
    let schedule = ["create", "schedule", "s", "--all", "--yes"];
    let with = |more: &[&'static str]| [&schedule[..], more].concat();
    admin.refused(&with(&["--weekly", "someday", "--at", "02:00", "--for", "1h"]), 2, &["someday"]);
    admin.refused(&with(&["--daily", "--at", "25:00", "--for", "1h"]), 2, &["25:00"]);
    admin.refused(&with(&["--daily", "--at", "02:00", "--for", "25h"]), 2, &["24 hours"]);
    admin.refused(&with(&["--daily", "--at", "02:00"]), 2, &["--for"]);
    admin.refused(&with(&[]), 2, &["no days", "--weekly"]);
    admin.refused(&["create", "schedule", "s", "--daily", "--yes"], 2, &["no target", "--all"]);
}

#[test]
fn a_request_that_was_changed_on_its_way_is_refused() {
    let admin = Admin::with_fleet();
    let request = admin.request("press-01", 1);
    let content = std::fs::read_to_string(&request).unwrap();
    let cut = admin.file("cut.json", &content[..content.len() / 2]);
    admin.refused(&["enroll", text(&cut), "--yes"], 2, &["cut.json", "daymark-node init"]);
    let gone = admin.place.path().join("gone.json");
    admin.refused(&["enroll", text(&gone), "--yes"], 2, &["gone.json"]);
}

#[test]
fn a_site_in_use_cannot_be_deleted() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    admin.enroll("press-01", 1, &["--site", "berlin"]);
    admin.refused(&["delete", "site", "berlin", "--yes"], 4, &["still used by Host press-01"]);
}

#[test]
fn nobody_at_the_socket_is_its_own_exit_code_and_reads_go_on() {
    let admin = Admin::with_fleet();
    let node = ["--node", "/nonexistent/control.sock"];
    let wait = ["wait", "policy/p", "--for", "held"];
    admin.refused(&[&wait[..], &node].concat(), 5, &["/nonexistent/control.sock", "next:"]);
    let read = admin.run(&[&["get", "hosts"][..], &node].concat()).ends(0);
    assert!(read.err.contains("warning: no agent answers"), "{}", read.err);
    // What is signed stays in the replica, and the code says that nobody has it yet.
    admin.run(&[&["create", "site", "berlin", "--yes"][..], &node].concat()).ends(5);
    assert_eq!(admin.run(&["get", "sites", "-o", "name"]).ends(0).out, "berlin\n");
}

#[test]
fn without_a_terminal_nothing_is_signed_unasked() {
    let admin = Admin::with_fleet();
    let failed = admin.run(&["create", "site", "berlin"]).ends(4);
    assert!(failed.err.contains("--yes"), "{}", failed.err);
    assert_eq!(admin.run(&["get", "sites", "-o", "name"]).ends(0).out, "");
}

#[test]
fn what_is_not_there_is_looked_for_where_it_would_be_listed() {
    let admin = Admin::with_fleet();
    for (kind, listed) in [
        ("promotion", "get promotions"),
        ("retry", "get retries"),
        ("halt", "get halts"),
        ("emergency", "get emergencies"),
    ] {
        admin.refused(&["delete", kind, "nowhere", "--yes"], 2, &["nowhere", listed]);
        admin.run(&listed.split(' ').collect::<Vec<_>>()).ends(0);
    }
}
