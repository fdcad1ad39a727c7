//! What cannot be got back from peers and therefore lives in a small file (RULES Q13).

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::decide::{Quarantined, ResolvedTarget, Window};
use daymark_protocol::id::{Digest, FleetId, KeyId};
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::Pin;
use serde::{Deserialize, Serialize};

use crate::event::StageProgress;

/// Peers whose addresses are remembered: enough to rejoin the mesh after a restart, and small
/// enough to be written with every other change of this file.
pub const ADDRESS_BOOK_PEERS_MAX: usize = 64;

/// All of it. The host stores it with a format version and a checksum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DurableState {
    /// The fleet that this machine took, once (RULES R3).
    pub pin: Option<Pin>,
    /// Version of the newest root that was ever held: below it nothing is judged (RULES R2).
    #[serde(default)]
    pub root_floor: u64,
    /// Generation of the newest start of the agent (RULES D5).
    pub generation: u64,
    /// Number of the last attempt at an update.
    pub attempt: u64,
    /// The floor under `now` (RULES K1).
    pub clock_floor: Option<WallTime>,
    /// The time of the newest heartbeat and its digest: a floor until a root takes it back.
    #[serde(default)]
    pub heartbeat: Option<(WallTime, Digest)>,
    /// Whether another machine was seen to use the same key: this one waits until `rebind`
    /// (RULES D6).
    #[serde(default)]
    pub cloned: bool,
    /// Why this is not the machine that the key is bound to, if it is not: it waits until `rebind`
    /// (RULES D6).
    #[serde(default)]
    pub moved: Option<String>,
    /// The fleets that this machine left because a local person said so, oldest first; at most
    /// [`ADOPTIONS_KEPT`].
    #[serde(default)]
    pub adopted: Vec<Adoption>,
    /// Images that failed here.
    pub quarantine: Vec<Quarantined>,
    /// Local inhibitors: why, and until when.
    pub inhibitors: Vec<(String, WallTime)>,
    /// Measured time from activation to confirmation, ms.
    pub activation_ms: Option<u64>,
    /// Digest of the custom configuration that was delivered last.
    pub delivered_config: Option<Digest>,
    /// Names of the custom configurations that the platform holds, or may hold.
    #[serde(default)]
    pub delivered_names: BTreeSet<String>,
    /// The update under way.
    pub update: UpdateState,
    /// The last runs that ended, oldest first; at most [`daymark_protocol::limits::RUNS_KEPT`].
    /// Every generation of reports states them again, so that no lost report loses a run (I12).
    pub finished: Vec<FinishedRun>,
    /// Number of the last attempt that was told as UPDATED, which each is once (I12).
    #[serde(default)]
    pub told_updated: u64,
    /// Where enrolled peers were last reached; at most [`ADDRESS_BOOK_PEERS_MAX`] of them.
    #[serde(default)]
    pub addresses: BTreeMap<KeyId, Vec<String>>,
}

/// Adoptions that are remembered: each is the end of a fleet.
pub const ADOPTIONS_KEPT: usize = 4;

/// A person at this machine had it take another fleet, since the root's threshold of its own was
/// lost (DESIGN section 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adoption {
    /// The fleet that it left.
    pub from: FleetId,
    /// When, by the machine's own clock.
    pub at: WallTime,
}

impl std::fmt::Display for Adoption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "adopted from fleet {} at {} by a local person", self.from.short(), self.at)
    }
}

/// The update state machine (DESIGN section 8); durable before each act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum UpdateState {
    /// Nothing under way.
    #[default]
    Idle,
    /// Writing the inactive slot.
    Staging(Attempt),
    /// The inactive slot is complete and verified.
    Staged(Attempt),
    /// About to switch the boot entry.
    Activating(Attempt),
    /// The boot entry is switched; about to restart.
    Rebooting(Attempt),
    /// Booted again; health is being checked.
    Confirming(Attempt),
    /// Switching back.
    FallingBack(Attempt),
}

/// One attempt at an update; exactly one run record comes of it (I12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its number.
    pub number: u64,
    /// What it installs.
    pub target: ResolvedTarget,
    /// What ran before: version, for the run's record.
    pub from_version: Option<String>,
    /// What ran before: profile name, if the machine told.
    #[serde(default)]
    pub from_profile: Option<String>,
    /// When staging began.
    pub started: WallTime,
    /// The slot that ran before.
    pub from_slot: Option<String>,
    /// When the boot switch was ordered.
    pub activated: Option<WallTime>,
    /// The boot in which the switch was ordered.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// Whether it is taken back before the machine restarted: then the image is not to blame.
    #[serde(default)]
    pub untried: bool,
    /// Whether the machine restarted after the boot switch without being told to.
    #[serde(default)]
    pub unordered_restart: bool,
    /// How long the OS profile says that activation takes, ms.
    #[serde(default)]
    pub activation_ms: Option<u64>,
    /// Whether a peer was connected before the reboot.
    pub peer_seen: bool,
    /// The window that it was staged for; past its end the attempt is dropped (RULES Q14).
    #[serde(default)]
    pub window: Option<Window>,
    /// Health checks that the OS profile names, kept so that a restart needs nothing else.
    #[serde(default)]
    pub health_checks: Vec<String>,
    /// Restarts ordered to get back to the last good slot: bounded, so that a boot switch that
    /// does not obey cannot make the machine restart for ever.
    #[serde(default)]
    pub fall_back_restarts: u8,
    /// Where the bytes came from.
    pub progress: StageProgress,
    /// Why it is being taken back, once it is.
    pub failure: Option<String>,
}

impl Attempt {
    /// Takes how far staging is. Who sent wrong chunks in a try before stays named, with the most
    /// of one try.
    pub(crate) fn note_progress(&mut self, mut progress: StageProgress) {
        for (peer, before) in std::mem::take(&mut self.progress.refused) {
            let chunks = progress.refused.entry(peer).or_default();
            *chunks = before.max(*chunks);
        }
        self.progress = progress;
    }
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinishedRun {
    /// The attempt.
    pub attempt: Attempt,
    /// EIM's status name: `UPDATED` or `FAILED`.
    pub status: String,
    /// Detail, at most 512 bytes.
    pub detail: String,
    /// When it ended.
    pub ended: WallTime,
}
