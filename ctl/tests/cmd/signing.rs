//! What a co-signer sees and signs: only what is theirs, and nothing that hides what it does.

use std::fs::OpenOptions;

use crate::team::Team;
use crate::text;

/// Policies are alice's and bob's matter, machines carol's and bob's.
fn team() -> Team {
    Team::found(
        &["alice", "bob", "carol"],
        &[
            "--root",
            "2-of-3",
            "--policy",
            "2-of-alice,bob",
            "--enroll",
            "2-of-bob,carol",
            "--halt",
            "1-of-alice",
        ],
    )
}

#[test]
fn sign_all_signs_what_is_ones_own_and_says_what_waits_for_others() {
    let team = team();
    team.run("bob", &["create", "site", "berlin", "--yes"]).ends(3);
    team.sync_all();
    team.run("alice", &["sign", "--all", "--yes"]).ends(0);
    team.sync_all();
    let nights =
        ["create", "schedule", "nights", "--daily", "--at", "02:00", "--for", "2h", "--all"];
    team.run("bob", &[&nights[..], &["--yes"]].concat()).ends(3);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token.json");
    let token = ["create", "token", "spares", "--site", "berlin", "--uses", "5", "--until", "30d"];
    team.run("bob", &[&token[..], &["--to", text(&file), "--yes"]].concat()).ends(3);
    team.sync_all();
    let said = team.run("alice", &["sign", "--all", "--yes"]).ends(0).out;
    assert!(said.contains("nights") && !said.contains("spares"), "{said}");
    assert!(said.contains("1 more wait for keys that are not on this machine"), "{said}");
    let said = team.run("alice", &["sign", "--all", "--yes"]).ends(0).out;
    assert!(said.contains("1 more wait") && said.contains("Nothing waits"), "{said}");
    team.sync_all();
    let said = team.run("carol", &["sign", "--all", "--yes"]).ends(0).out;
    assert!(said.contains("spares") && !said.contains("more wait"), "{said}");
    assert_eq!(team.run("carol", &["get", "schedules", "-o", "name"]).ends(0).out, "nights\n");
    assert_eq!(team.run("carol", &["get", "tokens", "-o", "name"]).ends(0).out, "spares\n");
}

#[test]
fn a_reason_cannot_hide_what_a_signature_does() {
    let team = team();
    let reason = "all fine\u{1b}[8m\u{9b}2J\r\n- nothing changes \u{202e}";
    let night =
        ["create", "schedule", "nights", "--daily", "--at", "02:00", "--for", "2h", "--all"];
    team.run("bob", &[&night[..], &["--reason", reason, "--yes"]].concat()).ends(3);
    team.sync_all();
    let said = team.run("alice", &["sign", "--all", "--dry-run"]).ends(0).out;
    for shown in ["all fine\\u{1b}[8m\\u{9b}2J\\r\\n- nothing changes \\u{202e}", "nights"] {
        assert!(said.contains(shown), "no {shown:?} in {said:?}");
    }
    let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!said.contains(steers), "{said:?}");
}

#[test]
fn what_cannot_be_printed_is_a_failure_and_what_was_asked_for_is_done() {
    let team = team();
    let admin = team.of("alice");
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut halt = admin.command(&["halt", "--yes"]);
    let ended = halt.stdout(full()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output"), "{said}");
    let halts = admin.run(&["get", "halts", "-o", "json"]).ends(0).json();
    assert_eq!(halts.as_array().map(Vec::len), Some(1), "the halt was given all the same");
    // A reader that has enough is no failure.
    let line = format!(
        "{} get halts -o json | head -c 1",
        text(std::path::Path::new(env!("CARGO_BIN_EXE_daymarkctl")))
    );
    let mut shell = std::process::Command::new("sh");
    let home = admin.command(&[]);
    for (name, value) in home.get_envs() {
        value.map(|value| shell.env(name, value));
    }
    let ended = shell.args(["-c", &line]).output().unwrap();
    assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(0), &b"["[..]));
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}
