//! The parts of a root that end keys, take statements back and let others speak: lists, void entries
//! and delegations (RULES R5 to R7), and how fresh what a node knows must be.
//!
//! A part whose form this version cannot read makes the root *unread*: it is kept and passed on, and
//! the chain waits rather than act on half of what its signers said. What no version could accept,
//! such as a threshold above the number of keys, is refused for good.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RefusedRoot, RootKey};
use crate::id::{Digest, KeyId, ResourceId};
use crate::limits;
use crate::resource::{Role, Scope};
use crate::time::WallTime;
use crate::trust::RoleKeys;

/// How a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyEnd {
    /// Its holder left: what is listed stays valid, all else by it is fallen.
    Retired,
    /// It was stolen or lost: what is listed is fallen, and what no list names never counted.
    Revoked,
}

/// A key that a root ends, or ended before, with the lists of what it signed (RULES R5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedKey {
    /// How.
    pub end: KeyEnd,
    /// Digests of the lists, each a [`super::DigestList`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub digests: BTreeSet<Digest>,
}

/// A statement that never counts again, under any root (RULES R6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Void {
    /// The statement's digest.
    pub statement: Digest,
    /// Its ids, and from which version each counts again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<VoidId>,
}

/// An id of a void statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VoidId {
    /// Its kind as written.
    pub kind: String,
    /// Its id.
    pub id: ResourceId,
    /// The resource digest: a floor that the void version set is told by it.
    pub digest: Digest,
    /// Versions below this never count again.
    pub counts_from: u64,
}

/// Keys that speak under a role within a scope until a date (RULES R7). They count among
/// themselves: never with those of the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The role: any of [`Delegation::ROLES`].
    pub role: Role,
    /// Who, and how many of them.
    pub speakers: RoleKeys,
    /// The only scope whose statements they sign.
    pub scope: Scope,
    /// Past it, what they signed counts as what lost its signatures does.
    pub until: WallTime,
}

impl Delegation {
    /// The roles that may be delegated. `root` is whole or nothing, a `heartbeat` speaks for more
    /// than a part can know, and what a part may `view` is not divided.
    pub const ROLES: [Role; 5] =
        [Role::Policy, Role::Halt, Role::Emergency, Role::Release, Role::Enroll];
}

/// How old the newest heartbeat may be; without a field, any age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Freshness {
    /// From this age on every tool says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_seconds: Option<u32>,
    /// From this age on nothing new starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_seconds: Option<u32>,
}

impl Freshness {
    /// When tools say that the newest word, of `as_of`, is old.
    pub fn alarms_at(&self, as_of: WallTime) -> Option<WallTime> {
        self.alarm_seconds.map(|seconds| as_of.plus_ms(i64::from(seconds) * 1_000))
    }

    /// When nothing new starts any more, if no newer word than that of `as_of` comes.
    pub fn stops_at(&self, as_of: WallTime) -> Option<WallTime> {
        self.stop_seconds.map(|seconds| as_of.plus_ms(i64::from(seconds) * 1_000))
    }
}

/// All of these parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) lists: BTreeMap<KeyId, EndedKey>,
    pub(super) kept: BTreeSet<Digest>,
    pub(super) void: Vec<Void>,
    pub(super) delegations: BTreeMap<String, Delegation>,
    pub(super) freshness: Freshness,
    pub(super) evaluation: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDelegation {
    role: String,
    threshold: u32,
    keys: Vec<KeyId>,
    scope: Scope,
    until: WallTime,
}

impl Parts {
    /// Takes these parts out of a root's other fields; what cannot be read goes to `unread`.
    pub(super) fn take(
        fields: &mut BTreeMap<String, Value>,
        unread: &mut Vec<String>,
    ) -> Result<Self, RefusedRoot> {
        let mut parts = Self {
            lists: part(fields, "lists", unread),
            kept: part(fields, "kept", unread),
            void: part(fields, "void", unread),
            delegations: BTreeMap::new(),
            freshness: part(fields, "freshness", unread),
            evaluation: part(fields, "evaluation", unread),
        };
        let written: BTreeMap<String, WireDelegation> = part(fields, "delegations", unread);
        for (name, wire) in written {
            match Delegation::ROLES.into_iter().find(|role| role.name() == wire.role) {
                Some(role) => {
                    let speakers = RoleKeys {
                        threshold: wire.threshold,
                        keys: wire.keys.into_iter().collect(),
                    };
                    let (scope, until) = (wire.scope, wire.until);
                    parts.delegations.insert(name, Delegation { role, speakers, scope, until });
                }
                None => unread.push(format!("delegation of role {:?}", short(&wire.role))),
            }
        }
        parts.check_size()?;
        Ok(parts)
    }

    fn check_size(&self) -> Result<(), RefusedRoot> {
        let lists: usize = self.lists.values().map(|ended| ended.digests.len()).sum();
        let ids = self.void.iter().flat_map(|void| &void.ids);
        let names = self.delegations.keys();
        let too_much = lists > limits::LISTS_PER_ROOT_MAX
            || self.delegations.len() > limits::DELEGATIONS_MAX
            || names.into_iter().any(|name| name.len() > limits::DISPLAY_NAME_BYTES_MAX)
            || ids.into_iter().any(|id| {
                id.kind.len() > limits::KIND_BYTES_MAX
                    || id.counts_from > limits::RESOURCE_VERSION_MAX
            });
        if too_much { Err(RefusedRoot::TooMuch) } else { Ok(()) }
    }

    /// Whether they make sense beside the keys and roles of their root: whoever speaks is defined
    /// and not revoked.
    pub(super) fn check(
        &self,
        defined: &BTreeMap<KeyId, RootKey>,
        roles: &BTreeMap<Role, RoleKeys>,
    ) -> Result<(), RefusedRoot> {
        for (name, delegation) in &self.delegations {
            if !delegation.speakers.is_reachable(defined) {
                return Err(RefusedRoot::Role(format!("delegation {}", short(name))));
            }
        }
        let delegates = self.delegations.values().map(|delegation| &delegation.speakers);
        let mut speakers = roles.values().chain(delegates).flat_map(|role| &role.keys);
        let revoked =
            |key: &&KeyId| self.lists.get(key).is_some_and(|ended| ended.end == KeyEnd::Revoked);
        match speakers.find(revoked) {
            Some(key) => Err(RefusedRoot::RevokedSpeaks(*key)),
            None => Ok(()),
        }
    }

    /// Puts those parts that are not empty among a root's fields.
    pub(super) fn write(&self, fields: &mut BTreeMap<String, Value>) {
        let Self { lists, kept, void, delegations, freshness, evaluation } = self;
        let mut put = |name: &str, empty: bool, value: serde_json::Result<Value>| {
            if !empty {
                let value = value.expect("names, numbers and digests always have a JSON form");
                fields.insert(name.to_owned(), value);
            }
        };
        put("lists", lists.is_empty(), serde_json::to_value(lists));
        put("kept", kept.is_empty(), serde_json::to_value(kept));
        put("void", void.is_empty(), serde_json::to_value(void));
        let written: BTreeMap<&String, WireDelegation> =
            delegations.iter().map(|(name, delegation)| (name, delegation.into())).collect();
        put("delegations", written.is_empty(), serde_json::to_value(written));
        let silent = *freshness == Freshness::default();
        put("freshness", silent, serde_json::to_value(freshness));
        put("evaluation", !evaluation, serde_json::to_value(evaluation));
    }
}

impl From<&Delegation> for WireDelegation {
    fn from(delegation: &Delegation) -> Self {
        Self {
            role: delegation.role.name().to_owned(),
            threshold: delegation.speakers.threshold,
            keys: delegation.speakers.keys.iter().copied().collect(),
            scope: delegation.scope.clone(),
            until: delegation.until,
        }
    }
}

/// One part; its default if it is absent, `null` or cannot be read.
fn part<T: DeserializeOwned + Default>(
    fields: &mut BTreeMap<String, Value>,
    name: &str,
    unread: &mut Vec<String>,
) -> T {
    match fields.remove(name) {
        None | Some(Value::Null) => T::default(),
        Some(Value::Array(items)) if items.is_empty() => T::default(),
        Some(Value::Object(items)) if items.is_empty() => T::default(),
        Some(value) => serde_json::from_value(value).unwrap_or_else(|error| {
            unread.push(format!("field {name:?} ({error})"));
            T::default()
        }),
    }
}

fn short(name: &str) -> String {
    name.chars().take(40).collect()
}
