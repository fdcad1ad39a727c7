//! I7: any member may carry anything; that gives it no say.

use daymark_core::effect::Admission;

use super::Check;
use crate::facts::Deed;
use crate::operators::{Said, Saying};
use crate::world::World;

/// Nobody is let in as a member whom the enroll key never named, nor whom it removed as far as
/// the host has heard, whatever it brought.
#[derive(Debug, Default)]
pub(super) struct CarryingIsNotAuthority;

impl Check for CarryingIsNotAuthority {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::Admitted { peer, admission: Admission::Member } = deed else { return None };
        let ledger = &world.operators.ledger;
        let held = super::held(world, host);
        let root = world.hosts[host].disk.root_version();
        let about = |said: &Said, wanted: bool| {
            let of_peer = |saying: &Saying| match saying {
                Saying::Host { key, gone } => key == peer && *gone == wanted,
                Saying::Release { .. }
                | Saying::Order { .. }
                | Saying::Blackout(..)
                | Saying::Halt
                | Saying::Resume(_) => false,
            };
            said.saying.iter().any(of_peer)
        };
        // What names it may have come with the very message that it sent.
        let named = ledger.said().any(|(_, said)| about(said, false));
        let removed =
            ledger.said().any(|(_, said)| about(said, true) && ledger.speaks(said, root, &held));
        (!named || removed).then(|| format!("{} is let in, and is no member", peer.short()))
    }
}
