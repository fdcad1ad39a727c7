//! What somebody outside of the fleet can read: of the cable between two machines, and of a stick.
//! Each search is shown to bite: the same words are found in what members hold, in a stick that is
//! not sealed, and by the same tap on a connection that is not encrypted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use daymark_node::folder::ReplicaFolder;
use daymark_protocol::control::{Item, Join};
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::{HostSpec, Kind, Scope, Spec};
use daymark_protocol::trust::{Draft, PublicKey, ResourceDraft, SigningKey};
use daymark_real::{
    Fleet, Image, Machine, OFFICE, PORT, Say as _, Tap, WITHIN, Workplace, everyone, now, until,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{on_prepared_fleet, plan};

/// Names of machine, site, labels, policy and window, a serial number, and a version; each long
/// enough not to come about by chance.
const SECRETS: [&str; 8] = [
    "press-of-hall-seven",
    "site-of-the-old-mill",
    "colour-of-line",
    "vermilion",
    "policy-for-the-presses",
    "window-of-the-presses",
    "SN-4711-0815-42",
    "31.41.59265",
];

/// The site of the fleet's machines.
const SITE: &str = "north";

/// What is said of machines that need not exist, and then an order to all. Nothing of it is open.
fn say_secrets(fleet: &mut Fleet) -> anyhow::Result<()> {
    let people = &mut fleet.administrators;
    people.site(SECRETS[1])?;
    let key = SigningKey::from_seed([0x77; 32]).public();
    let site = people.id(Kind::Site, SITE);
    let id = ResourceId::from(key.id());
    let spec = Spec::Host(HostSpec {
        name: SECRETS[0].into(),
        public_key: key.to_string(),
        serial: Some(SECRETS[6].into()),
        labels: [(SECRETS[2].to_owned(), SECRETS[3].to_owned())].into(),
        ..HostSpec::default()
    });
    let version = people.next_version(Kind::Host, &id);
    let draft = Draft::new(people.fleet(), Scope::Site(site.clone()), now().plus_ms(-1000))
        .resource(ResourceDraft::new(id, version, &spec).site(Some(site)));
    people.say(&draft, &OFFICE)?;
    let (published, _) = fleet.publish(&Image::new(SECRETS[7]))?;
    fleet.administrators.policy(SECRETS[4], &published.os, everyone())?;
    fleet.administrators.window(SECRETS[5], 36_000, 72_000)?;
    Ok(())
}

/// Which of the words are somewhere in these bytes.
fn found<'a>(
    words: &[&'a str],
    streams: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Vec<&'a str> {
    let streams: Vec<_> = streams.into_iter().collect();
    let says = |word: &&&str| {
        let word = word.as_bytes();
        streams.iter().any(|stream| stream.as_ref().windows(word.len()).any(|part| part == word))
    };
    words.iter().filter(says).copied().collect()
}

/// All files below a folder with their content.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.insert(path.clone(), std::fs::read(&path)?);
        }
    }
    Ok(all)
}

/// What a machine holds, as it was handed to it.
async fn items(fleet: &Fleet, number: usize) -> anyhow::Result<Vec<Item>> {
    let held = fleet.held_by(number).await.map_err(anyhow::Error::msg)?;
    Ok(held.items().to_vec())
}

/// The tap hears what is not encrypted.
async fn tap_hears(items: &[Item]) -> anyhow::Result<()> {
    let sink = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let tap = Tap::start(sink.local_addr()?).await?;
    let mut near = tokio::net::TcpStream::connect(tap.address).await?;
    let (mut far, _) = sink.accept().await?;
    let all: Vec<u8> = items.iter().flat_map(|item| item.bytes().to_vec()).collect();
    let mut arrived = Vec::new();
    let sent = async {
        near.write_all(&all).await?;
        near.shutdown().await
    };
    let (sent, read) = tokio::join!(sent, far.read_to_end(&mut arrived));
    sent?;
    read?;
    ensure!(arrived == all, "the tap altered something");
    ensure!(found(&SECRETS, tap.heard()) == SECRETS, "the tap is deaf");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cable_between_two_machines_says_nothing_to_who_taps_it() -> anyhow::Result<()> {
    on_prepared_fleet(plan(2), async |fleet| {
        say_secrets(fleet)?;
        let to = (fleet.machines[1].place.address, PORT).into();
        let tap = Tap::start(to).await?;
        fleet.machines[1].set("network.peers", "[]")?;
        fleet.machines[0].set("network.peers", &format!("[\"{}\"]", tap.address))?;
        fleet.switch_on(1).await?;
        // The other one has the roots alone: all else comes over the cable.
        let (pin, roots) = (fleet.administrators.pin(), fleet.administrators.roots());
        fleet.machines[0].start()?;
        until("node-1 answers", WITHIN, async || fleet.machines[0].status().await).await?;
        fleet.machines[0].client().join(&Join { pin, items: roots }).await?;
        let hosts = [fleet.machines[0].id(), fleet.machines[1].id()];
        let crossed = until("node-1 holds what node-2 holds", WITHIN, async || {
            let (near, far) = (fleet.held_by(0).await?, fleet.held_by(1).await?);
            let reports = hosts.iter().all(|host| {
                [&near, &far].iter().all(|held| held.replica().host_view(host).is_some())
            });
            let missing = far.entries().difference(near.entries()).count();
            if missing == 0 && reports {
                Ok(near)
            } else {
                Err(format!("{missing} entries are missing; both report: {reports}"))
            }
        })
        .await?;
        // And what is said while they are connected.
        let later = fleet.administrators.window("window-after-the-fact", 36_000, 72_000)?;
        fleet.tell(1, later).await?;
        let words = [&SECRETS[..], &["window-after-the-fact", "node-1", "node-2"]].concat();
        until("node-1 holds that too", WITHIN, async || {
            let held = fleet.held_by(0).await?;
            let said = found(&words, held.items().iter().map(Item::bytes));
            if said == words { Ok(()) } else { Err(format!("it knows of {said:?} only")) }
        })
        .await?;
        let heard = tap.heard();
        let entries = crossed.items().iter().filter(|item| matches!(item, Item::Entry { .. }));
        let least: usize = entries.map(|item| item.bytes().len()).sum();
        let most: usize = heard.iter().map(Vec::len).max().unwrap_or_default();
        ensure!(most >= least, "{least} bytes of entries came, and {most} were heard");
        let said = found(&words, &heard);
        ensure!(said.is_empty(), "whoever taps the cable reads {said:?}");
        let ids = hosts.map(|host| host.to_string());
        let said = found(&ids.each_ref().map(String::as_str), &heard);
        ensure!(said.is_empty(), "whoever taps the cable reads {said:?}");
        tap_hears(crossed.items()).await
    })
    .await
}

/// Reads a stick at a machine that is off, switches it on without peers, and says what `join` said.
async fn joins(fleet: &mut Fleet, number: usize, stick: &Path) -> anyhow::Result<String> {
    let pin = fleet.administrators.pin().to_string();
    let machine = &mut fleet.machines[number];
    machine.set("network.peers", "[]")?;
    let told = join(machine, stick, &pin).await?;
    machine.start()?;
    let machine = &fleet.machines[number];
    until("it answers", WITHIN, async || machine.status().await).await?;
    Ok(told)
}

async fn join(machine: &Machine, stick: &Path, pin: &str) -> anyhow::Result<String> {
    let stick = stick.to_str().context("a path that is no text")?;
    let output = machine.node(&["join", stick, "--fleet", pin]).await?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "join: {error}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stick_is_read_by_members_and_says_roots_to_others() -> anyhow::Result<()> {
    on_prepared_fleet(plan(2), async |fleet| {
        say_secrets(fleet)?;
        fleet.switch_on(0).await?;
        let laptop = Workplace::new(fleet, "laptop", &["vera"])?;
        let taken = laptop.take_fleet(fleet, &fleet.machines[0]).await?;
        ensure!(taken.code == 0, "{taken:?}");
        let stick = fleet.folder().join("stick");
        let plain = fleet.folder().join("plain");
        std::fs::create_dir(&stick)?;
        std::fs::create_dir(&plain)?;
        let written = laptop.run(&["sync", stick.to_str().context("no text")?]).await?;
        ensure!(written.code == 0, "{written:?}");

        let held = items(fleet, 0).await?;
        let words = [&SECRETS[..], &["node-1", "node-2"]].concat();
        ensure!(found(&words, held.iter().map(Item::bytes)) == words, "the search says nothing");
        let folder = ReplicaFolder::open_or_begin(&plain)?;
        for item in &held {
            folder.write(item)?;
        }
        ensure!(found(&words, files(&plain)?.values()) == words, "the search says nothing");
        let lies_there = files(&stick)?;
        let said = found(&words, lies_there.values());
        ensure!(said.is_empty(), "whoever finds the stick reads {said:?}");
        for path in lies_there.keys() {
            let below = path.strip_prefix(stick.join("daymark"))?;
            let is_known = below.starts_with("roots") || below.starts_with("sealed");
            ensure!(is_known, "{} lies there too", below.display());
        }

        // A member that never saw another one reads all of it; a stranger's machine its roots.
        let told = joins(fleet, 1, &stick).await?;
        ensure!(!told.contains("not read") && !told.contains("refused"), "{told}");
        let read = items(fleet, 1).await?;
        ensure!(found(&words, read.iter().map(Item::bytes)) == words, "it reads too little");
        let stranger = fleet.stranger("stranger").await?;
        let told = join(&stranger, &stick, &fleet.administrators.pin().to_string()).await?;
        ensure!(told.contains("not sealed to this machine"), "{told}");
        ensure!(found(&words, files(&stranger.data())?.values()).is_empty(), "a stranger reads");

        // Once it is enrolled and the stick was written anew, it reads too.
        let key: PublicKey = stranger.public_key()?;
        let enrols = fleet.administrators.enroll("late-comer", &key, SITE)?;
        fleet.tell(0, enrols).await?;
        let text = stick.to_str().context("no text")?;
        for ran in
            [laptop.at(&fleet.machines[0], &["sync"]).await?, laptop.run(&["sync", text]).await?]
        {
            ensure!(ran.code == 0, "{ran:?}");
        }
        let told = join(&stranger, &stick, &fleet.administrators.pin().to_string()).await?;
        ensure!(!told.contains("not read"), "{told}");
        Ok(())
    })
    .await
}
