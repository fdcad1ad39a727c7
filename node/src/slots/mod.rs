//! The slots of this machine: sets of parts (files or block devices) that hold one image each.
//!
//! This writes images into a slot that is not running, remembers durably what is verified there,
//! and reads verified chunks of either slot back, for peers and as seeds. It fetches nothing
//! ([`crate::transfer`] does) and decides nothing. Which slot boots is the [`BootSwitch`]'s.

mod boot_switch;
mod device;
mod error;
mod held;
mod journal;
mod record;
mod registry;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verified;
mod writer;

pub use self::boot_switch::{BootState, BootSwitch, BootSwitchError};
pub(crate) use self::device::CLEARED_BYTES;
pub use self::error::SlotError;
pub use self::held::{HeldImage, ReadChunkError};
#[cfg(feature = "fuzzing")]
pub(crate) use self::journal::{journal_of, replay as replayed};
pub use self::record::{ImageIdentity, SlotRecord};
pub use self::registry::{STAGING_AREA, SlotLayout, Slots};
pub use self::verified::{VerifiedChunk, WrongBytes};
pub use self::writer::{SYNC_BYTES, SYNC_INTERVAL, SlotWriter};
