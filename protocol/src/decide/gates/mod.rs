//! The gates, one function each, in files by what they rest on. A gate answers with a stable word,
//! a sentence, its facts and when time alone may change its answer; it knows nothing of the others.

mod authority;
mod closed;
mod image;
mod machine;
mod timing;

pub(super) use self::authority::{authority, clock, enrolled};
pub(super) use self::closed::{halted, sees};
pub(super) use self::image::{Failure, compatible, failures, is_moot, newer, quarantine};
pub(super) use self::machine::{inhibited, slot, sole_updater, staged};
pub(super) use self::timing::{turn, window};
