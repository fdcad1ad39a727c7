//! Small worlds: what must become true, what must never happen, and that the checks see it when it
//! does.

mod cli;
mod cuts;
mod fleet;
mod groups;
mod page;
mod plan;
#[cfg(feature = "planted-bugs")]
mod planted;
mod stages;
