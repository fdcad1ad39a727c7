//! What signers know of halts goes with what they sign, and co-signers are told what its author did
//! not know (RULES S5).

use crate::{Admin, files, text};

/// Two administrators who know each other's fleet; what opens takes both.
fn two() -> [Admin; 2] {
    let [alice, bob] = [Admin::new(), Admin::new()];
    for (admin, name) in [(&alice, "alice"), (&bob, "bob")] {
        admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    let of_bob = bob.run(&["key", "show", "bob"]).ends(0).out;
    let roles = ["--root", "1-of-alice", "--policy", "2-of-2", "--member", of_bob.trim()];
    alice.run(&[&["fleet", "init", "--name", "acme"][..], &roles].concat()).ends(0);
    let stick = alice.folder("stick");
    alice.run(&["sync", text(&stick)]).ends(0);
    bob.run(&["context", "add", "acme", text(&stick), "--fleet", &alice.pin()]).ends(0);
    [alice, bob]
}

/// Whether a statement with these words is held.
fn says(admin: &Admin, words: &[&str]) -> bool {
    let held = files(&admin.place.path().join("home/contexts/acme/daymark"));
    held.values().any(|bytes| {
        let content = String::from_utf8_lossy(bytes);
        words.iter().all(|word| content.contains(word))
    })
}

const WINDOW: [&str; 7] = ["create", "schedule", "nightly", "--daily", "--at", "02:00", "--for"];

#[test]
fn s5_what_is_signed_under_a_halt_lists_it_and_lists_it_no_longer_once_it_is_lifted() {
    let [alice, _] = two();
    alice.run(&["halt", "--for", "1h", "--yes"]).ends(0);
    let halts = alice.run(&["get", "halts", "-o", "json"]).ends(0).json();
    let name = halts[0]["name"].as_str().unwrap();
    alice.run(&[&WINDOW[..], &["2h", "--all", "--yes"]].concat()).ends(3);
    let listed = ["\"sees\":[[\"fleet\",\"Halt\",\"halt-", "\"name\":\"nightly\""];
    assert!(says(&alice, &listed), "the halt {name} is not listed");

    let elsewhere = Admin::with_fleet();
    elsewhere.run(&["halt", "--yes"]).ends(0);
    elsewhere.run(&["resume", "--yes"]).ends(0);
    elsewhere.run(&[&WINDOW[..], &["2h", "--all", "--yes"]].concat()).ends(0);
    assert!(says(&elsewhere, &["\"name\":\"nightly\""]));
    assert!(!says(&elsewhere, &listed), "what was lifted is listed");
}

#[test]
fn s5_a_co_signer_is_told_of_a_halt_that_the_author_did_not_know() {
    let [alice, bob] = two();
    bob.run(&[&WINDOW[..], &["2h", "--all", "--yes"]].concat()).ends(3);
    alice.run(&["halt", "--yes"]).ends(0);
    let halts = alice.run(&["get", "halts", "-o", "json"]).ends(0).json();
    let name = halts[0]["name"].as_str().unwrap();
    let stick = alice.place.path().join("stick");
    bob.run(&["sync", text(&stick)]).ends(0);
    alice.run(&["sync", text(&stick)]).ends(0);
    let shown = alice.run(&["sign", "--all", "--dry-run"]).out;
    let warning = format!("WARNING: its author did not know Halt {name} (version 1)");
    assert!(shown.contains(&warning), "{shown}");
}
