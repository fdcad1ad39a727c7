//! The boot program for the demo, for tests and for simple machines: it starts the agent that it
//! reads out of the chosen slot's own bytes, counts tries durably *before* each start, and goes
//! back to the last good slot by itself, without help from any agent. Real machines have a boot
//! loader for this.

mod agent_part;
mod file_switch;
mod program;
mod switch_file;
#[cfg(test)]
mod tests;

pub use self::agent_part::{AgentPart, AgentPartError};
pub use self::file_switch::FileBootSwitch;
pub use self::program::{BootError, BootOptions, boot};
pub use self::switch_file::{
    BOOT_ID_VARIABLE, BOOT_SLOT_VARIABLE, Chosen, SwitchFile, SwitchRecord, Trial,
};
