//! The state table, and random crashes.

mod crashes;
mod rig;
mod table;
