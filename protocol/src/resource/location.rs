//! Regions and sites.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_name};
use crate::id::ResourceId;
use crate::window::zone_by_name;

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

/// Most pairs of metadata (EIM).
const METADATA_PAIRS_MAX: usize = 100;
/// Largest latitude either way, 10^-7 degrees.
const LAT_MAX: i64 = 900_000_000;
/// Largest longitude either way, 10^-7 degrees.
const LNG_MAX: i64 = 1_800_000_000;

impl RegionSpec {
    /// Checks EIM's limits.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        check(self.metadata.len() <= METADATA_PAIRS_MAX, "metadata", || {
            format!("has {} pairs: write at most {METADATA_PAIRS_MAX}", self.metadata.len())
        })
    }
}

impl SiteSpec {
    /// Checks EIM's limits, and that the zone is known.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        if let Some(zone) = &self.zone
            && zone_by_name(zone).is_none()
        {
            return Err(InvalidSpec::unknown_zone(zone));
        }
        check_degrees("lat", self.lat, LAT_MAX)?;
        check_degrees("lng", self.lng, LNG_MAX)
    }
}

fn check_degrees(field: &'static str, value: Option<i64>, max: i64) -> Result<(), InvalidSpec> {
    let value = value.unwrap_or_default();
    check((-max..=max).contains(&value), field, || {
        format!("is {value}: write 10^-7 degrees from -{max} to {max}")
    })
}
