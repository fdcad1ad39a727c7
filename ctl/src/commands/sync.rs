//! `sync NODE|FOLDER`: what either side lacks goes to it.

use std::collections::BTreeSet;
use std::path::Path;

use daymark_node::control::Client;
use daymark_node::folder::{ItemName, ReplicaFolder};
use daymark_protocol::control::{Item, ReplicaIndex, SubmitOutcome, Wanted};
use daymark_protocol::document::Outcome as Taken;
use daymark_protocol::id::FleetId;
use daymark_protocol::trust::{Envelope, Root};
use serde::Serialize;

use crate::cli::SyncArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{Session, unreachable};

/// Items asked for or handed in at once: a few megabytes at most.
const BATCH_ITEMS_MAX: usize = 256;

/// What a sync moved.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Moved {
    /// Items taken in.
    pub received: u64,
    /// Items handed over.
    pub sent: u64,
    /// Items that the other side would not have.
    pub refused: u64,
}

/// Runs `sync`.
pub async fn run(mut session: Session, args: SyncArgs) -> Outcome {
    let with = match &args.with {
        Some(path) => path.clone(),
        None => session
            .socket()
            .map(Path::to_owned)
            .ok_or_else(|| Failure::usage("name a node's control socket or a folder"))?,
    };
    let moved = if with.is_dir() {
        folder(&mut session, &with)?
    } else {
        node(&mut session, &with).await?
    };
    let what = with.display();
    output::value(session.global.output, &moved, || {
        let refused = match moved.refused {
            0 => String::new(),
            count => format!(", {count} refused there"),
        };
        format!("Synced with {what}: {} received, {} sent{refused}.", moved.received, moved.sent)
    })?;
    Ok(Exit::Done)
}

/// The session, synced with its node if it has one that answers; a read works without.
pub async fn fresh(mut session: Session) -> Outcome<Session> {
    let Some(socket) = session.socket().map(Path::to_owned) else { return Ok(session) };
    match node(&mut session, &socket).await {
        Err(failure) if failure.exit == Exit::Unreachable => {
            output::note(&format!("warning: {:#}; this is what the replica holds", failure.error));
        }
        Err(failure) => return Err(failure),
        Ok(_) => {}
    }
    Ok(session)
}

/// Syncs with a folder.
pub fn folder(session: &mut Session, path: &Path) -> Outcome<Moved> {
    let folder = ReplicaFolder::open_or_begin(path)?;
    check_folder(session, &folder, path)?;
    let mut moved = Moved::default();
    let held = held(session)?;
    let mut missing = folder.names()?;
    missing.retain(|name| !held.contains(name));
    for batch in missing.chunks(BATCH_ITEMS_MAX) {
        let read: Vec<Option<Item>> =
            batch.iter().map(|name| folder.read(name)).collect::<Result<_, _>>()?;
        let items: Vec<Item> = read.into_iter().flatten().collect();
        moved.received += received(&session.take(&items)?);
    }
    for item in session.items()? {
        moved.sent += u64::from(folder.write(&item)?);
    }
    session.note_sync()?;
    Ok(moved)
}

/// What need not be fetched. Roots are not among it while the chain waits: one of a version that
/// is held may bring the signatures that are missing.
fn held(session: &Session) -> Outcome<BTreeSet<ItemName>> {
    let waits = session.replica().chain().newest().is_none();
    let names = session.items()?;
    let names = names.iter().map(ItemName::of);
    Ok(names.filter(|name| !(waits && matches!(name, ItemName::Root(_)))).collect())
}

/// Refuses a folder with the first root of another fleet, before anything moves either way.
fn check_folder(session: &Session, folder: &ReplicaFolder, path: &Path) -> Outcome<()> {
    let (Some(ours), Some(item)) = (session.fleet_id(), folder.read(&ItemName::Root(1))?) else {
        return Ok(());
    };
    let theirs = Envelope::parse(item.bytes())
        .ok()
        .and_then(|envelope| Root::parse(&envelope.payload).ok())
        .map(|root| FleetId(root.digest.0));
    match theirs {
        Some(theirs) if theirs != ours => Err(Failure::refused(format!(
            "{} belongs to fleet {}, and context {} is fleet {}",
            path.display(),
            theirs.short(),
            session.name,
            ours.short()
        ))
        .next("choose another fleet with --context, or another folder; nothing was changed")),
        Some(_) | None => Ok(()),
    }
}

fn received(outcomes: &[Taken]) -> u64 {
    outcomes.iter().filter(|outcome| **outcome == Taken::New).count() as u64
}

/// Syncs with a node, over its control socket.
pub async fn node(session: &mut Session, socket: &Path) -> Outcome<Moved> {
    let client = Client::new(socket);
    let status = client.status().await.map_err(unreachable)?;
    check_fleet(session, status.fleet)?;
    let index = client.replica().await.map_err(unreachable)?;
    let mut moved = Moved::default();
    let held = held(session)?;
    let theirs = names(&index);
    let missing: Vec<ItemName> =
        theirs.iter().filter(|name| !held.contains(name)).cloned().collect();
    for batch in missing.chunks(BATCH_ITEMS_MAX) {
        let mut wanted: Vec<ItemName> = batch.to_vec();
        while !wanted.is_empty() {
            let fetched = client.fetch(&request(&wanted)).await.map_err(unreachable)?;
            if fetched.items.is_empty() {
                break;
            }
            let arrived: BTreeSet<ItemName> = fetched.items.iter().map(ItemName::of).collect();
            wanted.retain(|name| !arrived.contains(name));
            moved.received += received(&session.take(&fetched.items)?);
            if !fetched.more {
                break;
            }
        }
    }
    let give: Vec<Item> =
        session.items()?.into_iter().filter(|item| !theirs.contains(&ItemName::of(item))).collect();
    for batch in give.chunks(BATCH_ITEMS_MAX) {
        for outcome in hand_in(&client, batch).await? {
            match outcome {
                SubmitOutcome::New => moved.sent += 1,
                SubmitOutcome::Known | SubmitOutcome::Held(_) | SubmitOutcome::NotKept(_) => {}
                SubmitOutcome::Refused(_) => moved.refused += 1,
            }
        }
    }
    session.note_sync()?;
    Ok(moved)
}

/// Hands items to a node.
pub async fn hand_in(client: &Client, items: &[Item]) -> Outcome<Vec<SubmitOutcome>> {
    let items = items.iter().cloned().map(Into::into).collect();
    Ok(client.submit(items).await.map_err(unreachable)?.outcomes)
}

fn check_fleet(session: &Session, fleet: Option<FleetId>) -> Outcome<()> {
    match (fleet, session.fleet_id()) {
        (None, _) => Err(Failure::refused("this machine belongs to no fleet yet")
            .next("`daymark-node join FOLDER --fleet FINGERPRINT` on it")),
        (Some(theirs), Some(ours)) if theirs != ours => Err(Failure::refused(format!(
            "this machine belongs to fleet {}, and context {} is fleet {}",
            theirs.short(),
            session.name,
            ours.short()
        ))
        .next("choose another with --context")),
        (Some(_), _) => Ok(()),
    }
}

fn names(index: &ReplicaIndex) -> BTreeSet<ItemName> {
    let mut names: BTreeSet<ItemName> = index.roots.iter().map(|v| ItemName::Root(*v)).collect();
    for (document, hashes) in &index.entries {
        names.extend(hashes.iter().map(|hash| ItemName::Entry(document.clone(), *hash)));
    }
    for (host, reports) in &index.reports {
        names.extend(reports.iter().map(|(g, c)| ItemName::Report(*host, *g, *c)));
    }
    names.extend(index.blobs.iter().map(|digest| ItemName::Blob(*digest)));
    names
}

fn request(names: &[ItemName]) -> Wanted {
    let mut wanted = Wanted::default();
    for name in names {
        match name {
            ItemName::Root(version) => wanted.roots.push(*version),
            ItemName::Entry(document, hash) => wanted.entries.push((document.clone(), *hash)),
            ItemName::Report(host, generation, count) => {
                wanted.reports.push((*host, *generation, *count));
            }
            ItemName::Blob(digest) => wanted.blobs.push(*digest),
        }
    }
    wanted
}
