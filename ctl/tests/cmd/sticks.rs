//! What lies on a stick, and who can read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use daymark_protocol::id::FleetId;
use daymark_protocol::sealed::{self, SealError};
use daymark_protocol::trust::SigningKey;

use crate::{Admin, files, text};

/// A fleet with a site, a machine and a policy; and its stick.
fn fleet() -> (Admin, PathBuf) {
    let admin = Admin::with_fleet();
    admin.run(&["create", "site", "berlin", "--yes"]).ends(0);
    admin.enroll("press-07", 7, &["--site", "berlin", "-l", "hall=north"]);
    let stick = admin.folder("stick");
    admin.run(&["sync", text(&stick)]).ends(0);
    (admin, stick)
}

/// All but roots and drafts of them, by name below `daymark/`.
fn packs(stick: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(&stick.join("daymark"));
    let clear = ["daymark/roots", "daymark/drafts"].map(|folder| stick.join(folder));
    found.retain(|path, _| !clear.iter().any(|folder| path.starts_with(folder)));
    found
}

/// How many items a machine finds on the stick.
fn reads(admin: &Admin, stick: &Path, seed: u8) -> usize {
    reads_with(admin, stick, SigningKey::from_seed([seed; 32]))
}

/// How many items whoever has a key finds on the stick.
fn reads_with(admin: &Admin, stick: &Path, key: SigningKey) -> usize {
    let fleet = admin.run(&["fleet", "info", "-o", "json"]).ends(0).json();
    let fleet: FleetId = fleet["fleet"].as_str().unwrap().parse().unwrap();
    let key = [key];
    let opened = packs(stick).into_values().map(|pack| sealed::open(&pack, fleet, &key));
    opened
        .map(|opened| match opened {
            Ok(opened) => opened.items.len(),
            Err(SealError::NotForUs) => 0,
            Err(error) => panic!("{error}"),
        })
        .sum()
}

#[test]
fn no_byte_of_a_stick_tells_a_stranger_what_the_fleet_says() {
    let (admin, stick) = fleet();
    let written = packs(&stick);
    assert!(!written.is_empty());
    let key = SigningKey::from_seed([7; 32]).public();
    let id = key.id().to_string();
    let words: Vec<&[u8]> = vec![
        b"press-07",
        b"berlin",
        b"hall",
        b"north",
        b"Host",
        b"Site",
        b"schema",
        b"payload",
        id.as_bytes(),
        key.as_bytes(),
        &key.as_bytes()[..8],
        b"fleet",
        b"site-",
    ];
    // The words are the documents' own: the replica of whoever may read says them.
    let replica = files(&admin.place.path().join("home/contexts/acme/daymark"));
    let said = |word: &[u8], file: &[u8]| file.windows(word.len()).any(|part| part == word);
    for word in &words[..5] {
        assert!(replica.values().any(|file| said(word, file)), "the test says nothing");
    }
    for (path, bytes) in &written {
        let name = path.strip_prefix(stick.join("daymark/sealed")).unwrap().to_str().unwrap();
        assert!(name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        for word in &words {
            assert!(!said(word, bytes), "{} is readable", String::from_utf8_lossy(word));
            assert!(!name.contains(&*String::from_utf8_lossy(word)));
        }
    }
    assert!(reads(&admin, &stick, 7) > 0, "the machine reads it");
    assert_eq!(reads(&admin, &stick, 8), 0, "a stranger reads it");
    let other = admin.second_home(&stick);
    assert_eq!(other.run(&["get", "hosts", "-o", "name"]).ends(0).out, "press-07\n");
}

#[test]
fn a_stick_is_sealed_anew_when_a_machine_comes_and_stays_as_it_is_when_nothing_does() {
    let (admin, stick) = fleet();
    let before = files(&stick);
    let said = admin.run(&["sync", text(&stick)]).ends(0).out;
    assert!(said.contains("0 received, 0 sent") && before == files(&stick), "{said}");
    admin.enroll("press-08", 8, &["--site", "berlin"]);
    admin.run(&["sync", text(&stick)]).ends(0);
    let all = reads(&admin, &stick, 8);
    assert!(all > 0 && all == reads(&admin, &stick, 7));
    assert_eq!(packs(&stick).len(), 1, "what was sealed to fewer is gone");
    // A further statement comes as a pack of its own.
    admin.run(&["create", "site", "bonn", "--yes"]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    assert_eq!(packs(&stick).len(), 2);
    assert!(reads(&admin, &stick, 8) > all);
}

#[test]
fn what_lay_on_a_stick_in_the_clear_is_taken_and_sealed() {
    let (admin, stick) = fleet();
    // As an earlier version wrote it.
    let own = admin.place.path().join("home/contexts/acme/daymark");
    fs::remove_dir_all(stick.join("daymark/sealed")).unwrap();
    for (path, bytes) in files(&own.join("documents")) {
        let copy = stick.join("daymark").join(path.strip_prefix(&own).unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::write(copy, bytes).unwrap();
    }
    let other = Admin::new();
    let keys = other.folder("home/keys");
    fs::copy(admin.place.path().join("home/keys/alice.json"), keys.join("alice.json")).unwrap();
    other.run(&["context", "add", "acme", text(&stick), "--fleet", &admin.pin()]).ends(0);
    assert_eq!(other.run(&["get", "hosts", "-o", "name"]).ends(0).out, "press-07\n");
    assert!(files(&stick.join("daymark/documents")).is_empty());
    assert!(reads(&admin, &stick, 7) > 0);
}

#[test]
fn a_damaged_pack_is_named_and_nothing_is_lost_by_it() {
    let (admin, stick) = fleet();
    let (path, mut bytes) = packs(&stick).pop_first().unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let other = Admin::new();
    let keys = other.folder("home/keys");
    fs::copy(admin.place.path().join("home/keys/alice.json"), keys.join("alice.json")).unwrap();
    let add = ["context", "add", "acme", text(&stick), "--fleet", &admin.pin()];
    other.run(&add).ends(0);
    let said = other.run(&["sync", text(&stick)]).ends(4).err;
    assert!(said.contains("damaged or was altered"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "it is left as it is");
    fs::remove_file(&path).unwrap();
    // Whoever wrote it brings all of it again.
    admin.run(&["sync", text(&stick)]).ends(0);
    other.run(&["sync", text(&stick)]).ends(0);
    assert_eq!(other.run(&["get", "hosts", "-o", "name"]).ends(0).out, "press-07\n");
}

#[test]
fn who_has_no_key_of_the_fleet_takes_the_roots_and_is_told_what_to_do() {
    let (admin, stick) = fleet();
    let before = files(&stick.join("daymark/sealed"));
    let other = Admin::new();
    let add = ["context", "add", "acme", text(&stick), "--fleet", &admin.pin()];
    let said = other.run(&add).ends(0).err;
    assert!(said.contains("cannot be opened here") && said.contains("root add-key"), "{said}");
    assert_eq!(other.run(&["get", "hosts", "-o", "name"]).ends(0).out, "");
    assert_eq!(before, files(&stick.join("daymark/sealed")), "they stay for whoever can");
}

#[test]
fn a_machine_that_was_removed_reads_nothing_that_is_written_after() {
    let (admin, stick) = fleet();
    admin.enroll("press-08", 8, &["--site", "berlin"]);
    admin.run(&["sync", text(&stick)]).ends(0);
    assert!(reads(&admin, &stick, 7) > 0);
    admin.run(&["delete", "host", "press-07", "--yes"]).ends(0);
    admin.run(&["create", "site", "bonn", "--yes"]).ends(0);
    admin.run(&["sync", text(&stick)]).ends(0);
    assert_eq!(reads(&admin, &stick, 7), 0);
    assert!(reads(&admin, &stick, 8) > 0);
}

/// A key in an ssh-agent signs and cannot decrypt.
#[test]
fn writing_a_stick_takes_no_key() {
    let (admin, stick) = fleet();
    fs::remove_dir_all(admin.place.path().join("home/keys")).unwrap();
    let other = admin.folder("other-stick");
    for stick in [&stick, &other] {
        let said = admin.run(&["sync", text(stick)]).ends(0).err;
        assert!(!said.contains("cannot be opened"), "what it wrote it need not open: {said}");
        assert!(reads(&admin, stick, 7) > 0);
    }
}

/// Who comes with the next root must see what they sign; a courier makes nobody come.
#[test]
fn who_comes_with_the_next_root_reads_once_a_root_key_signed_it() {
    let (admin, stick) = fleet();
    let new = Admin::new();
    new.run(&["key", "new", "--name", "alicia", "--no-passphrase"]).ends(0);
    let public = new.run(&["key", "show", "alicia"]).ends(0).out;
    let file = admin.file("alicia.pub", public.trim());
    let retire = ["root", "retire-key", "alice", "--successor", text(&file), "--yes"];
    admin.run(&retire).ends(3);
    let key = || {
        let file = fs::read(new.place.path().join("home/keys/alicia.json")).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
        let seed = data_encoding::HEXLOWER.decode(file["seed"].as_str().unwrap().as_bytes());
        SigningKey::from_seed(seed.unwrap().try_into().unwrap())
    };
    assert_eq!(reads_with(&admin, &stick, key()), 0);
    admin.run(&["sync", text(&stick)]).ends(0);
    let all = reads_with(&admin, &stick, key());
    assert!(all > 0 && all == reads(&admin, &stick, 7));
    new.run(&["context", "add", "acme", text(&stick), "--fleet", &admin.pin()]).ends(0);
    assert_eq!(new.run(&["get", "hosts", "-o", "name"]).ends(0).out, "press-07\n");

    // The same draft without a signature, on a stick of its own, to a home that has not got it.
    let courier = admin.folder("courier");
    let drafts = courier.join("daymark/drafts");
    fs::create_dir_all(&drafts).unwrap();
    let (path, bytes) = files(&stick.join("daymark/drafts")).pop_first().unwrap();
    let mut draft: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    draft["envelope"]["signatures"] = serde_json::json!([]);
    fs::write(drafts.join(path.file_name().unwrap()), serde_json::to_vec(&draft).unwrap()).unwrap();
    admin.run(&["root", "discard", "--yes"]).ends(0);
    admin.run(&["sync", text(&courier)]).ends(0);
    let waits = admin.run(&["get", "approvals", "-o", "json"]).ends(0).json();
    assert_eq!(waits.as_array().unwrap().len(), 1, "the draft was taken: {waits}");
    assert!(!files(&courier.join("daymark/sealed")).is_empty());
    assert_eq!(reads_with(&admin, &courier, key()), 0);
    assert!(reads(&admin, &courier, 7) > 0);
}
