//! I11: halting takes any one key, resuming the threshold.

use daymark_protocol::id::Digest;

use super::Check;
use crate::facts::Deed;
use crate::operators::Saying;
use crate::world::World;

/// Nothing is started while the disk holds a halt by one key that may, unless it also holds its
/// resume by enough of them.
#[derive(Debug, Default)]
pub(super) struct StopIsEasy;

impl Check for StopIsEasy {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let target = super::target_of(deed)?;
        let (ledger, held) = (&world.operators.ledger, super::held(world, host));
        let root = world.hosts[host].disk.root_version();
        let lifted = |halt: &Digest| {
            ledger.said().any(|(_, said)| {
                let names = said
                    .saying
                    .iter()
                    .any(|saying| matches!(saying, Saying::Resume(halts) if halts.contains(halt)));
                names && ledger.speaks(said, root, &held)
            })
        };
        let standing = ledger.said().any(|(digest, said)| {
            let halt = said.saying.iter().any(|saying| matches!(saying, Saying::Halt));
            halt && ledger.halts(said, root, &held) && !lifted(digest)
        });
        standing.then(|| format!("{} is started, and a halt stands", target.version))
    }
}
