//! Regions and sites.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::ResourceId;

/// A region; nesting ends at five levels (EIM).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegionSpec {
    /// Display name.
    pub name: String,
    /// The region above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ResourceId>,
    /// At most 100 pairs (EIM).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSpec {
    /// Display name.
    pub name: String,
    /// The region it lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<ResourceId>,
    /// IANA zone of its schedules in `zone: site`; UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Latitude in 10^-7 degrees, ±900,000,000 (EIM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<i64>,
    /// Longitude in 10^-7 degrees, ±1,800,000,000 (EIM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lng: Option<i64>,
}
