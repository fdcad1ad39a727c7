//! `docs/ceremony.md` as it is typed: the blocks of a chapter, run by a shell. What a person does
//! with their hands is put in: the stick's folder, the fingerprint, the paper, the word yes.

use std::path::Path;
use std::process::Command;

use crate::{Admin, text};

const MANUAL: &str = include_str!("../../../docs/ceremony.md");

/// The shell blocks of a chapter, in order.
fn blocks(chapter: &str) -> Vec<String> {
    let (_, rest) = MANUAL.split_once(&format!("\n## {chapter}\n")).expect("the chapter is there");
    let rest = rest.split("\n## ").next().expect("a chapter has text");
    rest.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap().to_owned()).collect()
}

/// A line as it is typed where there is nobody to answer.
fn typed(line: &str, stick: &Path, pin: &str, paper: &Path) -> String {
    let line = line.split("  #").next().unwrap();
    let line = line
        .replace("/media/stick", text(stick))
        .replace("FINGERPRINT", pin)
        .replace("/dev/tty", text(paper));
    let asks = ["root ", "sign ", "enroll "].iter().any(|word| line.contains(word));
    if line.contains("key restore") {
        format!("{line} --from {}", text(paper))
    } else if asks && !line.contains("--preview") && !line.contains("root show") {
        format!("{line} --yes")
    } else {
        line
    }
}

/// Runs a block at somebody's laptop, line by line.
#[track_caller]
fn walk(admin: &Admin, block: &str, stick: &Path, pin: &str, paper: &Path) {
    let program = Path::new(env!("CARGO_BIN_EXE_daymarkctl")).parent().unwrap();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let line = typed(line, stick, pin, paper);
        let output = Command::new("sh")
            .args(["-euc", &line])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
            .env("DAYMARK_HOME", admin.place.path().join("home"))
            .env("DAYMARK_PASSPHRASE", "correct horse")
            .env("TZ", "UTC")
            .current_dir(admin.place.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
    }
}

#[test]
fn the_chapter_for_one_person_holds_as_it_is_typed() {
    let (alice, place) = (Admin::new(), tempfile::tempdir().unwrap());
    let (stick, paper) = (place.path().join("stick"), place.path().join("paper"));
    std::fs::create_dir(&stick).unwrap();
    let [founding, sync, restoring, stolen] = blocks("One person").try_into().unwrap();
    walk(&alice, &founding, &stick, "", &paper);
    assert!(std::fs::read_to_string(&paper).unwrap().contains("key restore"));
    alice.run(&["fleet", "info"]).ends(0);
    let pin = alice.pin();
    let unattended = |admin: &Admin, args: &[&str]| {
        crate::finish(admin.command(args).env("DAYMARK_PASSPHRASE", "correct horse"))
    };
    unattended(&alice, &["create", "site", "berlin", "--yes"]).ends(0);
    walk(&alice, &sync, &stick, &pin, &paper);

    // Another laptop, from paper and from the stick.
    let new = Admin::new();
    walk(&new, &restoring, &stick, &pin, &paper);
    assert_eq!(new.run(&["get", "sites", "-o", "name"]).ends(0).out, "berlin\n");
    unattended(&new, &["create", "site", "bonn", "--yes"]).ends(0);

    // The old one was stolen: its key counts no more, and all that was signed with it still does.
    walk(&new, &stolen, &stick, &pin, &paper);
    assert_eq!(new.run(&["get", "sites", "-o", "name"]).ends(0).out, "berlin\nbonn\n");
    assert_eq!(new.run(&["get", "approvals", "-o", "name"]).ends(0).out, "");
}
