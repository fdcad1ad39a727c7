//! Attacks on a real node, in the shape of TUF's conformance suite: each case starts the daemon in
//! a folder of its own, lets simulated administrators, peers and release services do their worst,
//! and asserts what reached the slot, which floors are on disk, and which sentence was said.
//!
//! Each case also shows that its attack was mounted: what became of every item that was handed in,
//! and that the same machine installs once the honest thing is said. `README.md` tells the rest.

mod admission;
mod case;
mod counting;
mod coverage;
mod documents;
mod floors;
mod images;
mod keys;
#[cfg(feature = "removable-rules")]
mod matrix;
mod roots;
mod signers;
mod stage;
mod statements;
mod time;
mod tokens;

use std::time::Duration;

use self::case::Case;

/// Variable that says how many seconds a daemon may take to come to what is expected of it: a case
/// that is to fail need not take long.
const WITHIN_VARIABLE: &str = "CONFORMANCE_WITHIN_S";
const WITHIN_S: u64 = 30;

/// How long a daemon may take to come to what is expected of it.
fn within() -> Duration {
    let said = std::env::var(WITHIN_VARIABLE).ok().and_then(|text| text.parse().ok());
    Duration::from_secs(said.unwrap_or(WITHIN_S))
}

/// Every case.
fn cases() -> impl Iterator<Item = &'static Case> {
    [
        roots::CASES,
        statements::CASES,
        counting::CASES,
        documents::CASES,
        admission::CASES,
        time::CASES,
        images::CASES,
        keys::CASES,
        signers::CASES,
        tokens::CASES,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<&str> = cases().map(|case| case.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two cases share a name");
}
