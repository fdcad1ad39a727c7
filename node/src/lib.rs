//! The Daymark daemon: moves data between the world and `daymark-core`, and decides nothing.

pub mod durable;
pub mod folder;
pub mod settings;
pub mod store;

/// Exit status that asks whoever started the agent to restart the machine (`EX_TEMPFAIL`).
pub const EXIT_REBOOT: u8 = 75;
