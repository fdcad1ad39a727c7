//! Documents, against the rules of RULES.md and the flaws that earlier drafts had.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod automerge_files;
mod entries;
mod floors;
mod full_rooms;
mod hostile;
mod hosts;
mod incremental;
mod interleavings;
mod report_writing;
mod retention;
mod rotating;
mod sharing;
mod storing;
mod support;
