//! Kinds of resource, the role that speaks for each and what each does by being there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A signing role of the trust root (DESIGN section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The root itself.
    Root,
    /// Regions, sites, schedules, blackouts, policies, promotions, halts, resumes.
    Policy,
    /// Halts only.
    Halt,
    /// Passing windows.
    Emergency,
    /// OS profiles and their images.
    Release,
    /// Which machines belong to the fleet.
    Enroll,
    /// Freshness.
    Heartbeat,
    /// Reading from outside the mesh.
    View,
}

impl Role {
    /// All roles, in the order of the root's table.
    pub const ALL: [Self; 8] = [
        Self::Root,
        Self::Policy,
        Self::Halt,
        Self::Emergency,
        Self::Release,
        Self::Enroll,
        Self::Heartbeat,
        Self::View,
    ];

    /// The role's name as it stands in a root.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Policy => "policy",
            Self::Halt => "halt",
            Self::Emergency => "emergency",
            Self::Release => "release",
            Self::Enroll => "enroll",
            Self::Heartbeat => "heartbeat",
            Self::View => "view",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind of resource that this version knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "EIM's names, and DESIGN section 6's")]
pub enum Kind {
    Region,
    Site,
    Host,
    OsProfile,
    SingleSchedule,
    RepeatedSchedule,
    Blackout,
    OsUpdatePolicy,
    Promotion,
    CustomConfig,
    Hold,
    Retry,
    Halt,
    Resume,
    Emergency,
    Token,
}

/// A kind that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind {0:?}")]
pub struct UnknownKind(pub String);

impl Kind {
    /// All known kinds.
    pub const ALL: [Self; 16] = [
        Self::Region,
        Self::Site,
        Self::Host,
        Self::OsProfile,
        Self::SingleSchedule,
        Self::RepeatedSchedule,
        Self::Blackout,
        Self::OsUpdatePolicy,
        Self::Promotion,
        Self::CustomConfig,
        Self::Hold,
        Self::Retry,
        Self::Halt,
        Self::Resume,
        Self::Emergency,
        Self::Token,
    ];

    /// The kind's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Region => "Region",
            Self::Site => "Site",
            Self::Host => "Host",
            Self::OsProfile => "OsProfile",
            Self::SingleSchedule => "SingleSchedule",
            Self::RepeatedSchedule => "RepeatedSchedule",
            Self::Blackout => "Blackout",
            Self::OsUpdatePolicy => "OsUpdatePolicy",
            Self::Promotion => "Promotion",
            Self::CustomConfig => "CustomConfig",
            Self::Hold => "Hold",
            Self::Retry => "Retry",
            Self::Halt => "Halt",
            Self::Resume => "Resume",
            Self::Emergency => "Emergency",
            Self::Token => "Token",
        }
    }

    /// The prefix of ids of this kind: EIM's where EIM has the kind. Hosts have none: their id is
    /// their key id.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Region => "region-",
            Self::Site => "site-",
            Self::Host => "",
            Self::OsProfile => "os-",
            Self::SingleSchedule => "singlesche-",
            Self::RepeatedSchedule => "repeatedsche-",
            Self::Blackout => "blackout-",
            Self::OsUpdatePolicy => "osupdatepolicy-",
            Self::Promotion => "promotion-",
            Self::CustomConfig => "customconfig-",
            Self::Hold => "hold-",
            Self::Retry => "retry-",
            Self::Halt => "halt-",
            Self::Resume => "resume-",
            Self::Emergency => "emergency-",
            Self::Token => "token-",
        }
    }

    /// The role whose threshold makes a statement of this kind valid. A halt counts by a single
    /// key of `halt` or of `policy` (I11).
    pub fn role(self) -> Role {
        match self {
            Self::Region
            | Self::Site
            | Self::SingleSchedule
            | Self::RepeatedSchedule
            | Self::Blackout
            | Self::OsUpdatePolicy
            | Self::Promotion
            | Self::CustomConfig
            | Self::Hold
            | Self::Retry
            | Self::Resume => Role::Policy,
            Self::Host | Self::Token => Role::Enroll,
            Self::OsProfile => Role::Release,
            Self::Halt => Role::Halt,
            Self::Emergency => Role::Emergency,
        }
    }

    /// Whether resources of this kind close: for known kinds the kind decides (RULES S3).
    pub fn closes(self) -> bool {
        matches!(self, Self::Blackout | Self::Hold | Self::Halt)
    }

    /// Whether a resource of this kind must be the only one in its statement (RULES S2).
    pub fn stands_alone(self) -> bool {
        matches!(self, Self::Host | Self::Halt | Self::Resume | Self::Emergency | Self::Token)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| UnknownKind(text.chars().take(80).collect()))
    }
}
