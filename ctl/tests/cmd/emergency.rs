//! Emergencies, halts and who holds them (RULES S6, C4).

use daymark_protocol::resource::OsType;

use crate::Admin;
use crate::kinds::machine;

/// Two hosts that said what they run, one that said nothing, and a policy without a window.
fn fleet() -> Admin {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    for (name, seed) in [("press-01", 1), ("press-02", 2), ("press-03", 3)] {
        admin.enroll(name, seed, &["--site", "berlin"]);
    }
    admin
}

#[test]
fn s6_an_emergency_wants_reason_and_end_and_the_number_of_those_who_act() {
    let admin = fleet();
    let create = |more: &[&'static str]| {
        [&["create", "emergency", "cve", "--site", "berlin", "--yes"], more].concat()
    };
    admin.refused(&create(&["--until", "2d"]), 2, &["needs its reason", "--reason"]);
    let why = ["--reason", "CVE-2026-1234"];
    admin.refused(&create(&[&["--until", "8d"], &why[..]].concat()), 4, &["at most 7 days"]);
    let good = [&["--until", "2d"], &why[..]].concat();
    admin.refused(&create(&good), 4, &["nothing was signed", "--acts-now 0"]);
    admin.refused(
        &create(&[&good[..], &["--acts-now", "3"]].concat()),
        4,
        &["0 hosts act now, not 3"],
    );
    let said = admin.run(&create(&[&good[..], &["--acts-now", "0"]].concat())).ends(0).out;
    assert!(said.contains("0 hosts act now, outside all windows"), "{said}");
    assert!(said.contains("3 more have reported nothing and may act too: press-01"), "{said}");
    let listed = admin.run(&["get", "emergencies", "-o", "json"]).ends(0).json();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["reason"]),
        (&"cve".into(), &"CVE-2026-1234".into())
    );
    let status = admin.run(&["status", "-o", "json"]).ends(0).json();
    assert!(status["emergencies"][0].as_str().unwrap().contains("CVE-2026-1234"), "{status}");
}

#[test]
fn s6_applying_as_an_emergency_opens_a_window_for_those_whom_the_policy_is_for() {
    let admin = fleet();
    admin.reports(1, &machine(OsType::Immutable));
    let policy = "kind: OsUpdatePolicy\ntarget: {site: berlin}\nspec:\n  name: follow\n  \
                  updatePolicy: UPDATE_POLICY_LATEST\n";
    let file = admin.file("policy.yaml", policy);
    let apply = |more: &[&'static str]| {
        let mut args = vec!["apply", "-f", file.to_str().unwrap(), "--emergency", "--yes"];
        args.extend(more);
        admin.run(&args)
    };
    apply(&["--reason", "cve"]).ends(2).says(&["needs its end", "--until"]);
    let ran = apply(&["--reason", "cve", "--until", "1d", "--acts-now", "0"]).ends(0);
    assert!(ran.out.contains("+ Emergency follow"), "{}", ran.out);
    assert!(ran.out.contains("2 more have reported nothing"), "{}", ran.out);
    assert!(ran.out.contains("It becomes 2 statements"), "{}", ran.out);
}

#[test]
fn c4_halting_says_who_holds_it_and_who_not_yet() {
    let admin = fleet();
    let said = admin.run(&["halt", "--site", "berlin", "--for", "12h", "--yes"]).ends(0).out;
    assert!(said.contains("Held by 0 of 3, not yet: press-01, press-02, press-03."), "{said}");
    let halts = admin.run(&["get", "halts", "-o", "json"]).ends(0).json();
    assert!(halts[0]["what"].as_str().unwrap().contains("held by 0 of 3"), "{halts}");
    let said = admin.run(&["resume", "--yes"]).ends(0).out;
    assert!(said.contains("Held by 0 of 3, not yet"), "{said}");
}
