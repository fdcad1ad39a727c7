//! The configured slots, what each holds, and the way to begin writing one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use daymark_protocol::id::Digest;
use daymark_protocol::image::{ChunkSet, Index, is_part_name};
use daymark_protocol::resource::PartName;
use serde::{Deserialize, Serialize};

use super::boot_switch::BootState;
use super::device::{Place, length_of};
use super::error::SlotError;
use super::held::HeldImage;
use super::journal::Journal;
use super::record::{ImageIdentity, SlotRecord, write_durably};
use super::writer::SlotWriter;
use crate::durable::sync_folder;

/// The slot of a staging area.
pub const STAGING_AREA: &str = "staged";

/// A slot as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotLayout {
    /// Its name, such as `a`.
    pub name: String,
    /// The file or block device of each part.
    pub parts: BTreeMap<PartName, PathBuf>,
}

/// All slots of this machine.
#[derive(Debug)]
pub struct Slots {
    layouts: Vec<SlotLayout>,
    /// Folder of a staging area's parts.
    area: Option<PathBuf>,
    records: PathBuf,
    held: Mutex<BTreeMap<String, Arc<HeldImage>>>,
}

impl Slots {
    /// Opens the slots; `records` is the folder for what must be remembered of them.
    ///
    /// # Errors
    /// If names or paths clash, or what is remembered cannot be read.
    pub fn open(layouts: Vec<SlotLayout>, records: PathBuf) -> Result<Self, SlotError> {
        check_layouts(&layouts)?;
        Self::load(layouts, None, records)
    }

    /// Opens a staging area: a single slot, [`STAGING_AREA`], that nothing boots from and whose
    /// parts are files of their exact length in a folder, whatever parts an image has.
    ///
    /// # Errors
    /// If the folder cannot be made, or what is remembered cannot be read.
    pub fn staging_area(folder: &Path) -> Result<Self, SlotError> {
        let parts = folder.join("parts");
        let made = std::fs::create_dir_all(&parts).and_then(|()| sync_folder(folder));
        made.map_err(|error| SlotError::io("make", &parts, error))?;
        let layout = SlotLayout { name: STAGING_AREA.to_owned(), parts: BTreeMap::new() };
        Self::load(vec![layout], Some(parts), folder.to_owned())
    }

    fn load(
        layouts: Vec<SlotLayout>,
        area: Option<PathBuf>,
        records: PathBuf,
    ) -> Result<Self, SlotError> {
        std::fs::create_dir_all(&records)
            .map_err(|error| SlotError::io("make", &records, error))?;
        let slots = Self { layouts, area, records, held: Mutex::default() };
        for layout in &slots.layouts {
            if let Some(image) = slots.load_image(&layout.name)? {
                slots.lock().insert(layout.name.clone(), Arc::new(image));
            }
        }
        Ok(slots)
    }

    /// The slots' names, as configured.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layouts.iter().map(|layout| layout.name.as_str())
    }

    /// Whether a slot of that name is configured.
    pub fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The slot to write while `booted` runs: the first other one; none while a slot runs that is
    /// not configured, for any could be the running one (I5).
    pub fn inactive(&self, booted: Option<&str>) -> Option<&str> {
        let known = booted.is_none_or(|booted| self.has(booted));
        self.names().find(|name| known && Some(*name) != booted)
    }

    /// The file or device of a slot's part.
    pub fn part_path(&self, slot: &str, part: &str) -> Option<PathBuf> {
        let layout = self.layout(slot).ok()?;
        match &self.area {
            Some(folder) => is_part_name(part).then(|| folder.join(part)),
            None => layout.parts.get(part).cloned(),
        }
    }

    /// What is recorded of a slot; `None` if its content is unknown.
    ///
    /// # Errors
    /// If there is no such slot or its record cannot be read.
    pub fn record(&self, slot: &str) -> Result<Option<SlotRecord>, SlotError> {
        let layout = self.layout(slot)?;
        SlotRecord::load(&self.file(&layout.name, "record"))
    }

    /// Whether the parts that the slot's record names are there, each as long as its image needs:
    /// a file system that was damaged, or a hand that tidied up, can take one after it was verified.
    ///
    /// # Errors
    /// [`SlotError::PartLost`] for one that is not, or if a part cannot be looked at.
    pub fn check_parts_there(&self, slot: &str) -> Result<(), SlotError> {
        let Some(record) = self.record(slot)? else { return Ok(()) };
        for (part, signed) in record.image.parts {
            let path = self
                .part_path(slot, &part)
                .ok_or_else(|| SlotError::NoPlace { slot: slot.to_owned(), part: part.clone() })?;
            if length_of(&path)?.is_none_or(|bytes| bytes < signed.bytes) {
                let (slot, needed) = (slot.to_owned(), signed.bytes);
                return Err(SlotError::PartLost { slot, part, path, needed });
            }
        }
        Ok(())
    }

    /// The image in a slot, if it is known.
    pub fn image_in(&self, slot: &str) -> Option<Arc<HeldImage>> {
        self.lock().get(slot).cloned()
    }

    /// The image with that index, from the slot that holds most of it.
    pub fn image(&self, index: &Digest) -> Option<Arc<HeldImage>> {
        let held = self.lock();
        let same = held.values().filter(|image| image.index().digest() == *index);
        same.max_by_key(|image| image.held().count()).cloned()
    }

    /// The images of all slots.
    pub fn images(&self) -> Vec<Arc<HeldImage>> {
        self.lock().values().cloned().collect()
    }

    /// Opens `slot` for writing the image of `identity`. Everything that can be refused is, before
    /// a byte of the slot changes; then the slot's record says the new image, and what was verified
    /// of it before counts on. Blocks on the disk.
    ///
    /// # Errors
    /// If the slot runs or is the way back of an unconfirmed boot (I5), if the image does not fit,
    /// or the disk fails.
    pub fn begin(
        &self,
        slot: &str,
        boot: &BootState,
        identity: &ImageIdentity,
        index: Arc<Index>,
    ) -> Result<SlotWriter, SlotError> {
        let layout = self.layout_for(slot, &index)?;
        self.refuse_unknown_boot(boot)?;
        refuse_running(slot, boot)?;
        check_parts(identity, &index)?;
        let files = open_places(&layout, &index)?;

        let record_path = self.file(slot, "record");
        let journal_path = self.file(slot, "chunks");
        let before = SlotRecord::load(&record_path)?;
        let same = before.is_some_and(|record| record.image.index == index.digest());
        let verified = if same {
            Journal::load(&journal_path, &index)?
        } else {
            ChunkSet::new(index.chunk_count())
        };
        let index_bytes: Arc<[u8]> = index.encode().into();
        if !same {
            // The record goes first: from here on nothing of the old image counts.
            SlotRecord { image: identity.clone(), complete: false }.store(&record_path)?;
        }
        // A cut after the record may have left another image's index, or none.
        let index_path = self.file(slot, "index");
        if !std::fs::read(&index_path).is_ok_and(|stored| *stored == *index_bytes) {
            write_durably(&index_path, &index_bytes)?;
        }
        let journal = Journal::rewrite(&journal_path, &index, &verified)?;
        match &self.area {
            Some(folder) => trim_area(folder, &index, &files)?,
            None => clear_other_parts(&layout, &index)?,
        }

        let readers = open_for_reading(&layout, &index)?;
        let image = HeldImage::new(slot, Arc::clone(&index), index_bytes, readers, verified);
        let image = Arc::new(image);
        let previous = self.lock().insert(slot.to_owned(), Arc::clone(&image));
        let record = SlotRecord { image: identity.clone(), complete: false };
        Ok(SlotWriter::new(image, files, journal, journal_path, record, record_path, previous))
    }

    fn load_image(&self, slot: &str) -> Result<Option<HeldImage>, SlotError> {
        let Some(record) = SlotRecord::load(&self.file(slot, "record"))? else {
            return Ok(None);
        };
        let Ok(bytes) = std::fs::read(self.file(slot, "index")) else { return Ok(None) };
        let Ok(index) = Index::open(&bytes, &record.image.index) else { return Ok(None) };
        let index = Arc::new(index);
        let layout = self.layout_for(slot, &index)?;
        let Ok(parts) = open_for_reading(&layout, &index) else { return Ok(None) };
        let held = Journal::load(&self.file(slot, "chunks"), &index)?;
        Ok(Some(HeldImage::new(slot, index, bytes.into(), parts, held)))
    }

    /// A slot's places for an image; those of a staging area are as the image needs them.
    fn layout_for(&self, slot: &str, index: &Index) -> Result<SlotLayout, SlotError> {
        let mut layout = self.layout(slot)?.clone();
        if let Some(folder) = &self.area {
            let place = |name: &PartName| (name.clone(), folder.join(name));
            layout.parts = index.parts().iter().map(|part| place(&part.name)).collect();
        }
        Ok(layout)
    }

    /// I5: while a slot runs that is not configured, any of the configured could be that one.
    fn refuse_unknown_boot(&self, boot: &BootState) -> Result<(), SlotError> {
        match &boot.booted {
            Some(booted) if !self.has(booted) => Err(SlotError::BootedUnknown(booted.clone())),
            Some(_) | None => Ok(()),
        }
    }

    fn layout(&self, slot: &str) -> Result<&SlotLayout, SlotError> {
        let found = self.layouts.iter().find(|layout| layout.name == slot);
        found.ok_or_else(|| SlotError::NoSuchSlot(slot.to_owned()))
    }

    fn file(&self, slot: &str, what: &str) -> PathBuf {
        self.records.join(format!("{slot}.{what}"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<HeldImage>>> {
        // The map is consistent between any two statements, so a panic elsewhere spoils nothing.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// I5: the running slot is never written, nor the way back of a boot that is still on trial.
fn refuse_running(slot: &str, boot: &BootState) -> Result<(), SlotError> {
    match &boot.booted {
        Some(booted) if booted == slot => Err(SlotError::Booted(slot.to_owned())),
        Some(booted) if boot.unconfirmed => {
            Err(SlotError::Unconfirmed { slot: slot.to_owned(), booted: booted.clone() })
        }
        Some(_) | None => Ok(()),
    }
}

fn check_layouts(layouts: &[SlotLayout]) -> Result<(), SlotError> {
    let mut names = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for layout in layouts {
        let named = is_part_name(&layout.name) && names.insert(&layout.name);
        if !named || layouts.len() < 2 {
            return Err(SlotError::SlotNames(layout.name.clone()));
        }
        for (part, path) in &layout.parts {
            if !is_part_name(part) {
                return Err(SlotError::PartName(part.clone()));
            }
            // Two names of one device are one device.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if !paths.insert(real) {
                return Err(SlotError::SharedPath { path: path.clone() });
            }
        }
    }
    Ok(())
}

/// The signed parts and the index's must be the same.
fn check_parts(identity: &ImageIdentity, index: &Index) -> Result<(), SlotError> {
    for part in index.parts() {
        if identity.parts.get(&part.name).map(|signed| signed.bytes) != Some(part.bytes) {
            return Err(SlotError::PartsDiffer(part.name.clone()));
        }
    }
    match identity.parts.keys().find(|name| index.part(name).is_none()) {
        Some(missing) => Err(SlotError::PartsDiffer(missing.clone())),
        None => Ok(()),
    }
}

/// Opens the places of the index's parts, in order; grows files once all have been checked, and
/// takes that back if one cannot be grown.
fn open_places(layout: &SlotLayout, index: &Index) -> Result<Vec<File>, SlotError> {
    let mut places = Vec::new();
    for part in index.parts() {
        let path = layout.parts.get(&part.name).ok_or_else(|| SlotError::NoPlace {
            slot: layout.name.clone(),
            part: part.name.clone(),
        })?;
        let place = Place::open(&layout.name, &part.name, path)?;
        place.check(part.bytes)?;
        places.push((place, part.bytes));
    }
    for (place, needed) in &places {
        if let Err(error) = place.reserve(*needed) {
            places.iter().for_each(|(place, _)| place.give_back());
            return Err(error);
        }
    }
    Ok(places.into_iter().map(|(place, _)| place.into_file()).collect())
}

/// A slot is one image: what another image left in a part that this one lacks must not boot.
fn clear_other_parts(layout: &SlotLayout, index: &Index) -> Result<(), SlotError> {
    for (part, path) in &layout.parts {
        if index.part(part).is_none() && path.exists() {
            Place::open(&layout.name, part, path)?.clear()?;
        }
    }
    Ok(())
}

/// Leaves exactly the image's parts in a staging area, none longer than it is.
fn trim_area(folder: &Path, index: &Index, files: &[File]) -> Result<(), SlotError> {
    for (part, file) in index.parts().iter().zip(files) {
        file.set_len(part.bytes)
            .map_err(|error| SlotError::io("cut", &folder.join(&part.name), error))?;
    }
    let entries =
        std::fs::read_dir(folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    for entry in entries.map_err(|error| SlotError::io("read", folder, error))? {
        let known = entry.file_name().to_str().is_some_and(|name| index.part(name).is_some());
        if !known {
            std::fs::remove_file(entry.path())
                .map_err(|error| SlotError::io("remove", &entry.path(), error))?;
        }
    }
    Ok(())
}

fn open_for_reading(layout: &SlotLayout, index: &Index) -> Result<Vec<File>, SlotError> {
    let open = |part: &str| {
        let path = layout.parts.get(part).ok_or_else(|| SlotError::NoPlace {
            slot: layout.name.clone(),
            part: part.to_owned(),
        })?;
        File::open(path).map_err(|error| SlotError::io("open", path, error))
    };
    index.parts().iter().map(|part| open(&part.name)).collect()
}
