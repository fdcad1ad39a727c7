//! Tokens: mass enrolment without the administrators present (RULES S9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::validate::{InvalidSpec, check, check_name};
use crate::id::ResourceId;

/// Most machines that one token admits: a stolen one must stay a nuisance.
const USES_MAX: u32 = 1_024;

/// A key that may sign the first version of a few Hosts, each with this site and these labels. Such
/// hosts are provisional until `enroll` countersigns them. Its statement's `until` is its date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenSpec {
    /// Display name.
    pub name: String,
    /// Raw Ed25519 public key, lower-case hex.
    pub public_key: String,
    /// The site of every Host that it signs; none for hosts without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<ResourceId>,
    /// The labels of every Host that it signs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How many machines it is meant for. With more, an alarm is raised and none is displaced.
    pub uses: u32,
}

impl TokenSpec {
    /// Checks the key's form and the number of uses.
    pub fn validate(&self) -> Result<(), InvalidSpec> {
        check_name(&self.name)?;
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        let is_key = self.public_key.len() == 64 && self.public_key.bytes().all(hex);
        check(is_key, "publicKey", || "is not a key: write 64 lower-case hex digits".into())?;
        check((1..=USES_MAX).contains(&self.uses), "uses", || {
            format!("is {}: write 1 to {USES_MAX}", self.uses)
        })
    }
}
