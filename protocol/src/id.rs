//! Identifiers: 32-byte digests and keys in lower-case hex, and the ids of resources (RULES Q4).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

use crate::limits;

/// Text that is not an identifier of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidId {
    /// What was given, cut to 80 characters.
    pub text: String,
    /// What was expected, in words.
    pub expected: &'static str,
}

impl InvalidId {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; 32]);

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        /// As of the bytes. What is a hash differs in its first eight but by chance, which spares
        /// a look at the others: maps by id are what a node looks at most.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                let first = |id: &Self| {
                    let [a, b, c, d, e, f, g, h, ..] = id.0;
                    u64::from_be_bytes([a, b, c, d, e, f, g, h])
                };
                first(self).cmp(&first(other)).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 12 hex digits, for people.
            pub fn short(&self) -> String {
                HEXLOWER.encode(&self.0[..6])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let bytes = HEXLOWER
                    .decode(text.as_bytes())
                    .map_err(|_| InvalidId::new(text, $expected))?;
                Ok(Self(bytes.try_into().map_err(|_| InvalidId::new(text, $expected))?))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

hex_id!(
    /// A SHA-256 digest.
    Digest, "64 lower-case hex digits"
);
hex_id!(
    /// The id of an Ed25519 key: SHA-256 of the raw public key. A host's identity is its key id.
    KeyId, "a key id (64 lower-case hex digits)"
);
hex_id!(
    /// The id of a fleet: SHA-256 of the payload of its version-1 root (RULES R3).
    FleetId, "a fleet id (64 lower-case hex digits)"
);
hex_id!(
    /// The BLAKE3 hash of a chunk of an image (RULES Q5).
    ChunkHash, "a chunk hash (64 lower-case hex digits)"
);

impl Digest {
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of all these bytes, one after the other.
    pub fn of_all<T: AsRef<[u8]>>(parts: impl Iterator<Item = T>) -> Self {
        let mut hasher = Sha256::new();
        parts.for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// SHA-256 over several byte strings, each preceded by its length, so that no two lists of
    /// strings give the same input.
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

impl ChunkHash {
    /// BLAKE3 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// The id of a resource: an EIM prefix and 16 hex digits, an imported EIM id, or for a host its
/// key id. Lower-case letters, digits and `-`, at most 80 bytes. Shared: tables name the same ids
/// many times.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Arc<str>);

impl ResourceId {
    /// Sorts before every id, for the start of a range.
    pub(crate) fn lowest() -> Self {
        Self(Arc::from(""))
    }

    /// Derives the id of a named resource, so that two laptops that apply the same file agree
    /// (RULES Q4). `scope` is the scope's canonical text.
    pub fn derive(prefix: &str, fleet: &FleetId, scope: &str, kind: &str, name: &str) -> Self {
        let digest = Digest::of_parts(&[
            fleet.as_bytes(),
            scope.as_bytes(),
            kind.as_bytes(),
            name.as_bytes(),
        ]);
        Self(format!("{prefix}{}", HEXLOWER.encode(&digest.0[..8])).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key id, if this is the id of a host.
    pub fn as_host(&self) -> Option<KeyId> {
        self.0.parse().ok()
    }
}

impl From<KeyId> for ResourceId {
    fn from(key: KeyId) -> Self {
        Self(HEXLOWER.encode(&key.0).into())
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ResourceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits = !text.is_empty() && text.len() <= limits::RESOURCE_ID_BYTES_MAX;
        let clean = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits && clean {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId::new(text, "a resource id (lower-case letters, digits and '-')"))
        }
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}
