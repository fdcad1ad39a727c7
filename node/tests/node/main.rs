//! The daemon's parts against the real world: sockets, files, processes.

#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test that cannot go on fails there"
)]

mod daemon;
mod mesh;
