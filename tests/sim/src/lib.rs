//! Many nodes in one process, under virtual time, from one seed.
//!
//! Each simulated host runs the real core; what is simulated is the world around it: the network
//! ([`network`]), the disk with crashes before, after and between writes and acts ([`host`]), and a
//! machine with two slots and a boot switch ([`machine`]). Only bytes cross between nodes. The same
//! seed gives the same run, event by event ([`World::trace`]).

pub mod fleet;
pub mod host;
pub mod machine;
pub mod network;
mod random;
pub mod scenario;
mod world;

pub use self::world::{Options, World};
