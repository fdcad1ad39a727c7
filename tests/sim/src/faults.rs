//! Kinds of fault, how often each happened, and how often it changed an outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A kind of fault. A fault *bites* when it changed an outcome, as said for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// A message was lost; bites if a running node would have heard it.
    Loss,
    /// A message arrived twice; bites if a node had to handle it twice.
    Duplicate,
    /// A message was held back; bites if one sent after it arrived first.
    Reorder,
    /// A byte of a message changed; bites if the node refused it.
    Corrupt,
    /// One end no longer hears the other; bites with each message that it cost.
    OneWayCut,
    /// The network fell apart; bites with each message that it cost.
    Partition,
    /// The agent was killed; bites if it cost writes, acts or an operation.
    Kill,
    /// The power failed; bites likewise, or if it ended an update's boot.
    PowerCut,
    /// A write of a store or journal was torn; bites if the start found it.
    TornWrite,
    /// The disk was full; bites if the agent had to stop.
    FullDisk,
    /// The disk was read-only; bites if the agent had to stop.
    ReadOnlyDisk,
    /// A stored byte changed; bites if the start found it.
    RottenByte,
    /// A clock drifted; bites if a node's reading was off by more than a second.
    ClockDrift,
    /// A clock was set; bites if the node then did not trust it.
    ClockStep,
    /// A clock lost the time; bites if the node then did not trust it.
    DeadBattery,
    /// An image failed its health check and the machine fell back.
    UnhealthyImage,
    /// An image did not boot and the boot loader fell back.
    UnbootableImage,
    /// An image hung until the watchdog reset the machine.
    HangingImage,
    /// A machine was off by night or by hand; bites if messages found it off.
    SwitchedOff,
    /// A person booted the other slot.
    WrongBoot,
    /// The release service was absent; bites if a chunk waited for it.
    ReleaseAbsent,
    /// The release service was slow; bites with each chunk that waited.
    ReleaseSlow,
    /// The release service served other bytes; bites with each chunk that was refused.
    ReleaseLies,
    /// Statements that nobody signed who may; bites if a node refused or ignored them.
    Forged,
    /// Old messages again; bites if a node handled them.
    Replayed,
    /// One statement kept back for ever; bites with each time.
    Withheld,
    /// Bytes without sense; bites if a node refused them.
    Garbled,
    /// More bytes than a message may have; bites if the transport refused them.
    Oversized,
    /// More than anyone can handle; bites if a node dropped some.
    Flooded,
    /// Reports in others' names; bites if a node refused them.
    Invented,
    /// Orders that too few stolen keys signed; bites if a node held them.
    Stolen,
    /// Wrong chunks from a peer; bites if a machine refused them.
    WrongChunks,
    /// Two different orders under one version; bites if a node held both.
    Contradiction,
    /// Answers that trickled for minutes; bites with each that came after all.
    Stalled,
    /// Host statements that others showed, shown again; bites if a node had to look at them.
    Rejoined,
    /// Valid drafts without end; bites if a node held some.
    Drafts,
    /// Reports of a thief about its own machine; bites if a node took one.
    Boasted,
    /// Two machines with one key; bites if one of them noticed and waits.
    Cloned,
    /// The agent died before what it decided was saved; bites with each.
    DiedBeforeSave,
    /// The agent died after a save, before anything that relies on it; bites with each.
    DiedAfterSave,
    /// The agent died between two effects of one step; bites with each.
    DiedBetweenEffects,
    /// Daylight saving began or ended; bites if a window opened at another hour of UTC for it.
    ClockChange,
    /// The second signer signed late; bites if a node held the first signature and waited.
    LateCosign,
    /// An administrator's key left; bites if something counted that it had signed.
    KeyLeft,
    /// Two roots of one version were signed; bites for each machine that held both and waited.
    RivalRoots,
    /// A stick was carried; bites if it brought something new.
    Stick,
}

/// Counts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How often it happened.
    pub happened: u64,
    /// How often it changed an outcome.
    pub bit: u64,
}

/// Counts of all kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultCounts(pub BTreeMap<Fault, Count>);

impl FaultCounts {
    /// Notes that a fault happened.
    pub fn happened(&mut self, fault: Fault) {
        self.0.entry(fault).or_default().happened += 1;
    }

    /// Notes that a fault that happened changed an outcome.
    pub fn bit(&mut self, fault: Fault) {
        self.0.entry(fault).or_default().bit += 1;
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            let sum = self.0.entry(*fault).or_default();
            sum.happened += count.happened;
            sum.bit += count.bit;
        }
    }

    /// Kinds that never bit.
    pub fn toothless(&self) -> Vec<Fault> {
        let bites = |fault: &Fault| self.0.get(fault).is_some_and(|count| count.bit > 0);
        Fault::ALL.into_iter().filter(|fault| !bites(fault)).collect()
    }
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 46] = [
        Self::Loss,
        Self::Duplicate,
        Self::Reorder,
        Self::Corrupt,
        Self::OneWayCut,
        Self::Partition,
        Self::Kill,
        Self::PowerCut,
        Self::TornWrite,
        Self::FullDisk,
        Self::ReadOnlyDisk,
        Self::RottenByte,
        Self::ClockDrift,
        Self::ClockStep,
        Self::DeadBattery,
        Self::UnhealthyImage,
        Self::UnbootableImage,
        Self::HangingImage,
        Self::SwitchedOff,
        Self::WrongBoot,
        Self::ReleaseAbsent,
        Self::ReleaseSlow,
        Self::ReleaseLies,
        Self::Forged,
        Self::Replayed,
        Self::Withheld,
        Self::Garbled,
        Self::Oversized,
        Self::Flooded,
        Self::Invented,
        Self::Stolen,
        Self::WrongChunks,
        Self::Contradiction,
        Self::Stalled,
        Self::Rejoined,
        Self::Drafts,
        Self::Boasted,
        Self::Cloned,
        Self::DiedBeforeSave,
        Self::DiedAfterSave,
        Self::DiedBetweenEffects,
        Self::ClockChange,
        Self::LateCosign,
        Self::KeyLeft,
        Self::RivalRoots,
        Self::Stick,
    ];
}
