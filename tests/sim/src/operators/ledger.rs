//! Who signed what, and under which roots it counts: written by the operators and hostile members,
//! read by the checks. Independent of how the protocol judges.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::document::{signature_entry, statement_entry};
use daymark_protocol::id::{Digest, KeyId, ResourceId};
use daymark_protocol::resource::Role;
use daymark_protocol::trust::{Context, Root, SigningKey, Statement};

use super::orders::Rule;

/// What a resource of a statement says, as the signers meant it.
#[derive(Clone, Debug)]
pub enum Saying {
    /// An image is released.
    Release {
        /// Its index.
        index: Digest,
        /// The profile's resource digest, which policies name.
        profile: Digest,
    },
    /// A release is ordered.
    Order {
        /// The policy.
        id: ResourceId,
        /// Its version.
        version: u64,
        /// The release.
        profile: Digest,
        /// For which site; everyone if none.
        site: Option<String>,
        /// When machines may restart.
        window: Rule,
        /// Statements that its signers knew and said so.
        sees: Vec<Digest>,
    },
    /// No machine restarts from the first to the second time, ms since the world began.
    Blackout(u64, u64),
    /// Everything stops.
    Halt,
    /// These halts are lifted.
    Resume(Vec<Digest>),
    /// A machine belongs to the fleet, or no longer.
    Host {
        /// Which.
        key: KeyId,
        /// Whether it is removed.
        gone: bool,
    },
}

/// A statement, and who signed it.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether the operators said it, and not a thief.
    pub honest: bool,
    /// The role under which it speaks.
    pub role: Role,
    /// What it says.
    pub saying: Vec<Saying>,
    /// Hash of its entry.
    pub entry: Digest,
    /// Hash of the entry of each key's signature.
    pub signatures: BTreeMap<KeyId, Digest>,
}

/// Who may speak under a root.
type Roles = BTreeMap<Role, (usize, BTreeSet<KeyId>)>;

/// A root: who may speak, and the statements that it keeps.
#[derive(Debug)]
struct Rules {
    roles: Roles,
    kept: BTreeSet<Digest>,
}

/// Everything that was ever signed.
#[derive(Debug, Default)]
pub struct Ledger {
    said: BTreeMap<Digest, Said>,
    /// By version; several of one version are rivals.
    roots: BTreeMap<u64, Vec<Rules>>,
    /// Whether each machine that was ever enrolled still is.
    enrolled: BTreeMap<KeyId, bool>,
}

impl Ledger {
    /// Notes a root, with the statements that its lists of retired keys name.
    pub(crate) fn root(&mut self, root: &Root, listed: impl IntoIterator<Item = Digest>) {
        let role = |(role, keys): (&Role, &daymark_protocol::trust::RoleKeys)| {
            let threshold = usize::try_from(keys.threshold).unwrap_or(usize::MAX);
            (*role, (threshold, keys.keys.iter().copied().collect()))
        };
        let roles = root.roles.iter().map(role).collect();
        let kept = root.kept.iter().copied().chain(listed).collect();
        self.roots.entry(root.version).or_default().push(Rules { roles, kept });
    }

    /// Notes a statement and signatures of it, and gives the signatures as entries.
    pub(crate) fn signed(
        &mut self,
        statement: &Statement,
        said: (Role, &[Saying]),
        by: &[&SigningKey],
        honest: bool,
    ) -> Vec<Vec<u8>> {
        let (role, saying) = said;
        let said = self.said.entry(statement.digest()).or_insert_with(|| Said {
            honest,
            role,
            saying: saying.to_vec(),
            entry: Digest::of(&statement_entry(statement.bytes())),
            signatures: BTreeMap::new(),
        });
        let mut signatures = Vec::new();
        for key in by {
            let signature = key.sign(Context::Statement, statement.bytes());
            let id = key.public().id();
            let entry = signature_entry(&statement.digest(), &id, &signature);
            said.signatures.insert(id, Digest::of(&entry));
            signatures.push(entry);
        }
        for saying in saying {
            if let Saying::Host { key, gone } = saying {
                self.enrolled.insert(*key, !gone);
            }
        }
        signatures
    }

    /// All statements.
    pub fn said(&self) -> impl Iterator<Item = (&Digest, &Said)> {
        self.said.iter()
    }

    /// A statement.
    pub fn of(&self, statement: &Digest) -> Option<&Said> {
        self.said.get(statement)
    }

    /// Whether a machine was ever enrolled.
    pub fn was_enrolled(&self, key: &KeyId) -> bool {
        self.enrolled.contains_key(key)
    }

    /// Statements that a key signed.
    pub fn signed_by(&self, key: &KeyId) -> impl Iterator<Item = Digest> {
        let by = |(_, said): &(&Digest, &Said)| said.signatures.contains_key(key);
        self.said.iter().filter(by).map(|(digest, _)| *digest)
    }

    /// Whether enough of the right keys signed a statement, by a root or by one that it keeps it
    /// from, as far as `held` goes: the hashes of entries that somebody has. Of rivals any will do:
    /// that nothing starts under two is another question.
    pub fn speaks(&self, said: &Said, root: u64, held: impl Fn(&Digest) -> bool) -> bool {
        let kept = self
            .rules(root)
            .flat_map(|rules| &rules.kept)
            .any(|kept| self.said.get(kept).is_some_and(|other| other.entry == said.entry));
        let versions = if kept { 1..=root } else { root..=root };
        held(&said.entry) && versions.into_iter().any(|root| self.met(said, root, &held))
    }

    fn rules(&self, root: u64) -> impl Iterator<Item = &Rules> {
        self.roots.get(&root).into_iter().flatten()
    }

    fn met(&self, said: &Said, root: u64, held: &impl Fn(&Digest) -> bool) -> bool {
        self.rules(root).filter_map(|rules| rules.roles.get(&said.role)).any(|(threshold, keys)| {
            let counts = |(key, entry): &(&KeyId, &Digest)| keys.contains(*key) && held(entry);
            said.signatures.iter().filter(counts).count() >= *threshold
        })
    }

    /// Whether one key that may halt signed a statement, by a root, as far as `held` goes.
    pub fn halts(&self, said: &Said, root: u64, held: impl Fn(&Digest) -> bool) -> bool {
        let may = |key: &KeyId| {
            let roles = self.rules(root).flat_map(|rules| &rules.roles);
            let mut halting = roles.filter(|(role, _)| matches!(role, Role::Halt | Role::Policy));
            halting.any(|(_, (_, keys))| keys.contains(key))
        };
        held(&said.entry) && said.signatures.iter().any(|(key, entry)| may(key) && held(entry))
    }

    /// The newest version of the roots.
    pub fn newest_root(&self) -> u64 {
        self.roots.keys().next_back().copied().unwrap_or(0)
    }
}
