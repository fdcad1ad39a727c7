//! The payload of a statement: one change set (RULES S1 to S8).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{FleetId, ResourceId};
use crate::resource::{Scope, Target};
use crate::time::WallTime;

/// What a statement says. Signed and kept as the bytes received; this is the parsed form.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The fleet it is for.
    pub fleet: FleetId,
    /// Where it lives.
    pub scope: Scope,
    /// When the author says it was written.
    pub issued: WallTime,
    /// Its end (RULES S6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Ticket, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ticket: String,
    /// Closings and narrower policies that the signers knew (RULES S5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sees: Vec<Seen>,
    /// The change set.
    pub resources: Vec<Resource>,
}

/// One line of `sees`: on the wire `[scope, kind, id, version]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen(
    /// Scope of what was seen.
    pub Scope,
    /// Its kind, also one that this version does not know.
    pub String,
    /// Its id.
    pub ResourceId,
    /// The version that was seen.
    pub u64,
);

/// One resource of a change set. What stands outside `spec` is understood even by an agent too
/// old for the spec.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Kind, also one that this version does not know.
    pub kind: String,
    /// Id.
    pub id: ResourceId,
    /// Version; 1 is the first.
    pub version: u64,
    /// Version of the spec's schema.
    #[serde(default = "first_schema")]
    pub schema: u32,
    /// For unknown kinds: whether it closes (RULES S3).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closes: bool,
    /// A tombstone (RULES S2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Hosts only: the site (RULES Q2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<ResourceId>,
    /// Hosts only: the site left by this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<ResourceId>,
    /// The content, as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Box<RawValue>>,
}

fn first_schema() -> u32 {
    1
}
