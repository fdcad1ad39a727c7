//! `plan`: it foretells, compares, and touches nothing.

use daymark_protocol::decide::{Activity, Installed, InstalledSource, Machine, PlatformKind};
use daymark_protocol::resource::OsType;
use serde_json::Value;

use crate::{Admin, files, text};

const PROFILE: &str = "appVersion: apps/v1\nspec:\n  name: Edge\n  type: OS_TYPE_IMMUTABLE\n  \
     provider: OS_PROVIDER_KIND_INFRA\n  architecture: x86_64\n  profileName: edge\n  \
     osImageVersion: 2.0.0\n";

/// An order for one image on Sundays at two o'clock in Berlin, over half an hour.
const ORDER: &str = "kind: RepeatedSchedule\ntarget: {all: true}\nspec: {name: sundays, \
     scheduleStatus: SCHEDULE_STATUS_OS_UPDATE, durationSeconds: 10800, cronMinutes: '0', \
     cronHours: '2', cronDayMonth: '*', cronMonth: '*', cronDayWeek: '0', zone: site}\n---\n\
     kind: OsUpdatePolicy\ntarget: {all: true}\nspec: {name: second, updatePolicy: \
     UPDATE_POLICY_TARGET, targetOs: edge@2.0.0, schedules: [sundays], spreadSeconds: 1800}\n";

fn machine(inhibitors: &[&str]) -> Machine {
    Machine {
        os_type: OsType::Immutable,
        platform: PlatformKind::Slots,
        architecture: "x86_64".into(),
        installed: Some(Installed {
            profile: Some("edge".into()),
            version: Some("1.0.0".into()),
            index_digest: None,
            image_sha256: None,
            source: InstalledSource::OsRelease,
        }),
        staged: None,
        quarantine: Vec::new(),
        inhibitors: inhibitors.iter().map(|why| (*why).to_owned()).collect(),
        other_updaters: Vec::new(),
        activation_ms: None,
        activity: Activity::Idle,
        slot_busy: None,
    }
}

/// A site in Berlin with a released image: two machines that wait for an order, one that is
/// inhibited and one that has not reported.
fn site() -> Admin {
    let admin = Admin::with_fleet();
    let zone = ["--zone", "Europe/Berlin", "--yes"];
    admin.run(&[&["create", "site", "berlin"][..], &zone].concat()).ends(0);
    for (name, seed) in [("press-01", 1), ("press-02", 2), ("press-03", 3), ("press-04", 4)] {
        admin.enroll(name, seed, &["--site", "berlin"]);
    }
    admin.reports(1, &machine(&[]));
    admin.reports(2, &machine(&[]));
    admin.reports(3, &machine(&["a shift runs"]));
    let (image, yaml) = (admin.file("edge.raw", vec![7; 100_000]), admin.file("p.yaml", PROFILE));
    let to = admin.folder("release");
    let add = ["release", "add", text(&image), "--profile", text(&yaml), "--to", text(&to)];
    admin.run(&[&add[..], &["--yes"]].concat()).ends(0);
    admin
}

/// The updates in a plan: host, to what, and when there.
fn updates(plan: &Value) -> Vec<(String, String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |host: &Value| {
        let updates = host["updates"].as_array().unwrap().iter();
        let update = |one: &Value| (word(&host["host"]), word(&one["to"]), word(&one["local"]));
        updates.map(update).collect::<Vec<_>>()
    };
    plan["hosts"].as_array().unwrap().iter().flat_map(of).collect()
}

#[test]
fn files_are_planned_as_if_signed_and_applied_come_to_the_same() {
    let admin = site();
    let home = admin.place.path().join("home");
    let order = admin.file("order.yaml", ORDER);
    let before = files(&home);
    let now = admin.run(&["plan", "-o", "json"]).ends(0).json();
    assert_eq!(updates(&now), []);
    assert_eq!(now["summary"]["notUpdating"]["no-policy"], 3, "{now}");
    assert_eq!(now["summary"]["notUpdating"]["not-reported"], 1);

    let then = admin.run(&["plan", "-f", text(&order), "-o", "json"]).ends(0).json();
    let told = admin.run(&["plan", "-f", text(&order)]).ends(0).out;
    assert_eq!(before, files(&home), "a plan leaves nothing behind");
    let changes: Vec<_> = then["differences"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = changes.iter().map(|one| one["change"].as_str().unwrap()).collect();
    assert_eq!((kinds, &then["unchanged"]), (vec!["added", "added", "changed"], &Value::from(1)));
    for words in ["as if all signatures", "+2 would update, -0 no longer would, ~1 otherwise, 1 as"]
    {
        assert!(told.contains(words), "{told}");
    }
    assert!(told.contains("+ press-01") && told.contains("inhibited"), "{told}");

    admin.run(&["apply", "-f", text(&order), "--yes"]).ends(0);
    let signed = admin.run(&["plan", "-o", "json"]).ends(0).json();
    let planned: Vec<_> = changes.iter().map(|one| one["after"].clone()).collect();
    let planned = serde_json::json!({ "hosts": planned });
    assert_eq!(updates(&planned), updates(&signed));
    let updates = updates(&signed);
    assert_eq!(updates.len(), 2, "the same image once each: {updates:?}");
    for (_, to, local) in &updates {
        let in_window = local.starts_with("Sun ") && local.contains(" 02:") && local.ends_with("T");
        assert!(in_window && to == "edge@2.0.0", "{to} {local}");
    }
    assert_eq!(signed["summary"]["updating"], 2);
    let again = admin.run(&["plan", "-f", text(&order), "-o", "json"]).ends(0).json();
    assert_eq!(
        (again["differences"].as_array().unwrap().len(), &again["unchanged"]),
        (0, &4.into())
    );
}

#[test]
fn a_table_shows_zone_and_utc_why_not_and_what_would_lift_it() {
    let admin = site();
    let order = admin.file("order.yaml", ORDER);
    admin.run(&["apply", "-f", text(&order), "--yes"]).ends(0);
    let shown = admin.command(&["plan", "-o", "csv"]).output().unwrap().stdout;
    let csv = String::from_utf8(shown).unwrap();
    let line = |host: &str| csv.lines().find(|line| line.starts_with(host)).unwrap();
    let first = line("press-01");
    for words in ["edge@1.0.0,edge@2.0.0,Sun ", "CE", "Z,02:00 to 05:00,second,+0:", "berlin"] {
        assert!(first.contains(words), "no {words:?} in {first}");
    }
    assert!(line("press-03").contains("(inhibited)"), "{csv}");
    assert!(line("press-03").contains("the end of what inhibits it"), "{csv}");
    assert!(line("press-04").contains("not-reported"), "{csv}");
    let table = admin.run(&["plan"]).ends(0);
    assert!(table.out.starts_with("In 30 days from "), "{}", table.out);
    assert!(table.out.contains("2 of 4 hosts would update, 2 would not"), "{}", table.out);
    assert!(table.err.contains("Assumed: "), "{}", table.err);
    let names =
        |args: &[&str]| admin.run(&[&["plan", "-o", "name"][..], args].concat()).ends(0).out;
    assert_eq!(names(&["--host", "press-02"]), "press-02\n");
    assert_eq!(names(&["--site", "berlin"]).lines().count(), 4);
    assert_eq!(names(&["--days", "1", "--host", "press-02"]), "press-02\n");
}

#[test]
fn a_halt_and_a_bad_file_are_told_as_apply_tells_them() {
    let admin = site();
    let order = admin.file("order.yaml", ORDER);
    admin.run(&["apply", "-f", text(&order), "--yes"]).ends(0);
    admin.run(&["halt", "--yes"]).ends(0);
    let halted = admin.run(&["plan", "-o", "json"]).ends(0).json();
    assert_eq!(updates(&halted), []);
    assert_eq!(halted["summary"]["notUpdating"]["halted"], 3, "{halted}");
    let lifted_by = &halted["hosts"][0]["objections"][0]["liftedBy"];
    assert_eq!(*lifted_by, "`daymarkctl resume`");
    let bad = admin.file("bad.yaml", "kind: OsUpdatePolicy\nspec: {name: x, updatePolicy: NO}");
    let [plan, apply] = ["plan", "apply"].map(|verb| {
        let ran = admin.run(&[verb, "-f", text(&bad), "--all"]).ends(2);
        ran.err
    });
    assert_eq!(plan, apply);
    admin.refused(&["plan", "--days", "0"], 2, &["--days"]);
    admin.refused(&["plan", "--host", "nobody"], 2, &["nobody"]);
}
