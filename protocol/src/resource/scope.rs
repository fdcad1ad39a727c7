//! Where a statement lives (scope) and whom a resource is for (target).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{KeyId, ResourceId};

/// The scope of a statement: part of a resource's identity (RULES S4). On the wire `"fleet"`,
/// `{"region":"…"}` or `{"site":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The whole fleet.
    Fleet,
    /// A region with all below it. Its statements live in the `fleet` document.
    Region(ResourceId),
    /// One site. Hosts without a site form the site `none`.
    Site(ResourceId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Region(id) => write!(f, "region/{id}"),
            Self::Site(id) => write!(f, "site/{id}"),
        }
    }
}

/// Whom a resource is for: a conjunction. Without any condition it reaches nobody; everyone is
/// spelt `all: true` (DESIGN section 6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Target {
    /// Everyone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Any of these hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<KeyId>,
    /// Hosts of this site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<ResourceId>,
    /// Hosts of this region's sites and of all regions below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<ResourceId>,
    /// Hosts that carry all these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Hosts whose installed OS is of this profile. Filters, and does not rank (RULES Q10).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_profile: Option<String>,
}
