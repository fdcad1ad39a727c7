//! I8: the decision is a function of what is held.

use super::Check;
use crate::facts::Deed;
use crate::world::World;

/// A second node that starts from the same disk at the same time says the same, whatever the first
/// one went through.
#[derive(Debug, Default)]
pub(super) struct SameDecision;

impl Check for SameDecision {
    fn see(&mut self, _: &World, _: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::Compared { own, twin } = deed else { return None };
        let same = own.verdict == twin.verdict
            && own.reason == twin.reason
            && own.target == twin.target
            && own.window == twin.window
            && own.start_at == twin.start_at;
        (!same).then(|| {
            format!(
                "it says {:?} {}, and a second node from its disk {:?} {}",
                own.verdict, own.reason, twin.verdict, twin.reason
            )
        })
    }
}
