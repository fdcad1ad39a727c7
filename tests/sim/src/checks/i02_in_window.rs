//! I2: nothing activates outside an open window. Falling back is always allowed; what the power or
//! a person does is no activation.

use super::Check;
use crate::calendar::is_open;
use crate::facts::{Deed, Restarter};
use crate::operators::Saying;
use crate::world::World;

/// How far two clocks that agree may be apart, ms.
const AGREEMENT_MS: i64 = 5 * 60_000;
/// How far true time may be from that of a synchronised clock, ms.
const SYNCHRONISED_MS: i64 = 1_000;

/// When the agent restarts a machine into another image, one of the orders that it holds must have
/// a window open then, and no blackout that it holds may be.
#[derive(Debug, Default)]
pub(super) struct InWindow;

impl Check for InWindow {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::Restarted { by: Restarter::Agent, armed: true, .. } = deed else { return None };
        let of = &world.hosts[host];
        let tolerance_ms = if of.clock.synchronised(world.now_ms()) {
            SYNCHRONISED_MS
        } else {
            // It restarts by its own clock, which others of the site agreed with.
            AGREEMENT_MS + of.clock.error_ms(world.now_ms()).abs().min(AGREEMENT_MS)
        };
        let now_ms = i64::try_from(world.now_ms()).unwrap_or(i64::MAX);
        let held = super::held(world, host);
        let mut open = false;
        for (_, said) in world.operators.ledger.said().filter(|(_, said)| held(&said.entry)) {
            for saying in &said.saying {
                match saying {
                    Saying::Order { window, .. } => {
                        open |= is_open(window, world.scenario.begins, now_ms, tolerance_ms);
                    }
                    Saying::Blackout(from, until) => {
                        let (from, until) =
                            (i64::try_from(*from).ok()?, i64::try_from(*until).ok()?);
                        if from + tolerance_ms <= now_ms && now_ms < until - tolerance_ms {
                            return Some("it activates within a blackout".to_owned());
                        }
                    }
                    Saying::Release { .. }
                    | Saying::Halt
                    | Saying::Resume(_)
                    | Saying::Host { .. } => {}
                }
            }
        }
        (!open).then(|| "it activates, and no window of any order is open".to_owned())
    }
}
