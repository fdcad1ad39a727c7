//! What the decision takes in and gives out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Reach;
use crate::id::{Digest, ResourceId};
use crate::resource::{OsType, PartDigest, PartName};
use crate::time::WallTime;

/// A stable word for programs: fixed when we make it, owned when it was read.
pub type Word = Cow<'static, str>;

/// All that a decision depends on besides `now`.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// What counts and reaches the host: [`Reach::new`] makes it once per change of
    /// [`Standing`](crate::trust::Standing), for the host to decide for.
    pub reach: &'a Reach,
    /// What the host knows of itself.
    pub machine: &'a Machine,
}

/// How a host's OS is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlatformKind {
    /// Images into slots.
    Slots,
    /// The operator's program.
    Command,
    /// No backend is configured or built for this OS; the reason is shown (`no apt backend`).
    None,
}

/// What a host knows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// How its OS changes.
    pub os_type: OsType,
    /// The backend.
    pub platform: PlatformKind,
    /// Machine architecture as in `uname -m`; empty if unknown.
    #[serde(default)]
    pub architecture: String,
    /// What is really installed and booted.
    pub installed: Option<Installed>,
    /// What is staged in the inactive slot, complete and verified.
    pub staged: Option<StagedImage>,
    /// Images that failed here.
    #[serde(default)]
    pub quarantine: Vec<Quarantined>,
    /// Why the machine must not be changed now: `inhibit`, systemd, `inhibit.d`.
    #[serde(default)]
    pub inhibitors: Vec<String>,
    /// Other updaters that are active on it.
    #[serde(default)]
    pub other_updaters: Vec<String>,
    /// Measured time from activation to confirmation, ms; `None` before the first (RULES Q8).
    #[serde(default)]
    pub activation_ms: Option<u64>,
    /// What the update state machine is doing.
    #[serde(default)]
    pub activity: Activity,
    /// Why no slot can be written, if so: an unconfirmed boot, no inactive slot.
    #[serde(default)]
    pub slot_busy: Option<String>,
}

/// What the update state machine is doing, as far as the decision cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activity {
    /// Nothing under way.
    #[default]
    Idle,
    /// Writing the inactive slot.
    Staging,
    /// Between the boot switch and confirmation: nothing new is decided.
    Activating,
}

/// What is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Profile name; `None` if only the version is known.
    pub profile: Option<String>,
    /// Image version, as dotted numbers.
    pub version: Option<String>,
    /// Index digest of the booted slot, if Daymark installed it.
    pub index_digest: Option<Digest>,
    /// SHA-256 of the image file as published, if it is known: EIM's identity of an image.
    #[serde(default)]
    pub image_sha256: Option<Digest>,
    /// Who says so; reported beats claimed (DESIGN section 6).
    pub source: InstalledSource,
}

impl Installed {
    /// Whether the very bytes of an image run, as far as digests on both sides tell.
    pub fn is_same_bytes(
        &self,
        index_digest: Option<Digest>,
        image_sha256: Option<Digest>,
    ) -> Option<bool> {
        let known = |one: Option<Digest>, other: Option<Digest>| Some(one? == other?);
        known(self.index_digest, index_digest).or_else(|| known(self.image_sha256, image_sha256))
    }
}

/// Who says what is installed, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InstalledSource {
    /// Daymark wrote the slot that is booted.
    Slot,
    /// The operator's program.
    Program,
    /// IMAGE_ID and IMAGE_VERSION of os-release.
    OsRelease,
    /// The signed baseline of its Host statement.
    Baseline,
}

/// A complete and verified image in the inactive slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedImage {
    /// Resource digest of the OS profile it was staged for.
    pub profile: Digest,
    /// Its index digest.
    pub index_digest: Digest,
}

/// An image that failed on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Resource digest of the OS profile.
    pub profile: Digest,
    /// Its index digest: the same bytes under another profile version stay quarantined.
    pub index_digest: Digest,
    /// Number of the attempt that failed.
    pub attempt: u64,
    /// Why, for people.
    pub reason: String,
}

/// The steps of the decision, in evidence order (RULES Q11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// The host has a Host statement that is valid now.
    Enrolled,
    /// The newest root is held with its whole chain and has not expired.
    Authority,
    /// A clock reading counts.
    Clock,
    /// No halt and no hold reaches it, and no closing of an unknown kind.
    Halted,
    /// Nothing that the policy's signers saw is missing here.
    Sees,
    /// Exactly one policy is first in the order.
    Policy,
    /// The policy resolves to one OS profile.
    Target,
    /// Profile, OS type, architecture and backend fit this host.
    Compatible,
    /// It is newer, or going back is permitted and not below the minimum version.
    Newer,
    /// It has not failed here.
    Quarantine,
    /// No other updater is active.
    SoleUpdater,
    /// Nothing local inhibits.
    Inhibited,
    /// This host's turn within the window has come.
    Turn,
    /// The image is staged.
    Staged,
    /// A window is open with enough of it left.
    Window,
    /// The inactive slot is free to be used.
    Slot,
}

impl Gate {
    /// All gates, in evidence order.
    pub const ALL: [Self; 16] = [
        Self::Enrolled,
        Self::Authority,
        Self::Clock,
        Self::Halted,
        Self::Sees,
        Self::Policy,
        Self::Target,
        Self::Compatible,
        Self::Newer,
        Self::Quarantine,
        Self::SoleUpdater,
        Self::Inhibited,
        Self::Turn,
        Self::Staged,
        Self::Window,
        Self::Slot,
    ];
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Nothing asks for an update, or it is there already.
    Nothing,
    /// Something is wanted, and a gate holds it back.
    Wait,
    /// Fetch the image into the inactive slot.
    Stage,
    /// Switch to what is staged.
    Activate,
}

/// One fact behind a gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence(
    /// What it is about: `policy`, `window`, `halt`, …
    pub Word,
    /// The fact, for people; ids and times included.
    pub String,
);

/// A gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateAnswer {
    /// The gate.
    pub gate: Gate,
    /// Whether it lets the update through.
    pub pass: bool,
    /// Stable word for programs: `no-policy`, `outside-window`, `quarantined`, …
    pub reason: Word,
    /// Sentence for people.
    pub message: String,
    /// The facts it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// When its answer may change by time alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes_at: Option<WallTime>,
}

/// The OS profile that a policy resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedTarget {
    /// Id of the policy.
    pub policy: ResourceId,
    /// Version of the policy.
    pub policy_version: u64,
    /// Id of the OS profile.
    pub os_profile: ResourceId,
    /// Its resource digest.
    pub digest: Digest,
    /// Profile name.
    pub profile: String,
    /// Image version.
    pub version: String,
    /// Digest of the index to install; `None` for a profile without an image of ours.
    pub index_digest: Option<Digest>,
    /// Size of the index.
    pub index_bytes: Option<u64>,
    /// SHA-256 of the image file as published, if the profile names one: by it the operator's
    /// program tells what is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_sha256: Option<Digest>,
    /// Signed size and digest of each part, so that staging resumes without the profile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<PartName, PartDigest>,
}

/// A window, half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// First instant.
    pub start: WallTime,
    /// First instant after it; `None`: open-ended.
    pub end: Option<WallTime>,
}

/// The decision: what to do, and every gate's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// What to do.
    pub verdict: Verdict,
    /// The reason of the verdict: that of the gate that decided it, or `newer`, `staged-and-open`.
    pub reason: Word,
    /// Sentence for people.
    pub message: String,
    /// Every gate that could be judged, in order. Gates after one that leaves nothing to judge
    /// (no policy, no target) are absent.
    pub gates: Vec<GateAnswer>,
    /// What is wanted.
    pub target: Option<ResolvedTarget>,
    /// The window that is open, or the next one.
    pub window: Option<Window>,
    /// When this host starts within it (RULES Q7).
    pub start_at: Option<WallTime>,
    /// When the answer may change by time alone: look again then at the latest.
    pub next_look: Option<WallTime>,
}

impl Decision {
    /// The gate whose answer decided, if it was one that said no.
    pub fn decided_by(&self) -> Option<&GateAnswer> {
        let same = |answer: &&GateAnswer| {
            !answer.pass && answer.reason == self.reason && answer.message == self.message
        };
        self.gates.iter().find(same)
    }
}
