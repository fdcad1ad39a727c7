//! Hearing the neighbours before a switch: whoever was away, or could not judge for a while, may
//! have missed a halt that those beside it hold (I11). It starts nothing by itself and ends by
//! itself: a machine that nobody answers acts on what it holds, as ever.

use daymark_protocol::document::Replica;
use daymark_protocol::trust::ChainWait;

use crate::admission;
use crate::durable::UpdateState;
use crate::node::Node;
use crate::timer::Timer;

/// Time that a neighbour has to be reached and compared with after a start, ms.
const AFTER_START_MS: u64 = 20_000;
/// Time that what was held apart has to spread once rival roots are settled, ms: connections open
/// anew, and what one alone holds goes from neighbour to neighbour.
const AFTER_RIVALS_MS: u64 = 120_000;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// A neighbour that holds the same entries.
    Agreement,
    /// Its end: a neighbour that agrees may lack the same.
    Time,
}

/// Whether a node hears its neighbours before it switches.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    until: Option<Until>,
    /// Whether there were rival roots when it was last looked.
    rivals: bool,
}

impl Node {
    /// A machine that starts with an image staged hears its neighbours first, if it has any.
    pub(crate) fn hear_after_start(&mut self) {
        let has_staged = matches!(self.saved.get().update, UpdateState::Staged(_));
        if has_staged && self.has_neighbours() {
            self.hear(Until::Agreement, AFTER_START_MS);
        }
    }

    /// So does one whose fleet's rival roots were settled: until now nothing that it was given
    /// could be judged, so nothing spread.
    pub(crate) fn hear_after_rivals(&mut self) {
        let wait = self.replica.as_ref().and_then(|replica| replica.chain().wait());
        let rivals = matches!(wait, Some(ChainWait::Rivals { .. }));
        let settled = self.hearing.rivals && wait.is_none();
        self.hearing.rivals = rivals || (self.hearing.rivals && !settled);
        if settled && self.has_neighbours() {
            self.hear(Until::Time, AFTER_RIVALS_MS);
        }
    }

    fn hear(&mut self, until: Until, most_ms: u64) {
        self.hearing.until = Some(until);
        self.timers.set(Timer::Heard, self.reading.mono.plus_ms(most_ms));
        self.look = true;
    }

    /// A member of the own site holds the same entries.
    pub(crate) fn agreed(&mut self) {
        if matches!(self.hearing.until, Some(Until::Agreement)) {
            self.heard();
        }
    }

    /// The neighbours were heard, or had their time.
    pub(crate) fn heard(&mut self) {
        self.hearing.until = None;
        self.timers.clear(Timer::Heard);
        self.look = true;
    }

    /// Why the machine must not be changed now, if it hears its neighbours first.
    pub(crate) fn hears_first(&self) -> Option<String> {
        let has_staged = matches!(self.saved.get().update, UpdateState::Staged(_));
        let why = match self.hearing.until.filter(|_| has_staged)? {
            Until::Agreement => "the agent has just started and hears its neighbours first",
            Until::Time => "rival roots were just settled: what others hold is heard first",
        };
        Some(why.to_owned())
    }

    fn has_neighbours(&self) -> bool {
        let standing = self.replica.as_ref().map(Replica::standing);
        standing.is_some_and(|standing| admission::hosts_beside(standing, &self.own) > 1)
    }
}
