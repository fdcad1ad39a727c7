//! Keys, and fleets of one and of several administrators.

use crate::{Admin, files, finish, text};

#[test]
fn a_key_with_a_passphrase_signs_with_it_only() {
    let alice = Admin::new();
    let with = |passphrase: &str, args: &[&str]| {
        finish(alice.command(args).env("DAYMARK_PASSPHRASE", passphrase))
    };
    with("right", &["key", "new", "--name", "alice"]).ends(0);
    with("right", &["fleet", "init", "--name", "acme"]).ends(0);
    let before = files(alice.place.path());
    let site = ["create", "site", "berlin", "--yes"];
    with("wrong", &site).ends(4).says(&["wrong passphrase", "alice", "next:"]);
    assert_eq!(before, files(alice.place.path()));
    with("right", &site).ends(0);
    let listed = alice.run(&["key", "list", "-o", "json"]).ends(0).json();
    assert_eq!(listed[0]["name"], "alice");
    assert_eq!(listed[0]["encrypted"], true);
}

#[test]
fn a_passphrase_without_a_terminal_is_asked_for_by_name() {
    let alice = Admin::new();
    alice.refused(&["key", "new", "--name", "alice"], 2, &["no terminal", "DAYMARK_PASSPHRASE"]);
}

#[test]
fn one_of_one_is_a_fleet_at_once() {
    let alice = Admin::with_fleet();
    let info = alice.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    assert_eq!(info["name"], "acme");
    assert_eq!(info["roles"]["policy"]["threshold"], 1);
    alice.refused(&["fleet", "init", "--name", "acme"], 4, &["acme", "another name"]);
}

#[test]
fn two_of_three_found_a_fleet_and_sign_by_stick_alone() {
    let [alice, bob, carol] = [Admin::new(), Admin::new(), Admin::new()];
    for (admin, name) in [(&alice, "alice"), (&bob, "bob"), (&carol, "carol")] {
        admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    let member = |admin: &Admin, name| admin.run(&["key", "show", name]).ends(0).out;
    let (of_bob, of_carol) = (member(&bob, "bob"), member(&carol, "carol"));
    let members = ["--member", of_bob.trim(), "--member", of_carol.trim()];
    let wrong =
        |root| [&["fleet", "init", "--name", "plant", "--root", root], &members[..]].concat();
    alice.refused(&wrong("2-of-5"), 2, &["3 members, not 5", "alice, bob, carol"]);
    alice.refused(&wrong("4"), 2, &["3 keys cannot meet it"]);
    alice.refused(&wrong("1-of-bob,dave"), 2, &["no member \"dave\""]);
    let init = ["fleet", "init", "--name", "plant", "--root", "2-of-3", "--enroll", "1"];
    let init = [&init, &members[..]].concat();
    let said = alice.run(&init).ends(3).out;
    let pin = said.lines().find_map(|line| line.strip_prefix("Fingerprint: ")).unwrap();
    alice.run(&["create", "site", "x", "--yes"]).ends(3).says(&["1 of 2 signatures"]);

    let place = alice.folder("stick");
    let stick = text(&place);
    alice.run(&["sync", stick]).ends(0);
    bob.run(&["context", "add", "plant", stick, "--fleet", pin]).ends(0);
    // Alice's copy, which she syncs again, must not undo what bob added.
    bob.run(&["sign", "--all", "--yes"]).ends(0);
    bob.run(&["sync", stick]).ends(0);
    alice.run(&["sync", stick]).ends(0);
    let info = alice.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    assert_eq!(info["fingerprint"], pin);
    assert_eq!(info["roles"]["enroll"]["threshold"], 1);
    assert_eq!(info["roles"]["enroll"]["holders"].as_array().unwrap().len(), 3);

    alice.run(&["create", "site", "berlin", "--yes"]).ends(3);
    alice.run(&["sync", stick]).ends(0);
    carol.run(&["context", "add", "plant", stick, "--fleet", pin]).ends(0);
    let waiting = carol.run(&["get", "approvals", "-o", "json"]).ends(0).json();
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    carol.run(&["sign", "--all", "--yes"]).ends(0);
    carol.run(&["sync", stick]).ends(0);
    alice.run(&["sync", stick]).ends(0);
    assert_eq!(alice.run(&["get", "sites", "-o", "name"]).ends(0).out, "berlin\n");
}

#[test]
fn the_root_on_the_stick_may_be_signed_in_place() {
    let [alice, bob] = [Admin::new(), Admin::new()];
    alice.run(&["key", "new", "--name", "alice", "--no-passphrase"]).ends(0);
    bob.run(&["key", "new", "--name", "bob", "--no-passphrase"]).ends(0);
    let of_bob = bob.run(&["key", "show", "bob"]).ends(0).out;
    let init = ["fleet", "init", "--name", "plant", "--root", "2-of-2", "--member", of_bob.trim()];
    let said = alice.run(&init).ends(3).out;
    let pin = said.lines().find_map(|line| line.strip_prefix("Fingerprint: ")).unwrap();
    let stick = alice.folder("stick");
    alice.run(&["sync", text(&stick)]).ends(0);
    bob.run(&["context", "add", "plant", text(&stick), "--fleet", pin]).ends(0);
    let root = stick.join("daymark/roots/1.json");
    bob.run(&["sign", text(&root), "--yes"]).ends(0);
    alice.run(&["sync", text(&stick)]).ends(0);
    alice.run(&["fleet", "info"]).ends(0);
    bob.run(&["fleet", "info"]).ends(0);
    bob.run(&["sign", text(&root), "--yes"]).ends(4).says(&["signed this root already"]);
}

#[test]
fn another_fleets_folder_and_fingerprint_are_refused_both_ways() {
    let [ours, theirs] = [Admin::with_fleet(), Admin::with_fleet()];
    let stick = theirs.folder("stick");
    theirs.run(&["sync", text(&stick)]).ends(0);
    let before = files(&stick);
    ours.refused(&["sync", text(&stick)], 4, &["belongs to fleet", "--context"]);
    assert_eq!(before, files(&stick), "nothing of ours goes to another fleet");

    let pin = ours.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    let pin = pin["fingerprint"].as_str().unwrap();
    let new = Admin::new();
    new.refused(&["context", "add", "acme", text(&stick), "--fleet", pin], 4, &["fleet"]);
    let root = stick.join("daymark/roots/1.json");
    ours.refused(&["sign", text(&root), "--yes"], 4, &["another fleet", "1.json"]);
}

#[test]
fn c6_a_stick_from_earlier_does_not_take_the_replica_back() {
    let alice = Admin::with_fleet();
    let old = alice.folder("old");
    alice.run(&["create", "site", "berlin", "--zone", "UTC", "--yes"]).ends(0);
    alice.run(&["sync", text(&old)]).ends(0);
    let zone = alice.file("site.yaml", "kind: Site\nspec: {name: berlin, zone: Europe/Berlin}");
    alice.run(&["apply", "-f", text(&zone), "--yes"]).ends(0);
    // The replica is lost, its floors are not, and only the old stick is at hand.
    let context = alice.place.path().join("home/contexts/acme");
    std::fs::remove_dir_all(context.join("daymark")).unwrap();
    alice.run(&["sync", text(&old)]).ends(6);
    let conflicts = alice.run(&["get", "conflicts", "-o", "json"]).ends(0).json();
    assert_eq!(conflicts[0]["name"], "berlin", "an older version must not count again");
}
