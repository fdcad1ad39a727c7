//! Where a host's facts stand in its report. The agent writes them, `daymarkctl` reads them; both
//! know the names from here. Names are added, never given a new meaning: older readers skip what
//! they do not know (RULES S3, D4).

/// `facts/<name>`: hardware, OS, agent version, as the platform found them; text.
pub const FACTS: &str = "facts";
/// The fact that says where the machine can be reached: multiaddrs with a space between; text.
pub const ADDRESSES: &str = "addresses";
/// `peers/<key id>`: peers seen, with the address; text.
pub const PEERS: &str = "peers";

/// `installed/…`: what is really installed.
pub const INSTALLED: &str = "installed";
/// Name of the OS profile; text.
pub const INSTALLED_PROFILE: &str = "profile";
/// Image version; text.
pub const INSTALLED_VERSION: &str = "version";
/// Index digest of the booted slot; hex text.
pub const INSTALLED_INDEX: &str = "indexDigest";
/// SHA-256 of the image file as published; hex text.
pub const INSTALLED_SHA256: &str = "imageSha256";
/// Who says so, as [`crate::decide::InstalledSource`] is spelt in JSON; text.
pub const INSTALLED_SOURCE: &str = "source";

/// `update/…`: EIM's update status of the instance.
pub const UPDATE: &str = "update";
/// Status text; text.
pub const UPDATE_STATUS: &str = "status";
/// Status indicator; text.
pub const UPDATE_INDICATOR: &str = "indicator";
/// Since when; integer, ms since the epoch.
pub const UPDATE_TIME: &str = "time";
/// What is available; text.
pub const UPDATE_AVAILABLE: &str = "available";

/// `progress/…`: staging, as far as it is worth a report.
pub const PROGRESS: &str = "progress";
/// `runs/<name>/…`: the update runs.
pub const RUNS: &str = "runs";
/// Status of a run; text.
pub const RUN_STATUS: &str = "status";
/// Version that ran before; text.
pub const RUN_FROM: &str = "from";
/// Version that it installs; text.
pub const RUN_TO: &str = "to";
/// The policy that asked for it, by id; text.
pub const RUN_POLICY: &str = "policy";
/// Number of the attempt; integer.
pub const RUN_ATTEMPT: &str = "attempt";
/// When it began; integer, ms since the epoch.
pub const RUN_START: &str = "start";
/// When it ended; integer, ms since the epoch; absent while it runs.
pub const RUN_END: &str = "end";
/// Detail for people, at most 512 bytes; text.
pub const RUN_DETAIL: &str = "detail";

/// Peers that sent chunks that failed verification, those with most first: `<key id>=<chunks>`,
/// with a space between; text.
pub const RUN_BLAMED: &str = "blamed";

/// Bytes of the image; integer. In `progress/` and in a run.
pub const BYTES_TOTAL: &str = "bytesTotal";
/// Bytes verified in the slot; integer.
pub const BYTES_VERIFIED: &str = "bytesVerified";
/// Bytes copied from the machine's own slots; integer.
pub const BYTES_OWN: &str = "bytesOwn";
/// Bytes from the release service; integer.
pub const BYTES_ORIGIN: &str = "bytesOrigin";
/// Bytes from peers; integer.
pub const BYTES_PEERS: &str = "bytesPeers";

/// `decision/…`: the decision with its reasons, in parts so that only what changed is reported.
pub const DECISION: &str = "decision";
/// The decision without its gates; JSON text.
pub const DECISION_SUMMARY: &str = "summary";
/// `decision/gates/<gate>`: one gate's answer; JSON text.
pub const DECISION_GATES: &str = "gates";

/// `history/…`: what came before this generation.
pub const HISTORY: &str = "history";
/// Digest of the closed generation before this one (RULES D5); hex text.
pub const HISTORY_CLOSED: &str = "closed";

/// The fleets that the machine left because a local person said so; text.
pub const HISTORY_ADOPTED: &str = "adopted";

/// `configuration/…`: custom configuration.
pub const CONFIGURATION: &str = "configuration";
/// What of it could not be delivered, and why; text, absent if all was.
pub const CONFIGURATION_PROBLEM: &str = "problem";

/// `machine/…`: what the decision needs to know of the machine.
pub const MACHINE: &str = "machine";
/// The machine without what is installed and without its quarantine; JSON text.
pub const MACHINE_SUMMARY: &str = "summary";
/// Images that failed on it; JSON text.
pub const MACHINE_QUARANTINE: &str = "quarantine";

/// `held/…`: fingerprints of what the host holds.
pub const HELD: &str = "held";
/// Of the document `fleet`; hex text.
pub const HELD_FLEET: &str = "fleet";
/// Of its site's document; hex text.
pub const HELD_SITE: &str = "site";
