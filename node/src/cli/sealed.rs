//! What a stick's sealed packs hold for this machine.

use std::path::PathBuf;

use daymark_protocol::control::Submitted;
use daymark_protocol::id::FleetId;
use daymark_protocol::sealed::{self, SealError};
use daymark_protocol::trust::SigningKey;

use crate::folder::{FolderError, ReplicaFolder};
use crate::stick::{self, StickPack};

/// A pack that cannot be what a member wrote for this fleet.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing was taken of {}{}: {why}; delete it, and have somebody who holds the fleet \
     `daymarkctl sync` the folder again",
    file.display(),
    more(*others)
)]
pub(super) struct UnusablePack {
    file: PathBuf,
    why: SealError,
    others: usize,
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" and {others} more packs") }
}

/// What was read of a stick's packs.
#[derive(Debug, Default)]
pub(super) struct FromPacks {
    /// Their items, of all packs together, in the order in which they are best taken.
    pub(super) items: Vec<Submitted>,
    /// How many are sealed to others alone.
    pub(super) not_ours: usize,
    /// What is damaged or of another fleet.
    pub(super) unusable: Option<UnusablePack>,
}

/// Opens a stick's packs with the machine's keys.
pub(super) fn read(
    folder: &ReplicaFolder,
    fleet: Option<FleetId>,
    keys: &[SigningKey],
) -> Result<FromPacks, FolderError> {
    let mut read = FromPacks::default();
    for pack in stick::packs(folder)? {
        let opened = match (stick::read(folder, &pack)?, fleet) {
            (StickPack::Damaged, _) => Err(SealError::Damaged),
            (StickPack::Whole(_), None) => Err(SealError::NotForUs),
            (StickPack::Whole(bytes), Some(fleet)) => sealed::open(&bytes, fleet, keys),
        };
        match (opened, &mut read.unusable) {
            (Ok(opened), _) => read.items.extend(opened.items.into_iter().map(Submitted::from)),
            (Err(SealError::NotForUs), _) => read.not_ours += 1,
            (Err(_), Some(first)) => first.others += 1,
            (Err(why), none) => {
                let file = stick::file(folder, &pack);
                *none = Some(UnusablePack { file, why, others: 0 });
            }
        }
    }
    // What a report needs may lie in another pack than the report.
    read.items.sort_by_key(|item| match item {
        Submitted::Root(_) => 0,
        Submitted::Entry(_) => 1,
        Submitted::Report(_) => 2,
        Submitted::Blob(_) => 3,
    });
    Ok(read)
}
