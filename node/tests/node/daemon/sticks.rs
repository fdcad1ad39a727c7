//! Sticks whose packs are sealed to members: what a machine reads of them, and what it says of the
//! rest.

use std::path::PathBuf;

use daymark_node::stick;
use daymark_protocol::sealed::{self, Drawn, Recipient};

use super::fleets::said;
use super::*;

/// A stick with a fleet's root, and where it lies.
struct Stick {
    path: PathBuf,
    folder: ReplicaFolder,
}

impl Stick {
    fn new(place: &std::path::Path, fleet: &Fleet) -> Self {
        let path = place.join("stick");
        std::fs::create_dir(&path).unwrap();
        let folder = ReplicaFolder::open_or_begin(&path).unwrap();
        folder.write(&Item::Root { version: 1, bytes: Bytes(fleet.root.clone()) }).unwrap();
        Self { path, folder }
    }

    /// Seals entries of a fleet to machines. Returns the pack's file.
    fn seal<const N: usize>(
        &self,
        fleet: &Fleet,
        entries: impl IntoIterator<Item = [Vec<u8>; N]>,
        to: &[&Recipient],
    ) -> PathBuf {
        let item = |bytes: Vec<u8>| Item::Entry {
            document: site_document(None),
            hash: Digest::of(&bytes),
            bytes: Bytes(bytes),
        };
        let items: Vec<Item> = entries.into_iter().flatten().map(item).collect();
        let drawn = Drawn { ephemeral: [1; 32], content: [2; 32] };
        let to = to.iter().map(|recipient| **recipient).collect();
        let pack = sealed::seal(fleet.id, &items, &to, &drawn).unwrap();
        stick::file(&self.folder, &stick::write(&self.folder, &pack).unwrap())
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// A machine that is initialised, what enrols it, and what is sealed to it.
fn machine(
    place: &std::path::Path,
    fleet: &Fleet,
    name: &str,
    address: &str,
) -> (Machine, [Vec<u8>; 2], Recipient) {
    let machine = Machine::new(place, name, address);
    let request = machine.path("request.json");
    said(&machine, &["init", "--name", name, "--request", request.to_str().unwrap()]);
    let request = std::fs::read(&request).unwrap();
    let envelope = Envelope::parse(&request).unwrap();
    let asked: EnrolmentRequest = serde_json::from_slice(&envelope.payload).unwrap();
    let raw = data_encoding::HEXLOWER.decode(asked.public_key.as_bytes()).unwrap();
    let key = PublicKey::from_bytes(raw.try_into().unwrap()).unwrap();
    (machine, fleet.enrol(&request), Recipient::from(&key))
}

/// The name under which a machine is enrolled, by what it holds itself.
async fn name_of(machine: &mut Machine) -> Option<String> {
    machine.start("").await;
    let name = machine.client().status().await.unwrap().name;
    assert_eq!(machine.stop(), Some(0));
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_reads_what_is_sealed_to_it_and_who_came_later_is_told_to_have_it_written_anew() {
    let place = tempfile::tempdir().unwrap();
    let fleet = Fleet::of(7);
    let stick = Stick::new(place.path(), &fleet);
    let (mut one, enrols_one, to_one) = machine(place.path(), &fleet, "one", "127.0.0.31:17807");
    let (mut two, enrols_two, to_two) = machine(place.path(), &fleet, "two", "127.0.0.31:17808");
    let first = stick.seal(&fleet, [enrols_one.clone()], &[&to_one]);

    let join = ["join", stick.text(), "--fleet", &fleet.pin.to_string()];
    let told = said(&one, &join);
    assert!(told.contains("joined") && !told.contains("not read"), "{told}");
    let told = said(&two, &join);
    assert!(told.contains("joined") && told.contains("1 packs are not sealed"), "{told}");
    assert!(told.contains("`daymarkctl sync` writes the stick anew"), "{told}");
    assert_eq!(name_of(&mut one).await.as_deref(), Some("one"));
    assert_eq!(name_of(&mut two).await, None);

    std::fs::remove_file(first).unwrap();
    stick.seal(&fleet, [enrols_one, enrols_two], &[&to_one, &to_two]);
    let told = said(&two, &join);
    assert!(told.contains("joined") && !told.contains("not read"), "{told}");
    assert_eq!(name_of(&mut two).await.as_deref(), Some("two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_another_fleet_s_is_one_error_that_names_file_and_remedy() {
    let place = tempfile::tempdir().unwrap();
    let (fleet, other) = (Fleet::of(7), Fleet::of(8));
    let stick = Stick::new(place.path(), &fleet);
    let (mut machine, enrols, to) = machine(place.path(), &fleet, "one", "127.0.0.31:17809");
    stick.seal(&fleet, [enrols], &[&to]);
    let join = ["join", stick.text(), "--fleet", &fleet.pin.to_string()];
    let fails = |file: &std::path::Path, why: &str| {
        let output = machine.execute(&join);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stdout).unwrap().contains("joined"));
        let error = String::from_utf8(output.stderr).unwrap();
        for word in [file.to_str().unwrap(), why, "delete it", "daymarkctl sync"] {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    };
    let damaged = stick.seal(&fleet, [fleet.region("de")], &[&to]);
    let whole = std::fs::read(&damaged).unwrap();
    for torn in [&whole[..whole.len() - 1], &whole[..40], &[]] {
        std::fs::write(&damaged, torn).unwrap();
        fails(&damaged, "damaged or was altered");
    }
    // As if written so: its name is right and its inside is not.
    std::fs::remove_file(&damaged).unwrap();
    let cut = stick::file(&stick.folder, &stick::write(&stick.folder, &whole[..40]).unwrap());
    fails(&cut, "it is damaged");
    std::fs::remove_file(&cut).unwrap();
    let foreign = stick.seal(&other, [other.region("fr")], &[&to]);
    fails(&foreign, &format!("belongs to fleet {}", other.id.short()));
    std::fs::remove_file(&foreign).unwrap();
    // The rest was taken each time.
    assert_eq!(name_of(&mut machine).await.as_deref(), Some("one"));
}

/// I7: whoever knows a machine's key can seal to it, and gains no say by that.
#[tokio::test(flavor = "multi_thread")]
async fn i7_what_a_stranger_sealed_to_a_machine_counts_as_little_as_in_the_clear() {
    let place = tempfile::tempdir().unwrap();
    let (fleet, stranger) = (Fleet::of(7), Fleet::of(8));
    let stick = Stick::new(place.path(), &fleet);
    let (mut machine, enrols, to) = machine(place.path(), &fleet, "one", "127.0.0.31:17810");
    stick.seal(&fleet, [enrols], &[&to]);
    stick.seal(&fleet, [stranger.region("fr")], &[&to]);
    let told = said(&machine, &["join", stick.text(), "--fleet", &fleet.pin.to_string()]);
    assert!(told.contains("refused 1") && told.contains("another fleet"), "{told}");
    machine.start("").await;
    let index = machine.client().replica().await.unwrap();
    assert_eq!(index.entries.values().map(|held| held.len()).sum::<usize>(), 2, "{index:?}");
    assert_eq!(machine.stop(), Some(0));
}
