//! Windows: when a host may be changed. Schedules open, blackouts close (DESIGN section 6).
//!
//! [`Windows`] takes the schedules and blackouts that reach one host, and answers what is open at
//! an instant and what opens next. Which ones reach a host is [`crate::target`]'s question, and
//! whether what is left of a window suffices is [`crate::decide`]'s.

mod blackout;
mod cron;
mod field;
mod merge;
mod opening;
mod repeated;
mod windows;
mod zone;

#[cfg(test)]
mod tests;

pub use self::blackout::Closed;
pub use self::merge::MergedWindow;
pub use self::opening::Schedule;
pub use self::windows::{Occurrence, Problem, Windows};
pub use self::zone::zone_data_version;

pub(crate) use self::cron::Cron;
pub(crate) use self::zone::zone_by_name;

use self::opening::Opening;
