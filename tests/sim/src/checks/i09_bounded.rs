//! I9: everything is bounded.

use std::collections::BTreeMap;

use daymark_core::durable::ADDRESS_BOOK_PEERS_MAX;
use daymark_core::effect::Write;
use daymark_protocol::limits::{MESSAGE_BYTES_MAX, RUNS_KEPT};

use super::Check;
use crate::facts::Deed;
use crate::operators::Said;
use crate::world::World;

/// Messages that a peer is answered at once, and per second after that: what the budgets of peers
/// allow.
const BURST: u64 = 1_024 + 64;
const PER_SECOND: u64 = 64;
/// Messages sent back for one.
const ANSWERS_MAX: usize = 2_048;
/// Drafts of one key that a host keeps.
const DRAFTS_PER_KEY_MAX: usize = 64;
/// Images that a host quarantines, and inhibitors that it keeps.
const QUARANTINE_MAX: usize = 64;
const INHIBITORS_MAX: usize = 16;

/// What a host did for one peer: a bucket that drains by the second.
#[derive(Clone, Copy, Debug, Default)]
struct Served {
    level: u64,
    since_ms: u64,
}

/// Looks at the size of messages and files, and at what one peer can make a node do.
#[derive(Debug, Default)]
pub(super) struct Bounded(BTreeMap<(usize, usize), Served>);

impl Check for Bounded {
    /// What a stolen key signs by itself takes no more than that key's room (RULES D3).
    fn end(&mut self, world: &World) -> Vec<(usize, String)> {
        let forged: Vec<&Said> = world
            .operators
            .ledger
            .said()
            .map(|(_, said)| said)
            .filter(|said| !said.honest)
            .collect();
        let honest = world.hosts.iter().enumerate().filter(|(_, host)| !host.is_hostile());
        let held = honest.map(|(number, host)| {
            (number, forged.iter().filter(|said| host.disk.holds(&said.entry)).count())
        });
        held.filter(|(_, count)| *count > DRAFTS_PER_KEY_MAX)
            .map(|(number, count)| (number, format!("it holds {count} drafts of thieves")))
            .collect()
    }

    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        match deed {
            Deed::Sent { bytes } if *bytes > MESSAGE_BYTES_MAX => {
                Some(format!("a message of {bytes} bytes leaves"))
            }
            Deed::Answered { with, .. } if *with > ANSWERS_MAX => {
                Some(format!("one message is answered with {with}"))
            }
            Deed::Answered { peer, with } if *with > 0 => {
                let now_ms = world.now_ms();
                let served = self.0.entry((host, *peer)).or_default();
                let seconds = now_ms.saturating_sub(served.since_ms) / 1_000;
                if seconds > 0 {
                    served.level = served.level.saturating_sub(seconds.saturating_mul(PER_SECOND));
                    served.since_ms = now_ms;
                }
                served.level += 1;
                (served.level > BURST).then(|| "a peer is answered without end".to_owned())
            }
            Deed::Wrote(Write::PutState(state)) => {
                let over = state.finished.len() > RUNS_KEPT
                    || state.quarantine.len() > QUARANTINE_MAX
                    || state.inhibitors.len() > INHIBITORS_MAX
                    || state.addresses.len() > ADDRESS_BOOK_PEERS_MAX;
                over.then(|| "a list of the durable state is above its bound".to_owned())
            }
            Deed::Sent { .. }
            | Deed::Answered { .. }
            | Deed::Wrote(_)
            | Deed::Started
            | Deed::Ended
            | Deed::Ordered(_)
            | Deed::SlotWritten { .. }
            | Deed::Restarted { .. }
            | Deed::Admitted { .. }
            | Deed::Compared { .. } => None,
        }
    }
}
