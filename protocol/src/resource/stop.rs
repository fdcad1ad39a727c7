//! What stops and lifts: holds, retries, halts, resumes, emergencies (RULES Q3, C4).

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_name};
use crate::id::Digest;
use crate::limits::HALTS_PER_KEY_MAX;

/// Pins hosts to what they run. Closes at the policy threshold; ends by the statement's `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldSpec {
    /// Display name.
    pub name: String,
}

/// Lifts a host's quarantine of one image, up to and including an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrySpec {
    /// Display name.
    pub name: String,
    /// Resource digest of the quarantined OS profile.
    pub profile: Digest,
    /// Attempts numbered up to this one no longer quarantine the image.
    pub attempt: u64,
}

/// Stops: a set, lifted by digest. One key suffices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HaltSpec {
    /// Display name.
    pub name: String,
    /// Only hosts that follow this policy; every host of the target otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<crate::id::ResourceId>,
}

/// Lifts halts by their statement digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResumeSpec {
    /// Display name.
    pub name: String,
    /// Statement digests of the halts it lifts, at most 65.
    pub halts: Vec<Digest>,
}

/// Passes windows, from when its statement was issued to its end; not halts and holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmergencySpec {
    /// Display name.
    pub name: String,
    /// Whether it passes blackouts too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passes_blackouts: bool,
}

impl ResumeSpec {
    /// Checks that it lifts between 1 and 65 halts: all that can stand of one key.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        check((1..=HALTS_PER_KEY_MAX).contains(&self.halts.len()), "halts", || {
            format!("has {} digests: write 1 to {HALTS_PER_KEY_MAX}", self.halts.len())
        })
    }
}
