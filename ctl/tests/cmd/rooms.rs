//! Q12: nothing is signed that would crowd out what the same key signed before.

use std::fmt::Write as _;

use crate::{Admin, text};

/// That many regions, as one file. Some of these names are the start of another's id.
fn regions(numbers: std::ops::Range<usize>) -> String {
    numbers.fold(String::new(), |mut file, number| {
        writeln!(file, "---\nkind: Region\nspec: {{name: region-{number:04}}}").unwrap();
        file
    })
}

#[test]
fn q12_the_room_of_a_kind_is_full_at_1024_ids() {
    let admin = Admin::with_fleet();
    let many = admin.file("many.yaml", regions(0..1_000));
    let more = admin.file("more.yaml", regions(1_000..1_025));
    let words = ["key alice has 1024 resources of the kind Region", "the fleet's", "delete"];
    admin.refused(&["apply", "-f", text(&many), "-f", text(&more), "--yes"], 4, &words);
    let fit = admin.file("fit.yaml", regions(1_000..1_024));
    admin.run(&["apply", "-f", text(&many), "-f", text(&fit), "--yes"]).ends(0);
    admin.refused(&["create", "region", "one-more", "--yes"], 4, &words);
    // What is there may change, and its end makes room.
    let changed =
        admin.file("c.yaml", "kind: Region\nspec: {name: region-0001, parent: region-0002}");
    admin.run(&["apply", "-f", text(&changed), "--yes"]).ends(0);
    admin.run(&["delete", "region", "region-0003", "--yes"]).ends(0);
    admin.run(&["create", "region", "one-more", "--yes"]).ends(0);
    let listed = admin.run(&["get", "regions", "-o", "name"]).ends(0).out;
    assert_eq!(listed.lines().count(), 1_024);
}

#[test]
fn q12_the_room_for_drafts_is_full_at_64() {
    let alice = Admin::new();
    for name in ["alice", "bob"] {
        alice.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    alice.run(&["fleet", "init", "--name", "acme", "--root", "2-of-2", "--evaluation"]).ends(0);
    std::fs::remove_file(alice.place.path().join("home/keys/bob.json")).unwrap();
    // Each end makes a statement of its own.
    let windows = |from: u32, to: u32| {
        (from..to).fold(String::new(), |mut file, number| {
            let year = 2100 + number;
            writeln!(
                file,
                "---\nkind: SingleSchedule\ntarget: {{all: true}}\nuntil: {year}-01-01\nspec: {{name: \
                 w{number}, scheduleStatus: SCHEDULE_STATUS_OS_UPDATE, startSeconds: 4000000000}}"
            )
            .unwrap();
            file
        })
    };
    let words = ["key alice has 64 statements that wait for signatures", "get approvals"];
    let many = alice.file("many.yaml", windows(0, 65));
    alice.refused(&["apply", "-f", text(&many), "--yes"], 4, &words);
    let fit = alice.file("fit.yaml", windows(0, 64));
    alice.run(&["apply", "-f", text(&fit), "--yes"]).ends(3);
    let one = alice.file("one.yaml", windows(64, 65));
    alice.refused(&["apply", "-f", text(&one), "--yes"], 4, &words);
    let waiting = alice.run(&["get", "approvals", "-o", "name"]).ends(0).out;
    assert_eq!(waiting.lines().count(), 64);
}
