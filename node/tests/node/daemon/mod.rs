//! The daemon as a process: what it refuses, and two of them that replicate.

mod disk;
mod fleets;
mod manager;
mod process;
mod sticks;
mod versions;

use daymark_node::folder::ReplicaFolder;
use daymark_protocol::control::{Bytes, EnrolmentRequest, Item, SubmitOutcome, Submitted};
use daymark_protocol::document::{DocumentId, signature_entry, site_document, statement_entry};
use daymark_protocol::id::{Digest, FleetId, ResourceId};
use daymark_protocol::resource::{HostSpec, Kind, RegionSpec, Role, Scope, Spec};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Draft, Envelope, Pin, PublicKey, ResourceDraft, RootDraft, SigningKey, Statement,
    named_id,
};

use self::process::{Machine, pause};

/// A fleet with one key for everything.
struct Fleet {
    key: SigningKey,
    id: FleetId,
    pin: Pin,
    root: Vec<u8>,
    now: WallTime,
}

impl Fleet {
    fn new() -> Self {
        Self::of(7)
    }

    /// The fleet whose key is drawn from that number.
    fn of(seed: u8) -> Self {
        let key = SigningKey::from_seed([seed; 32]);
        let now = daymark_node::clock::wall();
        let id = key.public().id();
        let mut draft = RootDraft::first("acme", now.plus_ms(-1000), now.plus_ms(365 * 86_400_000))
            .key(key.public(), "alice");
        for role in [Role::Root, Role::Policy, Role::Enroll, Role::Release, Role::Halt] {
            draft = draft.role(role, 1, [id]);
        }
        let (payload, root) = draft.finish().unwrap();
        let pin = Pin { version: 1, digest: Digest::of(&payload) };
        let fleet = FleetId(pin.digest.0);
        assert_eq!(root.version, 1);
        let root = Envelope::signed(Context::Root, payload, [&key]).to_json();
        Self { key, id: fleet, pin, root, now }
    }

    fn sign(&self, statement: &Statement) -> [Vec<u8>; 2] {
        let signature = self.key.sign(Context::Statement, statement.bytes());
        let key = self.key.public().id();
        [statement_entry(statement.bytes()), signature_entry(&statement.digest(), &key, &signature)]
    }

    /// The entries that enrol the machine of a request.
    fn enrol(&self, request: &[u8]) -> [Vec<u8>; 2] {
        let envelope = Envelope::parse(request).unwrap();
        let request: EnrolmentRequest = serde_json::from_slice(&envelope.payload).unwrap();
        let public: [u8; 32] = data_encoding::HEXLOWER
            .decode(request.public_key.as_bytes())
            .unwrap()
            .try_into()
            .unwrap();
        let public = PublicKey::from_bytes(public).unwrap();
        let host = public.id();
        let (signer, signature) = &envelope.signatures[0];
        assert_eq!(*signer, host);
        assert!(public.verify(Context::Enrolment, &envelope.payload, signature));
        let spec = Spec::Host(HostSpec {
            name: request.name,
            public_key: request.public_key,
            uuid: None,
            serial: None,
            labels: Default::default(),
            baseline: None,
        });
        let scope = Scope::Site("none".parse().unwrap());
        let draft = Draft::new(self.id, scope, self.now).resource(ResourceDraft::new(
            ResourceId::from(host),
            1,
            &spec,
        ));
        self.sign(&draft.finish().unwrap())
    }

    fn region(&self, name: &str) -> [Vec<u8>; 2] {
        let id = named_id(Kind::Region, &self.id, &Scope::Fleet, name);
        let spec = RegionSpec { name: name.to_owned(), parent: None, metadata: Default::default() };
        let draft = Draft::new(self.id, Scope::Fleet, self.now).resource(ResourceDraft::new(
            id,
            1,
            &Spec::Region(spec),
        ));
        self.sign(&draft.finish().unwrap())
    }
}

/// A machine that is initialised and has joined the fleet, enrolled.
fn joined(place: &std::path::Path, fleet: &Fleet, name: &str, address: &str) -> Machine {
    let machine = Machine::new(place, name, address);
    let stick = place.join(format!("{name}-stick"));
    std::fs::create_dir(&stick).unwrap();
    let words = ["init", "--request", stick.to_str().unwrap()];
    assert!(machine.execute(&words).status.success());
    let folder = ReplicaFolder::open_or_begin(&stick).unwrap();
    folder.write(&Item::Root { version: 1, bytes: Bytes(fleet.root.clone()) }).unwrap();
    for (_, request) in folder.requests().unwrap() {
        for bytes in fleet.enrol(&request.unwrap()) {
            let (document, hash) = (site_document(None), Digest::of(&bytes));
            folder.write(&Item::Entry { document, hash, bytes: Bytes(bytes) }).unwrap();
        }
    }
    let words = ["join", stick.to_str().unwrap(), "--fleet", &fleet.pin.to_string()];
    let output = machine.execute(&words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    machine
}

fn refusal(machine: &Machine, words: &[&str]) -> (Option<i32>, String) {
    let output = machine.execute(words);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_in_one_sentence_with_its_exit_status() {
    let place = tempfile::tempdir().unwrap();
    let mut first = Machine::new(place.path(), "first", "127.0.0.31:17801");
    let second = Machine::new(place.path(), "second", "127.0.0.31:17801");
    let (code, text) = refusal(&first, &["run"]);
    assert!(code == Some(1) && text.contains("daymark-node init"), "{text}");
    let (code, text) = refusal(&first, &["--set", "network.peer=x", "run"]);
    assert!(code == Some(2) && text.contains("did you mean `network.peers`"), "{text}");
    let (code, text) = refusal(&first, &["status"]);
    assert!(code == Some(5) && text.contains("daymark-node run"), "{text}");

    for machine in [&first, &second] {
        let request = machine.path("request.json");
        assert!(
            machine.execute(&["init", "--request", request.to_str().unwrap()]).status.success()
        );
    }
    first.start("").await;
    let (code, text) = refusal(&first, &["run"]);
    assert!(code == Some(1) && text.contains("already runs"), "{text}");
    let occupied = ["--set", "network.listen=127.0.0.31:17801", "run"];
    let (code, text) = refusal(&second, &occupied);
    assert!(code == Some(1) && text.contains("in use"), "{text}");

    assert_eq!(first.stop(), Some(0));
    assert!(!first.path("sock").exists(), "a clean end takes the socket along");
    let format = serde_json::json!({"format": 99});
    daymark_node::durable::write_record(&first.path("data/format"), "format", 0o600, &format)
        .unwrap();
    let (code, text) = refusal(&first, &["run"]);
    assert!(code == Some(1) && text.contains("newer version"), "{text}");
}

/// R3: a machine takes its fleet once, and only with the roots that the fingerprint names.
#[test]
fn r3_a_join_that_does_not_fit_is_refused_and_binds_to_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (fleet, other) = (Fleet::of(7), Fleet::of(8));
    let stick = |name: &str, fleet: &Fleet| {
        let path = place.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let folder = ReplicaFolder::open_or_begin(&path).unwrap();
        folder.write(&Item::Root { version: 1, bytes: Bytes(fleet.root.clone()) }).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (own, foreign) = (stick("own", &fleet), stick("foreign", &other));
    // Among the fleet's own items lies one of the other fleet.
    for bytes in other.region("de") {
        let (document, hash) = (DocumentId::Fleet, Digest::of(&bytes));
        let folder = ReplicaFolder::open(std::path::Path::new(&own)).unwrap();
        folder.write(&Item::Entry { document, hash, bytes: Bytes(bytes) }).unwrap();
    }
    let machine = Machine::new(place.path(), "one", "127.0.0.31:17803");
    let request = machine.path("request.json");
    assert!(machine.execute(&["init", "--request", request.to_str().unwrap()]).status.success());
    let pin = fleet.pin.to_string();
    let later = Pin { version: 2, ..fleet.pin }.to_string();

    for (folder, fingerprint) in [(&foreign, &pin), (&own, &other.pin.to_string()), (&own, &later)]
    {
        let (code, text) = refusal(&machine, &["join", folder, "--fleet", fingerprint]);
        assert!(code == Some(4) && text.contains("daymarkctl fleet info"), "{code:?} {text}");
    }
    // Nothing of these stayed, so the right one is taken.
    let output = machine.execute(&["join", &own, "--fleet", &pin]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("refused 1"), "{said}");
    assert!(said.contains("another fleet"), "{said}");
    let (code, text) = refusal(&machine, &["join", &foreign, "--fleet", &other.pin.to_string()]);
    assert!(code == Some(4) && text.contains("takes its fleet once"), "{code:?} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_join_by_a_folder_and_replicate_what_one_was_given() {
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::new();
    let stick = place.path().join("stick");
    std::fs::create_dir(&stick).unwrap();
    let mut one = Machine::new(place.path(), "one", "127.0.0.31:17802");
    let mut two = Machine::new(place.path(), "two", "127.0.0.32:17802");
    let folder = ReplicaFolder::open_or_begin(&stick).unwrap();
    folder.write(&Item::Root { version: 1, bytes: Bytes(fleet.root.clone()) }).unwrap();
    for machine in [&one, &two] {
        let words = ["init", "--request", stick.to_str().unwrap()];
        assert!(machine.execute(&words).status.success());
    }
    let document = site_document(None);
    for (_, request) in folder.requests().unwrap() {
        for bytes in fleet.enrol(&request.unwrap()) {
            let (document, hash) = (document.clone(), Digest::of(&bytes));
            folder.write(&Item::Entry { document, hash, bytes: Bytes(bytes) }).unwrap();
        }
    }
    let fingerprint = fleet.pin.to_string();
    for machine in [&one, &two] {
        let words = ["join", stick.to_str().unwrap(), "--fleet", &fingerprint];
        let output = machine.execute(&words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    one.start("").await;
    two.start("127.0.0.31:17802").await;

    let entries = fleet.region("de");
    let items = entries.iter().map(|bytes| Submitted::Entry(Bytes(bytes.clone()))).collect();
    let outcomes = one.client().submit(items).await.unwrap().outcomes;
    assert!(!outcomes.iter().any(|outcome| matches!(outcome, SubmitOutcome::Refused(_))));
    let wanted: Vec<Digest> = entries.iter().map(|bytes| Digest::of(bytes)).collect();
    loop {
        let index = two.client().replica().await.unwrap();
        let held = index.entries.get(&DocumentId::Fleet);
        if held.is_some_and(|held| wanted.iter().all(|hash| held.contains(hash))) {
            break;
        }
        pause().await;
    }
    let status = two.client().status().await.unwrap();
    assert_eq!(status.fleet, Some(fleet.id));
    assert_eq!(status.peers[0].admission, "member");

    assert_eq!((one.stop(), two.stop()), (Some(0), Some(0)));
    two.start("").await;
    let held = two.client().replica().await.unwrap();
    assert!(wanted.iter().all(|hash| held.entries[&DocumentId::Fleet].contains(hash)));
}
