//! OS update policies, promotions and custom configuration.

use serde::{Deserialize, Serialize};

use crate::id::{Digest, ResourceId};

/// What a policy asks for (EIM).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdatePolicy {
    /// The highest promoted version of the host's own profile.
    #[serde(rename = "UPDATE_POLICY_LATEST", alias = "LATEST")]
    Latest,
    /// The named OS profile or packages.
    #[serde(rename = "UPDATE_POLICY_TARGET", alias = "TARGET")]
    Target,
}

/// The OS that a TARGET policy names: the version for people, the digest for machines (RULES S8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetOs {
    /// Profile name.
    pub profile: String,
    /// Image version.
    pub version: String,
    /// Resource digest of the OS profile.
    pub digest: Digest,
}

/// Whether LATEST needs promotions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionMode {
    /// Only versions that a `policy` statement promoted.
    #[default]
    Manual,
    /// EIM's behaviour; the policy must bound the versions and name a soak time.
    Automatic,
}

/// An OS update policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OsUpdatePolicySpec {
    /// At most 50 bytes (EIM).
    pub name: String,
    /// At most 200 bytes (EIM).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What it asks for.
    pub update_policy: UpdatePolicy,
    /// TARGET on immutable hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_os: Option<TargetOs>,
    /// Newline-separated package names for mutable hosts, at most 500,000 bytes (EIM).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub update_packages: String,
    /// At most 100 DEB822 stanzas of at most 10,000 bytes (EIM).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub update_sources: Vec<String>,
    /// At most 500 of letters, digits, `-_=.,/` and space (EIM).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub update_kernel_command: String,
    /// LATEST: the versions it may choose, exact or `~X.Y.Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<String>,
    /// LATEST: whether promotions are needed.
    #[serde(default)]
    pub promotion: PromotionMode,
    /// With automatic promotion: seconds that a profile must have been signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_seconds: Option<u64>,
    /// `any`: also hosts whose installed OS nobody knows, or of another profile.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_any: bool,
    /// TARGET: an older version is what is wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_downgrade: bool,
    /// Profile digests never to install (RULES Q3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub avoid: Vec<Digest>,
    /// The only schedules whose windows it uses; all that reach the host if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ResourceId>,
    /// Higher first among policies of equal place (RULES Q10).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// Seconds over which hosts of a window spread their start; 900 if absent (RULES Q7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_seconds: Option<u32>,
    /// How long before the next usable window staging may start; 6 h if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_ahead_seconds: Option<u32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

/// Lets LATEST see one version of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotionSpec {
    /// The promoted version and the resource digest of its OS profile.
    pub os: TargetOs,
}

/// A cloud-init style file that is delivered to the platform (EIM).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomConfigSpec {
    /// `[a-z][a-z0-9-]*`, at most 40 bytes (EIM).
    pub name: String,
    /// 1 to 16,384 bytes (EIM).
    pub config: String,
    /// At most 256 bytes (EIM).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}
