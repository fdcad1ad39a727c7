//! Files that cannot be applied: each is refused by a sentence that names it.

use crate::{Admin, text};

/// A file that is refused, with words that its message must hold.
const REFUSED: &[(&str, &str, &[&str])] = &[
    (
        "an unknown field",
        "spec: {name: p, updatePolicy: UPDATE_POLICY_LATEST, colour: red}",
        &["bad.yaml", "colour"],
    ),
    ("a missing name", "spec: {updatePolicy: UPDATE_POLICY_LATEST}", &["bad.yaml", "spec.name"]),
    (
        "a missing field",
        "kind: RepeatedSchedule\nspec: {name: s, scheduleStatus: SCHEDULE_STATUS_OS_UPDATE}",
        &["bad.yaml", "missing field"],
    ),
    ("an unknown head", "kind: Site\nspec: {name: s}\nshape: round", &["bad.yaml", "shape"]),
    ("an unknown kind", "kind: Sight\nspec: {name: s}", &["bad.yaml", "Sight"]),
    ("no YAML", "a: [", &["bad.yaml", "YAML"]),
    (
        "a cron field out of EIM's grammar",
        "kind: RepeatedSchedule\nspec: {name: s, scheduleStatus: SCHEDULE_STATUS_OS_UPDATE, \
         durationSeconds: 60, cronMinutes: \"*/5\", cronHours: \"2\", cronDayMonth: \"*\", \
         cronMonth: \"*\", cronDayWeek: \"*\"}",
        &["bad.yaml", "cronMinutes", "*/5"],
    ),
    (
        "an end before its start",
        "kind: SingleSchedule\nspec: {name: s, scheduleStatus: SCHEDULE_STATUS_OS_UPDATE, \
         startSeconds: 2000000000, endSeconds: 1900000000}",
        &["bad.yaml", "endSeconds"],
    ),
    (
        "an unknown site",
        "kind: OsUpdatePolicy\ntarget: {site: nowhere}\n\
         spec: {name: p, updatePolicy: UPDATE_POLICY_LATEST}",
        &["nowhere", "daymarkctl get sites"],
    ),
    (
        "an unknown OS profile",
        "spec: {name: p, updatePolicy: UPDATE_POLICY_TARGET, targetOs: edge@9.9.9}",
        &["edge@9.9.9"],
    ),
    (
        "an unknown field in a target",
        "kind: OsUpdatePolicy\ntarget: {town: x}\n\
         spec: {name: p, updatePolicy: UPDATE_POLICY_LATEST}",
        &["target.town"],
    ),
    (
        "one resource twice",
        "kind: Site\nspec: {name: twin}\n---\nkind: Site\nspec: {name: twin}",
        &["document 2", "twin", "twice"],
    ),
];

#[test]
fn a_bad_file_is_refused_by_name_and_changes_nothing() {
    let admin = Admin::with_fleet();
    for (what, content, words) in REFUSED {
        let file = admin.file("bad.yaml", content);
        println!("{what}");
        admin.refused(&["apply", "-f", text(&file), "--all", "--yes"], 2, words);
        admin.refused(&["diff", "-f", text(&file), "--all"], 2, words);
    }
}

#[test]
fn one_bad_document_keeps_the_good_ones_out() {
    let admin = Admin::with_fleet();
    let file = admin.file("set.yaml", "kind: Site\nspec: {name: good}\n---\nkind: Site\nspec: {}");
    admin.refused(&["apply", "-f", text(&file), "--yes"], 2, &["document 2", "name"]);
}

#[test]
fn a_policy_without_a_target_reaches_nobody_and_is_refused() {
    let admin = Admin::with_fleet();
    let file = admin.file("p.yaml", "spec: {name: p, updatePolicy: UPDATE_POLICY_LATEST}");
    admin.refused(&["apply", "-f", text(&file), "--yes"], 2, &["no target", "--site"]);
}

#[test]
fn a_loop_of_regions_is_refused_with_its_path() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "region", "a", "--yes"]).ends(0);
    admin.run(&["create", "region", "b", "--parent", "a", "--yes"]).ends(0);
    let file = admin.file("a.yaml", "kind: Region\nspec: {name: a, parent: b}");
    admin.refused(&["apply", "-f", text(&file), "--yes"], 2, &["a in b in a", "another parent"]);
    for (name, parent) in [("c", "b"), ("d", "c"), ("e", "d")] {
        admin.run(&["create", "region", name, "--parent", parent, "--yes"]).ends(0);
    }
    let deep = ["create", "region", "f", "--parent", "e", "--yes"];
    admin.refused(&deep, 2, &["5 levels"]);
}
