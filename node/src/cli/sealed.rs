//! What a stick's sealed packs hold for this machine.

use daymark_protocol::control::Submitted;
use daymark_protocol::id::FleetId;
use daymark_protocol::sealed::{self, SealError};
use daymark_protocol::trust::SigningKey;

use crate::folder::{FolderError, ReplicaFolder};
use crate::stick::{self, StickPack};

/// What was read of a stick's packs.
#[derive(Debug, Default)]
pub(super) struct FromPacks {
    /// Their items.
    pub(super) items: Vec<Submitted>,
    /// What could not be read and why, for people.
    pub(super) unread: Vec<String>,
}

/// Opens a stick's packs with the machine's keys.
pub(super) fn read(
    folder: &ReplicaFolder,
    fleet: Option<FleetId>,
    keys: &[SigningKey],
) -> Result<FromPacks, FolderError> {
    let (mut read, mut not_ours) = (FromPacks::default(), 0);
    for pack in stick::packs(folder)? {
        let opened = match (stick::read(folder, &pack)?, fleet) {
            (StickPack::Damaged, _) => Err(SealError::Damaged),
            (StickPack::Whole(_), None) => Err(SealError::NotForUs),
            (StickPack::Whole(bytes), Some(fleet)) => sealed::open(&bytes, fleet, keys),
        };
        match opened {
            Ok(opened) => read.items.extend(opened.items.into_iter().map(Submitted::from)),
            Err(SealError::NotForUs) => not_ours += 1,
            Err(error) => read.unread.push(format!("pack {}: {error}", pack.short())),
        }
    }
    if not_ours > 0 {
        read.unread.push(format!(
            "{not_ours} packs are not sealed to this machine: once it is enrolled, `daymarkctl sync` \
             the folder again and join from it once more, or let its peers tell it"
        ));
    }
    Ok(read)
}
