//! Machines come in many at a time, by tokens, and in the place of others (RULES S9, D6).

use daymark_protocol::control::{EnrolmentRequest, TokenFile};
use daymark_protocol::document::{documents_of, signature_entry, statement_entry};
use daymark_protocol::id::Digest;
use daymark_protocol::trust::{Context, Envelope, SigningKey, join_by_token};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::{Admin, text};

fn with_site() -> Admin {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    admin
}

/// A request of a machine with a serial number.
fn request(folder: &Path, name: &str, seed: u8, serial: &str) {
    let key = SigningKey::from_seed([seed; 32]);
    let request = EnrolmentRequest {
        name: name.into(),
        public_key: key.public().to_string(),
        serial: serial.into(),
        uuid: String::new(),
        facts: BTreeMap::new(),
    };
    let payload = serde_json::to_vec(&request).unwrap();
    let envelope = Envelope::signed(Context::Enrolment, payload, [&key]);
    fs::write(folder.join(format!("{seed}.json")), envelope.to_json()).unwrap();
}

/// What `daymark-node join --token` leaves on a stick.
fn joins(stick: &Path, token: &TokenFile, name: &str, seed: u8) {
    let raw = data_encoding::HEXLOWER.decode(token.seed.as_bytes()).unwrap();
    let token_key = SigningKey::from_seed(raw.try_into().unwrap());
    let own = SigningKey::from_seed([seed; 32]);
    let issued = jiff::Timestamp::now().into();
    let (statement, signatures) =
        join_by_token(token.fleet, issued, name, &token.token, &token_key, &own).unwrap();
    let digest = statement.digest();
    let mut entries = vec![statement_entry(statement.bytes())];
    entries.extend(signatures.iter().map(|(id, sig)| signature_entry(&digest, id, sig)));
    for document in documents_of(&statement) {
        let folder = stick.join(format!("daymark/documents/{document}"));
        fs::create_dir_all(&folder).unwrap();
        for entry in &entries {
            fs::write(folder.join(Digest::of(entry).to_string()), entry).unwrap();
        }
    }
}

fn hosts(admin: &Admin) -> Vec<String> {
    let listed = admin.run(&["get", "hosts", "-o", "name"]).ends(0).out;
    listed.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn s9_a_token_lets_hosts_in_that_one_prompt_countersigns() {
    let admin = with_site();
    let create = ["create", "token", "line3", "--site", "berlin", "-l", "line=3", "--uses", "2"];
    admin.refused(&[&create[..], &["--until", "2020-01-01"]].concat(), 2, &["in the past"]);
    let said = admin.run(&[&create[..], &["--until", "30d", "--yes"]].concat()).ends(0).out;
    assert!(said.contains("line3.token.json") && said.contains("join FOLDER --fleet"), "{said}");
    admin.refused(
        &[&create[..], &["--until", "30d", "--yes"]].concat(),
        4,
        &["line3.token.json exists"],
    );
    let file = fs::read(admin.place.path().join("line3.token.json")).unwrap();
    let token: TokenFile = serde_json::from_slice(&file).unwrap();
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    for (name, seed) in [("press-01", 1), ("press-02", 2)] {
        joins(&stick, &token, name, seed);
    }
    admin.run(&["sync", text(&stick)]).ends(0);
    let tokens = admin.run(&["get", "tokens", "-o", "json"]).ends(0).json();
    assert_eq!((&tokens[0]["pending"], &tokens[0]["state"]), (&2.into(), &"in force".into()));
    assert_eq!(admin.run(&["status", "-o", "json"]).ends(0).json()["provisional"], 2);

    // One more than it is meant for: everyone stays, and an alarm is raised.
    joins(&stick, &token, "press-02", 3);
    admin.run(&["sync", text(&stick)]).ends(0);
    let tokens = admin.run(&["get", "tokens", "-o", "json"]).ends(0).json();
    assert_eq!(tokens[0]["state"], "ALARM: 3 joined");
    let said = admin.run(&["enroll", "--pending", "--dry-run"]).ends(0).out;
    assert!(said.contains("ALARM: 3 hosts joined by token line3, which is meant for 2"), "{said}");
    assert!(said.contains("left out: press-02") && said.contains("+ Host press-01"), "{said}");
    let said = admin.run(&["enroll", "--pending", "press-01", "--yes"]).ends(0).out;
    assert!(said.contains("Signed: statement"), "{said}");
    let third = SigningKey::from_seed([3; 32]).public().id().to_string();
    admin.run(&["revoke", "host", &third, "--yes"]).ends(0);
    admin.run(&["enroll", "--pending", "--yes"]).ends(0);
    assert_eq!(hosts(&admin), ["press-01", "press-02"]);
    assert_eq!(admin.run(&["status", "-o", "json"]).ends(0).json()["provisional"], 0);
    let said = admin.run(&["enroll", "--pending", "--yes"]).ends(0).out;
    assert!(said.contains("No provisional host"), "{said}");
}

#[test]
fn a_token_is_signed_only_once_its_file_is_written() {
    let admin = with_site();
    let create = ["create", "token", "line3", "--uses", "2", "--until", "30d", "--to"];
    admin.refused(
        &[&create[..], &["missing/line3.json", "--yes"]].concat(),
        1,
        &["missing/line3.json", "nothing was signed"],
    );
    let file = admin.place.path().join("line3.json");
    admin.refused(&[&create[..], &[text(&file)]].concat(), 4, &["nothing was signed"]);
    assert!(!file.exists(), "nobody said yes");
    let other = ["--key", "nobody", "--yes"];
    admin.refused(&[&create[..], &[text(&file)], &other].concat(), 4, &["no key"]);
    assert!(!file.exists(), "no key could sign");
    admin.run(&[&create[..], &[text(&file), "--yes", "--dry-run"]].concat()).ends(0);
    assert!(!file.exists());
    admin.run(&[&create[..], &[text(&file), "--yes"]].concat()).ends(0);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn hostile_files_among_requests_are_listed_by_name() {
    let admin = with_site();
    let folder = admin.folder("requests");
    request(&folder, "press-01", 1, "SN-1");
    let made = std::process::Command::new("mkfifo").arg(folder.join("2.json")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/etc/passwd", folder.join("3.json")).unwrap();
    fs::write(folder.join("4.json"), vec![b' '; 65_537]).unwrap();
    fs::write(folder.join("5.json"), "{").unwrap();
    fs::create_dir(folder.join("6.json")).unwrap();
    let said = ["2.json", "3.json", "4.json", "5.json", "6.json", "5 of 6 requests"];
    admin.refused(&["enroll", text(&folder), "--yes"], 2, &said);
}

#[test]
fn a_folder_of_requests_is_enrolled_by_a_list_whole_or_not_at_all() {
    let admin = with_site();
    let folder = admin.folder("requests");
    request(&folder, "localhost", 1, "SN-1");
    request(&folder, "localhost", 2, "SN-2");
    let list = |rows: &str| {
        let text = format!("serial,name,site,labels\n{rows}");
        admin.file("machines.csv", text)
    };
    let csv = list("SN-1,press-01,berlin,line=3;cell=b\n");
    let enroll = ["enroll", text(&folder), "--csv", text(&csv), "--yes"];
    admin.refused(
        &enroll,
        2,
        &["2.json: no line has its serial number \"SN-2\"", "1 of 2 requests"],
    );
    list("SN-1,press-01,berlin,\nSN-2,press-02,bonn,\n");
    admin.refused(&enroll, 2, &["\"bonn\"", "nothing was signed"]);
    list("SN-1,press-01,berlin,\nSN-1,press-02,berlin,\n");
    admin.refused(&enroll, 2, &["press-01 and press-02 are the same machine"]);
    list("SN-1,press-01,berlin,\nSN-2,press-01,berlin,\n");
    admin.refused(&enroll, 2, &["a name stands in it twice"]);
    list("SN-1,press-01,berlin,line=3;cell=b\nsn-2,press-02,berlin,\nSN-3,press-03,berlin,\n");
    let ran = admin.run(&enroll).ends(0);
    assert!(
        ran.out.contains("+ Host press-01") && ran.out.contains("+ Host press-02"),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("press-03 has no request yet"), "{}", ran.err);
    assert_eq!(hosts(&admin), ["press-01", "press-02"]);
    let listed = admin.run(&["get", "hosts", "press-01", "-o", "json"]).ends(0).json();
    assert_eq!(listed[0]["labels"], "cell=b,line=3");
    assert!(admin.run(&enroll).ends(0).out.contains("Nothing changes"));
}

#[test]
fn d6_a_machine_takes_the_place_of_another_and_the_old_key_ends_with_the_same_statement() {
    let admin = with_site();
    admin.run(&["create", "site", "munich", "--yes"]).ends(0);
    let folder = admin.folder("requests");
    request(&folder, "localhost", 1, "SN-1");
    request(&folder, "localhost", 2, "SN-1");
    let (old, new) = (folder.join("1.json"), folder.join("2.json"));
    let first = ["enroll", text(&old), "--name", "press-07", "--site", "berlin", "-l", "line=3"];
    admin.run(&[&first[..], &["--yes"]].concat()).ends(0);
    let plain = ["enroll", text(&new), "--name", "press-07", "--yes"];
    admin.refused(
        &plain,
        4,
        &["named press-07 already", "--replace press-07", "same serial number"],
    );
    let said = admin.run(&["enroll", text(&new), "--replace", "press-07", "--yes"]).ends(0).out;
    assert!(said.contains("takes the place of press-07, whose key"), "{said}");
    assert_eq!(hosts(&admin), ["press-07"]);
    let listed = admin.run(&["get", "hosts", "-o", "json"]).ends(0).json();
    let id = SigningKey::from_seed([2; 32]).public().id().to_string();
    assert_eq!((&listed[0]["key"], &listed[0]["labels"]), (&id.into(), &"line=3".into()));
    assert_eq!(listed[0]["site"], "berlin");
    admin.refused(&["revoke", "host", "press-99", "--yes"], 2, &["press-99", "get hosts"]);
    admin.run(&["revoke", "host", "press-07", "--yes"]).ends(0);
    assert!(hosts(&admin).is_empty());
}

/// A machine's agent, as `daymarkctl` runs it under the node's name.
struct Machine {
    folder: std::path::PathBuf,
}

impl Machine {
    fn new(admin: &Admin, name: &str) -> Self {
        let folder = admin.folder(name);
        let binary = folder.join("daymark-node");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_daymarkctl"), binary).unwrap();
        let at = folder.display();
        let config = format!(
            "data_dir = \"{at}/data\"\nclock = \"rtc\"\n[control]\nsocket = \"{at}/socket\"\n[network]\n\
             listen = []\nmdns = false\n"
        );
        fs::write(folder.join("node.toml"), config).unwrap();
        Self { folder }
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(self.folder.join("daymark-node"));
        command.arg("--config").arg(self.folder.join("node.toml")).args(args);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    }
}

#[test]
fn s9_a_machine_joins_with_the_token_file_and_its_membership_comes_home() {
    let admin = Admin::new();
    admin.run(&["key", "new", "--name", "alice", "--no-passphrase"]).ends(0);
    let init = ["fleet", "init", "--name", "acme", "--evaluation", "--expires-in", "20d"];
    admin.run(&init).ends(0);
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    let create = ["create", "token", "line3", "--site", "berlin", "--uses", "2", "--until", "15d"];
    admin.run(&[&create[..], &["--yes"]].concat()).ends(0);
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    let machine = Machine::new(&admin, "machine");
    let token = admin.place.path().join("line3.token.json");
    let (pin, token) = (admin.pin(), text(&token).to_owned());
    let join = |token: &str| {
        ["join", text(&stick), "--fleet", &pin, "--token", token, "--name", "press-09"]
            .map(ToOwned::to_owned)
    };
    let run = |args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        machine.command(&args).output().unwrap()
    };
    assert!(machine.command(&["init", "--request", text(&stick)]).status().unwrap().success());
    let bad = run(&join(text(&admin.file("junk.json", "{}"))));
    assert_eq!(bad.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&bad.stderr).contains("is no token"));
    let joined = run(&join(&token));
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let mut agent = machine.command(&["run"]).spawn().unwrap();
    let socket = machine.folder.join("socket");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !socket.exists() || admin.run(&["sync", text(&socket)]).code == 5 {
        assert!(std::time::Instant::now() < until, "the agent does not answer");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let status = machine.command(&["status"]).output().unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("EVALUATION") && status.contains("root 1 falls on"), "{status}");
    assert_eq!(hosts(&admin), ["press-09"]);
    let said = admin.run(&["enroll", "--pending", "--yes"]).ends(0).out;
    assert!(said.contains("+ Host press-09"), "{said}");
    assert_eq!(admin.run(&["status", "-o", "json"]).ends(0).json()["provisional"], 0);
}
