//! The trust root's payload: keys, roles, thresholds, and which roots came before (RULES R1).
//!
//! Signatures are [`super::RootChain`]'s matter. A root that says what this version cannot read is
//! well-formed but *unread*, and the chain that holds it waits rather than act on half of what its
//! signers said.

mod draft;
mod falls_on;
mod list;
mod parts;

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{Digest, KeyId};
use crate::limits;
use crate::resource::Role;
use crate::time::WallTime;
use crate::trust::{PublicKey, RoleKeys, WeakKey, strict_json};

use self::parts::Parts;

pub use self::draft::RootDraft;
pub use self::falls_on::{ANNOUNCED_DAYS, FallsOn, announced};
pub use self::list::{DigestList, LIST_BYTES_MAX, RefusedList};
pub use self::parts::{Delegation, EndedKey, Freshness, KeyEnd, Void, VoidId};

/// Bytes that are no root's payload.
#[derive(Debug, thiserror::Error)]
pub enum RefusedRoot {
    /// Longer than [`limits::ROOT_PAYLOAD_BYTES_MAX`].
    #[error("the root has {0} bytes, more than a root may have")]
    TooLong(usize),
    /// Not JSON, duplicate keys, too deep, or a required field is missing or malformed.
    #[error("the root is not readable")]
    NotReadable(#[source] serde_json::Error),
    /// A version outside 1 to [`limits::ROOTS_MAX`].
    #[error("the root's version {0} is out of range")]
    Version(u64),
    /// Version 1 names a root before it, another version none, or one names too many.
    #[error("version {version} of the root cannot name {named} roots before it")]
    Previous {
        /// The root's version.
        version: u64,
        /// How many it names.
        named: usize,
    },
    /// More keys, lists or delegations than a root may have, or names that are too long.
    #[error("the root has too many keys, lists or delegations, or too long names")]
    TooMuch,
    /// A public key that is not hex of 32 bytes, or whose SHA-256 is not its id.
    #[error("the root's key {0} is not the key of that id")]
    KeyMismatch(KeyId),
    /// A public key that is no usable Ed25519 key.
    #[error("the root's key {0} is not usable")]
    WeakKey(KeyId, #[source] WeakKey),
    /// A threshold of 0 or above the number of keys, or a key that the root does not define.
    #[error("the root's {0} has a threshold that its keys cannot meet, or undefined keys")]
    Role(String),
    /// A key that the root revokes and that may speak under it all the same.
    #[error("the root revokes the key {0} and lets it speak")]
    RevokedSpeaks(KeyId),
    /// There is no role `root`.
    #[error("the root does not say who may sign the next one")]
    NoRootRole,
}

/// A key as a root names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    /// The key.
    pub public: PublicKey,
    /// Who holds it, for people.
    pub holder: String,
}

/// A root's payload, well-formed.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its version, from 1.
    pub version: u64,
    /// When its signers say that they wrote it.
    pub issued: WallTime,
    /// Past it nothing starts, while running, halting and falling back go on (RULES R1).
    pub expires: WallTime,
    /// The fleet's name, for people.
    pub fleet_name: String,
    /// The keys that it names.
    pub keys: BTreeMap<KeyId, RootKey>,
    /// Who may speak under each role.
    pub roles: BTreeMap<Role, RoleKeys>,
    /// Digests of the root, or of the rival roots, of the version before.
    pub previous: BTreeSet<Digest>,
    /// Keys that ended, now or under an earlier root, with what they signed (RULES R5).
    pub lists: BTreeMap<KeyId, EndedKey>,
    /// Single statements that stay valid though they lost their signers (RULES R5).
    pub kept: BTreeSet<Digest>,
    /// Statements that never count again (RULES R6).
    pub void: Vec<Void>,
    /// Who speaks for a part of the fleet for a time, by name (RULES R7).
    pub delegations: BTreeMap<String, Delegation>,
    /// How old the newest heartbeat may be.
    pub freshness: Freshness,
    /// One machine made the keys of several people: every tool says so.
    pub evaluation: bool,
    /// What this version of the software does not understand of it; the chain waits if not empty.
    pub unread: Vec<String>,
    /// SHA-256 of the payload.
    pub digest: Digest,
}

/// The JSON form of a root.
#[derive(Serialize, Deserialize)]
struct Wire {
    version: u64,
    issued: WallTime,
    expires: WallTime,
    fleet: String,
    keys: BTreeMap<KeyId, WireKey>,
    roles: BTreeMap<String, WireRole>,
    #[serde(default)]
    previous: Vec<Digest>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireKey {
    public_key: String,
    holder: String,
}

#[derive(Serialize, Deserialize)]
struct WireRole {
    threshold: u32,
    keys: Vec<KeyId>,
}

impl RoleKeys {
    /// Whether the threshold is at least 1 and can be met, by keys that all are defined.
    fn is_reachable(&self, defined: &BTreeMap<KeyId, RootKey>) -> bool {
        let enough = self.threshold >= 1 && self.threshold as usize <= self.keys.len();
        enough && self.keys.iter().all(|key| defined.contains_key(key))
    }
}

impl Root {
    /// Reads a payload. What it says is checked for sense, not for signatures.
    pub fn parse(payload: &[u8]) -> Result<Self, RefusedRoot> {
        if payload.len() > limits::ROOT_PAYLOAD_BYTES_MAX {
            return Err(RefusedRoot::TooLong(payload.len()));
        }
        strict_json::check(payload, limits::JSON_DEPTH_MAX).map_err(RefusedRoot::NotReadable)?;
        let mut wire: Wire = serde_json::from_slice(payload).map_err(RefusedRoot::NotReadable)?;
        check_size(&wire)?;
        let mut unread = Vec::new();
        let parts = Parts::take(&mut wire.rest, &mut unread)?;
        unread.extend(wire.rest.keys().map(|name| format!("field {name:?}")));
        let keys = wire.keys.into_iter().map(read_key).collect::<Result<_, _>>()?;
        let mut roles = BTreeMap::new();
        for (name, role) in wire.roles {
            let role = read_role(&name, role, &keys)?;
            match Role::ALL.into_iter().find(|known| known.name() == name) {
                Some(known) => drop(roles.insert(known, role)),
                None => unread.push(format!("role {name:?}")),
            }
        }
        if !roles.contains_key(&Role::Root) {
            return Err(RefusedRoot::NoRootRole);
        }
        parts.check(&keys, &roles)?;
        let Parts { lists, kept, void, delegations, freshness, evaluation } = parts;
        Ok(Self {
            version: wire.version,
            issued: wire.issued,
            expires: wire.expires,
            fleet_name: wire.fleet,
            keys,
            roles,
            previous: wire.previous.into_iter().collect(),
            lists,
            kept,
            void,
            delegations,
            freshness,
            evaluation,
            unread,
            digest: Digest::of(payload),
        })
    }

    /// Who may speak under `role`; `None` if nobody may.
    pub fn role(&self, role: Role) -> Option<&RoleKeys> {
        self.roles.get(&role)
    }

    /// The payload of a draft.
    pub(super) fn write(draft: &RootDraft) -> Vec<u8> {
        let key = |(id, RootKey { public, holder }): (&KeyId, &RootKey)| {
            (*id, WireKey { public_key: public.to_string(), holder: holder.clone() })
        };
        let role = |(role, RoleKeys { threshold, keys }): (&Role, &RoleKeys)| {
            let keys = keys.iter().copied().collect();
            (role.name().to_owned(), WireRole { threshold: *threshold, keys })
        };
        let mut rest = BTreeMap::new();
        draft.parts().write(&mut rest);
        let wire = Wire {
            version: draft.version,
            issued: draft.issued,
            expires: draft.expires,
            fleet: draft.fleet_name.clone(),
            keys: draft.keys.iter().map(key).collect(),
            roles: draft.roles.iter().map(role).collect(),
            previous: draft.previous.iter().copied().collect(),
            rest,
        };
        serde_json::to_vec(&wire).expect("maps with string keys always have a JSON form")
    }
}

fn check_size(wire: &Wire) -> Result<(), RefusedRoot> {
    if wire.version == 0 || wire.version > limits::ROOTS_MAX as u64 {
        return Err(RefusedRoot::Version(wire.version));
    }
    // The root before version 2 is the fleet's identity: there is only one.
    let may_name = match wire.version {
        ..=1 => 0..=0,
        2 => 1..=1,
        3.. => 1..=limits::RIVAL_ROOTS_MAX,
    };
    let named = wire.previous.len();
    if !may_name.contains(&named) {
        return Err(RefusedRoot::Previous { version: wire.version, named });
    }
    let long = |text: &str| text.len() > limits::DISPLAY_NAME_BYTES_MAX;
    let too_much = wire.keys.len() > limits::ROOT_KEYS_MAX
        || long(&wire.fleet)
        || wire.keys.values().any(|key| long(&key.holder));
    if too_much { Err(RefusedRoot::TooMuch) } else { Ok(()) }
}

fn read_key((id, key): (KeyId, WireKey)) -> Result<(KeyId, RootKey), RefusedRoot> {
    let raw = HEXLOWER
        .decode(key.public_key.as_bytes())
        .ok()
        .and_then(|raw| raw.try_into().ok())
        .ok_or(RefusedRoot::KeyMismatch(id))?;
    let public = PublicKey::from_bytes(raw).map_err(|weak| RefusedRoot::WeakKey(id, weak))?;
    if public.id() == id {
        Ok((id, RootKey { public, holder: key.holder }))
    } else {
        Err(RefusedRoot::KeyMismatch(id))
    }
}

fn read_role(
    name: &str,
    role: WireRole,
    defined: &BTreeMap<KeyId, RootKey>,
) -> Result<RoleKeys, RefusedRoot> {
    let role = RoleKeys { threshold: role.threshold, keys: role.keys.into_iter().collect() };
    if role.is_reachable(defined) {
        Ok(role)
    } else {
        Err(RefusedRoot::Role(format!("role {}", name.chars().take(40).collect::<String>())))
    }
}
