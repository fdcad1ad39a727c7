//! What a scenario file says, as data. Every key is known or an error.

use daymark_protocol::time::WallTime;
use serde::Deserialize;

use super::happening::Happening;
use super::span::Span;
use crate::expect::Expect;

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// Its name: that of its file.
    pub name: String,
    /// What it shows, for people.
    pub about: String,
    /// When its world begins.
    #[serde(default = "monday")]
    pub begins: WallTime,
    /// When the run ends.
    pub length: Span,
    /// When all faults end and progress is demanded.
    pub calm_after: Span,
    /// Seeds that CI runs, each twice.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Whether `soak` may use it.
    #[serde(default)]
    pub soak: bool,
    /// Whether every machine is handed its site's statements at the start, or only the first one.
    #[serde(default)]
    pub founded: Founded,
    /// How much later than it asked an idle node may be woken.
    #[serde(default)]
    pub wake_slack: Span,
    /// The sites.
    pub site: Vec<Site>,
    /// The images, besides what runs at first.
    #[serde(default)]
    pub image: Vec<Image>,
    /// Links.
    #[serde(default)]
    pub network: Network,
    /// Clocks.
    #[serde(default)]
    pub clock: Clocks,
    /// Machines.
    #[serde(default)]
    pub machine: Machines,
    /// Rates of faults; all for each machine and day unless they say otherwise.
    #[serde(default)]
    pub fault: Faults,
    /// Hostile members.
    #[serde(default)]
    pub hostile: Hostile,
    /// What people do, and what befalls them at a known time.
    #[serde(default)]
    pub event: Vec<Happening>,
    /// What it must come to.
    #[serde(default)]
    pub expect: Expect,
}

fn monday() -> WallTime {
    // 2027-01-04T00:00:00Z
    WallTime::from_seconds(1_799_020_800)
}

/// Who is handed a site's statements at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Founded {
    /// The first machine of each site; the others hear of it.
    #[default]
    AtOne,
    /// Every machine: a fleet that has run for a while.
    Everywhere,
}

/// A site.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Site {
    /// Its name; of the form `name-1`, `name-2`, … if it stands for several.
    pub name: String,
    /// Enrolled machines.
    pub hosts: usize,
    /// How many of them run; all if it is left out.
    pub running: Option<usize>,
    /// So many sites of this kind.
    #[serde(default = "one")]
    pub times: usize,
}

fn one() -> usize {
    1
}

/// An image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Image {
    /// Its version: dotted numbers.
    pub version: String,
    /// Its size.
    #[serde(default = "megabytes")]
    pub megabytes: u32,
    /// What is wrong with it.
    #[serde(default)]
    pub fails: Failing,
    /// Where it is wrong: on old hardware only, or everywhere.
    #[serde(default)]
    pub only_on_old: bool,
    /// Whether it brings a newer agent: it knows a field of policies that older ones do not, and
    /// reports what they know nothing of.
    #[serde(default)]
    pub newer_agent: bool,
}

fn megabytes() -> u32 {
    100
}

/// What is wrong with an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failing {
    /// Nothing.
    #[default]
    Nothing,
    /// It runs, and its health check fails.
    Health,
    /// Its kernel panics.
    Boot,
    /// It hangs until the watchdog resets the machine.
    Hang,
}

/// Links.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// Within a site.
    pub lan: Link,
    /// Between sites.
    pub wan: Link,
    /// Connections that each node tries to keep.
    pub links: usize,
    /// Whether no site ever hears of another but by stick.
    pub air_gap: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self { lan: Link::default(), wan: Link::wan(), links: 8, air_gap: false }
    }
}

/// What a direction of a link does to messages.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Link {
    /// Shortest time that a message takes, ms.
    pub latency_ms: u64,
    /// Most that ordinary chance adds, ms.
    pub spread_ms: u64,
    /// Most that bad luck adds, ms.
    pub tail_ms: u64,
    /// How often it does, in a thousand.
    pub tail_per_mille: f64,
    /// Bytes that pass in a second.
    pub bytes_per_second: u64,
    /// Messages lost for good, in a thousand.
    pub loss_per_mille: f64,
    /// Messages that arrive twice, in a thousand.
    pub duplicate_per_mille: f64,
    /// Messages that those sent after them overtake, in a thousand.
    pub reorder_per_mille: f64,
    /// Messages of which a byte is changed on the way, in a thousand.
    pub corrupt_per_mille: f64,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency_ms: 1,
            spread_ms: 2,
            tail_ms: 20,
            tail_per_mille: 10.0,
            bytes_per_second: 100_000_000,
            loss_per_mille: 0.0,
            duplicate_per_mille: 0.0,
            reorder_per_mille: 0.0,
            corrupt_per_mille: 0.0,
        }
    }
}

impl Link {
    fn wan() -> Self {
        let (latency_ms, spread_ms, tail_ms) = (40, 20, 200);
        Self { latency_ms, spread_ms, tail_ms, bytes_per_second: 2_000_000, ..Self::default() }
    }
}

/// Clocks.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Clocks {
    /// Machines whose OS says that its clock is synchronised, in a hundred; these are exact.
    pub synchronised_per_cent: u64,
    /// Most that the others drift, in millionths.
    pub drift_ppm: u64,
    /// Whether the agents' configuration trusts an RTC.
    pub trust_rtc: bool,
    /// Machines whose battery is dead, in a hundred: switched on, they say 1 January 2000.
    pub dead_battery_per_cent: u64,
}

impl Default for Clocks {
    fn default() -> Self {
        Self {
            synchronised_per_cent: 100,
            drift_ppm: 50,
            trust_rtc: false,
            dead_battery_per_cent: 0,
        }
    }
}

/// Machines.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Machines {
    /// Machines of old hardware, in a hundred.
    pub old_per_cent: u64,
    /// How often the boot loader tries a new slot.
    pub boot_tries: u8,
    /// Machines that people switch off from 20:00 to 6:00 UTC, in a hundred.
    pub off_at_night_per_cent: u64,
}

impl Default for Machines {
    fn default() -> Self {
        Self { old_per_cent: 0, boot_tries: 1, off_at_night_per_cent: 0 }
    }
}

/// Rates of faults, for each machine and day unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// The agent's process is killed, at any point of a step.
    pub kills: f64,
    /// The power fails, at any point of a step, and comes back after seconds or minutes.
    pub power_cuts: f64,
    /// The disk is full for minutes.
    pub full_disks: f64,
    /// The disk is read-only until the next restart.
    pub read_only_disks: f64,
    /// A byte of the store of replicated data changes.
    pub rotten_bytes: f64,
    /// Somebody sets the clock, by up to a day.
    pub clock_steps: f64,
    /// A person boots the other slot.
    pub wrong_boots: f64,
    /// Partitions of the whole network, a day.
    pub partitions: f64,
    /// Pairs of sites or machines of which one no longer hears the other, a day.
    pub one_way_cuts: f64,
    /// Hours in which the release service is absent, a day.
    pub release_absent: f64,
    /// Hours in which it is a hundred times slower, a day.
    pub release_slow: f64,
    /// Hours in which it serves other bytes, a day.
    pub release_lies: f64,
}

/// Hostile members.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hostile {
    /// Of all machines, in a hundred.
    pub per_cent: u64,
    /// What they do.
    pub acts: Vec<HostileAct>,
}

/// What a hostile member does, besides what its node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostileAct {
    /// Sends statements that nobody signed who may.
    Forge,
    /// Sends again what it heard long ago.
    Replay,
    /// Passes on everything but one statement, for ever.
    Withhold,
    /// Sends bytes without sense.
    Garble,
    /// Sends messages larger than any may be.
    Oversize,
    /// Sends more than anyone can handle.
    Flood,
    /// Sends reports in others' names.
    Invent,
    /// Sends orders that one stolen key of two signed.
    Stolen,
    /// Serves wrong chunks of images.
    Chunks,
    /// Connects with everyone, and lets most answers trickle for minutes (slow-loris).
    Stall,
    /// Shows Host statements that it heard when others joined, as if it were them.
    Rejoin,
    /// Sends one valid draft after another, each signed by one stolen key of two.
    Drafts,
    /// Reports under its machine's key that it runs what nobody released.
    Boast,
}

impl HostileAct {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Forge,
        Self::Replay,
        Self::Withhold,
        Self::Garble,
        Self::Oversize,
        Self::Flood,
        Self::Invent,
        Self::Stolen,
        Self::Chunks,
        Self::Stall,
        Self::Rejoin,
        Self::Drafts,
        Self::Boast,
    ];
}
