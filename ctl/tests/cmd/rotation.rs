//! The next root from the command line: who comes, who leaves, what falls, who must sign, and that
//! nobody signs blind (RULES R1, R4 to R7).

use daymark_protocol::control::Bytes;
use daymark_protocol::id::Digest;
use daymark_protocol::trust::DigestList;

use crate::team::Team;
use crate::{Admin, text};

fn two_of_three() -> Team {
    Team::found(&["alice", "bob", "carol"], &["--root", "2-of-3", "--enroll", "1-of-alice,bob"])
}

fn root(admin: &Admin) -> serde_json::Value {
    admin.run(&["root", "show", "-o", "json"]).ends(0).json()
}

/// A public key of somebody who is no member.
fn stranger(name: &str) -> (Admin, String) {
    let admin = Admin::new();
    admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    let public = admin.run(&["key", "show", name]).ends(0).out.trim().to_owned();
    (admin, public)
}

#[test]
fn r1_a_next_root_waits_for_the_thresholds_of_both_and_says_for_whom() {
    let team = two_of_three();
    let (_, dave) = stranger("dave");
    let add = ["root", "add-key", &dave, "--role", "policy", "--yes"];
    let said = team.run("alice", &add).ends(3).out;
    assert!(said.contains("+ key dave"), "{said}");
    assert!(
        said.contains("policy: 2 of alice, bob, carol -> 2 of alice, bob, carol, dave"),
        "{said}"
    );
    assert!(said.contains("Nothing falls, and no host waits."), "{said}");
    let lacks =
        "needs 2 of 3 root keys of root 1, has 1: alice; ask bob or carol to run `daymarkctl sign";
    assert!(said.contains(lacks), "{said}");
    assert_eq!(root(team.of("alice"))["version"], 1);
    // A second root of that version, if both got their signatures, would stop the fleet.
    team.of("alice").refused(
        &["root", "extend", "--yes"],
        4,
        &["a draft of root 2 waits", "bob or carol", "root discard"],
    );
    team.run("alice", &["root", "extend", "--preview"]).ends(0);

    team.sync("alice");
    team.sync("bob");
    let waiting = team.run("bob", &["get", "approvals", "-o", "json"]).ends(0).json();
    assert_eq!(waiting[0]["what"], "root 2");
    assert!(waiting[0]["about"].as_str().unwrap().contains("has 1: alice"), "{waiting}");
    let said = team.run("bob", &["sign", "--all", "--yes"]).ends(0).out;
    assert!(said.contains("+ key dave"), "a co-signer sees what the author saw: {said}");
    team.sync("bob");
    team.sync_all();
    for name in ["alice", "bob", "carol"] {
        assert_eq!(root(team.of(name))["version"], 2, "{name}");
        assert_eq!(team.run(name, &["get", "approvals", "-o", "name"]).ends(0).out, "");
    }
    assert!(!team.stick().join("daymark/drafts").read_dir().unwrap().any(|_| true));
}

#[test]
fn a_courier_s_links_lead_drafts_to_no_other_file() {
    let team = two_of_three();
    team.run("alice", &["root", "extend", "--yes"]).ends(3);
    team.sync("alice");
    let drafts = team.stick().join("daymark/drafts");
    let draft = std::fs::read_dir(&drafts).unwrap().next().unwrap().unwrap().path();
    let key = team.of("bob").place.path().join("home/keys/bob.json");
    let before = std::fs::read(&key).unwrap();
    let taken = std::fs::read(&draft).unwrap();
    for ending in ["new", "json.new"] {
        std::os::unix::fs::symlink(&key, draft.with_extension(ending)).unwrap();
    }
    std::fs::remove_file(&draft).unwrap();
    std::os::unix::fs::symlink(&key, &draft).unwrap();
    // Bob has the draft from elsewhere, and gives it to the courier.
    let other = team.of("bob").folder("other");
    std::fs::create_dir_all(other.join("daymark/drafts")).unwrap();
    std::fs::write(other.join("daymark/drafts/a.json"), &taken).unwrap();
    team.run("bob", &["sync", text(&other)]).ends(0);
    team.sync("bob");
    assert_eq!(std::fs::read(&key).unwrap(), before);
    assert!(draft.symlink_metadata().unwrap().is_file(), "the link gave way to the draft");

    std::fs::remove_dir_all(&drafts).unwrap();
    std::os::unix::fs::symlink(key.parent().unwrap(), &drafts).unwrap();
    team.run("bob", &["sync", text(&team.stick())]).ends(1).says(&["cannot write", "drafts"]);
    assert_eq!(std::fs::read_dir(key.parent().unwrap()).unwrap().count(), 1);
}

/// R5: without its lists a root would let everything fall that who leaves had signed.
#[test]
fn r5_a_courier_takes_no_lists_out_of_a_draft_and_puts_none_in() {
    let team = two_of_three();
    team.run("alice", &["create", "site", "berlin", "--yes"]).ends(3);
    team.sync("alice");
    team.sync("bob");
    team.run("bob", &["sign", "--all", "--yes"]).ends(0);
    team.sync("bob");
    team.sync_all();
    let retire = ["root", "retire-key", "bob", "--threshold", "policy=1", "--yes"];
    team.run("alice", &retire).ends(3);
    team.sync("alice");
    let drafts = team.stick().join("daymark/drafts");
    let draft = std::fs::read_dir(&drafts).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&draft).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    let lists = json["lists"].take();
    assert_eq!(lists.as_array().unwrap().len(), 1, "the test says nothing");
    // Of another statement, in the form that a list has.
    let other = DigestList::of(&[Digest([9; 32])].into());
    let other = Bytes(other[0].bytes().to_vec());
    for hostile in [serde_json::json!([]), serde_json::json!([other])] {
        json["lists"] = hostile;
        std::fs::write(&draft, serde_json::to_vec(&json).unwrap()).unwrap();
        team.sync("alice");
        assert_eq!(std::fs::read(&draft).unwrap(), whole, "alice's copy heals the stick's");
    }
    team.sync("carol");
    let said = team.run("carol", &["sign", "--all", "--yes"]).ends(0).out;
    assert!(said.contains("Nothing falls"), "{said}");
    team.sync("carol");
    team.sync("alice");
    for name in ["alice", "carol"] {
        assert_eq!(team.run(name, &["get", "conflicts", "-o", "name"]).ends(0).out, "");
    }
}

#[test]
fn r1_a_draft_is_forgotten_and_who_signed_it_signs_no_rival() {
    let team = two_of_three();
    team.run("alice", &["root", "extend", "--yes"]).ends(3);
    team.sync("alice");
    team.run("alice", &["root", "discard", "--yes"]).ends(0);
    team.run("alice", &["root", "freshness", "--alarm", "7d", "--yes"]).ends(3);
    team.sync("alice");
    let drafts = team.run("alice", &["get", "approvals", "-o", "name"]).ends(0).out;
    assert_eq!(drafts.lines().count(), 2, "the stick brought the first one back: {drafts}");
    team.sync("bob");
    let ids: Vec<&str> = drafts.lines().collect();
    let first = team.run("bob", &["sign", ids[0], "--yes", "--dry-run"]).ends(0).out;
    assert!(first.contains("Root 2") && first.contains("Nothing was signed"), "{first}");
    assert_eq!(team.run("bob", &["sign", ids[0], "--yes"]).ends(0).code, 0);
    assert_eq!(root(team.of("bob"))["version"], 2);
}

#[test]
fn r5_who_leaves_leaves_valid_what_they_signed_and_a_thief_leaves_a_batch_to_sign_anew() {
    let team = two_of_three();
    team.run("alice", &["create", "site", "berlin", "--yes"]).ends(3);
    team.sync("alice");
    team.sync("bob");
    team.run("bob", &["sign", "--all", "--yes"]).ends(0);
    team.of("bob").enroll("press-01", 1, &["--site", "berlin"]);
    team.sync("bob");
    team.sync_all();

    let retire = ["root", "retire-key", "bob", "--threshold", "policy=1", "--preview"];
    let said = team.run("alice", &retire).ends(0).out;
    assert!(
        said.contains("retires the key of bob: 2 statements that it signed are kept"),
        "{said}"
    );
    assert!(said.contains("Nothing falls"), "{said}");

    let revoke = ["root", "revoke-key", "bob"];
    let shown = [&revoke[..], &["--preview", "-o", "json"]].concat();
    let preview = team.run("alice", &shown).ends(0).json();
    assert_eq!(preview["falls"].as_array().unwrap().len(), 2, "{preview}");
    assert_eq!(preview["waits"][0]["host"], "press-01");
    assert_eq!(preview["waits"][0]["orphaned"], true);
    assert!(
        preview.to_string().contains("needs 1 of 1 enroll keys, has none; ask alice"),
        "{preview}"
    );

    // The batch is signed before the root, so that nobody ever waits.
    team.run("alice", &[&revoke[..], &["--yes"]].concat()).ends(3);
    let said = team.run("alice", &["sign", "--fallen", "--yes"]).ends(0).out;
    assert!(said.contains("press-01"), "{said}");
    team.sync("alice");
    team.sync("carol");
    let waiting = team.run("carol", &["get", "approvals", "-o", "json"]).ends(0).json();
    assert!(waiting.to_string().contains("FALLEN + Site berlin"), "{waiting}");
    let said = team.run("carol", &["sign", "--fallen", "--yes"]).ends(0).out;
    assert!(said.contains("berlin"), "{said}");
    let preview = team.run("carol", &["sign", "--all", "--dry-run"]).ends(0).out;
    assert!(preview.contains("Nothing falls"), "{preview}");
    team.run("carol", &["sign", "--all", "--yes"]).ends(0);
    team.sync("carol");
    team.sync("alice");
    team.sync("carol");
    // Bob learns that he is out, and not what others signed anew: it is sealed to those who are in.
    team.run("bob", &["sync", text(&team.stick())]).ends(6).says(&["revoked"]);
    let shown = root(team.of("alice"));
    assert_eq!((&shown["version"], &shown["ended"][0]["end"]), (&2.into(), &"revoked".into()));
    for name in ["alice", "carol"] {
        assert_eq!(team.run(name, &["get", "conflicts", "-o", "name"]).ends(0).out, "");
    }
    let site = ["create", "site", "munich", "--yes"];
    team.run("bob", &site).ends(4).says(&["no key of this machine has the role policy", "alice"]);
}

#[test]
fn r5_a_root_whose_threshold_nobody_could_meet_is_refused_with_the_remedy() {
    let admin = Admin::with_fleet();
    let words = ["role root needs 1 keys and would have 0", "--successor", "--threshold root=K"];
    admin.refused(&["root", "retire-key", "alice", "--yes"], 4, &words);
    admin.refused(&["root", "retire-key", "zoe", "--yes"], 2, &["no key \"zoe\"", "root show"]);
    let (new, public) = stranger("alicia");
    let file = admin.file("alicia.pub", &public);
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    // The old key signs what ends it; the new one must sign too.
    let retire = ["root", "retire-key", "alice", "--successor", text(&file), "--yes"];
    let said = admin.run(&retire).ends(3).out;
    assert!(said.contains("root keys of root 2, has none; ask alicia"), "{said}");
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    new.run(&["context", "add", "acme", text(&stick), "--fleet", &admin.pin()]).ends(0);
    new.run(&["sync", text(&stick)]).ends(0);
    new.run(&["sign", "--all", "--yes"]).ends(0);
    assert_eq!(root(&new)["keys"][0]["holder"], "alicia");
    assert_eq!(new.run(&["get", "conflicts", "-o", "name"]).ends(0).out, "", "all is kept");
    new.run(&["create", "site", "munich", "--yes"]).ends(0);
}

#[test]
fn r6_a_fast_forward_is_taken_back_and_what_counted_before_counts_again() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--zone", "UTC", "--yes"]).ends(0);
    admin.run(&["create", "site", "berlin", "--zone", "Europe/Berlin", "--yes"]).ends(0);
    let described = admin.run(&["describe", "site", "berlin", "-o", "json"]).ends(0).json();
    let statement = described["versions"][0]["statement"].as_str().unwrap();
    let said = admin.run(&["root", "void", &statement[..10], "--yes"]).ends(0).out;
    assert!(
        said.contains("takes back + Site berlin (version 2) (Site counts from version 1)"),
        "{said}"
    );
    let described = admin.run(&["describe", "site", "berlin", "-o", "json"]).ends(0).json();
    assert_eq!(described["versions"][0]["version"], 1);
    assert_eq!(described["state"], "counts");
}

#[test]
fn r7_a_delegate_signs_for_exactly_that_part_and_until_that_date() {
    let admin = Admin::with_fleet();
    for site in ["berlin", "munich"] {
        admin.run(&["create", "site", site, "--yes"]).ends(0);
    }
    let (dave, public) = stranger("dave");
    let delegate = |more: &[&'static str]| {
        [&["root", "delegate", &public, "--until", "2030-01-01", "--yes"], more].concat()
    };
    admin.refused(&delegate(&["--role", "policy"]), 2, &["no part of the fleet", "--scope"]);
    admin.refused(
        &delegate(&["--role", "root", "--scope", "site=berlin"]),
        4,
        &["role root", "R7"],
    );
    let said = admin.run(&delegate(&["--role", "policy", "--scope", "site=berlin"])).ends(0).out;
    assert!(
        said.contains("+ delegation policy-berlin: 1 of dave speak under policy for site berlin"),
        "{said}"
    );
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    dave.run(&["context", "add", "acme", text(&stick), "--fleet", &admin.pin()]).ends(0);
    let blackout = |scope: &'static str| {
        [
            "create", "blackout", "fair", "--from", "12-01", "--to", "12-03", "--scope", scope,
            "--yes",
        ]
    };
    dave.run(&blackout("site=berlin")).ends(0);
    dave.refused(&blackout("site=munich"), 4, &["no key of this machine has the role policy"]);
    dave.refused(&["create", "site", "bonn", "--yes"], 4, &["no key", "policy"]);
    dave.run(&["sync", text(&stick)]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    let listed = admin.run(&["get", "blackouts", "-o", "json"]).ends(0).json();
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&"fair".into(), &"in force".into()));
    // The delegation ends, and what was signed under it stays.
    admin.refused(&["root", "undelegate", "zoe", "--yes"], 2, &["zoe", "policy-berlin"]);
    let said = admin.run(&["root", "undelegate", "policy-berlin", "--yes"]).ends(0).out;
    assert!(
        said.contains("- delegation policy-berlin") && said.contains("Nothing falls"),
        "{said}"
    );
    let listed = admin.run(&["get", "blackouts", "-o", "json"]).ends(0).json();
    assert_eq!(listed[0]["state"], "in force");
    admin.run(&["sync", text(&stick)]).ends(0);
    dave.run(&["sync", text(&stick)]).ends(0);
    let later = ["create", "blackout", "later", "--from", "12-05", "--to", "12-06"];
    dave.run(&[&later[..], &["--scope", "site=berlin", "--yes"]].concat()).ends(4);
}

#[test]
fn r7_a_delegation_ends_with_its_last_key_and_with_too_few_it_is_said() {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    let (dave, of_dave) = stranger("dave");
    let (_, of_erin) = stranger("erin");
    let part = ["--role", "policy", "--scope", "site=berlin", "--until", "2030-01-01", "--yes"];
    let delegate = |more: &[&str]| {
        admin.run(&[&["root", "delegate"], more, &part].concat()).ends(0);
    };
    delegate(&[&of_dave, "--name", "one"]);
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    dave.run(&["context", "add", "acme", text(&stick), "--fleet", &admin.pin()]).ends(0);
    let fair = ["create", "blackout", "fair", "--from", "12-01", "--to", "12-03"];
    dave.run(&[&fair[..], &["--scope", "site=berlin", "--yes"]].concat()).ends(0);
    dave.run(&["sync", text(&stick)]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    // Stolen: what it signed falls. Left: what it signed stays.
    let said = admin.run(&["root", "revoke-key", "dave", "--preview"]).ends(0).out;
    assert!(
        said.contains("- delegation one") && said.contains("lose their signatures (1)"),
        "{said}"
    );
    let said = admin.run(&["root", "retire-key", "dave", "--yes"]).ends(0).out;
    assert!(said.contains("- delegation one") && said.contains("Nothing falls"), "{said}");
    let listed = admin.run(&["get", "blackouts", "-o", "json"]).ends(0).json();
    assert_eq!(listed[0]["state"], "in force");

    let (_, of_dora) = stranger("dora");
    delegate(&[&of_dora, &of_erin, "--sign", "2", "--name", "two"]);
    let words = ["delegation two needs 2 keys and would have 1", "root undelegate two"];
    admin.refused(&["root", "revoke-key", "dora", "--yes"], 4, &words);
}

#[test]
fn what_falls_soon_is_said_by_every_command() {
    let admin = Admin::new();
    admin.run(&["key", "new", "--name", "alice", "--no-passphrase"]).ends(0);
    admin.run(&["fleet", "init", "--name", "acme", "--expires-in", "20d"]).ends(0);
    for command in [&["get", "hosts"][..], &["status"], &["root", "show"]] {
        let said = admin.run(command).ends(0).err;
        assert!(said.contains("warning: root 1 falls on") && said.contains("in 19 days"), "{said}");
    }
    let said = admin.run(&["root", "extend", "--yes"]).ends(0).out;
    assert!(said.contains("expires ") && said.contains(" -> "), "{said}");
    assert!(!admin.run(&["status"]).ends(0).err.contains("falls on"));
}

#[test]
fn freshness_is_set_in_the_root_and_shown() {
    let admin = Admin::with_fleet();
    admin.refused(&["root", "freshness", "--yes"], 2, &["--alarm", "off"]);
    let set = ["root", "freshness", "--alarm", "7d", "--stop", "30d", "--yes"];
    let said = admin.run(&set).ends(0).out;
    assert!(said.contains("freshness off -> alarm after 7 days, stop after 30 days"), "{said}");
    admin.refused(
        &["root", "freshness", "--alarm", "60d", "--yes"],
        2,
        &["alarm", "after the stop"],
    );
    assert_eq!(root(&admin)["freshness"], "alarm after 7 days, stop after 30 days");
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    let said = admin.run(&["create", "heartbeat", "--yes"]).ends(0).out;
    assert!(said.contains("Heartbeat for fleet") && said.contains("1 statements"), "{said}");
    admin.run(&["root", "freshness", "--alarm", "off", "--stop", "off", "--yes"]).ends(0);
    assert_eq!(root(&admin)["freshness"], "off");
}
