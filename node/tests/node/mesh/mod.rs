//! Meshes on the loopback interface, against each other and against a plain libp2p stranger.

mod admission;
mod discovery;
mod harness;
mod stranger;
mod traffic;
