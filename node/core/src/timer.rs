//! What the node waits for, and until when. Monotonic time only: wall-clock conditions are judged
//! again on every step.

use std::collections::BTreeMap;

use daymark_protocol::time::MonoTime;

/// Something the node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The decision may change by time alone.
    Decide,
    /// Comparing with a random peer is due.
    Repair,
    /// Connecting to more peers is due.
    Dial,
    /// Telling peers the own addresses is due.
    Liveness,
    /// Own reports on other machines had time to arrive (RULES Q15).
    OpenGeneration,
    /// Changed facts may be reported.
    Report,
    /// Staging failed and is tried again.
    RetryStage,
    /// An act of the update should have ended by now.
    ActOverdue,
    /// Confirming the boot failed and is tried again.
    RetryConfirm,
    /// Falling back failed and is tried again.
    RetryFallBack,
    /// Delivering custom configuration failed and is tried again.
    RetryConfig,
    /// Delivering custom configuration should have ended by now.
    ConfigOverdue,
    /// A peer that was shut out is heard again.
    HearAgain,
    /// Neighbours had time to be heard before a switch.
    Heard,
}

impl Timer {
    fn reason(self) -> &'static str {
        match self {
            Self::Decide => "the decision may change",
            Self::Repair => "comparing with a peer is due",
            Self::Dial => "connecting to more peers is due",
            Self::Liveness => "telling peers the own addresses is due",
            Self::OpenGeneration => "own reports on other machines had time to arrive",
            Self::Report => "changed facts may be reported",
            Self::RetryStage => "staging is tried again",
            Self::ActOverdue => "an act of the update should have ended by now",
            Self::RetryConfirm => "confirming the boot is tried again",
            Self::RetryFallBack => "falling back is tried again",
            Self::RetryConfig => "delivering custom configuration is tried again",
            Self::ConfigOverdue => "delivering custom configuration should have ended by now",
            Self::HearAgain => "a peer that was shut out is heard again",
            Self::Heard => "neighbours had time to be heard",
        }
    }
}

/// When something is due.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: MonoTime,
    /// It comes round by itself and nothing hangs on when: a host that saves power may be late.
    rests: bool,
}

/// All that is being waited for: at most one deadline of each kind.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<Timer, Deadline>);

impl Timers {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: MonoTime) {
        self.0.insert(timer, Deadline { at, rests: false });
    }

    /// Sets or moves the deadline of what comes round by itself.
    pub(crate) fn set_resting(&mut self, timer: Timer, at: MonoTime) {
        self.0.insert(timer, Deadline { at, rests: true });
    }

    /// Sets a deadline, unless an earlier one is set that does not rest.
    pub(crate) fn set_earlier(&mut self, timer: Timer, at: MonoTime) {
        let at = self.0.get(&timer).map_or(at, |deadline| deadline.at.min(at));
        self.set(timer, at);
    }

    /// Forgets a deadline.
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    /// Whether a deadline is set.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0.contains_key(&timer)
    }

    /// Takes what is due; what rests only if the host `woke` the node for it, or each message that
    /// comes to a host that is late would set something off that rests until then.
    pub(crate) fn take_due(&mut self, now: MonoTime, woke: bool) -> Vec<Timer> {
        let is_due = |deadline: &Deadline| deadline.at <= now && (woke || !deadline.rests);
        let due: Vec<Timer> = self
            .0
            .iter()
            .filter(|(_, deadline)| is_due(deadline))
            .map(|(timer, _)| *timer)
            .collect();
        for timer in &due {
            self.0.remove(timer);
        }
        due
    }

    /// The earliest deadline, and what it is for.
    pub(crate) fn next(&self) -> Option<(MonoTime, &'static str)> {
        let deadlines = self.0.iter().map(|(timer, deadline)| (deadline.at, timer.reason()));
        deadlines.min_by_key(|(at, _)| *at)
    }

    /// The earliest deadline that does not rest.
    pub(crate) fn next_firm(&self) -> Option<MonoTime> {
        self.0.values().filter(|deadline| !deadline.rests).map(|deadline| deadline.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_comes_with_its_reason_and_is_taken_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Repair, MonoTime(20));
        timers.set(Timer::Decide, MonoTime(10));
        timers.set_earlier(Timer::Decide, MonoTime(15));
        assert_eq!(timers.next(), Some((MonoTime(10), "the decision may change")));
        assert_eq!(timers.take_due(MonoTime(10), true), vec![Timer::Decide]);
        assert_eq!(timers.take_due(MonoTime(10), true), vec![]);
        assert!(timers.is_set(Timer::Repair));
        timers.clear(Timer::Repair);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn what_rests_is_set_off_by_waking_alone_until_it_is_wanted_soon() {
        let mut timers = Timers::default();
        timers.set_resting(Timer::Repair, MonoTime(10));
        timers.set(Timer::Report, MonoTime(30));
        assert_eq!(timers.next().map(|(at, _)| at), Some(MonoTime(10)));
        assert_eq!(timers.next_firm(), Some(MonoTime(30)));
        assert_eq!(timers.take_due(MonoTime(20), false), vec![]);
        timers.set_earlier(Timer::Repair, MonoTime(20));
        assert_eq!(timers.next_firm(), Some(MonoTime(10)));
        assert_eq!(timers.take_due(MonoTime(20), false), vec![Timer::Repair]);
    }
}
