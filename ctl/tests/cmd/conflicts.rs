//! Two people who change the same thing at once, and items that one side will not have.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::{Admin, files, text};

fn zone(admin: &Admin, zone: &str) -> std::path::PathBuf {
    admin.file("site.yaml", format!("kind: Site\nspec: {{name: berlin, zone: {zone}}}"))
}

#[test]
fn c2_one_version_said_twice_ends_sync_with_the_code_for_conflicts_until_it_is_settled() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    let stick = admin.folder("stick");
    let other = admin.second_home(&stick);
    admin.run(&["apply", "-f", text(&zone(&admin, "Europe/Berlin")), "--yes"]).ends(0);
    other.run(&["apply", "-f", text(&zone(&other, "Europe/Paris")), "--yes"]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    other.run(&["sync", text(&stick)]).ends(6).says(&["berlin is unknown", "get conflicts"]);
    // The exchange was done all the same, and what is known already is not told again.
    admin.run(&["sync", text(&stick)]).ends(6);
    admin.run(&["sync", text(&stick)]).ends(0);
    let rows = admin.run(&["get", "conflicts", "-o", "json"]).ends(0).json();
    assert_eq!(rows[0]["name"], "berlin");
    admin.run(&["apply", "-f", text(&zone(&admin, "Europe/Berlin")), "--yes"]).ends(0);
    assert_eq!(admin.run(&["get", "conflicts", "-o", "name"]).ends(0).out, "");
}

#[test]
fn c2_a_statement_that_contradicts_one_that_counts_is_not_signed() {
    let [alice, bob, carol] = [Admin::new(), Admin::new(), Admin::new()];
    for (admin, name) in [(&alice, "alice"), (&bob, "bob"), (&carol, "carol")] {
        admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    let member = |admin: &Admin, name| admin.run(&["key", "show", name]).ends(0).out;
    let (of_bob, of_carol) = (member(&bob, "bob"), member(&carol, "carol"));
    let members = ["--member", of_bob.trim(), "--member", of_carol.trim()];
    let roles = ["--root", "1-of-alice", "--policy", "2-of-3"];
    alice.run(&[&["fleet", "init", "--name", "acme"][..], &roles, &members].concat()).ends(0);
    let pin = alice.pin();
    let stick = alice.folder("stick");
    alice.run(&["sync", text(&stick)]).ends(0);
    for admin in [&bob, &carol] {
        admin.run(&["context", "add", "acme", text(&stick), "--fleet", &pin]).ends(0);
    }
    alice.run(&["apply", "-f", text(&zone(&alice, "Europe/Berlin")), "--yes"]).ends(3);
    bob.run(&["apply", "-f", text(&zone(&bob, "Europe/Paris")), "--yes"]).ends(3);
    for admin in [&alice, &bob, &carol] {
        admin.run(&["sync", text(&stick)]).ends(0);
    }
    let waiting = carol.run(&["get", "approvals", "-o", "name"]).ends(0).out;
    let [first, second] = waiting.lines().collect::<Vec<_>>()[..] else {
        panic!("not two statements wait: {waiting}")
    };
    carol.run(&["sign", first, "--yes"]).ends(0);
    carol.refused(&["sign", second, "--yes"], 6, &[second, "version 1", "berlin", "its author"]);
    assert_eq!(carol.run(&["get", "conflicts", "-o", "name"]).ends(0).out, "");
}

#[test]
fn what_a_stick_brings_that_is_refused_is_named_and_the_rest_is_taken() {
    let admin = Admin::with_fleet();
    let stick = admin.folder("stick");
    let other = admin.second_home(&stick);
    other.run(&["create", "site", "berlin", "--yes"]).ends(0);
    other.run(&["sync", text(&stick)]).ends(0);
    let junk = b"this is no entry";
    let name = HEXLOWER.encode(&Sha256::digest(junk));
    let fleet = stick.join("daymark/documents/fleet");
    std::fs::create_dir_all(&fleet).unwrap();
    std::fs::write(fleet.join(&name), junk).unwrap();
    let before = files(&stick);
    let said = admin.run(&["sync", text(&stick)]).ends(4).says(&["1 items were refused"]).err;
    assert!(said.contains(&format!("documents/fleet/{name} was refused here: ")), "{said}");
    assert_eq!(before, files(&stick), "nothing was changed on the stick");
    assert_eq!(admin.run(&["get", "sites", "-o", "name"]).ends(0).out, "berlin\n");
}
