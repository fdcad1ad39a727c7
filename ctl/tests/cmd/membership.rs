//! Enrolled machines change their labels and their site, and both sites know.

use std::collections::BTreeSet;

use crate::{Admin, files};

fn sites() -> Admin {
    let admin = Admin::with_fleet();
    for site in ["berlin", "munich"] {
        admin.run(&["create", "site", site, "--yes"]).ends(0);
    }
    admin.enroll("press-01", 1, &["--site", "berlin", "-l", "line=3"]);
    admin
}

/// The names of the entries of a document, which are their hashes.
fn entries(admin: &Admin, document: &str) -> BTreeSet<String> {
    let folder = match document {
        "fleet" | "site/none" => document.to_owned(),
        site => {
            let described = admin.run(&["describe", "site", site, "-o", "json"]).ends(0).json();
            format!("site/{}", described["id"].as_str().unwrap())
        }
    };
    let folder = admin.place.path().join("home/contexts/acme/daymark/documents").join(folder);
    let files = files(&folder).into_keys();
    files.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn host(admin: &Admin) -> serde_json::Value {
    admin.run(&["get", "hosts", "press-01", "-o", "json"]).ends(0).json()[0].clone()
}

#[test]
fn labels_are_set_and_taken_away_and_nothing_else_changes() {
    let admin = sites();
    let before = admin.run(&["describe", "host", "press-01", "-o", "json"]).ends(0).json();
    let label = ["label", "host", "press-01", "line=4", "cell=b", "--yes"];
    let said = admin.run(&label).ends(0).out;
    assert!(said.contains("~ Host press-01 (version 2)"), "{said}");
    assert_eq!(host(&admin)["labels"], "cell=b,line=4");
    assert!(admin.run(&label).ends(0).out.contains("Nothing changes"));
    admin.run(&["label", "host", "press-01", "cell-", "--yes"]).ends(0);
    assert_eq!(host(&admin)["labels"], "line=4");
    admin.refused(
        &["label", "host", "press-01", "cell-", "--yes"],
        2,
        &["no label \"cell\"", "get hosts press-01"],
    );
    admin.refused(&["label", "host", "press-01", "line", "--yes"], 2, &["\"line\"", "line=3"]);
    admin.refused(&["label", "host", "press-99", "a=b", "--yes"], 2, &["press-99", "get hosts"]);
    let after = admin.run(&["describe", "host", "press-01", "-o", "json"]).ends(0).json();
    let content = |of: &serde_json::Value| {
        let mut content = of["versions"][0]["content"].clone();
        content.as_object_mut().unwrap().remove("labels");
        content
    };
    assert_eq!(content(&before), content(&after));
    assert_eq!(after["id"], before["id"]);
}

#[test]
fn q2_a_move_is_known_in_the_fleet_and_both_sites_and_what_follows_in_the_new_one() {
    let admin = sites();
    let before = ["fleet", "berlin", "munich"].map(|document| entries(&admin, document));
    let said = admin.run(&["move", "host", "press-01", "--site", "munich", "--yes"]).ends(0).out;
    assert!(said.contains("site: berlin -> munich"), "{said}");
    assert_eq!(host(&admin)["site"], "munich");
    let after = ["fleet", "berlin", "munich"].map(|document| entries(&admin, document));
    let new: Vec<BTreeSet<_>> =
        (0..3).map(|at| after[at].difference(&before[at]).cloned().collect()).collect();
    assert_eq!(new[0].len(), 2, "a statement and a signature: {new:?}");
    assert!(new.iter().all(|of| *of == new[0]), "the same entries in all three: {new:?}");
    admin.run(&["label", "host", "press-01", "line=7", "--yes"]).ends(0);
    let later = ["fleet", "berlin", "munich"].map(|document| entries(&admin, document).len());
    assert_eq!(later, [after[0].len(), after[1].len(), after[2].len() + 2]);
    let described = admin.run(&["describe", "host", "press-01", "-o", "json"]).ends(0).json();
    assert_eq!(described["state"], "counts");
    assert_eq!(described["versions"][0]["version"], 3);
}

#[test]
fn q2_leaving_and_joining_the_site_none_is_a_move_like_any_other() {
    let admin = sites();
    let to = |site| ["move", "host", "press-01", "--site", site, "--yes"];
    admin.run(&to("none")).ends(0);
    assert_eq!(host(&admin)["site"], "-");
    let fleet = entries(&admin, "fleet");
    assert_eq!(entries(&admin, "site/none").len(), 2);
    admin.run(&to("munich")).ends(0);
    let new: Vec<_> = entries(&admin, "fleet").difference(&fleet).cloned().collect();
    assert_eq!(new.len(), 2);
    for document in ["site/none", "munich"] {
        assert!(entries(&admin, document).is_superset(&new.iter().cloned().collect()));
    }
    assert!(admin.run(&to("munich")).ends(0).out.contains("Nothing changes"));
    admin.refused(&["move", "host", "press-01", "--yes"], 2, &["no site", "--site"]);
    admin.refused(&to("bonn"), 2, &["\"bonn\"", "get sites"]);
}

#[test]
fn q2_the_end_of_a_host_is_known_in_the_fleet_and_its_site() {
    let admin = sites();
    let (fleet, berlin) = (entries(&admin, "fleet"), entries(&admin, "berlin"));
    admin.run(&["delete", "host", "press-01", "--yes"]).ends(0);
    assert_eq!(entries(&admin, "fleet").difference(&fleet).count(), 2);
    assert_eq!(entries(&admin, "berlin").difference(&berlin).count(), 2);
    assert_eq!(admin.run(&["get", "hosts", "-o", "name"]).ends(0).out, "");
}
