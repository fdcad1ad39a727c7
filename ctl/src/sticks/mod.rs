//! What a stick carries, sealed to the fleet's members (`daymark_protocol::sealed`): packs are
//! opened with this home's keys and written to those who may read ([`recipients`]). What is known
//! of packs is remembered ([`memory`]), so that nothing is written twice and no passphrase is asked
//! without need. Roots and the lists that they name lie there in the clear, since a machine that
//! joins, and somebody who was removed, must be able to judge them.

mod memory;
mod recipients;

use std::collections::{BTreeMap, BTreeSet};

use daymark_node::folder::{ItemName, ReplicaFolder};
use daymark_node::stick::{self, StickPack};
use daymark_protocol::control::Item;
use daymark_protocol::document::Outcome as Taken;
use daymark_protocol::id::{Digest, FleetId};
use daymark_protocol::sealed::{self, Drawn, Opened, Packing, Recipient, SealError};
use daymark_protocol::trust::SigningKey;

use self::memory::{Known, Memory, mark};
use crate::commands::sync::Moved;
use crate::exit::{Exit, Failure, Outcome};
use crate::keys::OpenKey;
use crate::output;
use crate::session::Session;

/// Packs at which a stick is written anew, as few.
const PACKS_KEPT_MAX: usize = 32;

/// The packs of one stick, as this home knows them.
#[derive(Debug)]
pub(crate) struct Stick<'a> {
    folder: &'a ReplicaFolder,
    memory: Memory,
    known: BTreeMap<Digest, Known>,
}

impl<'a> Stick<'a> {
    /// Looks what lies on it, and takes in what is new.
    pub(crate) fn read(
        session: &mut Session,
        folder: &'a ReplicaFolder,
        moved: &mut Moved,
    ) -> Outcome<Self> {
        let memory = Memory::of(session);
        let mut stick = Self { folder, memory, known: BTreeMap::new() };
        let state = memory::state(session);
        let mut unread = BTreeMap::new();
        for pack in stick::packs(folder)? {
            if let Some(known) = stick.memory.recall(&pack, &state) {
                stick.known.insert(pack, known);
                continue;
            }
            match stick::read(folder, &pack)? {
                StickPack::Whole(bytes) => _ = unread.insert(pack, bytes),
                StickPack::Damaged => moved.refuse_pack(&pack, &SealError::Damaged),
            }
        }
        if let Some(fleet) = session.fleet_id().filter(|_| !unread.is_empty()) {
            let opened = open(session, fleet, &mut unread, moved)?;
            stick.take(session, opened, moved)?;
            warn_unread(unread.len());
        }
        Ok(stick)
    }

    /// Takes what packs brought, of all of them together: what a report needs may lie in another.
    fn take(
        &mut self,
        session: &mut Session,
        opened: Vec<(Digest, Opened)>,
        moved: &mut Moved,
    ) -> Outcome<()> {
        let mut items: BTreeMap<ItemName, Item> = BTreeMap::new();
        let mut packs = Vec::new();
        for (pack, Opened { sealed_to, items: brought }) in opened {
            let names: BTreeSet<ItemName> = brought.iter().map(ItemName::of).collect();
            items.extend(brought.into_iter().map(|item| (ItemName::of(&item), item)));
            packs.push((pack, sealed_to, names));
        }
        let items: Vec<Item> = items.into_values().collect();
        let outcomes = session.take(&items)?;
        moved.received(&items, &outcomes);
        let (mut later, mut never) = (BTreeSet::new(), BTreeSet::new());
        for (item, outcome) in items.iter().zip(outcomes) {
            match outcome {
                Taken::New | Taken::Known => {}
                Taken::NotKept(_) => _ = never.insert(ItemName::of(item)),
                Taken::Held(_) | Taken::Refused(_) => _ = later.insert(ItemName::of(item)),
            }
        }
        let state = memory::state(session);
        for (pack, sealed_to, names) in packs {
            let of_it = |some: &BTreeSet<ItemName>| !names.is_disjoint(some);
            let (waits, unheld) = (of_it(&later), of_it(&never).then_some(state));
            let mut known = Known { sealed_to, unheld, items: names.iter().map(mark).collect() };
            if waits {
                // Offered again at the next sync.
                known.unheld = Some(state);
            } else {
                self.memory.keep(&pack, &known)?;
            }
            self.known.insert(pack, known);
        }
        Ok(())
    }

    /// Writes what lacks on the stick, sealed to those who are members now. Packs that others were
    /// sealed to are written anew and then removed, and so is what lay there in the clear.
    pub(crate) fn write(mut self, session: &Session) -> Outcome<u64> {
        let lists = session.replica().chain().lists();
        let in_the_clear = |name: &&ItemName| match name {
            ItemName::Root(_) => true,
            ItemName::Blob(digest) => lists.contains(digest),
            ItemName::Entry(..) | ItemName::Report(..) => false,
        };
        let (clear, sealed): (Vec<&ItemName>, Vec<&ItemName>) =
            session.held().iter().partition(in_the_clear);
        let mut sent = 0;
        for name in clear {
            if let Some(item) = session.item(name)? {
                sent += u64::from(self.folder.write(&item)?);
            }
        }
        let to = recipients::of(session)?;
        if let (Some(fleet), false) = (session.fleet_id(), to.is_empty()) {
            sent += self.seal_missing(session, fleet, &to, &sealed)?;
            self.clear_plain(&sealed)?;
            self.memory.forget_others(&self.known)?;
        }
        Ok(sent)
    }

    fn seal_missing(
        &mut self,
        session: &Session,
        fleet: FleetId,
        to: &BTreeSet<Recipient>,
        names: &[&ItemName],
    ) -> Outcome<u64> {
        let sealed_to = sealed::recipients_digest(to);
        let fresh = |known: &Known| known.sealed_to == sealed_to;
        let many = self.known.values().filter(|known| fresh(known)).count() > PACKS_KEPT_MAX;
        let (kept, stale): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.known)
            .into_iter()
            .partition(|(_, known)| fresh(known) && !many);
        let there = memory::items(&kept);
        let was_there = memory::items(&stale);
        self.known = kept;
        let mut sent = 0;
        let mut packing = Packing::default();
        for name in names.iter().filter(|name| !there.contains(&mark(name))) {
            let Some(item) = session.item(name)? else { continue };
            sent += u64::from(!was_there.contains(&mark(name)));
            if let Some(full) = packing.add(item) {
                self.write_pack(fleet, to, &full)?;
            }
        }
        if let Some(rest) = packing.finish() {
            self.write_pack(fleet, to, &rest)?;
        }
        for (pack, _) in stale.iter().filter(|(_, known)| known.unheld.is_none()) {
            stick::remove(self.folder, pack)?;
            self.memory.forget(pack);
        }
        Ok(sent)
    }

    fn write_pack(
        &mut self,
        fleet: FleetId,
        to: &BTreeSet<Recipient>,
        items: &[Item],
    ) -> Outcome<()> {
        let pack = sealed::seal(fleet, items, to, &drawn()?)
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let pack = stick::write(self.folder, &pack)?;
        let items = items.iter().map(|item| mark(&ItemName::of(item))).collect();
        let known = Known { sealed_to: sealed::recipients_digest(to), unheld: None, items };
        self.memory.keep(&pack, &known)?;
        self.known.insert(pack, known);
        Ok(())
    }

    /// Removes what lies there in the clear and is sealed now.
    fn clear_plain(&self, sealed: &[&ItemName]) -> Outcome<()> {
        for name in self.folder.names()? {
            if sealed.binary_search(&&name).is_ok() {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// Opens what can be opened, key by key, so that no more passphrases are asked than needed.
fn open(
    session: &Session,
    fleet: FleetId,
    unread: &mut BTreeMap<Digest, Vec<u8>>,
    moved: &mut Moved,
) -> Outcome<Vec<(Digest, Opened)>> {
    let mut mine = session.home.keys().list()?;
    let chain = session.replica().chain();
    let next = recipients::proposed(session)?;
    mine.retain(|key| !key.ssh_agent && (chain.key(&key.id).is_some() || next.contains(&key.id)));
    mine.sort_by_key(|key| key.encrypted);
    let mut all = Vec::new();
    for key in mine {
        if unread.is_empty() {
            break;
        }
        if let OpenKey::Seed(key) = session.open_key(&key.name)? {
            all.extend(open_with(fleet, &key, unread, moved));
        }
    }
    Ok(all)
}

/// Opens with one key; what it does not open stays in `unread`.
fn open_with(
    fleet: FleetId,
    key: &SigningKey,
    unread: &mut BTreeMap<Digest, Vec<u8>>,
    moved: &mut Moved,
) -> Vec<(Digest, Opened)> {
    let mut all = Vec::new();
    unread.retain(|pack, bytes| match sealed::open(bytes, fleet, std::slice::from_ref(key)) {
        Ok(opened) => {
            all.push((*pack, opened));
            false
        }
        Err(SealError::NotForUs) => true,
        Err(error) => {
            moved.refuse_pack(pack, &error);
            false
        }
    });
    all
}

fn warn_unread(count: usize) {
    if count > 0 {
        output::note(&format!(
            "warning: {count} sealed packs cannot be opened here and stay as they are: no key file \
             of this home is one that they are sealed to (a key in an ssh-agent signs, and cannot \
             decrypt). Sync with a node, or have a key of yours named in the root \
             (`daymarkctl root add-key FILE --role view`) and this folder synced once more by \
             somebody who can read it"
        ));
    }
}

fn drawn() -> Outcome<Drawn> {
    let mut drawn = Drawn { ephemeral: [0; 32], content: [0; 32] };
    for part in [&mut drawn.ephemeral, &mut drawn.content] {
        getrandom::fill(part)
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot draw a key: {error}")))?;
    }
    Ok(drawn)
}
