//! What two Daymark nodes, or a node and `daymarkctl`, must agree on: resources, statements, trust,
//! windows, versions, the decision, documents, the image index and wire messages.
//!
//! Nothing here does I/O, reads a clock, draws randomness or knows about async: the same code runs
//! in the daemon, in the command line and in the simulator, and gives the same answers in each.

pub mod clock;
pub mod codec;
pub mod control;
pub mod decide;
pub mod document;
pub mod id;
pub mod image;
pub mod limits;
pub mod resource;
pub mod rules;
pub mod sealed;
pub mod status;
pub mod target;
pub mod time;
pub mod trust;
pub mod version;
pub mod window;
pub mod wire;
