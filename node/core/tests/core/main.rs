//! The core through its one door: scripts of events, and what each step asks for.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the one effect that it looks for")]

mod admitting;
mod asking;
mod bridging;
mod delivering;
mod ending;
mod enrolling;
mod gating;
mod grouping;
mod hearing;
mod hostile;
mod joining;
mod liveness;
mod repairing;
mod restarting;
mod rivals;
mod submitting;
mod support;
mod timing;
mod vetoing;
mod visiting;
