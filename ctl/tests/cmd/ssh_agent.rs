//! Keys in an ssh-agent, by a small one of the tests' own that speaks its protocol
//! (draft-ietf-sshm-ssh-agent): it is there on every machine, and it can lie. OpenSSH's own is asked
//! in `keys`.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ed25519_dalek::{Signer as _, SigningKey};

use crate::{Admin, Ran, finish};

/// How the agent answers a wish for a signature.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Mood {
    Signs,
    Refuses,
    SignsSomethingElse,
    Garbles,
}

/// An agent with one key.
struct Agent {
    socket: PathBuf,
    mood: Arc<AtomicU8>,
}

fn put(message: &mut Vec<u8>, bytes: &[u8]) {
    message.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    message.extend_from_slice(bytes);
}

fn take<'a>(message: &mut &'a [u8]) -> &'a [u8] {
    let (length, rest) = message.split_at(4);
    let length = u32::from_be_bytes(length.try_into().unwrap());
    let (string, rest) = rest.split_at(length.try_into().unwrap());
    *message = rest;
    string
}

impl Agent {
    fn start(admin: &Admin) -> Self {
        let socket = admin.place.path().join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mood = Arc::new(AtomicU8::new(Mood::Signs as u8));
        let shared = Arc::clone(&mood);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), shared.load(Ordering::SeqCst));
            }
        });
        Self { socket, mood }
    }

    fn is(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }
}

fn answer(mut stream: UnixStream, mood: u8) {
    let key = SigningKey::from_bytes(&[42; 32]);
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-ed25519");
    put(&mut blob, key.verifying_key().as_bytes());
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut request = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
    stream.read_exact(&mut request).unwrap();
    let (kind, mut body) = request.split_first().unwrap();
    let mut answer = Vec::new();
    match *kind {
        11 => {
            // A key of another type comes first, as in many people's agents.
            answer.extend([12, 0, 0, 0, 2]);
            put(&mut answer, b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03");
            put(&mut answer, b"old");
            put(&mut answer, &blob);
            put(&mut answer, b"alice@laptop");
        }
        13 if mood == Mood::Refuses as u8 => answer.push(5),
        13 if mood == Mood::Garbles as u8 => answer.extend([14, 0, 0, 0, 9, 1]),
        13 => {
            assert_eq!(take(&mut body), blob);
            let data = take(&mut body);
            assert_eq!(body, [0; 4], "no flags");
            let signed: &[u8] = if mood == Mood::Signs as u8 { data } else { b"something else" };
            let mut signature = Vec::new();
            put(&mut signature, b"ssh-ed25519");
            put(&mut signature, &key.sign(signed).to_bytes());
            answer.push(14);
            put(&mut answer, &signature);
        }
        other => panic!("message {other}"),
    }
    let mut framed = Vec::new();
    put(&mut framed, &answer);
    stream.write_all(&framed).unwrap();
}

fn with(admin: &Admin, socket: &Path, args: &[&str]) -> Ran {
    finish(admin.command(args).env("SSH_AUTH_SOCK", socket))
}

#[test]
fn a_key_in_an_agent_signs_and_never_leaves_it() {
    let admin = Admin::new();
    let agent = Agent::start(&admin);
    let new = ["key", "new", "--name", "alice", "--ssh-agent=alice@laptop"];
    with(&admin, &agent.socket, &new).ends(0);
    with(&admin, &agent.socket, &["fleet", "init", "--name", "acme", "--root", "1-of-1"]).ends(0);
    with(&admin, &agent.socket, &["create", "site", "berlin", "--yes"]).ends(0);
    assert!(admin.run(&["get", "sites"]).ends(0).out.contains("berlin"));
    let kept = std::fs::read_to_string(admin.place.path().join("home/keys/alice.json")).unwrap();
    assert!(!kept.contains("seed"), "the key itself stays in the agent: {kept}");
    admin.refused(&["key", "export", "alice"], 4, &["in an ssh-agent"]);
    let create = ["create", "site", "munich", "--yes"];
    for (mood, words) in [
        (Mood::Refuses, "the ssh-agent refused"),
        (Mood::SignsSomethingElse, "does not verify"),
        (Mood::Garbles, "not of the protocol"),
    ] {
        agent.is(mood);
        let ran = with(&admin, &agent.socket, &create);
        assert!(ran.code != 0 && ran.err.contains(words), "{words}: {} {}", ran.out, ran.err);
    }
    finish(admin.command(&create).env_remove("SSH_AUTH_SOCK")).ends(5).says(&["no ssh-agent"]);
    let gone = admin.place.path().join("no.sock");
    with(&admin, &gone, &create).ends(5).says(&["no.sock"]);
    assert!(!admin.run(&["get", "sites"]).ends(0).out.contains("munich"));
    agent.is(Mood::Signs);
    with(&admin, &agent.socket, &create).ends(0);
}
