//! The daemon's parts against the real world: sockets, files, processes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod daemon;
mod mesh;
