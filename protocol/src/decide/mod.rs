//! The decision: a pure function of what is held and of `now` (DESIGN section 6, I8).

mod model;

pub use self::model::{
    Activity, Decision, Evidence, Gate, GateAnswer, Installed, InstalledSource, Machine,
    PlatformKind, Quarantined, ResolvedTarget, StagedImage, Verdict, Window, World,
};
