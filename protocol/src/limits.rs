//! Every bound on what comes from outside, each with the attack or resource it guards (I9).

/// Longest resource id: EIM ids have 22 bytes, host ids 64; more would only bloat floors and tables.
pub const RESOURCE_ID_BYTES_MAX: usize = 80;
/// Longest statement payload (RULES S1): fits a gossip message of 64 KiB with its signatures.
pub const STATEMENT_PAYLOAD_BYTES_MAX: usize = 32 * 1024;
/// Most items in `sees` (RULES S5).
pub const SEES_MAX: usize = 256;
/// Most statements that a heartbeat names: 32 KiB hold few more.
pub const HEARTBEAT_NEWEST_MAX: usize = 512;
/// Most scopes of which a replica keeps the newest heartbeat: those of its sites and of the regions.
pub const HEARTBEATS_MAX: usize = 1_024;
/// Most resources in one statement: bounds parsing; 32 KiB hold few more.
pub const STATEMENT_RESOURCES_MAX: usize = 256;
/// Largest root payload: its envelope, with all signatures, must fit a message between peers.
pub const ROOT_PAYLOAD_BYTES_MAX: usize = 32 * 1024;
/// Most keys in a root: more than any fleet has administrators, and each is checked on receipt.
pub const ROOT_KEYS_MAX: usize = 64;
/// Most roots of one version that are kept (RULES R4): two would do to know of the fork.
pub const RIVAL_ROOTS_MAX: usize = 4;
/// Most signatures in an envelope: one for each key that a root may name.
pub const SIGNATURES_MAX: usize = ROOT_KEYS_MAX;
/// Largest envelope: 32 KiB of payload in base64 and 64 signatures, within a message.
pub const ENVELOPE_BYTES_MAX: usize = 60 * 1024;
/// Most digests in one list (RULES R5): 2 MiB, read and compared whole.
pub const LIST_DIGESTS_MAX: usize = 65_536;
/// Most lists that one root names: two for every key that it may define, and for half as many that
/// left before.
pub const LISTS_PER_ROOT_MAX: usize = 192;
/// Most delegations in a root: one for every key.
pub const DELEGATIONS_MAX: usize = ROOT_KEYS_MAX;
/// Deepest nesting of signed JSON: what is defined needs 6, and readers recurse.
pub const JSON_DEPTH_MAX: usize = 16;
/// Highest version of a resource: there is always a next one within 64 bits.
pub const RESOURCE_VERSION_MAX: u64 = (1 << 63) - 1;
/// Longest name of a kind: it stands in every floor.
pub const KIND_BYTES_MAX: usize = 40;
/// Longest name of a fleet or of a key's holder.
pub const DISPLAY_NAME_BYTES_MAX: usize = 200;
/// Most roots in one message (RULES R2).
pub const ROOTS_PER_MESSAGE_MAX: usize = 64;
/// Most roots in a chain (RULES R2): weekly rotations for 19 years.
pub const ROOTS_MAX: usize = 1024;
/// Versions kept of one id (RULES D3).
pub const VERSIONS_KEPT_PER_ID: usize = 4;
/// Drafts kept per signing key (RULES D3): a flooding key crowds out only its own.
pub const DRAFTS_PER_KEY_MAX: usize = 64;
/// Site documents kept by a replica of all sites: a stolen key could make sites up without end.
pub const SITE_DOCUMENTS_MAX: usize = 4_096;
/// Finished host ids kept per signer (RULES D3).
pub const HOST_IDS_PER_SIGNER_MAX: usize = 16_384;
/// Finished ids of any other kind kept per signer (RULES D3).
pub const IDS_PER_KIND_AND_SIGNER_MAX: usize = 1_024;
/// Ids of hosts that have a floor: four rooms of finished ones. May grow, and never shrink, or
/// floors would be lost on reading.
pub const FLOORS_OF_HOSTS_MAX: usize = 65_536;
/// Ids of any other kind that have a floor, all unknown kinds together; likewise.
pub const FLOORS_PER_KIND_MAX: usize = 8_192;
/// Standing halts kept per key (RULES C4): one above 64 is the sign that the key floods.
pub const HALTS_PER_KEY_MAX: usize = 65;
/// Resumes kept per signing key (RULES C4): each may name hundreds of halts, and nobody lifts so many.
pub const RESUMES_PER_KEY_MAX: usize = 1_024;
/// Entries held in memory until a root or a counterpart arrives (RULES D3).
pub const HELD_ENTRIES_MAX: usize = 1_024;
/// Bytes of statements held likewise.
pub const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest emergency (RULES S6).
pub const EMERGENCY_MS_MAX: i64 = 7 * 24 * 3_600_000;
/// How far `issued` may lie in the future for a statement that opens (RULES S7).
pub const ISSUED_AHEAD_MS_MAX: i64 = 24 * 3_600_000;
/// Longest report of a host (RULES D4).
pub const REPORT_BYTES_MAX: usize = 8 * 1024;
/// Reports in a generation (RULES D5).
pub const REPORTS_PER_GENERATION_MAX: u64 = 64;
/// Bytes of reports in a generation (RULES D5).
pub const GENERATION_BYTES_MAX: usize = 64 * 1024;
/// Update runs that a host's current generation keeps (RULES D5).
pub const RUNS_KEPT: usize = 30;
/// Reports of one host held until the one before arrives (RULES D4).
pub const REPORTS_HELD_PER_HOST_MAX: usize = 16;
/// Depth of a report's paths (RULES D4).
pub const REPORT_PATH_DEPTH_MAX: usize = 3;
/// Longest name in a report's path (RULES D4).
pub const REPORT_NAME_BYTES_MAX: usize = 64;
/// Longest text of detail in a run's record (RULES Q14).
pub const RUN_DETAIL_BYTES_MAX: usize = 512;
/// Peers that a run's record blames for wrong chunks: enough to look at, and little room.
pub const RUN_BLAMED_MAX: usize = 3;
/// Longest text of what of the custom configuration could not be delivered.
pub const CONFIGURATION_PROBLEM_BYTES_MAX: usize = 512;
/// Largest message between peers, gossip included.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of regions (EIM).
pub const REGION_DEPTH_MAX: usize = 5;
/// Largest chunk of an image (DESIGN section 7).
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Largest image index: 8 GiB at the smallest average chunk.
pub const INDEX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most parts of a slot: partitions and files that one image brings; real ones have two to four.
pub const PARTS_MAX: usize = 16;
/// Longest name of a part, as a table shows it.
pub const PART_NAME_BYTES_MAX: usize = 32;
