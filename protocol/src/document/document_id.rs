//! The names of documents: `fleet`, `site/<id>`, `host/<key id>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::{InvalidId, KeyId, ResourceId};

/// A document (DESIGN section 4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentId {
    /// Statements of fleet and region scope.
    Fleet,
    /// Statements of one site's scope; `none` for hosts without a site.
    Site(ResourceId),
    /// What one machine reports of itself.
    Host(KeyId),
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Site(id) => write!(f, "site/{id}"),
            Self::Host(key) => write!(f, "host/{key}"),
        }
    }
}

impl FromStr for DocumentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('/') {
            Some(("site", id)) => id.parse().map(Self::Site),
            Some(("host", key)) => key.parse().map(Self::Host),
            _ if text == "fleet" => Ok(Self::Fleet),
            _ => Err(InvalidId {
                text: text.chars().take(80).collect(),
                expected: "a document (fleet, site/ID or host/KEY)",
            }),
        }
    }
}

impl Serialize for DocumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
