//! The reboot budget: one attempt restarts a machine once to activate, and a bounded number of
//! times to fall back.

use std::collections::BTreeMap;

use daymark_core::effect::Act;

use super::Check;
use crate::facts::Deed;
use crate::world::World;

/// Restarts of one attempt into its image.
const ACTIVATIONS_MAX: u32 = 1;
/// Restarts of one attempt back, besides one for each hour.
const FALL_BACKS_MAX: u64 = 4;

/// What one attempt has used.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    attempt: u64,
    activations: u32,
    fall_backs: u64,
    since_ms: u64,
}

/// Counts the restarts that agents order.
#[derive(Debug, Default)]
pub(super) struct RebootBudget(BTreeMap<usize, Used>);

impl Check for RebootBudget {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::Ordered(Act::Reboot) = deed else { return None };
        let of = &world.hosts[host];
        let attempt = of.disk.state().attempt;
        let used = self.0.entry(host).or_default();
        if used.attempt != attempt {
            *used = Used { attempt, since_ms: world.now_ms(), ..Used::default() };
        }
        if of.machine.is_armed() {
            used.activations += 1;
        } else {
            used.fall_backs += 1;
        }
        let hours = (world.now_ms() - used.since_ms) / 3_600_000;
        if used.activations > ACTIVATIONS_MAX {
            return Some(format!("attempt {attempt} activates {} times", used.activations));
        }
        if of.machine.is_confirmed() && !of.machine.is_armed() {
            return Some(format!(
                "attempt {attempt} restarts a machine that is where it should be"
            ));
        }
        (used.fall_backs > FALL_BACKS_MAX + hours)
            .then(|| format!("attempt {attempt} restarts {} times to fall back", used.fall_backs))
    }
}
