//! The rules of trust, a module for each family; the name of a test cites the rule it holds up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clock;
mod counts;
mod delegated_worlds;
mod ended_worlds;
mod ending;
mod floors;
mod halts;
mod incremental;
mod keys;
mod root_parts;
mod roots;
mod small_worlds;
mod statements;
mod support;
mod worlds;
