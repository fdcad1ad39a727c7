//! The resources of a fleet under EIM's names, with EIM's limits, plus what Daymark adds.
//!
//! A resource is data: which version of it counts is decided in [`crate::trust`], what it does in
//! [`crate::window`] and [`crate::decide`].

mod host;
mod kind;
mod location;
mod newer;
mod os_profile;
mod policy;
mod schedule;
mod scope;
mod spec;
mod stop;
mod token;
mod validate;
#[cfg(test)]
mod validate_tests;

use serde::{Deserialize, Serialize};

pub use self::host::{Baseline, HostSpec};
pub use self::kind::{Kind, Role, UnknownKind};
pub use self::location::{RegionSpec, SiteSpec};
pub use self::newer::NewerFields;
pub use self::os_profile::{
    FileSystem, LayoutPart, OsProfileSpec, OsType, PartDigest, PartName, PartSource,
};
pub use self::policy::{
    CustomConfigSpec, OsUpdatePolicySpec, PromotionMode, PromotionSpec, TargetOs, UpdatePolicy,
};
pub use self::schedule::{
    BlackoutSpec, RepeatedScheduleSpec, ScheduleStatus, ScheduleZone, SingleScheduleSpec,
};
pub use self::scope::{Scope, Target};
pub use self::spec::{SCHEMA, UnreadableSpec};
pub use self::stop::{EmergencySpec, HaltSpec, HoldSpec, ResumeSpec, RetrySpec};
pub use self::token::TokenSpec;
pub use self::validate::InvalidSpec;

/// The content of a resource, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each variant is the kind of its name")]
#[serde(tag = "kind", content = "spec")]
pub enum Spec {
    Region(RegionSpec),
    Site(SiteSpec),
    Host(HostSpec),
    OsProfile(Box<OsProfileSpec>),
    SingleSchedule(SingleScheduleSpec),
    RepeatedSchedule(RepeatedScheduleSpec),
    Blackout(BlackoutSpec),
    OsUpdatePolicy(Box<OsUpdatePolicySpec>),
    Promotion(PromotionSpec),
    CustomConfig(CustomConfigSpec),
    Hold(HoldSpec),
    Retry(RetrySpec),
    Halt(HaltSpec),
    Resume(ResumeSpec),
    Emergency(EmergencySpec),
    Token(TokenSpec),
}
