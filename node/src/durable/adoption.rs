//! The change to another fleet, the last resort when the root's threshold of the own one is lost
//! (DESIGN section 3). It is decided by one durable record; what follows from that is done step by
//! step, each of which may be repeated, now or at the next opening. So a power cut leaves either
//! the old fleet or, once the folder is open again, the new one.
//!
//! What the old fleet signed and reported is set aside whole and counts no more: roots, floors,
//! statements, membership. What the machine itself did stays: its key, what its slots hold, which
//! images failed here, its runs, the floor under its clock.

use std::fs;
use std::path::{Path, PathBuf};

use daymark_core::durable::{ADOPTIONS_KEPT, Adoption, DurableState};
use daymark_protocol::control::Bytes;
use daymark_protocol::trust::Pin;
use serde::{Deserialize, Serialize};

use super::folder::create_private;
use super::record::sync_folder;
use super::{DataFolder, DurableError, read_record, write_record};

/// Name of the record.
const RECORD: &str = "adopting";
/// Most bytes of the new fleet's roots: as base64 they fit a record with room to spare. A fleet with
/// more is taken by its newest ones, and peers give the others back.
const ROOTS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// What is set aside of the old fleet.
const OF_THE_FLEET: [&str; 3] = ["roots", "floors", "store"];

/// A fleet to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFleet {
    /// The root that a person named.
    pub pin: Pin,
    /// Its roots as they are stored, by version.
    pub roots: Vec<(u64, Vec<u8>)>,
}

/// A change of fleet that is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopting {
    pin: Pin,
    roots: Vec<(u64, Bytes)>,
    adoption: Adoption,
}

/// One durable step.
#[derive(Debug)]
enum Step<'a> {
    SetAside(&'static str),
    MakeRoots,
    WriteRoot(u64, &'a [u8]),
    WriteState,
    End,
}

impl Adopting {
    /// The change from what the adoption names to that fleet.
    ///
    /// # Errors
    /// [`DurableError::Full`] never; [`DurableError::Write`] if its roots are too many to be taken
    /// down in one record.
    pub fn new(path: &Path, fleet: NewFleet, adoption: Adoption) -> Result<Self, DurableError> {
        let bytes: usize = fleet.roots.iter().map(|(_, bytes)| bytes.len()).sum();
        if bytes > ROOTS_BYTES_MAX {
            let message =
                format!("the roots that were brought have more than {ROOTS_BYTES_MAX} bytes");
            return Err(DurableError::write(path, std::io::Error::other(message)));
        }
        let roots = fleet.roots.into_iter().map(|(version, bytes)| (version, Bytes(bytes)));
        Ok(Self { pin: fleet.pin, roots: roots.collect(), adoption })
    }

    fn steps(&self) -> Vec<Step<'_>> {
        let mut steps: Vec<Step<'_>> = OF_THE_FLEET.map(Step::SetAside).into();
        steps.push(Step::MakeRoots);
        steps.extend(self.roots.iter().map(|(version, root)| Step::WriteRoot(*version, &root.0)));
        steps.extend([Step::WriteState, Step::End]);
        steps
    }

    /// Where what was the old fleet's goes.
    fn aside(&self, folder: &Path) -> PathBuf {
        let Adoption { from, at } = &self.adoption;
        folder.join("former").join(format!("{}-{}", from.short(), at.as_ms()))
    }

    fn state(&self, before: DurableState) -> DurableState {
        if before.pin == Some(self.pin) {
            return before;
        }
        let mut adopted = before.adopted;
        adopted.push(self.adoption.clone());
        let over = adopted.len().saturating_sub(ADOPTIONS_KEPT);
        adopted.drain(..over);
        DurableState {
            pin: Some(self.pin),
            root_floor: self.pin.version,
            heartbeat: None,
            addresses: Default::default(),
            adopted,
            ..before
        }
    }
}

impl DataFolder {
    /// Decides for another fleet, durably, and changes to it.
    ///
    /// # Errors
    /// What the file system says. Once the decision is on disk the next opening goes on.
    pub fn adopt(&self, adopting: &Adopting) -> Result<(), DurableError> {
        write_record(&self.path.join(RECORD), RECORD, 0o600, adopting)?;
        self.finish_adoption()
    }

    /// Brings a change of fleet that was decided to its end.
    pub(super) fn finish_adoption(&self) -> Result<(), DurableError> {
        let adopting: Option<Adopting> = read_record(&self.path.join(RECORD), RECORD)?;
        let Some(adopting) = adopting else { return Ok(()) };
        adopting.steps().iter().try_for_each(|step| self.adoption_step(&adopting, step))
    }

    fn adoption_step(&self, adopting: &Adopting, step: &Step<'_>) -> Result<(), DurableError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DurableError::write(&path, source)
        };
        match step {
            Step::SetAside(name) => {
                let aside = adopting.aside(&self.path);
                create_private(&aside).map_err(failed(&aside))?;
                let (held, kept) = (self.path.join(name), aside.join(name));
                // There already: then what has the name now is the new fleet's.
                if !kept.exists() && held.exists() {
                    fs::rename(&held, &kept).map_err(failed(&held))?;
                }
                for folder in [&aside, &self.path.join("former"), &self.path] {
                    sync_folder(folder).map_err(failed(folder))?;
                }
                Ok(())
            }
            Step::MakeRoots => {
                let roots = self.path.join("roots");
                create_private(&roots).map_err(failed(&roots))
            }
            Step::WriteRoot(version, bytes) => self.write_root(*version, bytes),
            Step::WriteState => self.write_state(&adopting.state(self.read_state()?)),
            Step::End => {
                let record = self.path.join(RECORD);
                fs::remove_file(&record).map_err(failed(&record))?;
                sync_folder(&self.path).map_err(failed(&self.path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use daymark_protocol::id::{Digest, FleetId};
    use daymark_protocol::time::WallTime;

    use super::*;
    use crate::durable::Journal;

    fn pin(number: u8) -> Pin {
        Pin { version: u64::from(number), digest: Digest([number; 32]) }
    }

    fn adopting(folder: &Path) -> Adopting {
        let roots = vec![(1, b"new root 1".to_vec()), (2, b"new root 2".to_vec())];
        let adoption = Adoption { from: FleetId([1; 32]), at: WallTime::from_ms(1_000) };
        Adopting::new(folder, NewFleet { pin: pin(2), roots }, adoption).unwrap()
    }

    /// A machine of the old fleet that ran for a while.
    fn machine(path: &Path) -> DurableState {
        let data = DataFolder::open(path).unwrap();
        let state = DurableState {
            pin: Some(pin(1)),
            root_floor: 3,
            generation: 9,
            attempt: 4,
            clock_floor: Some(WallTime::from_ms(500)),
            heartbeat: Some((WallTime::from_ms(400), Digest([7; 32]))),
            ..DurableState::default()
        };
        data.write_state(&state).unwrap();
        for version in 1..=3 {
            data.write_root(version, b"old root").unwrap();
        }
        let (mut journal, _) = Journal::open(&path.join("floors")).unwrap();
        journal.append(&[b"an old floor".to_vec()]).unwrap();
        fs::create_dir(path.join("store")).unwrap();
        fs::write(path.join("store/db"), b"old statements").unwrap();
        state
    }

    /// All of the new fleet, nothing of the old one where it would count, and the machine's own.
    fn is_adopted(path: &Path, before: &DurableState) {
        let data = DataFolder::open(path).unwrap();
        let state = data.read_state().unwrap();
        assert_eq!((state.pin, state.root_floor, state.heartbeat), (Some(pin(2)), 2, None));
        assert_eq!(state.adopted, [adopting(path).adoption]);
        assert_eq!(
            (state.generation, state.attempt, state.clock_floor),
            (before.generation, before.attempt, before.clock_floor)
        );
        assert_eq!(data.read_roots().unwrap(), [b"new root 1".to_vec(), b"new root 2".to_vec()]);
        assert!(!path.join("store").exists() && !path.join(RECORD).exists());
        assert!(Journal::open(&path.join("floors")).unwrap().1.is_empty());
        let aside = adopting(path).aside(path);
        assert_eq!(fs::read(aside.join("store/db")).unwrap(), b"old statements");
        assert_eq!(fs::read_dir(aside.join("roots")).unwrap().count(), 3);
        assert_eq!(Journal::open(&aside.join("floors")).unwrap().1.len(), 1);
    }

    #[test]
    fn r3_a_power_cut_at_any_step_of_an_adoption_leaves_the_old_fleet_or_the_new_one() {
        let steps = adopting(Path::new("/")).steps().len();
        for done in 0..=steps {
            let place = tempfile::tempdir().unwrap();
            let path = place.path();
            let before = machine(path);
            let adopting = adopting(path);
            let data = DataFolder::open(path).unwrap();
            write_record(&path.join(RECORD), RECORD, 0o600, &adopting).unwrap();
            for step in &adopting.steps()[..done] {
                data.adoption_step(&adopting, step).unwrap();
            }
            drop(data);
            // What a cut in the middle of writing a file leaves.
            for torn in ["state.new", "adopting.new"] {
                fs::write(path.join(torn), b"daymark sta").unwrap();
            }
            is_adopted(path, &before);
            // Nothing of it is done again.
            is_adopted(path, &before);
        }
    }

    #[test]
    fn r3_a_power_cut_before_the_decision_is_whole_leaves_the_old_fleet() {
        let place = tempfile::tempdir().unwrap();
        let before = machine(place.path());
        fs::write(place.path().join("adopting.new"), b"daymark adopting 1 ").unwrap();
        let data = DataFolder::open(place.path()).unwrap();
        assert_eq!(data.read_state().unwrap(), before);
        assert_eq!(data.read_roots().unwrap().len(), 3);
        // A decision that cannot be read stops the agent rather than guess.
        drop(data);
        fs::write(place.path().join(RECORD), b"daymark adopting 1 ").unwrap();
        DataFolder::open(place.path()).unwrap_err();
    }

    #[test]
    fn i9_adoptions_and_their_roots_are_bounded() {
        let place = tempfile::tempdir().unwrap();
        let adoption = Adoption { from: FleetId([1; 32]), at: WallTime::EPOCH };
        let roots = vec![(1, vec![0; ROOTS_BYTES_MAX + 1])];
        let fleet = NewFleet { pin: pin(2), roots };
        Adopting::new(place.path(), fleet, adoption.clone()).unwrap_err();
        let fleet = NewFleet { pin: pin(2), roots: vec![(1, vec![0; ROOTS_BYTES_MAX])] };
        let largest = Adopting::new(place.path(), fleet, adoption.clone()).unwrap();
        machine(place.path());
        DataFolder::open(place.path()).unwrap().adopt(&largest).unwrap();
        let many = DurableState { adopted: vec![adoption; 9], ..DurableState::default() };
        assert_eq!(adopting(place.path()).state(many).adopted.len(), ADOPTIONS_KEPT);
    }
}
