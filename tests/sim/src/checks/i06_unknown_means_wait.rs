//! I6: what is missing or contradictory leads to wait, never to go.

use super::Check;
use crate::facts::Deed;
use crate::operators::Saying;
use crate::world::World;

/// Nothing is started on an order whose signers saw a closing that the host does not hold, nor on
/// one of which the host holds two that differ, nor under two roots of one version.
#[derive(Debug, Default)]
pub(super) struct UnknownMeansWait;

impl Check for UnknownMeansWait {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let target = super::target_of(deed)?;
        let (ledger, held) = (&world.operators.ledger, super::held(world, host));
        let root = world.hosts[host].disk.root_version();
        if world.hosts[host].disk.holds_rival_roots() {
            return Some(format!("{} is started under two roots {root}", target.version));
        }
        let orders = super::orders_of(world, target);
        for said in &orders {
            let Some(Saying::Order { sees, .. }) = super::order_in(said) else { continue };
            let missing = |seen: &&daymark_protocol::id::Digest| {
                ledger.of(seen).is_none_or(|seen| !held(&seen.entry))
            };
            if held(&said.entry) && sees.iter().any(|seen| missing(&seen)) {
                let version = &target.version;
                return Some(format!("{version} is started, and what its signers saw is missing"));
            }
        }
        let speaking = orders.iter().filter(|said| ledger.speaks(said, root, &held)).count();
        (speaking > 1).then(|| format!("{} is started on two orders that differ", target.version))
    }
}
