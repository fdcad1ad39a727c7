//! I1: no byte reaches a slot that thresholds of both `release` and `policy` keys did not sign for.

use super::Check;
use crate::facts::Deed;
use crate::host::index_of;
use crate::operators::Saying;
use crate::world::World;

/// An image may be written only if the host holds a release of it with enough signatures, and an
/// order of that release, for its site or for everyone, with enough signatures. Whether they still
/// count is another check's business: here any root will do.
#[derive(Debug, Default)]
pub(super) struct Authentic;

impl Check for Authentic {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::SlotWritten { image, .. } = deed else { return None };
        let image = world.images.of(*image);
        let (ledger, held) = (&world.operators.ledger, super::held(world, host));
        let site = &world.sites[world.hosts[host].site];
        let speaks = |said: &crate::operators::Said| {
            (1..=ledger.newest_root()).any(|root| ledger.speaks(said, root, &held))
        };
        let wanted = index_of(&image.version);
        let released = ledger.said().filter(|(_, said)| speaks(said)).find_map(|(_, said)| {
            said.saying.iter().find_map(|saying| match saying {
                Saying::Release { index, profile } if *index == wanted => Some(*profile),
                Saying::Release { .. }
                | Saying::Order { .. }
                | Saying::Blackout(..)
                | Saying::Halt
                | Saying::Resume(_)
                | Saying::Host { .. } => None,
            })
        });
        let Some(released) = released else {
            return Some(format!("image {} is written, which nobody released", image.version));
        };
        let ordered = ledger.said().filter(|(_, said)| speaks(said)).any(|(_, said)| {
            said.saying.iter().any(|saying| match saying {
                Saying::Order { profile, site: of, .. } => {
                    *profile == released && of.as_ref().is_none_or(|of| of == site)
                }
                Saying::Release { .. }
                | Saying::Blackout(..)
                | Saying::Halt
                | Saying::Resume(_)
                | Saying::Host { .. } => false,
            })
        });
        (!ordered).then(|| format!("image {} is written, which nobody ordered here", image.version))
    }
}
