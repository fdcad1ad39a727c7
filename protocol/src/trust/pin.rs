//! The fleet as a machine takes it: once, with the newest root's version and digest (RULES R3).

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::id::{Digest, InvalidId};

/// Pins the newest root, and through the digests that a root names, all roots before it.
///
/// Its text form is the fingerprint that people type: the version and the digest in groups of
/// eight hex digits, all joined by dashes. Dashes within the digest and letter case are optional
/// when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// Version of the newest root.
    pub version: u64,
    /// SHA-256 of its payload.
    pub digest: Digest,
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        for group in self.digest.as_bytes().chunks(4) {
            write!(f, "-{}", HEXLOWER.encode(group))?;
        }
        Ok(())
    }
}

impl FromStr for Pin {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            text: text.chars().take(80).collect(),
            expected: "a fleet's fingerprint (a version, a dash and 64 hex digits)",
        };
        let (version, digest) = text.trim().split_once('-').ok_or_else(invalid)?;
        let digest: String =
            digest.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        let decimal = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
        let version = version.parse().ok().filter(|v| decimal && *v > 0).ok_or_else(invalid)?;
        Ok(Self { version, digest: digest.parse().map_err(|_| invalid())? })
    }
}
