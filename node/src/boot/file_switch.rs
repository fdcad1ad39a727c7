//! [`SwitchFile`] as the agent's boot switch.

use super::switch_file::{BOOT_SLOT_VARIABLE, SwitchFile, SwitchRecord, Trial};
use crate::slots::{BootState, BootSwitch, BootSwitchError};

/// The boot program's file, seen by the agent that it started.
#[derive(Clone, Debug)]
pub struct FileBootSwitch {
    file: SwitchFile,
    booted: Option<String>,
    tries: u32,
}

impl FileBootSwitch {
    /// The switch in `file` for an agent that was started from `booted`; a new slot gets `tries`.
    pub fn new(file: SwitchFile, booted: Option<String>, tries: u32) -> Self {
        Self { file, booted, tries }
    }

    /// The same, with the slot that the boot program named in the environment.
    pub fn of_this_boot(file: SwitchFile, tries: u32) -> Self {
        let booted = std::env::var(BOOT_SLOT_VARIABLE).ok().filter(|slot| !slot.is_empty());
        Self::new(file, booted, tries)
    }

    fn failed(&self, act: &'static str, source: impl Into<std::io::Error>) -> BootSwitchError {
        let place = self.file.path().display().to_string();
        BootSwitchError { act, place, source: source.into() }
    }

    fn read(&self) -> Result<SwitchRecord, BootSwitchError> {
        let record = self.file.read().map_err(|e| self.failed("read", std::io::Error::other(e)))?;
        record.ok_or_else(|| self.failed("read", std::io::ErrorKind::NotFound))
    }

    fn change(&self, change: impl FnOnce(&mut SwitchRecord)) -> Result<(), BootSwitchError> {
        let mut record = self.read()?;
        change(&mut record);
        self.file.write(&record).map_err(|e| self.failed("set", std::io::Error::other(e)))
    }
}

impl BootSwitch for FileBootSwitch {
    fn state(&self) -> Result<BootState, BootSwitchError> {
        let record = self.read()?;
        // Only confirming makes a slot the default; falling back from it ends its trial as well.
        let unconfirmed = self.booted.as_ref().is_some_and(|booted| record.default != *booted);
        let trial = record.trial.filter(|trial| trial.tries_left > 0);
        Ok(BootState {
            booted: self.booted.clone(),
            default: Some(record.default),
            next_try: trial.map(|trial| trial.slot),
            unconfirmed,
        })
    }

    fn set_try(&self, slot: &str) -> Result<(), BootSwitchError> {
        let trial = Trial { slot: slot.to_owned(), tries_left: self.tries };
        self.change(|record| record.trial = Some(trial))
    }

    fn confirm(&self) -> Result<(), BootSwitchError> {
        let unknown = std::io::Error::other("this boot did not start from a slot");
        let booted = self.booted.clone().ok_or_else(|| self.failed("set", unknown))?;
        self.change(|record| {
            record.default = booted;
            record.trial = None;
        })
    }

    fn fall_back(&self, slot: Option<&str>) -> Result<(), BootSwitchError> {
        self.change(|record| {
            record.trial = None;
            if let Some(slot) = slot {
                record.default = slot.to_owned();
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(folder: &std::path::Path, booted: &str) -> FileBootSwitch {
        FileBootSwitch::new(SwitchFile::new(&folder.join("boot")), Some(booted.to_owned()), 1)
    }

    #[test]
    fn i5_try_boot_confirm_and_fall_back_as_the_boot_program_sees_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = SwitchFile::new(&folder.path().join("boot"));
        assert!(switch(folder.path(), "a").state().is_err(), "no boot program ever ran here");
        file.write(&SwitchRecord { default: "a".into(), ..SwitchRecord::default() }).unwrap();

        let old = switch(folder.path(), "a");
        old.set_try("b").unwrap();
        let state = old.state().unwrap();
        assert_eq!((state.next_try.as_deref(), state.unconfirmed), (Some("b"), false));

        let mut record = file.read().unwrap().unwrap();
        assert_eq!(record.choose().slot, "b");
        file.write(&record).unwrap();
        let new = switch(folder.path(), "b");
        let state = new.state().unwrap();
        assert_eq!((state.next_try, state.unconfirmed), (None, true));
        assert_eq!(state.default.as_deref(), Some("a"));

        new.confirm().unwrap();
        let state = new.state().unwrap();
        assert_eq!((state.default.as_deref(), state.unconfirmed), (Some("b"), false));

        new.fall_back(Some("a")).unwrap();
        assert_eq!(file.read().unwrap().unwrap().choose().slot, "a");
    }

    #[test]
    fn i5_a_slot_that_was_given_up_stays_unconfirmed_until_the_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = SwitchFile::new(&folder.path().join("boot"));
        file.write(&SwitchRecord { default: "a".into(), ..SwitchRecord::default() }).unwrap();
        switch(folder.path(), "a").set_try("b").unwrap();
        let failing = switch(folder.path(), "b");
        failing.fall_back(Some("a")).unwrap();
        assert!(failing.state().unwrap().unconfirmed, "slot a is the way back");
        assert!(!switch(folder.path(), "a").state().unwrap().unconfirmed);
    }
}
