//! I7: any member may carry anything; that gives it no say.

use daymark_core::effect::Admission;

use super::Check;
use crate::facts::Deed;
use crate::world::World;

/// Nobody is let in as a member whom the enroll key did not name, whatever it brought.
#[derive(Debug, Default)]
pub(super) struct CarryingIsNotAuthority;

impl Check for CarryingIsNotAuthority {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::Admitted { peer, admission: Admission::Member } = deed else { return None };
        let ledger = &world.operators.ledger;
        let held = super::held(world, host);
        let named = ledger.said().any(|(_, said)| {
            said.saying.iter().any(|saying| {
                matches!(saying, crate::operators::Saying::Host { key, gone: false } if key == peer)
            }) && (1..=ledger.newest_root()).any(|root| ledger.speaks(said, root, &held))
        });
        (!named).then(|| format!("{} is let in, and no statement held here names it", peer.short()))
    }
}
