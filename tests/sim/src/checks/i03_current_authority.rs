//! I3: what is started rests on what verifies against the newest root held.

use super::Check;
use crate::facts::Deed;
use crate::world::World;

/// When staging or switching is ordered, the order behind it must have enough signatures under the
/// newest root on the disk.
#[derive(Debug, Default)]
pub(super) struct CurrentAuthority;

impl Check for CurrentAuthority {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let target = super::target_of(deed)?;
        let root = world.hosts[host].disk.root_version();
        let (ledger, held) = (&world.operators.ledger, super::held(world, host));
        let orders = super::orders_of(world, target);
        if orders.is_empty() {
            // Not an order at all: that is I1's.
            return None;
        }
        let counts = orders.iter().any(|said| ledger.speaks(said, root, &held));
        (!counts).then(|| {
            format!("{} is started on an order that root {root} does not bear out", target.version)
        })
    }
}
