//! `sync NODE|FOLDER`: what either side lacks goes to it.

use std::collections::BTreeSet;
use std::path::Path;

use daymark_node::control::Client;
use daymark_node::folder::{ItemName, ReplicaFolder};
use daymark_protocol::control::{Item, ReplicaIndex, SubmitOutcome, Wanted};
use daymark_protocol::document::Outcome as Taken;
use daymark_protocol::id::{Digest, FleetId};
use daymark_protocol::sealed::SealError;
use daymark_protocol::trust::{Envelope, Root};
use serde::Serialize;

use crate::cli::SyncArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::reach::NodeAt;
use crate::session::{Session, unanswered};
use crate::sticks::Stick;
use crate::{conflicts, drafts, names, output};

/// Items asked for or handed in at once: a few megabytes at most.
const BATCH_ITEMS_MAX: usize = 256;

/// What a sync moved.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Moved {
    /// Items taken in.
    pub received: u64,
    /// Items handed over.
    pub sent: u64,
    /// Items that one side would not have from the other.
    pub refused: Vec<Refusal>,
}

/// An item that was refused for good.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusal {
    /// The item, by kind and place.
    pub item: String,
    /// Who refused it: `here` or `there`.
    pub by: &'static str,
    /// Why.
    pub why: String,
}

impl Moved {
    /// Notes what became here of items that the other side has.
    pub(crate) fn received(&mut self, items: &[Item], outcomes: &[Taken]) {
        for (item, outcome) in items.iter().zip(outcomes) {
            match outcome {
                Taken::New => self.received += 1,
                Taken::Known | Taken::Held(_) | Taken::NotKept(_) => {}
                Taken::Refused(why) => self.refuse(item, "here", why),
            }
        }
    }

    /// Notes what became there of items that were handed over.
    fn sent(&mut self, items: &[Item], outcomes: &[SubmitOutcome]) {
        for (item, outcome) in items.iter().zip(outcomes) {
            match outcome {
                SubmitOutcome::New => self.sent += 1,
                SubmitOutcome::Known | SubmitOutcome::Held(_) | SubmitOutcome::NotKept(_) => {}
                SubmitOutcome::Refused(why) => self.refuse(item, "there", why),
            }
        }
    }

    /// Notes a pack of a stick that cannot be read.
    pub(crate) fn refuse_pack(&mut self, pack: &Digest, why: &SealError) {
        let item = format!("sealed/{pack}");
        let why = format!("{why}; delete it once all who may have more have synced");
        self.refused.push(Refusal { item, by: "here", why });
    }

    fn refuse(&mut self, item: &Item, by: &'static str, why: &str) {
        self.refused.push(Refusal { item: ItemName::of(item).to_string(), by, why: why.into() });
    }
}

/// Runs `sync`.
pub(crate) async fn run(mut session: Session, args: SyncArgs) -> Outcome {
    let named = args.with.is_some();
    let what = args.with.or_else(|| session.node_text()).ok_or_else(|| {
        Failure::usage("neither a node nor a folder is named")
            .next("`daymarkctl sync FOLDER`, or name a node with --node")
    })?;
    let unknown = conflicts::unknown(session.standing());
    let moved = match NodeAt::parse(&what) {
        NodeAt::Socket(path) if path.is_dir() => folder(&mut session, &path)?,
        NodeAt::Socket(path) if named && !path.exists() => return Err(nothing_at(&what)),
        NodeAt::Name(name) if named && !is_name(&session, &name) => {
            return Err(nothing_at(&what));
        }
        at @ (NodeAt::Socket(_) | NodeAt::Address(_) | NodeAt::Name(_)) => {
            let client = session.client_at(&at).await?;
            node(&mut session, &client).await?
        }
    };
    output::value(session.global.output, &moved, || {
        format!("Synced with {what}: {} received, {} sent.", moved.received, moved.sent)
    })?;
    if !moved.refused.is_empty() {
        for Refusal { item, by, why } in &moved.refused {
            output::note(&format!("{item} was refused {by}: {why}"));
        }
        let count = moved.refused.len();
        return Err(Failure::refused(format!(
            "{count} items were refused; the rest was exchanged"
        ))
        .next("compare the fleets, and the versions of both programs"));
    }
    conflicts::refuse_new(session.standing(), &unknown).map(|()| Exit::Done)
}

fn nothing_at(what: &str) -> Failure {
    Failure::usage(format!("there is no folder or socket {what}, and no host of that name"))
        .next("make the folder or plug the stick in, or name a node's control socket or address")
}

/// Whether a name may be that of a machine, or one of the network's.
fn is_name(session: &Session, name: &str) -> bool {
    name.contains('.') || names::find_host(session.standing(), name).is_ok()
}

/// The session, synced with its node if it has one that answers; reading and signing work without.
pub(crate) async fn fresh(mut session: Session) -> Outcome<Session> {
    if session.node().is_none() {
        return Ok(session);
    }
    let synced = match session.client().await {
        Ok(client) => node(&mut session, &client).await,
        Err(failure) => Err(failure),
    };
    match synced {
        Err(failure) if failure.exit == Exit::Unreachable => {
            output::note(&format!("warning: {:#}; this is what the replica holds", failure.error));
        }
        Err(failure) => return Err(failure),
        Ok(_) => {}
    }
    Ok(session)
}

/// Syncs with a folder.
pub(crate) fn folder(session: &mut Session, path: &Path) -> Outcome<Moved> {
    let folder = ReplicaFolder::open_or_begin(path)?;
    check_folder(session, &folder, path)?;
    let mut moved = Moved::default();
    let held = held(session);
    let mut missing = folder.names()?;
    // A root that is held may lie there with other signatures, or beside a rival.
    missing.retain(|name| matches!(name, ItemName::Root(_)) || !held.contains(name));
    for batch in missing.chunks(BATCH_ITEMS_MAX) {
        let read: Vec<Option<Item>> =
            batch.iter().map(|name| folder.read(name)).collect::<Result<_, _>>()?;
        let items: Vec<Item> = read.into_iter().flatten().collect();
        moved.received(&items, &session.take(&items)?);
    }
    // Before the packs: who comes with the next root reads by its draft what they are to sign.
    let (received, sent) = drafts::exchange(session, path)?;
    moved.received += received;
    moved.sent += sent;
    moved.sent += Stick::read(session, &folder, &mut moved)?.write(session)?;
    Ok(moved)
}

/// What need not be fetched. Roots are not among it while the chain waits: one of a version that
/// is held may bring the signatures that are missing.
fn held(session: &Session) -> BTreeSet<ItemName> {
    let waits = session.replica().chain().newest().is_none();
    let mut names = session.held().clone();
    names.retain(|name| !(waits && matches!(name, ItemName::Root(_))));
    names
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

/// Syncs with a node, over its control API.
pub(crate) async fn node(session: &mut Session, client: &Client) -> Outcome<Moved> {
    let status = client.status().await.map_err(unanswered)?;
    check_fleet(session, status.fleet)?;
    let index = client.replica().await.map_err(unanswered)?;
    let mut moved = Moved::default();
    let held = held(session);
    let theirs = names(&index);
    let missing: Vec<ItemName> =
        theirs.iter().filter(|name| !held.contains(name)).cloned().collect();
    for batch in missing.chunks(BATCH_ITEMS_MAX) {
        let mut wanted: Vec<ItemName> = batch.to_vec();
        while !wanted.is_empty() {
            let fetched = client.fetch(&request(&wanted)).await.map_err(unanswered)?;
            if fetched.items.is_empty() {
                break;
            }
            let arrived: BTreeSet<ItemName> = fetched.items.iter().map(ItemName::of).collect();
            wanted.retain(|name| !arrived.contains(name));
            moved.received(&fetched.items, &session.take(&fetched.items)?);
            if !fetched.more {
                break;
            }
        }
    }
    let give: Vec<ItemName> = session.held().difference(&theirs).cloned().collect();
    for batch in give.chunks(BATCH_ITEMS_MAX) {
        let batch = batch.iter().map(|name| session.item(name)).collect::<Outcome<Vec<_>>>()?;
        let batch = &batch.into_iter().flatten().collect::<Vec<Item>>();
        moved.sent(batch, &hand_in(client, batch).await?);
    }
    session.note_sync()?;
    Ok(moved)
}

/// Hands items to a node.
pub(crate) async fn hand_in(client: &Client, items: &[Item]) -> Outcome<Vec<SubmitOutcome>> {
    let items = items.iter().cloned().map(Into::into).collect();
    Ok(client.submit(items).await.map_err(unanswered)?.outcomes)
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
