//! Hosts: which machine belongs to the fleet, where, and under what name.
//!
//! The site stands beside the target, outside the spec (RULES Q2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_filled, check_name, check_version};

/// A host as enrolled. Its resource id is the machine's key id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostSpec {
    /// Display name: at most 50 characters of letters, digits and `-_./: ` (EIM).
    pub name: String,
    /// Raw Ed25519 public key, lower-case hex; its SHA-256 is the resource id.
    pub public_key: String,
    /// SMBIOS UUID, for EIM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Serial number of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Labels that targets select by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What is installed, said by the signers: used where the machine cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
}

/// The OS that a machine was delivered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Baseline {
    /// Profile name.
    pub profile: String,
    /// Image version.
    pub version: String,
}

impl HostSpec {
    /// Checks EIM's limits.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./: ".contains(c);
        check(self.name.chars().all(allowed), "name", || {
            format!("is {:?}: write letters, digits, spaces and any of - _ . / :", self.name)
        })?;
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let is_key = self.public_key.len() == 64 && self.public_key.bytes().all(hex);
        check(is_key, "publicKey", || "is not a key: write 64 lower-case hex digits".into())?;
        match &self.baseline {
            Some(baseline) => {
                check_filled("baseline.profile", &baseline.profile)?;
                check_version("baseline.version", &baseline.version)
            }
            None => Ok(()),
        }
    }
}
