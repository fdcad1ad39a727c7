//! Meshes on the loopback interface, against each other and against a plain libp2p stranger.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the event it waits for, and fails where it unwraps"
)]

mod admission;
mod bridging;
mod discovery;
mod half_open;
mod harness;
mod stranger;
mod traffic;
