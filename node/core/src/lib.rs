//! A Daymark node's behaviour as a sans-I/O state machine.
//!
//! One door: [`Node::step`] takes the time and an [`Event`] and returns a [`Batch`]: what must
//! become durable, and what to do. Effects that promise nothing leave at once; the others only
//! after the host of the core has confirmed that the writes are durable. Time, randomness and the
//! results of I/O come in as arguments; nothing here reads a clock, a file or a socket.

mod addresses;
mod admission;
mod blobs;
mod bridges;
mod buckets;
mod clock;
mod comparing;
pub mod conduct;
mod config;
mod deciding;
mod delivery;
mod dialling;
pub mod durable;
pub mod effect;
pub mod event;
pub mod fetch;
mod gaps;
mod groups;
mod hearing;
mod heartbeats;
mod inhibit;
mod intake;
mod join;
mod membership;
mod node;
mod peers;
#[cfg(feature = "planted-bugs")]
mod planted;
mod push;
pub mod recording;
mod reporting;
mod rng;
mod saved;
pub mod status;
mod sync;
mod timer;
mod update;
mod visitors;

pub use self::admission::is_enrolled;
pub use self::config::{ClockTrust, CoreConfig, InvalidConfig, LINKS_MAX};
pub use self::effect::Batch;
pub use self::event::Event;
pub use self::node::{Node, Start};
#[cfg(feature = "planted-bugs")]
pub use self::planted::PlantedBug;
