//! Every exit code that `docs/operating.md` lists, and that it lists them all.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::{Admin, Ran, files, finish, text};

/// Runs the program under another name, as the demo does.
fn as_program(admin: &Admin, name: &str, args: &[&str]) -> Ran {
    let data = admin.place.path().join("machine");
    let mut command = admin.command(args);
    command.arg0(name);
    if name == "daymark-node" {
        command.arg("--data-dir").arg(&data).arg("--socket").arg(data.join("control.sock"));
    }
    finish(&mut command)
}

#[test]
fn daymarkctl_ends_with_every_code_that_is_documented() {
    let admin = Admin::with_fleet();
    admin.run(&["version"]).ends(0);
    let site = admin.file("site.yaml", "kind: Site\nspec: {name: berlin}");
    admin.run(&["diff", "-f", text(&site)]).ends(1);
    admin.run(&["apply", "-f", text(&site), "--yes"]).ends(0);
    admin.run(&["diff", "-f", text(&site)]).ends(0);
    admin.run(&["gte", "hosts"]).ends(2);
    admin.refused(&["sync", "/nonexistent"], 2, &["/nonexistent", "plug the stick in"]);
    admin.refused(&["halt"], 4, &["nothing was signed", "--yes"]);
    let away = ["--node", "/nonexistent/control.sock", "watch", "--for", "1s"];
    admin.refused(&away, 5, &["no agent answers", "next:"]);
    // 3 and 6 are what `founding` and `conflicts` are about.
    let two = Admin::new();
    for name in ["alice", "bob"] {
        two.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    two.run(&["fleet", "init", "--name", "acme", "--root", "2-of-2", "--evaluation"]).ends(0);
    two.run(&["create", "site", "berlin", "--key", "alice", "--yes"]).ends(3);
}

#[test]
fn a_damaged_key_is_a_failure_and_no_wrong_usage() {
    let admin = Admin::with_fleet();
    std::fs::write(admin.place.path().join("home/keys/alice.json"), "{").unwrap();
    admin.refused(&["create", "site", "x", "--yes"], 1, &["alice.json", "damaged", "backup"]);
}

#[test]
fn daymark_node_ends_with_every_code_that_is_documented() {
    let [admin, other] = [Admin::with_fleet(), Admin::with_fleet()];
    let node = |args: &[&str]| as_program(&admin, "daymark-node", args);
    node(&["init", "--request", text(&admin.place.path().join("r.json"))]).ends(0);
    assert!(node(&["doctor"]).ends(1).out.contains("no agent answers"));
    node(&["run", "--set", "netwrok.listen=x"]).ends(2);
    node(&["jion"]).ends(2);
    assert!(node(&["status"]).ends(5).err.contains("no agent answers"));
    let (stick, foreign) = (admin.folder("stick"), other.folder("stick"));
    admin.run(&["enroll", text(&admin.place.path().join("r.json")), "--yes"]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    other.run(&["sync", text(&foreign)]).ends(0);
    node(&["join", text(&stick), "--fleet", &admin.pin()]).ends(0);
    let identity = |of: &Path| (std::fs::read(of.join("key")).unwrap(), files(&of.join("roots")));
    let data = admin.place.path().join("machine");
    let before = identity(&data);
    let refused = node(&["join", text(&foreign), "--fleet", &other.pin()]).ends(4);
    assert!(refused.err.contains("fleet"), "{}", refused.err);
    assert!(before == identity(&data), "the machine stays in its fleet");
    node(&["join", text(&stick), "--fleet", &admin.pin()]).ends(0);
}

#[test]
fn daymark_boot_ends_with_every_code_that_is_documented() {
    let admin = Admin::new();
    as_program(&admin, "daymark-boot", &["--stat"]).ends(2);
    let state = admin.place.path().join("boot");
    let slot = |name: &str| format!("{name}={}", admin.place.path().join(name).display());
    let (a, b, run) = (slot("a"), slot("b"), admin.folder("run"));
    let args = ["--state", text(&state), "--slot", &a, "--slot", &b, "--run-dir", text(&run)];
    let failed = as_program(&admin, "daymark-boot", &[&args[..], &["--", "run"]].concat()).ends(1);
    assert!(!failed.err.is_empty());
}

#[test]
fn the_documentation_and_the_help_list_the_same_codes() {
    let documented = include_str!("../../../docs/operating.md");
    let (_, chapter) = documented.split_once("## 12. Exit codes").unwrap();
    let codes: BTreeSet<u8> = chapter
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(codes, BTreeSet::from([0, 1, 2, 3, 4, 5, 6, 75]));
    let help = Admin::new().run(&["--help"]).ends(0).out;
    for code in ["0 done", "1 failed", "2 usage", "3 sig", "4 refused", "5 nobody", "6 conflict"] {
        assert!(help.contains(code), "{code}");
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "says why nothing was tested")]
fn a_full_disk_ends_release_add_and_leaves_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can mount a small disk");
        return;
    }
    let admin = Admin::with_fleet();
    let small = admin.folder("small");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "daymark-test"]).arg(&small);
    if !mount.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine mounts no small disk");
        return;
    }
    let noise: Vec<u8> =
        (0..2_000_000_u32).flat_map(|n| n.wrapping_mul(0x9E37_79B9).to_le_bytes()).collect();
    let image = admin.file("edge.raw", noise);
    let profile = admin.file(
        "p.yaml",
        "appVersion: apps/v1\nspec:\n  name: Edge\n  type: OS_TYPE_IMMUTABLE\n  provider: \
         OS_PROVIDER_KIND_INFRA\n  architecture: x86_64\n  profileName: edge\n  \
         osImageVersion: 1.0.1\n",
    );
    let add = ["release", "add", text(&image), "--profile", text(&profile), "--to", text(&small)];
    let ran = admin.run(&[&add[..], &["--yes"]].concat());
    let left = files(&small);
    let unmounted = Command::new("umount").arg(&small).status().unwrap();
    assert!(unmounted.success());
    ran.ends(1).says(&["no space left", "free some"]);
    assert!(left.is_empty(), "{:?}", left.keys());
    assert_eq!(admin.run(&["get", "osprofiles", "-o", "name"]).ends(0).out, "");
}
