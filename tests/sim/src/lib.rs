//! Many nodes in one process, under virtual time, from one seed.
//!
//! Each simulated host runs the real core; what is simulated is the world around it: links and
//! cuts ([`network`]), disks, clocks and machines ([`host`]), operators ([`operators`]), hostile
//! members. Only bytes cross between nodes. What a world is made of stands in a [`scenario`]; what
//! must hold in [`checks`]; `docs/simulator.md` says how it fits together. The same seed gives the
//! same run, event by event.

mod calendar;
pub mod checks;
pub mod expect;
pub mod facts;
pub mod faults;
pub mod figures;
mod heard;
pub mod host;
mod hostile;
pub mod network;
pub mod operators;
mod overlay;
mod random;
pub mod reference;
pub mod report;
pub mod run;
pub mod scenario;
pub mod tally;
mod trace;
mod watch;
mod world;

pub use self::random::Dice;
pub use self::trace::Trace;
pub use self::watch::stand;
pub use self::world::World;
