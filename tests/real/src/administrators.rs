//! The administrators: their keys, the root, and what they sign. Statements are built with the
//! protocol's own drafts, so that a test can also sign what `daymarkctl` would not.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use daymark_protocol::control::{Bytes, Submitted};
use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::id::{FleetId, ResourceId};
use daymark_protocol::resource::{Kind, Role, Scope, Spec, Target};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::{
    Context, Draft, Envelope, Pin, ResourceDraft, Root, RootChain, RootDraft, Seen, SigningKey,
    Statement, named_id,
};

/// Policies need both.
pub const POLICY: [&str; 2] = ["alice", "bob"];
/// Signs images.
pub const RELEASE: [&str; 1] = ["rita"];
/// Enrols machines.
pub const OFFICE: [&str; 1] = ["eve"];
/// Stops, and nothing else.
pub const STOP: [&str; 1] = ["harry"];
/// Reads, and nothing else.
pub const VIEW: [&str; 1] = ["vera"];
/// Signs roots.
pub const ADMIN: [&str; 1] = ["rosa"];

const DAY_MS: i64 = 86_400_000;
/// Statements are this old when they are said: a machine with few peers knows the time to a minute
/// only, and would wait as long for its turn (RULES Q6, Q7).
const AGE_MS: i64 = 300_000;

/// Who speaks for what in a fleet: a role, its threshold, and whose keys it has.
pub type Offices = [(Role, u32, &'static [&'static str])];

/// The fleet of most tests.
const OFFICES: &Offices = &[
    (Role::Root, 1, &ADMIN),
    (Role::Policy, 2, &POLICY),
    (Role::Release, 1, &RELEASE),
    (Role::Enroll, 1, &OFFICE),
    (Role::Halt, 1, &STOP),
    (Role::View, 1, &VIEW),
    (Role::Emergency, 1, &ADMIN),
];

/// The people of one fleet and what they signed. Everyone that a test names has a key.
#[derive(Debug)]
pub struct Administrators {
    name: String,
    roots: Vec<Vec<u8>>,
    root: Root,
    fleet: FleetId,
    versions: BTreeMap<(String, ResourceId), u64>,
    said: Vec<Submitted>,
}

impl Administrators {
    /// Founds a fleet. Fleets of different names have different keys.
    ///
    /// # Errors
    /// If the root is not well-formed.
    pub fn found(name: &str) -> anyhow::Result<Self> {
        Self::found_by(name, OFFICES)
    }

    /// Founds a fleet in which these speak.
    ///
    /// # Errors
    /// As [`Administrators::found`].
    pub fn found_by(name: &str, offices: &Offices) -> anyhow::Result<Self> {
        let now = now();
        let mut draft = RootDraft::first(name, now.plus_ms(-DAY_MS), now.plus_ms(365 * DAY_MS));
        for (role, threshold, holders) in offices {
            for holder in *holders {
                draft = draft.key(key_of(name, holder).public(), holder);
            }
            let ids = holders.iter().map(|holder| key_of(name, holder).public().id());
            draft = draft.role(*role, *threshold, ids);
        }
        let (payload, root) = draft.finish()?;
        let signers: Vec<SigningKey> = offices
            .iter()
            .filter(|(role, ..)| *role == Role::Root)
            .flat_map(|(_, _, holders)| *holders)
            .map(|holder| key_of(name, holder))
            .collect();
        let envelope = Envelope::signed(Context::Root, payload, &signers).to_json();
        let mut chain = RootChain::new(Pin { version: root.version, digest: root.digest });
        chain.accept(&envelope)?;
        let fleet = chain.fleet().ok_or_else(|| anyhow::anyhow!("the first root has no fleet"))?;
        let (roots, versions) = (vec![envelope], BTreeMap::new());
        Ok(Self { name: name.to_owned(), roots, root, fleet, versions, said: Vec::new() })
    }

    /// Somebody's key.
    pub fn key(&self, holder: &str) -> SigningKey {
        key_of(&self.name, holder)
    }

    /// Somebody's key as a file of `daymarkctl`, without a passphrase.
    pub fn key_file(&self, holder: &str) -> String {
        let public = self.key(holder).public().to_string();
        let seed = HEXLOWER.encode(&seed_of(&self.name, holder));
        let file = serde_json::json!({
            "format": 1, "name": holder, "publicKey": public, "seed": seed,
        });
        file.to_string()
    }

    /// The newest root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The root after the newest one, with nothing changed, for another year.
    pub fn next_root(&self) -> RootDraft {
        let now = now();
        RootDraft::after(&self.root, now, now.plus_ms(365 * DAY_MS))
    }

    /// A root's envelope with the signatures of some, which nobody follows yet.
    ///
    /// # Errors
    /// If the root is not well-formed.
    pub fn sign_root(&self, draft: &RootDraft, by: &[&str]) -> anyhow::Result<(Root, Vec<u8>)> {
        let (payload, root) = draft.finish()?;
        let signers: Vec<SigningKey> = by.iter().map(|holder| self.key(holder)).collect();
        Ok((root, Envelope::signed(Context::Root, payload, &signers).to_json()))
    }

    /// From now on, what is signed follows this root.
    pub fn follow(&mut self, root: Root, envelope: Vec<u8>) -> Submitted {
        self.roots.push(envelope.clone());
        self.root = root;
        Submitted::Root(Bytes(envelope))
    }

    /// Adds a root that is the newest one with another expiry.
    ///
    /// # Errors
    /// If it is not well-formed.
    pub fn renew_root(&mut self, expires: WallTime) -> anyhow::Result<Submitted> {
        let draft = RootDraft::after(&self.root, now(), expires);
        let (root, envelope) = self.sign_root(&draft, &ADMIN)?;
        Ok(self.follow(root, envelope))
    }

    /// What a machine takes the fleet by.
    pub fn pin(&self) -> Pin {
        Pin { version: self.root.version, digest: self.root.digest }
    }

    /// The fleet.
    pub fn fleet(&self) -> FleetId {
        self.fleet
    }

    /// All roots, oldest first.
    pub fn roots(&self) -> Vec<Submitted> {
        self.roots.iter().map(|bytes| Submitted::Root(Bytes(bytes.clone()))).collect()
    }

    /// Everything signed so far by enough keys.
    pub fn said(&self) -> Vec<Submitted> {
        self.said.clone()
    }

    /// The id of a named resource of the scope `fleet`.
    pub fn id(&self, kind: Kind, name: &str) -> ResourceId {
        named_id(kind, &self.fleet, &Scope::Fleet, name)
    }

    /// Counts a version up.
    pub fn next_version(&mut self, kind: Kind, id: &ResourceId) -> u64 {
        let version = self.versions.entry((kind.name().to_owned(), id.clone())).or_default();
        *version += 1;
        *version
    }

    /// The newest version of a named resource, as `sees` lists it.
    pub fn seen(&self, kind: Kind, name: &str) -> Seen {
        let id = self.id(kind, name);
        let version = self.versions.get(&(kind.name().to_owned(), id.clone())).copied();
        Seen(Scope::Fleet, kind.name().to_owned(), id, version.unwrap_or_default())
    }

    /// The next version of a named resource.
    pub fn resource(&mut self, name: &str, spec: &Spec, target: Option<Target>) -> ResourceDraft {
        let kind = spec.kind();
        let id = self.id(kind, name);
        let version = self.next_version(kind, &id);
        let resource = ResourceDraft::new(id, version, spec);
        match target {
            Some(target) => resource.target(target),
            None => resource,
        }
    }

    /// The end of a named resource.
    pub fn tombstone(&mut self, kind: Kind, name: &str, target: Option<Target>) -> ResourceDraft {
        let id = self.id(kind, name);
        let version = self.next_version(kind, &id);
        let resource = ResourceDraft::tombstone(kind, id, version);
        match target {
            Some(target) => resource.target(target),
            None => resource,
        }
    }

    /// An empty statement of the scope `fleet`.
    pub fn draft(&self) -> Draft {
        Draft::new(self.fleet, Scope::Fleet, now().plus_ms(-AGE_MS))
    }

    /// The entries of a statement with the signatures of some.
    ///
    /// # Errors
    /// If the statement is not well-formed.
    pub fn sign(&self, draft: &Draft, by: &[&str]) -> anyhow::Result<(Statement, Vec<Submitted>)> {
        let statement = draft.finish()?;
        let mut entries = vec![statement_entry(statement.bytes())];
        for holder in by {
            let key = self.key(holder);
            let signature = key.sign(Context::Statement, statement.bytes());
            entries.push(signature_entry(&statement.digest(), &key.public().id(), &signature));
        }
        let items = entries.into_iter().map(|bytes| Submitted::Entry(Bytes(bytes))).collect();
        Ok((statement, items))
    }

    /// Signs and remembers it as said.
    ///
    /// # Errors
    /// As [`Administrators::sign`].
    pub fn say(
        &mut self,
        draft: &Draft,
        by: &[&str],
    ) -> anyhow::Result<(Statement, Vec<Submitted>)> {
        let (statement, items) = self.sign(draft, by)?;
        self.said.extend(items.iter().cloned());
        Ok((statement, items))
    }
}

fn key_of(fleet: &str, holder: &str) -> SigningKey {
    SigningKey::from_seed(seed_of(fleet, holder))
}

fn seed_of(fleet: &str, holder: &str) -> [u8; 32] {
    *blake3::hash(format!("{fleet} {holder}").as_bytes()).as_bytes()
}

/// Wall-clock time.
pub fn now() -> WallTime {
    daymark_node::clock::wall()
}
