//! I5: the running slot is never written, the fall-back not before the running boot is confirmed.

use super::Check;
use crate::facts::Deed;
use crate::world::World;

/// Looks at every slot that is written and every restart.
#[derive(Debug, Default)]
pub(super) struct AlwaysBootable;

impl Check for AlwaysBootable {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let machine = &world.hosts[host].machine;
        match deed {
            Deed::SlotWritten { slot, .. } if *slot == machine.booted() => {
                Some("the running slot is written".to_owned())
            }
            Deed::SlotWritten { .. } if !machine.is_confirmed() => {
                Some("the fall-back is written before the boot is confirmed".to_owned())
            }
            Deed::Restarted { .. } if machine.runs().is_none() => {
                Some("the machine does not boot any more".to_owned())
            }
            Deed::SlotWritten { .. }
            | Deed::Restarted { .. }
            | Deed::Started
            | Deed::Ended
            | Deed::Wrote(_)
            | Deed::Ordered(_)
            | Deed::Answered { .. }
            | Deed::Sent { .. }
            | Deed::Admitted { .. }
            | Deed::Compared { .. } => None,
        }
    }
}
