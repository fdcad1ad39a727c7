//! What a person at a machine may change of the fleet that it took.

use daymark_core::durable::DurableState;
use daymark_node::durable::read_record;
use daymark_protocol::control::{Bytes, Item, Submitted, Wanted};
use daymark_protocol::trust::Root;

use super::*;

impl Fleet {
    /// A root after the first, signed by the fleet's key; another one for each `days`.
    fn root_after(&self, days: i64) -> (Vec<u8>, Pin) {
        let first = Envelope::parse(&self.root).unwrap();
        let first = Root::parse(&first.payload).unwrap();
        let expires = self.now.plus_ms(days * 86_400_000);
        let (payload, _) = RootDraft::after(&first, self.now, expires).finish().unwrap();
        let pin = Pin { version: 2, digest: Digest::of(&payload) };
        (Envelope::signed(Context::Root, payload, [&self.key]).to_json(), pin)
    }
}

fn state(machine: &Machine) -> DurableState {
    read_record(&machine.path("data/state"), "state").unwrap().unwrap()
}

pub(super) fn said(machine: &Machine, words: &[&str]) -> String {
    let output = machine.command(words).stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn submitted(entries: impl IntoIterator<Item = Vec<u8>>) -> Vec<Submitted> {
    entries.into_iter().map(|bytes| Submitted::Entry(Bytes(bytes))).collect()
}

/// Waits until its own newest report says this.
async fn reports(machine: &Machine, text: &str) {
    loop {
        let index = machine.client().replica().await.unwrap();
        let names = index.reports.iter();
        let reports = names.flat_map(|(host, all)| all.iter().map(|(g, c)| (*host, *g, *c)));
        let wanted = Wanted { reports: reports.collect(), ..Wanted::default() };
        let items = machine.client().fetch(&wanted).await.unwrap().items;
        let told = |item: &Item| String::from_utf8_lossy(item.bytes()).contains(text);
        if items.iter().any(told) {
            return;
        }
        pause().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_person_at_the_machine_may_adopt_another_fleet_and_it_shows() {
    let place = tempfile::tempdir().unwrap();
    let (old, new) = (Fleet::of(7), Fleet::of(8));
    let mut machine = joined(place.path(), &old, "one", "127.0.0.31:17805");
    let root = place.path().join("new-root.json");
    std::fs::write(&root, &new.root).unwrap();
    let root = root.to_str().unwrap();
    let fingerprint = new.pin.to_string();
    let adopt = ["adopt", root, "--fleet", &fingerprint];

    machine.start("").await;
    machine.client().submit(submitted(old.region("de"))).await.unwrap();
    while state(&machine).generation == 0 {
        pause().await;
    }
    let (code, text) = refusal(&machine, &[&adopt[..], &["--yes"]].concat());
    assert!(code == Some(1) && text.contains("stop it first"), "{code:?} {text}");
    assert_eq!(machine.stop(), Some(0));
    let before = state(&machine);

    // What does not fit changes nothing, nor does a person who does not say yes.
    let wrong = Pin { version: 1, digest: Digest([9; 32]) }.to_string();
    let (code, text) = refusal(&machine, &["adopt", root, "--fleet", &wrong, "--yes"]);
    assert!(code == Some(4) && text.contains("fleet info"), "{code:?} {text}");
    let own = place.path().join("own-root.json");
    std::fs::write(&own, &old.root).unwrap();
    let own = ["adopt", own.to_str().unwrap(), "--fleet", &old.pin.to_string(), "--yes"];
    let (code, text) = refusal(&machine, &own);
    assert!(code == Some(4) && text.contains("daymark-node pin"), "{code:?} {text}");
    assert!(said(&machine, &adopt).contains("nothing was changed"));
    // Taking another fleet by `join` is refused, and nothing is counted up by the try.
    let stick = place.path().join("foreign");
    std::fs::create_dir(&stick).unwrap();
    let folder = ReplicaFolder::open_or_begin(&stick).unwrap();
    folder.write(&Item::Root { version: 1, bytes: Bytes(new.root.clone()) }).unwrap();
    let join = ["join", stick.to_str().unwrap(), "--fleet", &fingerprint];
    let (code, text) = refusal(&machine, &join);
    assert!(code == Some(4) && text.contains("takes its fleet once"), "{code:?} {text}");
    assert_eq!(state(&machine), before);

    let told = said(&machine, &[&adopt[..], &["--yes"]].concat());
    assert!(told.contains("adopted from fleet") && told.contains("by a local person"), "{told}");
    machine.start("").await;
    let status = machine.client().status().await.unwrap();
    assert_eq!((status.fleet, &status.name), (Some(new.id), &None));
    assert!(status.adopted[0].contains(&old.id.short()), "{:?}", status.adopted);
    let index = machine.client().replica().await.unwrap();
    assert!(index.entries.values().all(Vec::is_empty), "{index:?}");
    let outcomes = machine.client().submit(submitted(old.region("fr"))).await.unwrap().outcomes;
    assert!(!outcomes.iter().any(|outcome| matches!(outcome, SubmitOutcome::New)), "{outcomes:?}");

    // The new fleet enrols it under the key that it had; its reports go on above the old ones.
    let request = machine.path("request.json");
    said(&machine, &["init", "--request", request.to_str().unwrap()]);
    let entries = new.enrol(&std::fs::read(&request).unwrap());
    machine.client().submit(submitted(entries)).await.unwrap();
    reports(&machine, "by a local person").await;
    assert!(state(&machine).generation > before.generation);
    assert!(said(&machine, &["status"]).contains("adopted from fleet"));
    assert_eq!(machine.stop(), Some(0));
    let former = std::fs::read_dir(machine.path("data/former")).unwrap().count();
    assert_eq!(former, 1, "what the old fleet said is kept for an auditor");
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_person_who_names_a_newer_root_settles_rivals_on_their_machine() {
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::of(7);
    let mut machine = joined(place.path(), &fleet, "one", "127.0.0.31:17806");
    let ((second, pin), (rival, other)) = (fleet.root_after(300), fleet.root_after(301));
    machine.start("").await;
    let roots = [&second, &rival].map(|root| Submitted::Root(Bytes(root.clone())));
    machine.client().submit(roots.to_vec()).await.unwrap();
    let status = machine.client().status().await.unwrap();
    assert!(status.problems.iter().any(|said| said.contains("rival")), "{:?}", status.problems);
    assert_eq!(machine.stop(), Some(0));

    let shown = said(&machine, &["pin"]);
    assert!(shown.contains(&fleet.pin.to_string()) && shown.contains("rival"), "{shown}");
    let unheld = Pin { version: 3, ..pin }.to_string();
    let (code, text) = refusal(&machine, &["pin", &unheld, "--yes"]);
    assert!(code == Some(4) && text.contains("is not held here"), "{code:?} {text}");
    assert!(said(&machine, &["pin", &pin.to_string()]).contains("nothing was changed"));
    assert_eq!(state(&machine).pin, Some(fleet.pin));
    let told = said(&machine, &["pin", &pin.to_string(), "--yes"]);
    assert!(told.contains(&other.digest.short()) && told.contains("moved"), "{told}");
    let (code, text) = refusal(&machine, &["pin", &fleet.pin.to_string(), "--yes"]);
    assert!(code == Some(4) && text.contains("moves forward only"), "{code:?} {text}");

    machine.start("").await;
    let rival = vec![Submitted::Root(Bytes(rival))];
    let outcomes = machine.client().submit(rival).await.unwrap().outcomes;
    assert!(matches!(outcomes[0], SubmitOutcome::Refused(_)), "{outcomes:?}");
    let status = machine.client().status().await.unwrap();
    assert_eq!(status.root_version, Some(2));
    assert!(!status.problems.iter().any(|said| said.contains("rival")), "{:?}", status.problems);
    assert_eq!(machine.stop(), Some(0));
}
