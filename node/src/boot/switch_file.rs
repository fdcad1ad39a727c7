//! The boot switch as a small file, shared by the boot program and the agent. They never write at
//! the same time: the boot program writes only while no agent runs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable::{DurableError, read_record, write_record};

/// Tells the agent which slot it was started from.
pub const BOOT_SLOT_VARIABLE: &str = "DAYMARK_BOOT_SLOT";
/// Tells the agent which boot this is: random, new at each start.
pub const BOOT_ID_VARIABLE: &str = "DAYMARK_BOOT_ID";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwitchRecord {
    /// The last good slot.
    pub default: String,
    /// The slot on trial, if any.
    pub trial: Option<Trial>,
    /// Starts so far.
    pub boots: u64,
    /// The slot that last used up its tries.
    pub failed: Option<String>,
}

/// A slot on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The slot.
    pub slot: String,
    /// Starts that it still gets.
    pub tries_left: u32,
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The slot.
    pub slot: String,
    /// Number of this start, from 1.
    pub boot: u64,
    /// Tries that remain after this one, if it is one.
    pub tries_left: Option<u32>,
    /// The slot that used up its tries, if this start falls back from one.
    pub fell_back_from: Option<String>,
}

impl SwitchRecord {
    /// Chooses the slot to start and counts the try; the result must be durable before the start.
    pub fn choose(&mut self) -> Chosen {
        self.boots += 1;
        let boot = self.boots;
        match self.trial.take() {
            Some(Trial { slot, tries_left }) if tries_left > 0 => {
                let tries_left = tries_left - 1;
                self.trial = Some(Trial { slot: slot.clone(), tries_left });
                Chosen { slot, boot, tries_left: Some(tries_left), fell_back_from: None }
            }
            spent => {
                let fell_back_from = spent.map(|trial| trial.slot);
                if fell_back_from.is_some() {
                    self.failed.clone_from(&fell_back_from);
                }
                Chosen { slot: self.default.clone(), boot, tries_left: None, fell_back_from }
            }
        }
    }

    /// Whether `slot` runs on trial.
    pub fn is_on_trial(&self, slot: &str) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.slot == slot)
    }
}

/// The file.
#[derive(Clone, Debug)]
pub struct SwitchFile {
    path: PathBuf,
}

impl SwitchFile {
    /// The file at that path, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says; `None` before the first start.
    ///
    /// # Errors
    /// If it is damaged or cannot be read.
    pub fn read(&self) -> Result<Option<SwitchRecord>, DurableError> {
        read_record(&self.path, "boot")
    }

    /// Replaces its content, durably.
    ///
    /// # Errors
    /// If it cannot be made durable; it then says what it said before.
    pub fn write(&self, record: &SwitchRecord) -> Result<(), DurableError> {
        write_record(&self.path, "boot", 0o644, record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tries_left: u32) -> SwitchRecord {
        let trial = Some(Trial { slot: "b".into(), tries_left });
        SwitchRecord { default: "a".into(), trial, ..SwitchRecord::default() }
    }

    #[test]
    fn i5_a_slot_on_trial_gets_its_tries_and_then_the_last_good_one_starts() {
        let mut switch = record(2);
        let slots: Vec<String> = (0..4).map(|_| switch.choose().slot).collect();
        assert_eq!(slots, ["b", "b", "a", "a"]);
        assert_eq!(switch.failed.as_deref(), Some("b"));
        assert_eq!(switch.boots, 4);
    }

    #[test]
    fn falling_back_is_told_once() {
        let mut switch = record(0);
        assert_eq!(switch.choose().fell_back_from.as_deref(), Some("b"));
        assert_eq!(switch.choose().fell_back_from, None);
    }

    #[test]
    fn the_file_keeps_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = SwitchFile::new(&folder.path().join("boot"));
        assert_eq!(file.read().unwrap(), None);
        file.write(&record(1)).unwrap();
        assert_eq!(file.read().unwrap(), Some(record(1)));
    }
}
