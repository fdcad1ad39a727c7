//! Keys: on paper, in an ssh-agent, under another passphrase; and whose they are.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Admin, Ran, finish, text};

fn with_passphrase(admin: &Admin, passphrase: &str, args: &[&str]) -> Ran {
    finish(admin.command(args).env("DAYMARK_PASSPHRASE", passphrase))
}

#[test]
fn a_key_comes_back_from_paper_and_a_slip_is_named() {
    let admin = Admin::with_fleet();
    let paper = admin.run(&["key", "export", "alice", "--paper"]).ends(0);
    assert!(paper.err.contains("Whoever reads these lines has the key"), "{}", paper.err);
    assert!(paper.out.contains("key restore --name alice"), "{}", paper.out);
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    // The laptop is gone; a new one gets the key from paper, and the fleet from a stick.
    let new = Admin::new();
    let lines = new.file("paper.txt", &paper.out);
    let slipped = |line: &str| match line.trim_start().strip_prefix("3  ") {
        Some(rest) => format!("3  0{rest}\n"),
        None => format!("{line}\n"),
    };
    let slipped: String = paper.out.lines().map(slipped).collect();
    assert_ne!(slipped, paper.out);
    let slip = new.file("slip.txt", slipped);
    let restore = |file: &Path| {
        let file = file.to_str().unwrap().to_owned();
        move |admin: &Admin| {
            let args = ["key", "restore", "--name", "alice", "--from", &file, "--no-passphrase"];
            admin.run(&args)
        }
    };
    restore(&slip)(&new).ends(2).says(&["line 3 of the key"]);
    restore(&lines)(&new).ends(0);
    let public = |admin: &Admin| admin.run(&["key", "show", "alice"]).ends(0).out;
    assert_eq!(public(&new), public(&admin));
    new.run(&["context", "add", "acme", text(&stick), "--fleet", &admin.pin()]).ends(0);
    new.run(&["create", "site", "berlin", "--yes"]).ends(0);
}

#[test]
fn a_passphrase_is_changed_and_the_old_one_opens_nothing() {
    let admin = Admin::new();
    with_passphrase(&admin, "old", &["key", "new", "--name", "alice"]).ends(0);
    let change = ["key", "change-passphrase", "alice"];
    with_passphrase(&admin, "old", &change).ends(2).says(&["DAYMARK_NEW_PASSPHRASE"]);
    let changed = |old: &str| {
        let mut command = admin.command(&change);
        command.env("DAYMARK_PASSPHRASE", old).env("DAYMARK_NEW_PASSPHRASE", "new");
        finish(&mut command)
    };
    changed("wrong").ends(4).says(&["wrong passphrase"]);
    changed("old").ends(0);
    let init = ["fleet", "init", "--name", "acme"];
    with_passphrase(&admin, "old", &init).ends(4).says(&["wrong passphrase"]);
    with_passphrase(&admin, "new", &init).ends(0);
    let exported = admin.run(&["key", "export", "alice"]).ends(0);
    assert!(exported.json()["salt"].is_string());

    // Her other machine takes the file, never over a key of that name.
    let other = Admin::new();
    let file = other.file("exported.json", &exported.out);
    let import = ["key", "import", text(&file)];
    let said = other.run(&import).ends(0).out;
    assert!(said.contains("Key alice") && !said.contains("UNENCRYPTED"), "{said}");
    let kept = other.place.path().join("home/keys/alice.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    with_passphrase(&other, "new", &init).ends(0);
    other.refused(&import, 4, &["alice", "exists already"]);
    let junk = other.file("junk.json", "{}");
    other.refused(&["key", "import", text(&junk)], 1, &["junk.json is not a key file"]);
    let missing = ["key", "import", "missing.json"];
    other.refused(&missing, 1, &["cannot read missing.json"]);
    let name = other.file("name.json", exported.out.replace("\"alice\"", "\"../alice\""));
    other.refused(&["key", "import", text(&name)], 2, &["cannot name a key"]);
}

#[test]
fn an_empty_passphrase_of_the_environment_is_none() {
    let admin = Admin::new();
    let new = ["key", "new", "--name", "alice"];
    with_passphrase(&admin, "", &new).ends(2).says(&["DAYMARK_PASSPHRASE is empty"]);
    assert_eq!(admin.run(&["key", "list", "-o", "name"]).ends(0).out, "");
    with_passphrase(&admin, "old", &new).ends(0);
    let mut change = admin.command(&["key", "change-passphrase", "alice"]);
    change.env("DAYMARK_PASSPHRASE", "old").env("DAYMARK_NEW_PASSPHRASE", "");
    finish(&mut change).ends(2).says(&["DAYMARK_NEW_PASSPHRASE is empty"]);
    let init = ["fleet", "init", "--name", "acme"];
    with_passphrase(&admin, "", &init).ends(2).says(&["DAYMARK_PASSPHRASE is empty"]);
    let bare = ["key", "new", "--name", "bare", "--no-passphrase"];
    let said = admin.run(&bare).ends(0).out;
    assert!(said.contains("It is UNENCRYPTED"), "{said}");
    let listed = admin.run(&["key", "list"]).ends(0).out;
    assert_eq!(listed.matches("UNENCRYPTED").count(), 1, "{listed}");
}

#[test]
fn a_damaged_key_file_is_named_and_the_other_keys_still_sign() {
    let admin = Admin::with_fleet();
    let keys = admin.folder("home/keys");
    let mode = std::fs::metadata(&keys).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::write(keys.join("bob.json"), "{\"format\": 1, \"na").unwrap();
    let listed = admin.run(&["key", "list", "-o", "name"]).ends(0);
    assert_eq!(listed.out, "alice\n");
    assert!(listed.err.contains("bob.json is not a key file, or is damaged"), "{}", listed.err);
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    admin.refused(&["key", "new", "--name", "bob", "--no-passphrase"], 4, &["exists already"]);
}

#[test]
fn two_peoples_keys_on_one_machine_found_a_fleet_for_evaluation_only() {
    let admin = Admin::new();
    for name in ["alice", "bob"] {
        admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    let init = ["fleet", "init", "--name", "acme", "--root", "2-of-3", "--member", "carol"];
    admin.refused(&init, 4, &["alice, bob", "--key", "--evaluation"]);
    let ran = admin.run(&[&init[..], &["--evaluation"]].concat()).ends(0);
    assert!(ran.out.contains("is founded"), "{}", ran.out);
    for command in [&["status"][..], &["get", "hosts"], &["root", "show"]] {
        let said = admin.run(command).ends(0).err;
        assert!(said.contains("EVALUATION fleet"), "{said}");
    }
    let info = admin.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    assert_eq!((&info["evaluation"], &info["rootVersion"]), (&true.into(), &1.into()));
    admin.run(&["root", "extend", "--yes"]).ends(0);
    let info = admin.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    assert_eq!(info["evaluation"], true, "it stays so");
}

#[test]
fn members_are_files_with_their_keys() {
    let [alice, bob] = [Admin::new(), Admin::new()];
    for (admin, name) in [(&alice, "alice"), (&bob, "bob")] {
        admin.run(&["key", "new", "--name", name, "--no-passphrase"]).ends(0);
    }
    let file = alice.file("bob.pub", bob.run(&["key", "show", "bob"]).ends(0).out);
    let junk = alice.file("junk.pub", "nothing");
    let init = ["fleet", "init", "--name", "acme", "--root", "2-of-2", "--member"];
    alice.refused(&[&init[..], &[text(&junk)]].concat(), 2, &["\"nothing\"", "key show"]);
    alice.run(&[&init[..], &[text(&file)]].concat()).ends(3);
}

/// An ssh-agent of its own, which ends with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    /// `None` where OpenSSH is not installed.
    fn start(folder: &Path) -> Option<Self> {
        let socket = folder.join("agent");
        let mut child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.to_str()?])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        // It prints its socket once it listens there.
        let mut line = String::new();
        BufReader::new(child.stdout.take()?).read_line(&mut line).ok()?;
        Some(Self { child, socket })
    }

    fn command(&self, program: &str, args: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(args).env("SSH_AUTH_SOCK", &self.socket);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }
}

#[test]
fn an_ssh_agents_key_signs_like_any_other() {
    let admin = Admin::new();
    let Some(agent) = Agent::start(admin.place.path()) else {
        eprintln!("ssh-agent is not installed: nothing was tested");
        return;
    };
    let run = |args: &[&str]| finish(admin.command(args).env("SSH_AUTH_SOCK", &agent.socket));
    let new = ["key", "new", "--name", "alice", "--ssh-agent"];
    run(&new).ends(2).says(&["no such key", "ssh-add"]);
    let file = admin.place.path().join("id");
    let make = ["-q", "-t", "ed25519", "-N", "", "-C", "alice@laptop", "-f", text(&file)];
    assert!(agent.command("ssh-keygen", &make) && agent.command("ssh-add", &[text(&file)]));
    run(&[&new[..], &["someone"]].concat()).ends(2).says(&["no such key"]);
    run(&new).ends(0);
    let listed = run(&["key", "list", "-o", "json"]).ends(0).json();
    assert_eq!(listed[0]["sshAgent"], true);
    // Its public half, as OpenSSH writes it, is the same key.
    let other = Admin::new();
    other.run(&["key", "new", "--name", "zoe", "--no-passphrase"]).ends(0);
    let init = ["fleet", "init", "--name", "x", "--root", "1-of-zoe,alice", "--member"];
    let public = admin.place.path().join("alice.pub");
    std::fs::copy(admin.place.path().join("id.pub"), &public).unwrap();
    other.run(&[&init[..], &[text(&public)]].concat()).ends(0);
    let keys = other.run(&["root", "show", "-o", "json"]).ends(0).json()["keys"].clone();
    assert!(keys.to_string().contains(listed[0]["publicKey"].as_str().unwrap()), "{keys}");

    run(&["fleet", "init", "--name", "acme"]).ends(0);
    run(&["create", "site", "berlin", "--yes"]).ends(0);
    run(&["root", "extend", "--yes"]).ends(0);
    let sites = run(&["get", "sites", "-o", "name"]).ends(0).out;
    assert_eq!(sites.trim(), "berlin");
    run(&["key", "export", "alice", "--paper"]).ends(4).says(&["in an ssh-agent"]);
    assert!(agent.command("ssh-add", &["-D"]));
    run(&["create", "site", "munich", "--yes"]).ends(4).says(&["ssh-agent refused", "ssh-add -l"]);
    admin.run(&["create", "site", "munich", "--yes"]).says(&["ssh-agent"]);
}
