//! Q1, S4: what is written for one site lives in that site's document and reaches nobody else.

use crate::{Admin, files, text};

const POLICY: &str =
    "spec:\n  name: follow\n  updatePolicy: UPDATE_POLICY_LATEST\n  schedules: [nights]\n";

/// Two sites with a machine each.
fn sites() -> Admin {
    let admin = Admin::with_fleet();
    for (number, (site, zone)) in
        [("berlin", "Europe/Berlin"), ("munich", "UTC")].into_iter().enumerate()
    {
        admin.run(&["create", "site", site, "--zone", zone, "--yes"]).ends(0);
        let seed = u8::try_from(number).unwrap() + 1;
        admin.enroll(&format!("press-{site}"), seed, &["--site", site]);
    }
    admin
}

/// How many entries each document has, by site name.
fn entries(admin: &Admin) -> [usize; 3] {
    let id = |site| {
        let described = admin.run(&["describe", "site", site, "-o", "json"]).ends(0).json();
        format!("site/{}", described["id"].as_str().unwrap())
    };
    ["fleet".to_owned(), id("berlin"), id("munich")].map(|document| {
        let folder = admin.place.path().join("home/contexts/acme/daymark/documents");
        files(&folder.join(document)).len()
    })
}

fn windows(admin: &Admin, host: &str) -> usize {
    let rows = admin.run(&["get", "windows", host, "-o", "json"]).ends(0).json();
    rows.as_array().unwrap().len()
}

#[test]
fn q1_schedules_blackouts_and_policies_of_a_site_reach_only_it_and_live_with_it() {
    let admin = sites();
    let [fleet, berlin, munich] = entries(&admin);
    let scope = ["--scope", "site=berlin", "--yes"];
    let create = ["create", "schedule", "nights", "--daily", "--at", "02:00", "--for", "2h"];
    let said = admin.run(&[&create[..], &["--zone", "site"], &scope].concat()).ends(0).out;
    assert!(said.contains("for everyone, in the scope site berlin"), "{said}");
    assert!(said.contains("reaches 1 of 2 hosts") && said.contains("Europe/Berlin"), "{said}");
    let close = ["create", "blackout", "feast", "--from", "12-19", "--to", "12-27", "--yearly"];
    admin.run(&[&close[..], &scope].concat()).ends(0);
    let policy = admin.file("policy.yaml", POLICY);
    let said = admin.run(&[&["apply", "-f", text(&policy)][..], &scope].concat()).ends(0).out;
    assert!(said.contains("reaches 1 of 2 hosts"), "{said}");
    // A statement and a signature each, none of them in another document.
    assert_eq!(entries(&admin), [fleet, berlin + 6, munich]);
    assert!(windows(&admin, "press-berlin") > 0);
    assert_eq!(windows(&admin, "press-munich"), 0);
    for (kind, name) in [("schedules", "nights"), ("blackouts", "feast"), ("policies", "follow")] {
        let rows = admin.run(&["get", kind, name, "-o", "json"]).ends(0).json();
        assert_eq!(rows[0]["scope"], "site berlin", "{rows}");
    }
    for (site, shown) in [("berlin", "follow\n"), ("munich", "")] {
        let policies = ["get", "policies", "--site", site, "-o", "name"];
        assert_eq!(admin.run(&policies).ends(0).out, shown);
        admin.refused(&["get", "sites", "--site", site], 2, &["whole fleet", "next:"]);
    }
    let described = admin.run(&["describe", "policy", "follow", "-o", "json"]).ends(0).json();
    assert_eq!(described["versions"][0]["scope"], "site berlin");
    // The same words for the fleet are another resource.
    let again = [&create[..], &["--all", "--yes"]].concat();
    admin.run(&again).ends(0);
    assert!(windows(&admin, "press-munich") > 0);
    admin.refused(
        &["delete", "schedule", "nights", "--yes"],
        2,
        &["fits 2", "(fleet)", "(site berlin)", "--scope"],
    );
    admin.run(&[&["delete", "schedule", "nights"][..], &scope].concat()).ends(0);
    assert_eq!(admin.run(&["get", "schedules", "-o", "json"]).ends(0).json()[0]["scope"], "fleet");
}

#[test]
fn s4_a_target_outside_the_scope_is_refused_and_one_inside_narrows_it() {
    let admin = sites();
    admin.enroll("oven-berlin", 9, &["--site", "berlin", "-l", "line=3"]);
    let hold = |host, scope| ["hold", host, "--scope", scope, "--yes"];
    admin.refused(
        &hold("press-munich", "site=berlin"),
        2,
        &["press-munich lies outside the scope site berlin"],
    );
    let halt = ["halt", "--site", "munich", "--scope", "site=berlin", "--yes"];
    admin.refused(&halt, 2, &["site munich lies outside the scope site berlin"]);
    admin.refused(&hold("press-munich", "berlin"), 2, &["not a scope", "site=SITE"]);
    admin.refused(&hold("press-munich", "site=bonn"), 2, &["\"bonn\"", "get sites"]);
    let site = ["create", "site", "bonn", "--scope", "site=berlin", "--yes"];
    admin.refused(&site, 2, &["whole fleet's", "--scope"]);
    let update = ["update", "-l", "line=3", "--now", "--scope", "site=berlin", "--yes"];
    let said = admin.run(&update).ends(0).out;
    assert!(said.contains("reaches 1 of 3 hosts"), "{said}");
    assert_eq!(windows(&admin, "oven-berlin"), 1);
    assert_eq!(windows(&admin, "press-berlin"), 0);
}

#[test]
fn q1_a_file_may_say_its_scope_and_several_scopes_become_one_statement_each() {
    let admin = sites();
    let file = admin.file(
        "set.yaml",
        "kind: Blackout\nscope: {site: berlin}\nspec: {name: b, from: \"2030-01-01T00:00:00Z\", \
         to: \"2030-01-02T00:00:00Z\", zone: UTC}\n---\nkind: Blackout\nscope: {site: munich}\n\
         spec: {name: m, from: \"2030-01-01T00:00:00Z\", to: \"2030-01-02T00:00:00Z\", zone: UTC}\n",
    );
    let said = admin.run(&["apply", "-f", text(&file), "--yes"]).ends(0).out;
    assert!(said.contains("It becomes 2 statements"), "{said}");
    let wrong = admin.file("wrong.yaml", "kind: Blackout\nscope: berlin\nspec: {name: b}");
    let apply = ["apply", "-f", text(&wrong), "--yes"];
    admin.refused(&apply, 2, &["wrong.yaml", "scope", "{site: SITE}"]);
    // A policy for all cannot rest on windows that only one site holds.
    let create = ["create", "schedule", "nights", "--daily", "--at", "02:00", "--for", "2h"];
    admin.run(&[&create[..], &["--scope", "site=berlin", "--yes"]].concat()).ends(0);
    let policy = admin.file("policy.yaml", POLICY);
    let apply = ["apply", "-f", text(&policy), "--all", "--yes"];
    admin.refused(&apply, 2, &["\"nights\"", "site berlin", "of fleet"]);
}

#[test]
fn q1_halts_of_a_site_are_listed_and_resumed_by_scope() {
    let admin = sites();
    admin.run(&["halt", "--scope", "site=berlin", "--yes"]).ends(0);
    admin.run(&["halt", "--site", "munich", "--yes"]).ends(0);
    let halts = admin.run(&["get", "halts", "-o", "json"]).ends(0).json();
    let about: Vec<_> = halts.as_array().unwrap().iter().map(|halt| &halt["about"]).collect();
    assert!(about.contains(&&"everyone, in the scope site berlin".into()), "{about:?}");
    admin.run(&["resume", "--scope", "site=berlin", "--yes"]).ends(0);
    let halts = admin.run(&["get", "halts", "-o", "json"]).ends(0).json();
    assert_eq!(halts.as_array().unwrap().len(), 1);
    admin.run(&["resume", "--yes"]).ends(0);
    assert_eq!(admin.run(&["get", "halts", "-o", "name"]).ends(0).out, "");
}
