//! A machine with two slots, a boot loader with tries, and no mercy.

use daymark_core::event::Inspection;
use daymark_protocol::decide::{Activity, Installed, InstalledSource, Machine, PlatformKind};
use daymark_protocol::resource::OsType;

use super::images::{CHUNKS, ImageId, Images, index_of};
use crate::operators::PROFILE;
use crate::scenario::Failing;

/// How long a machine takes to boot, ms.
const BOOT_MS: u64 = 30_000;
/// How long the watchdog lets a machine hang, ms.
const WATCHDOG_MS: u64 = 120_000;

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Nothing.
    Empty,
    /// The first chunks of an image.
    Partial(ImageId, u32),
    /// An image.
    Whole(ImageId),
}

/// A machine below the agent.
#[derive(Clone, Debug)]
pub struct SimMachine {
    slots: [Slot; 2],
    booted: usize,
    /// Restarts so far: names the boot.
    boots: u64,
    default: usize,
    /// A slot to be tried, and how often yet.
    trying: Option<(usize, u8)>,
    boot_tries: u8,
    /// Whether it is old hardware.
    pub old_hardware: bool,
}

/// How a boot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// How long it took, watchdog and boot loader included, ms.
    pub took_ms: u64,
    /// Tries that panicked and tries that hung.
    pub panicked: u32,
    /// Tries that hung.
    pub hung: u32,
    /// Whether anything runs at all.
    pub runs: bool,
}

impl SimMachine {
    pub(crate) fn new(boot_tries: u8, old_hardware: bool) -> Self {
        Self {
            slots: [Slot::Whole(ImageId::FIRST), Slot::Empty],
            booted: 0,
            boots: 0,
            default: 0,
            trying: None,
            boot_tries,
            old_hardware,
        }
    }

    /// The image that runs; `None` if the machine does not boot any more.
    pub fn runs(&self) -> Option<ImageId> {
        match self.slots[self.booted] {
            Slot::Whole(image) => Some(image),
            Slot::Empty | Slot::Partial(..) => None,
        }
    }

    /// Restarts so far.
    pub fn boots(&self) -> u64 {
        self.boots
    }

    /// The slot that runs.
    pub fn booted(&self) -> usize {
        self.booted
    }

    /// What is in a slot.
    pub fn slot(&self, slot: usize) -> Slot {
        self.slots[slot]
    }

    /// Whether the running boot is confirmed.
    pub fn is_confirmed(&self) -> bool {
        self.booted == self.default
    }

    /// Whether the next boot tries a new slot.
    pub fn is_armed(&self) -> bool {
        self.trying.is_some_and(|(_, left)| left > 0)
    }

    /// Chunks of an image that it can serve to others.
    pub(crate) fn chunks_of(&self, image: ImageId) -> u32 {
        let of = |slot: &Slot| match slot {
            Slot::Whole(held) if *held == image => CHUNKS,
            Slot::Partial(held, chunks) if *held == image => *chunks,
            Slot::Empty | Slot::Partial(..) | Slot::Whole(_) => 0,
        };
        self.slots.iter().map(of).max().unwrap_or(0)
    }

    /// Begins or goes on writing the inactive slot; how many chunks are there already.
    pub(crate) fn begin_stage(&mut self, image: ImageId) -> u32 {
        let slot = &mut self.slots[1 - self.booted];
        match *slot {
            Slot::Partial(held, chunks) if held == image => chunks,
            Slot::Whole(held) if held == image => CHUNKS,
            Slot::Empty | Slot::Partial(..) | Slot::Whole(_) => {
                *slot = Slot::Partial(image, 0);
                0
            }
        }
    }

    /// Writes the next chunk; how many are there then.
    pub(crate) fn write_chunk(&mut self, image: ImageId) -> u32 {
        let slot = &mut self.slots[1 - self.booted];
        let chunks = match *slot {
            Slot::Partial(held, chunks) if held == image => chunks + 1,
            Slot::Whole(held) if held == image => return CHUNKS,
            Slot::Empty | Slot::Partial(..) | Slot::Whole(_) => 1,
        };
        *slot = if chunks >= CHUNKS { Slot::Whole(image) } else { Slot::Partial(image, chunks) };
        chunks
    }

    /// Arms the boot switch.
    pub(crate) fn arm(&mut self) {
        self.trying = Some((1 - self.booted, self.boot_tries));
    }

    /// Makes the running boot the default.
    pub(crate) fn confirm(&mut self) {
        self.default = self.booted;
        self.trying = None;
    }

    /// Makes a slot the default and takes an armed switch back.
    pub(crate) fn fall_back(&mut self, slot: Option<&str>) {
        self.trying = None;
        self.default = usize::from(slot == Some("b"));
    }

    /// A person chooses the other slot in the boot menu, if it holds an image.
    pub(crate) fn boot_other(&mut self) -> bool {
        let other = 1 - self.booted;
        let there = matches!(self.slots[other], Slot::Whole(_));
        if there {
            self.booted = other;
            self.boots += 1;
        }
        there
    }

    /// The power comes or the machine restarts: the boot loader picks a slot, as often as it
    /// takes.
    pub(crate) fn boot(&mut self, images: &Images) -> Boot {
        let mut boot = Boot { took_ms: 0, panicked: 0, hung: 0, runs: false };
        for _ in 0..=u32::from(self.boot_tries) + 1 {
            self.boots += 1;
            boot.took_ms += BOOT_MS;
            self.booted = match &mut self.trying {
                Some((slot, left)) if *left > 0 => {
                    *left -= 1;
                    *slot
                }
                Some(_) | None => {
                    self.trying = None;
                    self.default
                }
            };
            let failing = match self.slots[self.booted] {
                Slot::Whole(image) => images.failing(image, self.old_hardware),
                Slot::Empty | Slot::Partial(..) => Failing::Boot,
            };
            match failing {
                Failing::Nothing | Failing::Health => {
                    boot.runs = true;
                    if self.booted == self.default {
                        self.trying = None;
                    }
                    break;
                }
                Failing::Boot => boot.panicked += 1,
                Failing::Hang => {
                    boot.hung += 1;
                    boot.took_ms += WATCHDOG_MS;
                }
            }
        }
        boot
    }

    /// Whether the running image brings a newer agent.
    pub(crate) fn has_newer_agent(&self, images: &Images) -> bool {
        self.runs().is_some_and(|image| images.of(image).newer_agent)
    }

    /// What the agent of the running image says of the machine: a newer one says more.
    fn facts(&self, images: &Images) -> Vec<(String, String)> {
        let mut facts = vec![("kernel".to_owned(), "simulated".to_owned())];
        if self.has_newer_agent(images) {
            facts.push(("attestation".to_owned(), "measured".to_owned()));
        }
        facts
    }

    /// What the platform reports.
    pub fn inspection(&self, images: &Images) -> Inspection {
        let version = self.runs().map(|image| images.of(image).version.clone());
        let installed = version.map(|version| Installed {
            profile: Some(PROFILE.to_owned()),
            index_digest: Some(index_of(&version)),
            version: Some(version),
            image_sha256: None,
            source: InstalledSource::Slot,
        });
        Inspection {
            machine: Machine {
                os_type: OsType::Immutable,
                platform: PlatformKind::Slots,
                architecture: String::new(),
                installed,
                staged: None,
                quarantine: vec![],
                inhibitors: vec![],
                other_updaters: vec![],
                activation_ms: None,
                activity: Activity::Idle,
                slot_busy: (!self.is_confirmed()).then(|| "the boot is not confirmed".to_owned()),
            },
            booted_slot: Some(if self.booted == 0 { "a" } else { "b" }.to_owned()),
            boot_id: Some(self.boots.to_string()),
            boot_unconfirmed: !self.is_confirmed(),
            facts: self.facts(images),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Image;

    fn images(fails: Failing) -> Images {
        let (version, megabytes) = ("2.0.0".to_owned(), 1);
        Images::new(&[Image { version, megabytes, fails, only_on_old: false, newer_agent: false }])
    }

    fn staged(tries: u8) -> SimMachine {
        let mut machine = SimMachine::new(tries, false);
        assert_eq!(machine.begin_stage(ImageId(1)), 0);
        (0..CHUNKS).for_each(|_| {
            machine.write_chunk(ImageId(1));
        });
        machine.arm();
        machine
    }

    #[test]
    fn a_new_slot_is_tried_as_often_as_was_said_and_then_the_default_boots() {
        let mut machine = staged(2);
        let boot = machine.boot(&images(Failing::Boot));
        assert_eq!((boot.panicked, boot.runs, machine.booted()), (2, true, 0));
        let mut machine = staged(1);
        let boot = machine.boot(&images(Failing::Hang));
        assert_eq!((boot.hung, boot.took_ms, machine.booted()), (1, 2 * BOOT_MS + WATCHDOG_MS, 0));
        let mut machine = staged(1);
        machine.boot(&images(Failing::Health));
        assert!(machine.booted() == 1 && !machine.is_confirmed() && !machine.is_armed());
        machine.boot(&images(Failing::Health));
        assert!(machine.booted() == 0 && machine.is_confirmed(), "unconfirmed: the old one boots");
    }

    #[test]
    fn half_an_image_does_not_boot_and_staging_goes_on_where_it_stopped() {
        let mut machine = SimMachine::new(1, false);
        machine.begin_stage(ImageId(1));
        machine.write_chunk(ImageId(1));
        machine.arm();
        assert!(machine.boot(&images(Failing::Nothing)).runs && machine.booted() == 0);
        assert_eq!(machine.begin_stage(ImageId(1)), 1);
        assert_eq!(machine.begin_stage(ImageId(0)), 0, "another image begins anew");
    }
}
