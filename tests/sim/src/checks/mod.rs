//! What must never happen, and what must: one file for each. A check sees what the world records,
//! and the operators' ledger; none asks the protocol what to decide.

mod i01_authentic;
mod i02_in_window;
mod i03_current_authority;
mod i04_no_rollback;
mod i05_always_bootable;
mod i06_unknown_means_wait;
mod i07_carrying_is_not_authority;
mod i08_same_data_same_decision;
mod i09_bounded;
mod i10_converges;
mod i11_stop_is_easy;
mod i12_truthful;
mod progress;
mod reboot_budget;

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::facts::Deed;
use crate::operators::{Said, Saying};
use crate::world::World;
use daymark_core::effect::Act;
use daymark_protocol::decide::ResolvedTarget;

/// Most violations that a run keeps: one is enough to fail.
const VIOLATIONS_MAX: usize = 100;

/// Something that must not have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// When, ms since the world began.
    pub at_ms: u64,
    /// The check that found it.
    pub check: String,
    /// Where.
    pub host: usize,
    /// What.
    pub what: String,
}

/// One check.
trait Check: Debug {
    /// Sees a deed; says what is wrong with it.
    fn see(&mut self, _world: &World, _host: usize, _deed: &Deed<'_>) -> Option<String> {
        None
    }

    /// Sees the end of the run; says what is wrong, and where.
    fn end(&mut self, _world: &World) -> Vec<(usize, String)> {
        Vec::new()
    }
}

/// The names of all checks.
pub const NAMES: [&str; 14] = [
    "I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "reboots",
    "progress",
];

/// Whether all replicas of a group hold the same.
pub(crate) fn is_converged(world: &World) -> bool {
    i10_converges::differences(world).is_empty()
}

/// The checks that watch a world.
#[derive(Debug, Default)]
pub struct Checks {
    checks: Vec<(&'static str, Box<dyn Check>)>,
    violations: Vec<Violation>,
    found: BTreeSet<(&'static str, usize)>,
}

impl Checks {
    /// All of them.
    pub fn all() -> Self {
        Self::only(&NAMES)
    }

    /// Those of these names.
    pub fn only(names: &[&str]) -> Self {
        let check = |name: &'static str| -> Box<dyn Check> {
            match name {
                "I1" => Box::<i01_authentic::Authentic>::default(),
                "I2" => Box::<i02_in_window::InWindow>::default(),
                "I3" => Box::<i03_current_authority::CurrentAuthority>::default(),
                "I4" => Box::<i04_no_rollback::NoRollback>::default(),
                "I5" => Box::<i05_always_bootable::AlwaysBootable>::default(),
                "I6" => Box::<i06_unknown_means_wait::UnknownMeansWait>::default(),
                "I7" => Box::<i07_carrying_is_not_authority::CarryingIsNotAuthority>::default(),
                "I8" => Box::<i08_same_data_same_decision::SameDecision>::default(),
                "I9" => Box::<i09_bounded::Bounded>::default(),
                "I10" => Box::<i10_converges::Converges>::default(),
                "I11" => Box::<i11_stop_is_easy::StopIsEasy>::default(),
                "I12" => Box::<i12_truthful::Truthful>::default(),
                "reboots" => Box::<reboot_budget::RebootBudget>::default(),
                _ => Box::<progress::Progress>::default(),
            }
        };
        let wanted = NAMES.into_iter().filter(|name| names.contains(name));
        Self { checks: wanted.map(|name| (name, check(name))).collect(), ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    pub(crate) fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) {
        // A thief's machine may do what it likes to itself.
        if world.hosts[host].is_hostile() {
            return;
        }
        for (name, check) in &mut self.checks {
            if let Some(what) = check.see(world, host, deed)
                && self.found.insert((name, host))
                && self.violations.len() < VIOLATIONS_MAX
            {
                let (at_ms, check) = (world.now_ms(), (*name).to_owned());
                self.violations.push(Violation { at_ms, check, host, what });
            }
        }
    }

    pub(crate) fn end(&mut self, world: &World) {
        for (name, check) in &mut self.checks {
            for (host, what) in check.end(world) {
                if self.found.insert((name, host)) && self.violations.len() < VIOLATIONS_MAX {
                    let (at_ms, check) = (world.now_ms(), (*name).to_owned());
                    self.violations.push(Violation { at_ms, check, host, what });
                }
            }
        }
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }
}

/// The orders that a target may rest on: those of its policy's version and its release.
fn orders_of<'a>(world: &'a World, target: &ResolvedTarget) -> Vec<&'a Said> {
    let fits = |saying: &Saying| match saying {
        Saying::Order { id, version, profile, .. } => {
            *id == target.policy && *version == target.policy_version && *profile == target.digest
        }
        Saying::Release { .. }
        | Saying::Blackout(..)
        | Saying::Halt
        | Saying::Resume(_)
        | Saying::Host { .. } => false,
    };
    let said = world.operators.ledger.said().map(|(_, said)| said);
    said.filter(|said| said.saying.iter().any(fits)).collect()
}

/// What an order says of itself: its site, window, and the statements that it sees.
fn order_in(said: &Said) -> Option<&Saying> {
    said.saying.iter().find(|saying| matches!(saying, Saying::Order { .. }))
}

/// Whether a host has an entry on its disk.
fn held(world: &World, host: usize) -> impl Fn(&daymark_protocol::id::Digest) -> bool {
    move |entry| world.hosts[host].disk.holds(entry)
}

/// The target that an act carries out: staging and switching; nothing else starts anything.
fn target_of<'a>(deed: &Deed<'a>) -> Option<&'a ResolvedTarget> {
    match deed {
        Deed::Ordered(Act::Stage { target, .. } | Act::Activate { target, .. }) => Some(target),
        Deed::Ordered(
            Act::Reboot
            | Act::CheckHealth { .. }
            | Act::Confirm
            | Act::FallBack { .. }
            | Act::DeliverConfig { .. },
        )
        | Deed::Started
        | Deed::Ended
        | Deed::Wrote(_)
        | Deed::SlotWritten { .. }
        | Deed::Restarted { .. }
        | Deed::Answered { .. }
        | Deed::Sent { .. }
        | Deed::Admitted { .. }
        | Deed::Compared { .. } => None,
    }
}
