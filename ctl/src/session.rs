//! One command's work on one fleet: its replica, loaded from the context's folder, and what it
//! adds to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use daymark_node::control::{Client, ClientError};
use daymark_node::durable::write_atomic;
use daymark_node::folder::{ItemName, ReplicaFolder};
use daymark_node::mesh::LaptopError;
use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::document::{
    Changes, ClosedGeneration, DocumentId, Outcome as Taken, Replica,
};
use daymark_protocol::id::{Digest, FleetId, KeyId, ResourceId};
use daymark_protocol::resource::{Kind, Role, Scope};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{Root, Standing, Version};
use tokio::sync::OnceCell;

use crate::cli::Global;
use crate::commands::explain::Explained;
use crate::draft_root::DraftRoot;
use crate::exit::{Exit, Failure, Outcome};
use crate::home::{self, ContextFile, Home};
use crate::hosts::HostSummary;
use crate::keys::OpenKey;
use crate::reach::NodeAt;
use crate::stored::{LoadedFolder, append_floors, changes_items, load_folder, read_floors};
use crate::{authority, names, output, passphrase, scopes, targets, times, visit};

/// Where closed generations of reports lie that the mesh dropped, below a context's folder.
pub(crate) const ARCHIVE: &str = "archive";

/// A command's work on a fleet.
#[derive(Debug)]
pub(crate) struct Session {
    /// Options of every command.
    pub global: Global,
    /// Keys and contexts.
    pub home: Home,
    /// The context's name.
    pub name: String,
    /// The context's folder.
    pub folder: PathBuf,
    /// What the context remembers.
    pub context: ContextFile,
    /// When statements say that they were written; now, unless the author says otherwise.
    pub issued: Option<WallTime>,
    store: ReplicaFolder,
    replica: Replica,
    /// The items that the replica has taken in, each a file of `store`. Another command on the same
    /// context may store more meanwhile, of which this replica knows nothing.
    held: BTreeSet<ItemName>,
    /// Whether every file of the replica was read when the session began.
    whole: bool,
    /// Keys that this command opened: each passphrase is asked once.
    opened: Mutex<BTreeMap<String, OpenKey>>,
    /// The connection over the network, once there is one.
    visit: OnceCell<Client>,
}

impl Session {
    /// Opens the context to work on and loads its replica; nothing in it is believed unchecked.
    pub(crate) fn open(global: Global) -> Outcome<Self> {
        let home = Home::open(&global)?;
        let (name, folder) = home.current(&global)?;
        let context = home::read_context(&folder)?;
        let store = ReplicaFolder::open_or_begin(&folder)?;
        let floors = read_floors(&folder)?;
        let LoadedFolder { replica, read, changes, problems, .. } =
            load_folder(&store, context.pin, floors)?;
        if !problems.is_empty() {
            output::note(&format!(
                "warning: {} files of the replica are damaged; `daymarkctl sync` replaces them",
                problems.len()
            ));
        }
        let mut session = Self {
            global,
            home,
            name,
            folder,
            context,
            issued: None,
            store,
            replica,
            held: read,
            whole: problems.is_empty(),
            opened: Mutex::default(),
            visit: OnceCell::new(),
        };
        session.store_changes(&changes)?;
        Ok(session)
    }

    /// What counts.
    pub(crate) fn standing(&self) -> &Standing {
        self.replica.standing()
    }

    /// The replica.
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The newest root.
    pub(crate) fn root(&self) -> Outcome<&Root> {
        self.replica.chain().newest().ok_or_else(|| {
            let why = match (self.draft_root(), self.replica.chain().wait()) {
                (Ok(Some(draft)), _) => {
                    let (have, need) = draft.progress();
                    format!("its root has {have} of {need} signatures")
                }
                (_, Some(wait)) => wait.to_string(),
                (_, None) => "no root is held".to_owned(),
            };
            Failure::new(Exit::Pending, format!("fleet {} cannot be used yet: {why}", self.name))
                .next("`daymarkctl sign --all` adds a signature, `daymarkctl sync FOLDER` fetches them")
        })
    }

    /// The fleet.
    pub(crate) fn fleet(&self) -> Outcome<FleetId> {
        self.root()?;
        self.replica.chain().fleet().ok_or_else(|| {
            Failure::new(Exit::Failed, "the first root is not held").next("`daymarkctl sync`")
        })
    }

    /// The fleet, as far as the pin or the roots held tell.
    pub(crate) fn fleet_id(&self) -> Option<FleetId> {
        let pin = self.context.pin;
        let founded = (pin.version == 1).then_some(FleetId(pin.digest.0));
        self.replica.chain().fleet().or(founded)
    }

    /// What a host says of itself.
    pub(crate) fn host(&self, host: &KeyId) -> Option<HostSummary> {
        HostSummary::of(self.replica.host_view(host)?)
    }

    /// Whether a host holds what this replica holds of the document that a version lives in, and
    /// so the version too.
    pub(crate) fn holds(&self, host: &KeyId, version: &Version) -> bool {
        self.holds_document_of(host, &version.scope)
    }

    /// Whether a host holds what this replica holds of the document that a scope's statements live
    /// in.
    pub(crate) fn holds_document_of(&self, host: &KeyId, scope: &Scope) -> bool {
        let document = match scope {
            Scope::Site(site) => DocumentId::Site(site.clone()),
            Scope::Fleet | Scope::Region(_) => DocumentId::Fleet,
        };
        let held = self.replica.host_view(host).and_then(|view| view.facts().held(&document));
        held == Some(self.replica.fingerprint(&document))
    }

    /// Where what this command writes lives (RULES Q1).
    pub(crate) fn scope(&self) -> Outcome<Scope> {
        let scope = self.global.scope.as_deref();
        scope.map_or(Ok(Scope::Fleet), |scope| scopes::parse(self.standing(), scope))
    }

    /// The one living resource of these kinds that `name` means, in the scope of `--scope` if that
    /// is given.
    pub(crate) fn find(&self, kinds: &[Kind], name: &str) -> Outcome<(Kind, ResourceId)> {
        let scope = self.global.scope.as_deref();
        let scope = scope.map(|scope| scopes::parse(self.standing(), scope)).transpose()?;
        names::find_in(self.standing(), kinds, name, scope.as_ref())
    }

    /// The hosts that `--site` and `--label` select, if they are given.
    pub(crate) fn selected(&self) -> Outcome<Option<Vec<KeyId>>> {
        if self.global.site.is_none() && self.global.labels.is_empty() {
            return Ok(None);
        }
        targets::select(self.standing(), &[], &self.global).map(Some)
    }

    /// How old what is shown is, for people: when a node was asked last, or what machines told last
    /// if all of it came in folders.
    pub(crate) fn as_of(&self) -> String {
        let ago = |at| times::relative(at, times::now());
        let synced = fs::read_to_string(self.folder.join("synced")).ok();
        let at = synced.and_then(|text| text.trim().parse::<jiff::Timestamp>().ok());
        let told = || {
            let hosts = names::hosts(self.standing()).into_iter();
            hosts.filter_map(|(key, _, _)| self.host(&key)?.update?.time).max()
        };
        match (at, at.is_none().then(told).flatten()) {
            (Some(at), _) => format!("As of the last sync with a node, {}.", ago(at.into())),
            (None, Some(told)) => {
                format!("Never synced with a node; the newest report tells of {}.", ago(told))
            }
            (None, None) => "Never synced with a node.".into(),
        }
    }

    /// Notes that the replica is as new as a node's.
    pub(crate) fn note_sync(&self) -> Outcome<()> {
        let path = self.folder.join("synced");
        fs::write(&path, times::now().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }

    /// Takes items in and stores what is kept. Returns what became of each. Entries that stand
    /// together are judged together, since a statement counts only with its signatures, and so are
    /// reports.
    pub(crate) fn take(&mut self, items: &[Item]) -> Outcome<Vec<Taken>> {
        let mut outcomes = Vec::new();
        let together = |a: &Item, b: &Item| match (a, b) {
            (Item::Root { .. }, Item::Root { .. })
            | (Item::Entry { .. }, Item::Entry { .. })
            | (Item::Report { .. }, Item::Report { .. }) => true,
            (
                Item::Root { .. } | Item::Entry { .. } | Item::Report { .. } | Item::Blob { .. },
                _,
            ) => false,
        };
        for run in items.chunk_by(together) {
            let bytes: Vec<&[u8]> = run.iter().map(Item::bytes).collect();
            let (taken, changes) = match run.first() {
                None => continue,
                Some(Item::Root { .. }) => {
                    outcomes.extend(self.take_roots(run)?);
                    continue;
                }
                Some(Item::Blob { bytes, .. }) => {
                    let (outcome, changes) = self.replica.accept_blob(&bytes.0);
                    (vec![outcome], changes)
                }
                Some(Item::Report { .. }) => self.replica.accept_reports(&bytes),
                Some(Item::Entry { .. }) => self.replica.accept_entries(&bytes),
            };
            self.store_changes(&changes)?;
            outcomes.extend(taken);
        }
        Ok(outcomes)
    }

    /// Takes roots from the pinned one down, then up: each hangs on the one before (RULES R2).
    fn take_roots(&mut self, items: &[Item]) -> Outcome<Vec<Taken>> {
        let pinned = self.context.pin.version;
        let place = |index: &usize| match items.get(*index) {
            Some(Item::Root { version, .. }) if *version <= pinned => (0, pinned - version),
            Some(Item::Root { version, .. }) => (1, *version),
            Some(Item::Entry { .. } | Item::Report { .. } | Item::Blob { .. }) | None => (2, 0),
        };
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(place);
        let mut outcomes = vec![Taken::Known; items.len()];
        for index in order {
            outcomes[index] = self.take_root(items[index].bytes())?;
        }
        Ok(outcomes)
    }

    /// Offers a root to the replica.
    fn offer_root(&mut self, bytes: &[u8]) -> Outcome<Taken> {
        let (outcome, changes) = self.replica.accept_root(bytes);
        self.store_changes(&changes)?;
        Ok(outcome)
    }

    /// Takes a root. The pinned one is kept while it lacks signatures, and gathers them.
    fn take_root(&mut self, bytes: &[u8]) -> Outcome<Taken> {
        let pin = self.context.pin;
        let Ok(offered) = DraftRoot::read(&pin, bytes) else {
            return self.offer_root(bytes);
        };
        let held = self.draft_root()?;
        let mut merged = held.clone().unwrap_or_else(|| offered.clone());
        let adds = merged.merge(&offered) || held.is_none();
        let merged = merged.to_json();
        match self.offer_root(&merged)? {
            Taken::Refused(_) if adds => {
                self.store.write(&Item::Root { version: pin.version, bytes: Bytes(merged) })?;
                Ok(Taken::New)
            }
            Taken::Refused(_) => Ok(Taken::Known),
            taken @ (Taken::New | Taken::Known | Taken::Held(_) | Taken::NotKept(_)) => Ok(taken),
        }
    }

    /// The pinned root as it is held, with the signatures that it has.
    pub(crate) fn draft_root(&self) -> Outcome<Option<DraftRoot>> {
        let pin = self.context.pin;
        let held = self.store.read(&ItemName::Root(pin.version))?;
        Ok(held.and_then(|item| DraftRoot::read(&pin, item.bytes()).ok()))
    }

    /// Stores changes, floors first: they cannot be got back from anywhere (RULES C6).
    fn store_changes(&mut self, changes: &Changes) -> Outcome<()> {
        append_floors(&self.folder, &changes.floors)?;
        for item in changes_items(changes) {
            self.store.write(&item)?;
            self.held.insert(ItemName::of(&item));
        }
        for (document, hash) in &changes.drops {
            self.remove(&ItemName::Entry(document.clone(), *hash))?;
        }
        for digest in &changes.dropped_blobs {
            self.archive(digest)?;
        }
        if !changes.dropped_reports.is_empty() {
            for name in self.store.names()? {
                if let ItemName::Report(host, generation, _) = &name {
                    let dropped = &changes.dropped_reports;
                    if dropped.iter().any(|(other, below)| other == host && generation < below) {
                        self.remove(&name)?;
                    }
                }
            }
        }
        for digest in &changes.dropped_blobs {
            self.remove(&ItemName::Blob(*digest))?;
        }
        Ok(())
    }

    fn remove(&mut self, name: &ItemName) -> Outcome<()> {
        self.held.remove(name);
        Ok(self.store.remove(name)?)
    }

    /// Keeps a closed generation of reports that the mesh drops (RULES D5), for the audit.
    fn archive(&self, digest: &Digest) -> Outcome<()> {
        let Some(item) = self.store.read(&ItemName::Blob(*digest))? else { return Ok(()) };
        if ClosedGeneration::reports(item.bytes()).is_ok() {
            let folder = self.folder.join(ARCHIVE);
            fs::create_dir_all(&folder)?;
            write_atomic(&folder.join(digest.to_string()), item.bytes(), 0o644)?;
        }
        Ok(())
    }

    /// Whether the replica was read whole, so that what was taken in before is still there.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// A key of this home. Its passphrase is asked once in a command.
    pub(crate) fn open_key(&self, name: &str) -> Outcome<OpenKey> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = opened.get(name) {
            return Ok(key.clone());
        }
        let key = passphrase::open(&self.home.keys(), name)?;
        opened.insert(name.to_owned(), key.clone());
        Ok(key)
    }

    /// The names of everything that the replica holds.
    pub(crate) fn held(&self) -> &BTreeSet<ItemName> {
        &self.held
    }

    /// An item that the replica holds, as it is stored.
    pub(crate) fn item(&self, name: &ItemName) -> Outcome<Option<Item>> {
        Ok(self.store.read(name)?)
    }

    /// The node to talk to, if one is named.
    pub(crate) fn node(&self) -> Option<NodeAt> {
        self.node_text().as_deref().map(NodeAt::parse)
    }

    /// Likewise, as it was written.
    pub(crate) fn node_text(&self) -> Option<String> {
        self.global.node.clone().or_else(|| self.context.node.clone())
    }

    /// Gives up the connection over the network, so that the next question makes a new one.
    pub(crate) fn disconnect(&mut self) {
        self.visit.take();
    }

    /// A connection to the node to talk to.
    pub(crate) async fn client(&self) -> Outcome<Client> {
        let node = self.node().ok_or_else(|| {
            Failure::new(Exit::Unreachable, "no node is named")
                .next("name it with --node: a control socket, a host or an address; or `daymarkctl sync FOLDER`")
        })?;
        self.client_at(&node).await
    }

    /// A connection to a node. Over the network this laptop is let in once for a whole command.
    pub(crate) async fn client_at(&self, node: &NodeAt) -> Outcome<Client> {
        match node {
            NodeAt::Socket(socket) => Ok(Client::new(socket)),
            NodeAt::Address(_) | NodeAt::Name(_) => {
                let visit = self.visit.get_or_try_init(|| visit::visit(self, node));
                visit.await.cloned()
            }
        }
    }

    /// A host's decision: asked of the host itself if it is the node at hand, or else its last
    /// report's.
    pub(crate) async fn decision(&self, host: &KeyId, name: String) -> Outcome<Explained> {
        if let Ok(client) = self.client().await
            && let Ok(status) = client.status().await
            && status.host == *host
        {
            let decision = client.decision().await.map_err(unanswered)?.decision;
            return Ok(Explained {
                host: name,
                as_of: Some(times::now()),
                live: true,
                policy_scope: None,
                adopted: None,
                configuration_problem: None,
                decision,
            });
        }
        let summary = self.host(host).ok_or_else(|| {
            Failure::new(Exit::Unreachable, format!("{name} has reported nothing yet"))
                .next("`daymarkctl sync` with a node of its site, or --node with its own socket")
        })?;
        let decision = summary.decision.clone().ok_or_else(|| {
            Failure::new(Exit::Unreachable, format!("{name} has not reported a decision yet"))
        })?;
        Ok(Explained {
            host: name,
            as_of: summary.update.and_then(|update| update.time),
            live: false,
            policy_scope: None,
            adopted: None,
            configuration_problem: None,
            decision,
        })
    }

    /// Names of the own keys among those that may speak under a role; those of `--key` if given.
    pub(crate) fn own_keys(
        &self,
        role: Role,
        may: &BTreeSet<KeyId>,
    ) -> Outcome<Vec<(String, KeyId)>> {
        let root = self.root()?;
        let mut keys = self.home.keys().list()?;
        if !self.global.keys.is_empty() {
            keys.retain(|key| self.global.keys.contains(&key.name));
            if let Some(key) = keys.iter().find(|key| !may.contains(&key.id)) {
                return Err(Failure::refused(format!(
                    "key {} does not have the role {role}",
                    key.name
                ))
                .next("`daymarkctl fleet info` shows who has it"));
            }
        }
        let usable: Vec<_> = keys
            .into_iter()
            .filter(|key| may.contains(&key.id))
            .map(|key| (key.name, key.id))
            .collect();
        if usable.is_empty() {
            let who = authority::holders(root, may);
            return Err(Failure::refused(format!("no key of this machine has the role {role}"))
                .next(format!("it is held by {}", who.join(", "))));
        }
        Ok(usable)
    }

    /// The document of a name: `fleet`, `site/NAME`, `host/NAME`.
    pub(crate) fn document(&self, text: &str) -> Outcome<DocumentId> {
        if let Ok(document) = text.parse()
            && self.replica.documents().any(|held| *held == document)
        {
            return Ok(document);
        }
        match text.split_once('/') {
            Some(("site", name)) => names::find_site(self.standing(), name).map(DocumentId::Site),
            Some(("host", name)) => names::find_host(self.standing(), name).map(DocumentId::Host),
            _ if text == "fleet" => Ok(DocumentId::Fleet),
            _ => Err(Failure::usage(format!("{text:?} is not a document"))
                .next("write fleet, site/NAME or host/NAME")),
        }
    }
}

/// A node that refused, or did not answer as it should.
pub(crate) fn unanswered(error: ClientError) -> Failure {
    let denied = |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
    let (exit, step) = match &error {
        ClientError::Refused(_) => (Exit::Refused, None),
        ClientError::Network(LaptopError::NotLetIn(_)) => (
            Exit::Refused,
            Some("the newest root may have taken this key out: `daymarkctl root show`"),
        ),
        ClientError::Unreachable { source, .. } if denied(source) => {
            (Exit::Unreachable, Some("its socket is for root and the group daymark"))
        }
        ClientError::Unreachable { .. } | ClientError::Network(_) => {
            (Exit::Unreachable, Some("`daymarkctl sync FOLDER` needs no node"))
        }
        ClientError::Broken { .. } => (Exit::Unreachable, Some("look at the node's log")),
    };
    Failure { exit, error: error.into(), next_step: step.map(str::to_owned) }
}
