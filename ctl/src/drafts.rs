//! What lacks signatures and is no statement: the next root with its lists, and heartbeats. Nodes
//! keep no such thing; its signers pass it to and fro in folders, or as a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use daymark_node::folder::ReplicaFolder;
use daymark_protocol::control::{Bytes, Item};
use daymark_protocol::id::{Digest, KeyId};
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{
    Context, DigestList, Envelope, Heartbeat, PublicKey, RoleKeys, Root, RootChain, Signature, pae,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::authority;
use crate::exit::{Failure, Outcome};
use crate::session::Session;

/// Largest file of a draft that is read: a root and eight full lists.
const FILE_BYTES_MAX: u64 = 24 * 1024 * 1024;
/// Most drafts that are read from one folder: nobody has more than a few under way.
const FILES_MAX: usize = 64;
/// Where drafts lie below a context's folder.
const OWN: &str = "drafts";
/// Where they lie on a stick.
const ON_STICK: &str = "daymark/drafts";

/// What a draft says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// The next root.
    Root(Box<Root>),
    /// What was the newest at a moment.
    Heartbeat(Box<Heartbeat>),
}

/// A draft with the signatures gathered for it so far.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// What it says.
    pub said: Said,
    /// The lists that a root names and that nobody else holds yet (RULES R5).
    pub lists: Vec<DigestList>,
    payload: Vec<u8>,
    signatures: BTreeMap<KeyId, Signature>,
}

/// The file of a draft.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftFile {
    envelope: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lists: Vec<Bytes>,
}

/// Keys of which some must sign a draft.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    /// The keys, and how many of them.
    pub role: RoleKeys,
    /// What they are: `root keys of root 1`.
    pub what: String,
    /// The root that names their holders.
    root: Root,
}

impl Draft {
    /// A root to be signed.
    pub(crate) fn root(payload: Vec<u8>, root: Root, lists: Vec<DigestList>) -> Self {
        let said = Said::Root(Box::new(root));
        Self { said, lists, payload, signatures: BTreeMap::new() }
    }

    /// A heartbeat to be signed.
    pub(crate) fn heartbeat(heartbeat: Heartbeat) -> Outcome<Self> {
        let payload = heartbeat.write()?;
        let said = Said::Heartbeat(Box::new(heartbeat));
        Ok(Self { said, lists: Vec::new(), payload, signatures: BTreeMap::new() })
    }

    /// Reads the file of a draft. Signatures that do not verify are left out.
    pub(crate) fn read(bytes: &[u8], chain: &RootChain) -> Outcome<Self> {
        let bad = |why: String| Failure::usage(format!("it is no draft: {why}"));
        let file: DraftFile =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        let envelope = Envelope::parse(file.envelope.get().as_bytes())
            .map_err(|error| bad(error.to_string()))?;
        let said = match envelope.context {
            Context::Root => Root::parse(&envelope.payload)
                .map(|root| Said::Root(Box::new(root)))
                .map_err(|error| bad(error.to_string()))?,
            Context::Heartbeat => Heartbeat::parse(&envelope.payload)
                .map(|heartbeat| Said::Heartbeat(Box::new(heartbeat)))
                .map_err(|error| bad(error.to_string()))?,
            Context::Statement
            | Context::Report
            | Context::Liveness
            | Context::Enrolment
            | Context::Visit => {
                return Err(bad("it holds something else".into()));
            }
        };
        let lists = file.lists.iter().map(|list| DigestList::decode(&list.0));
        let lists = lists.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
        let (payload, signatures) = (envelope.payload, BTreeMap::new());
        let mut draft = Self { said, lists: Vec::new(), payload, signatures };
        draft.add_lists(lists);
        for (id, signature) in envelope.signatures {
            draft.add(chain, id, signature);
        }
        Ok(draft)
    }

    fn context(&self) -> Context {
        match self.said {
            Said::Root(_) => Context::Root,
            Said::Heartbeat(_) => Context::Heartbeat,
        }
    }

    /// What it is told by.
    pub(crate) fn id(&self) -> Digest {
        Digest::of(&pae(self.context(), &self.payload))
    }

    /// What it is, for people.
    pub(crate) fn title(&self) -> String {
        match &self.said {
            Said::Root(root) => format!("root {}", root.version),
            Said::Heartbeat(heartbeat) => format!("heartbeat of {}", heartbeat.time),
        }
    }

    /// What its keys sign.
    pub(crate) fn message(&self) -> (Context, &[u8]) {
        (self.context(), &self.payload)
    }

    /// Adds a signature if it verifies and its key has none; whether it did.
    pub(crate) fn add(&mut self, chain: &RootChain, id: KeyId, signature: Signature) -> bool {
        let verifies = self
            .key(chain, &id)
            .is_some_and(|key| key.verify(self.context(), &self.payload, &signature));
        verifies && self.signatures.insert(id, signature).is_none()
    }

    fn key<'a>(&'a self, chain: &'a RootChain, id: &KeyId) -> Option<&'a PublicKey> {
        let own = match &self.said {
            Said::Root(root) => root.keys.get(id).map(|key| &key.public),
            Said::Heartbeat(_) => None,
        };
        own.or_else(|| chain.key(id))
    }

    /// Adds the signatures and lists of another copy. Either may lack some: whoever carries it may
    /// have taken them out.
    fn merge(&mut self, chain: &RootChain, other: &Self) {
        for (id, signature) in &other.signatures {
            self.add(chain, *id, *signature);
        }
        self.add_lists(other.lists.clone());
    }

    /// Adds lists that the root names, each once; others are not of this draft.
    fn add_lists(&mut self, more: Vec<DigestList>) {
        let named: BTreeSet<Digest> = match &self.said {
            Said::Root(root) => {
                root.lists.values().flat_map(|ended| &ended.digests).copied().collect()
            }
            Said::Heartbeat(_) => BTreeSet::new(),
        };
        self.lists.extend(more);
        self.lists.retain(|list| named.contains(&list.digest()));
        self.lists.sort_by_key(DigestList::digest);
        self.lists.dedup();
    }

    /// The keys that signed it.
    pub(crate) fn signers(&self) -> BTreeSet<KeyId> {
        self.signatures.keys().copied().collect()
    }

    /// Every threshold that it must meet: a root those of all before it and its own (RULES R1, R4).
    pub(crate) fn needs(&self, chain: &RootChain) -> Vec<Need> {
        let need = |root: &Root, role: Role, what: String| {
            let nobody = || RoleKeys { threshold: 1, keys: BTreeSet::new() };
            let role = root.role(role).cloned().unwrap_or_else(nobody);
            Need { role, what, root: root.clone() }
        };
        match &self.said {
            Said::Root(root) => {
                let before = chain.held().filter(|held| root.previous.contains(&held.digest));
                let both = before.chain(std::iter::once(&**root));
                both.map(|by| need(by, Role::Root, format!("root keys of root {}", by.version)))
                    .collect()
            }
            Said::Heartbeat(_) => chain
                .newest()
                .map(|root| need(root, Role::Heartbeat, "heartbeat keys".into()))
                .into_iter()
                .collect(),
        }
    }

    /// The first threshold that it does not meet, in words; `None` if it is ready.
    pub(crate) fn lacks(&self, chain: &RootChain) -> Option<String> {
        let (signers, command) = (self.signers(), format!("daymarkctl sign {}", self.id().short()));
        let needs = self.needs(chain);
        let open = needs.iter().find(|need| !need.role.count(&signers).is_met())?;
        let ending = match &self.said {
            Said::Root(root) => root.lists.keys().copied().collect(),
            Said::Heartbeat(_) => BTreeSet::new(),
        };
        let asked = (command.as_str(), &ending);
        Some(authority::lacks_of(&open.root, &open.role, &open.what, &signers, asked))
    }

    /// Whether it can still come to anything: a root follows what is held, a heartbeat is of this
    /// fleet and newer than the one held.
    fn is_open(&self, session: &Session) -> bool {
        let chain = session.replica().chain();
        match &self.said {
            Said::Root(root) => {
                let above = root.version == chain.newest_version() + 1;
                above && root.previous.iter().all(|digest| chain.holds(root.version - 1, digest))
            }
            Said::Heartbeat(heartbeat) => {
                let held = session.standing().heartbeats.get(&heartbeat.scope);
                Some(heartbeat.fleet) == chain.fleet()
                    && held.is_none_or(|held| held.time < heartbeat.time)
            }
        }
    }

    /// As it is stored and passed on.
    pub(crate) fn to_json(&self) -> Outcome<Vec<u8>> {
        let envelope = String::from_utf8(self.envelope().to_json())?;
        let file = DraftFile {
            envelope: RawValue::from_string(envelope)?,
            lists: self.lists.iter().map(|list| Bytes(list.bytes().to_vec())).collect(),
        };
        Ok(serde_json::to_vec(&file)?)
    }

    fn envelope(&self) -> Envelope {
        let signatures = self.signatures.iter().map(|(id, signature)| (*id, *signature)).collect();
        Envelope { context: self.context(), payload: self.payload.clone(), signatures }
    }

    /// What it becomes once it is signed by enough.
    pub(crate) fn items(&self) -> Vec<Item> {
        let envelope = self.envelope().to_json();
        let blob =
            |bytes: &[u8]| Item::Blob { digest: Digest::of(bytes), bytes: Bytes(bytes.to_vec()) };
        match &self.said {
            Said::Root(root) => {
                let root = Item::Root { version: root.version, bytes: Bytes(envelope) };
                let lists = self.lists.iter().map(|list| blob(list.bytes()));
                std::iter::once(root).chain(lists).collect()
            }
            Said::Heartbeat(_) => vec![blob(&envelope)],
        }
    }
}

/// A folder of drafts: the context's, or a stick's, which anyone may have written.
#[derive(Debug)]
struct DraftFolder {
    folder: ReplicaFolder,
    /// Where in it they lie.
    relative: &'static Path,
}

impl DraftFolder {
    fn own(session: &Session) -> Outcome<Self> {
        Self::at(&session.folder, OWN)
    }

    fn at(path: &Path, relative: &'static str) -> Outcome<Self> {
        Ok(Self { folder: ReplicaFolder::open_or_begin(path)?, relative: Path::new(relative) })
    }

    fn file_of(&self, draft: &Draft) -> PathBuf {
        self.relative.join(format!("{}.json", draft.id()))
    }

    /// What lies in it; what is no draft is skipped.
    fn read(&self, chain: &RootChain) -> Outcome<Vec<Draft>> {
        let names = self.folder.list_files(self.relative, FILES_MAX)?;
        let json = names.iter().filter(|name| name.ends_with(".json"));
        let drafts = json
            .filter_map(|name| Draft::read(&self.bytes(&self.relative.join(name))?, chain).ok());
        Ok(drafts.collect())
    }

    fn bytes(&self, file: &Path) -> Option<Vec<u8>> {
        self.folder.read_file(file, FILE_BYTES_MAX).ok().flatten()
    }

    /// Keeps a draft, with the signatures that it has there already.
    fn keep(&self, draft: &Draft, chain: &RootChain) -> Outcome<Draft> {
        let file = self.file_of(draft);
        let mut merged = draft.clone();
        let held = self.bytes(&file);
        if let Some(held) = held.as_ref().and_then(|bytes| Draft::read(bytes, chain).ok()) {
            merged.merge(chain, &held);
        }
        let json = merged.to_json()?;
        if held.as_ref() != Some(&json) {
            self.folder.write_file(&file, &json)?;
        }
        Ok(merged)
    }

    fn remove(&self, draft: &Draft) -> Outcome<()> {
        Ok(self.folder.remove_file(&self.file_of(draft))?)
    }
}

/// The drafts of the context that may still come to something.
pub(crate) fn open(session: &Session) -> Outcome<Vec<Draft>> {
    let drafts = DraftFolder::own(session)?.read(session.replica().chain())?;
    Ok(drafts.into_iter().filter(|draft| draft.is_open(session)).collect())
}

/// The draft of the next root, if there is one.
pub(crate) fn next_root(session: &Session) -> Outcome<Option<Draft>> {
    Ok(open(session)?.into_iter().find(|draft| matches!(draft.said, Said::Root(_))))
}

/// Keeps a draft among the context's, with the signatures that it has there already.
pub(crate) fn keep(session: &Session, draft: &Draft) -> Outcome<Draft> {
    DraftFolder::own(session)?.keep(draft, session.replica().chain())
}

/// Forgets a draft.
pub(crate) fn forget(session: &Session, draft: &Draft) -> Outcome<()> {
    DraftFolder::own(session)?.remove(draft)
}

/// Takes a draft in as what it says, if it has the signatures; what that became, to be handed on.
pub(crate) fn complete(session: &mut Session, draft: &Draft) -> Outcome<Option<Vec<Item>>> {
    if draft.lacks(session.replica().chain()).is_some() {
        return Ok(None);
    }
    let items = draft.items();
    let outcomes = session.take(&items)?;
    if let Some(why) = outcomes.iter().find_map(crate::commands::submit::refusal) {
        return Err(Failure::refused(format!("the replica refused the {}: {why}", draft.title())));
    }
    forget(session, draft)?;
    Ok(Some(items))
}

/// Exchanges drafts with a stick, both ways; how many came and went. What is done or past is
/// forgotten on both sides.
pub(crate) fn exchange(session: &mut Session, stick: &Path) -> Outcome<(u64, u64)> {
    let theirs = DraftFolder::at(stick, ON_STICK)?;
    let own = DraftFolder::own(session)?;
    let before = signatures(&open(session)?);
    for draft in theirs.read(session.replica().chain())? {
        if draft.is_open(session) {
            own.keep(&draft, session.replica().chain())?;
        }
    }
    let received = signatures(&open(session)?).difference(&before).count() as u64;
    for draft in open(session)? {
        complete(session, &draft)?;
    }
    let there = signatures(&theirs.read(session.replica().chain())?);
    let drafts = open(session)?;
    for draft in &drafts {
        theirs.keep(draft, session.replica().chain())?;
    }
    for folder in [&own, &theirs] {
        for draft in folder.read(session.replica().chain())? {
            if !draft.is_open(session) {
                folder.remove(&draft)?;
            }
        }
    }
    Ok((received, signatures(&drafts).difference(&there).count() as u64))
}

fn signatures(drafts: &[Draft]) -> BTreeSet<(Digest, KeyId)> {
    let of = |draft: &Draft| {
        let id = draft.id();
        draft.signers().into_iter().map(move |key| (id, key)).collect::<Vec<_>>()
    };
    drafts.iter().flat_map(of).collect()
}
