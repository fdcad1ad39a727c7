//! The state table, and random crashes.

mod crashes;
mod rig;
mod slotless;
mod state_table;
mod table;
