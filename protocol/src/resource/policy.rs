//! OS update policies, promotions and custom configuration.

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_bytes, check_filled, check_version, shown};
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

/// Longest name of a policy, in bytes (EIM).
const POLICY_NAME_BYTES_MAX: usize = 50;
/// Longest description of a policy, in bytes (EIM).
const POLICY_DESCRIPTION_BYTES_MAX: usize = 200;
/// Longest list of packages, in bytes (EIM).
const PACKAGES_BYTES_MAX: usize = 500_000;
/// Most package sources (EIM).
const SOURCES_MAX: usize = 100;
/// Longest package source, in bytes (EIM).
const SOURCE_BYTES_MAX: usize = 10_000;
/// Longest kernel command, in bytes (EIM).
const KERNEL_COMMAND_BYTES_MAX: usize = 500;
/// Longest name of a custom configuration, in bytes (EIM).
const CONFIG_NAME_BYTES_MAX: usize = 40;
/// Longest custom configuration, in bytes (EIM).
const CONFIG_BYTES_MAX: usize = 16_384;
/// Longest description of a custom configuration, in bytes (EIM).
const CONFIG_DESCRIPTION_BYTES_MAX: usize = 256;

impl OsUpdatePolicySpec {
    /// A TARGET policy for an image, with every other field as it is when left out.
    pub fn target(name: impl Into<String>, os: TargetOs) -> Self {
        Self {
            name: name.into(),
            description: String::new(),
            update_policy: UpdatePolicy::Target,
            target_os: Some(os),
            update_packages: String::new(),
            update_sources: Vec::new(),
            update_kernel_command: String::new(),
            versions: None,
            promotion: PromotionMode::Manual,
            soak_seconds: None,
            from_any: false,
            allow_downgrade: false,
            avoid: Vec::new(),
            schedules: Vec::new(),
            priority: 0,
            spread_seconds: None,
            stage_ahead_seconds: None,
        }
    }

    /// Checks EIM's limits and which fields go together.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_filled("name", &self.name)?;
        check_bytes("name", &self.name, POLICY_NAME_BYTES_MAX)?;
        check_bytes("description", &self.description, POLICY_DESCRIPTION_BYTES_MAX)?;
        check_bytes("updatePackages", &self.update_packages, PACKAGES_BYTES_MAX)?;
        check(self.update_sources.len() <= SOURCES_MAX, "updateSources", || {
            format!("has {} sources: write at most {SOURCES_MAX}", self.update_sources.len())
        })?;
        for source in &self.update_sources {
            check_bytes("updateSources", source, SOURCE_BYTES_MAX)?;
        }
        self.check_kernel_command()?;
        match self.update_policy {
            UpdatePolicy::Latest => self.check_latest(),
            UpdatePolicy::Target => self.check_target(),
        }
    }

    /// What is accepted as written and yet will not do all it says, for `apply` to show.
    pub fn warnings(&self) -> Vec<String> {
        if self.target_os.is_some() && !self.update_kernel_command.is_empty() {
            let warning = "updateKernelCommand together with targetOs: EIM ignores the OS then, \
                           and machines of Daymark wait and do neither; write two policies";
            vec![warning.into()]
        } else {
            Vec::new()
        }
    }

    fn check_kernel_command(&self) -> Result<(), InvalidSpec> {
        let command = &self.update_kernel_command;
        check_bytes("updateKernelCommand", command, KERNEL_COMMAND_BYTES_MAX)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_=.,/ ".contains(c);
        check(command.chars().all(allowed), "updateKernelCommand", || {
            "holds other characters: write letters, digits, spaces and any of - _ = . , /".into()
        })
    }

    fn check_latest(&self) -> Result<(), InvalidSpec> {
        let bare = self.target_os.is_none() && !self.changes_packages();
        check(bare && self.update_kernel_command.is_empty(), "updatePolicy", || {
            "is LATEST, which takes no targetOs, updatePackages, updateSources or \
             updateKernelCommand: leave those out, or write TARGET"
                .into()
        })?;
        if let Some(versions) = &self.versions {
            check_version("versions", versions.strip_prefix('~').unwrap_or(versions))?;
        }
        let bounded = self.versions.is_some() && self.soak_seconds.is_some();
        check(bounded || self.promotion == PromotionMode::Manual, "promotion", || {
            "is automatic: write versions and soakSeconds with it".into()
        })
    }

    fn check_target(&self) -> Result<(), InvalidSpec> {
        match &self.target_os {
            Some(os) => {
                os.validate("targetOs.version")?;
                check(!self.changes_packages(), "targetOs", || {
                    "cannot go with updatePackages or updateSources: write two policies".into()
                })?;
            }
            None => {
                let acts = self.changes_packages() || !self.update_kernel_command.is_empty();
                check(acts, "updatePolicy", || {
                    "is TARGET without a target: write targetOs, updatePackages, updateSources or \
                     updateKernelCommand"
                        .into()
                })?;
            }
        }
        check(self.promotion == PromotionMode::Manual, "promotion", || {
            "is automatic, which is for LATEST: leave it out".into()
        })?;
        check(self.versions.is_none(), "versions", || "is for LATEST: leave it out".into())
    }

    fn changes_packages(&self) -> bool {
        !self.update_packages.is_empty() || !self.update_sources.is_empty()
    }
}

impl TargetOs {
    fn validate(&self, version_field: &'static str) -> Result<(), InvalidSpec> {
        check_filled("profile", &self.profile)?;
        check_version(version_field, &self.version)
    }
}

impl PromotionSpec {
    /// Checks that it names a version.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        self.os.validate("os.version")
    }
}

impl CustomConfigSpec {
    /// Checks EIM's limits.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        let mut bytes = self.name.bytes();
        let begins = bytes.next().is_some_and(|b| b.is_ascii_lowercase());
        let clean = bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        check(begins && clean, "name", || {
            let name = shown(&self.name);
            format!("is {name:?}: write a lower-case letter, then lower-case letters, digits and -")
        })?;
        check_bytes("name", &self.name, CONFIG_NAME_BYTES_MAX)?;
        check_filled("config", &self.config)?;
        check_bytes("config", &self.config, CONFIG_BYTES_MAX)?;
        check_bytes("description", &self.description, CONFIG_DESCRIPTION_BYTES_MAX)
    }
}
