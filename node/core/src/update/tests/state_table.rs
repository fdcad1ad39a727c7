//! The state table: every state of the update machine × what becomes of its act × whether the boot
//! switch can be set back, each with its exact trace, its run, and whether the image is blamed.
//!
//! A trace says of each step what was cancelled, saved and then ordered. After the fault the machine
//! below works again, but for a boot switch that cannot be set back; the attempt is followed until
//! it ended, or for as many steps as show that it is tried again and again.

mod rows;

use daymark_protocol::decide::{Decision, Verdict};
use daymark_protocol::time::MonoTime;

use self::rows::ROWS;
use super::rig::{Asked, Hardware, NEW, Rig, decision};
use super::table::trace;
use crate::durable::{DurableState, UpdateState};
use crate::effect::{Act, OpId};
use crate::event::OpOutput;
use crate::timer::Timer;

/// Where the machine stands: its states, and which act runs in those that have two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Idle,
    Staging,
    Staged,
    Activating,
    Rebooting,
    Checking,
    Confirming,
    FallingBack,
    RestartingBack,
}

impl At {
    const ALL: [Self; 9] = [
        Self::Idle,
        Self::Staging,
        Self::Staged,
        Self::Activating,
        Self::Rebooting,
        Self::Checking,
        Self::Confirming,
        Self::FallingBack,
        Self::RestartingBack,
    ];

    /// Where a state of the machine stands: a new state has no place until it is added here.
    fn of(state: &UpdateState, act: Option<&Act>) -> Self {
        match state {
            UpdateState::Idle => Self::Idle,
            UpdateState::Staging(_) => Self::Staging,
            UpdateState::Staged(_) => Self::Staged,
            UpdateState::Activating(_) => Self::Activating,
            UpdateState::Rebooting(_) => Self::Rebooting,
            UpdateState::Confirming(_) if act == Some(&Act::Confirm) => Self::Confirming,
            UpdateState::Confirming(_) => Self::Checking,
            UpdateState::FallingBack(_) if act == Some(&Act::Reboot) => Self::RestartingBack,
            UpdateState::FallingBack(_) => Self::FallingBack,
        }
    }
}

/// What becomes of the act that runs in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It fails, without any effect.
    Error,
    /// The agent is killed, and starts again.
    Kill,
    /// The machine hangs until its watchdog resets it.
    Hang,
    /// It never ends: nothing but time passes.
    NeverEnds,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Error, Self::Kill, Self::Hang, Self::NeverEnds];
}

/// A row: where, what, whether falling back is possible; the steps, how the attempt ended, and
/// whether the image is quarantined.
type Row = (At, Fault, bool, &'static [&'static str], &'static str, bool);

/// Steps after which an attempt that did not end is left alone.
const STEPS_MAX: usize = 5;

/// One machine and its agent.
struct Course {
    rig: Rig,
    hardware: Hardware,
    acting: Option<(OpId, Act)>,
    falls_back: bool,
    steps: Vec<String>,
}

impl Course {
    /// Drives a machine to a place in the table.
    fn to(at: At, falls_back: bool) -> Self {
        let mut hardware = Hardware::new();
        hardware.healthy = !matches!(at, At::FallingBack | At::RestartingBack);
        let rig = Rig::start(DurableState::default());
        let mut course = Self { rig, hardware, acting: None, falls_back: true, steps: vec![] };
        course.starts();
        while course.at() != at {
            course.goes_on();
        }
        course.falls_back = falls_back;
        course.steps.clear();
        course
    }

    fn at(&self) -> At {
        At::of(self.rig.state(), self.acting.as_ref().map(|(_, act)| act))
    }

    fn note(&mut self, asked: &Asked) {
        if let Some(acting) = asked.acts.last() {
            self.acting = Some(acting.clone());
        }
        let step = trace(asked);
        if step != "- > " {
            self.steps.push(step);
        }
    }

    /// The agent starts and looks at its machine.
    fn starts(&mut self) {
        self.rig = Rig::start(self.rig.saved.get().clone());
        self.acting = None;
        let asked = self.rig.resume(&self.hardware);
        self.note(&asked);
    }

    /// The act under way ends, or else the newest decision is followed, or else time passes.
    fn goes_on(&mut self) {
        let Some((op, act)) = self.acting.take() else {
            let decision = self.rig.wanted(&self.hardware);
            let before = self.steps.len();
            let asked = self.rig.decided(&self.hardware, &decision);
            self.note(&asked);
            if self.steps.len() == before {
                self.time_passes();
            }
            return;
        };
        let result = match act {
            Act::FallBack { .. } if !self.falls_back => Some(Err("the switch is stuck".to_owned())),
            Act::Stage { .. }
            | Act::Activate { .. }
            | Act::Reboot
            | Act::CheckHealth { .. }
            | Act::Confirm
            | Act::FallBack { .. }
            | Act::DeliverConfig { .. } => self.hardware.perform(&act),
        };
        match result {
            Some(result) => self.ends(op, result),
            None => self.starts(),
        }
    }

    fn ends(&mut self, op: OpId, result: Result<OpOutput, String>) {
        let decision = self.rig.wanted(&self.hardware);
        let asked = self.rig.done(&self.hardware, op, result, &decision);
        self.note(&asked);
    }

    /// The next deadline passes, or, if there is none, an attempt's window.
    fn time_passes(&mut self) {
        let Some((at, _)) = self.rig.timers.next() else {
            if self.at() == At::Idle {
                return;
            }
            self.rig.mono_ms += 1_000_000;
            let over = Decision { window: None, ..decision(Verdict::Wait, NEW) };
            let asked = self.rig.decided(&self.hardware, &over);
            return self.note(&asked);
        };
        self.rig.mono_ms = at.0;
        for timer in self.rig.timers.take_due(MonoTime(at.0), true) {
            let asked = self.rig.step(|updater, cx| updater.woke(cx, timer));
            self.note(&asked);
        }
    }

    fn befalls(&mut self, fault: Fault) {
        match fault {
            Fault::Error => {
                // Where nothing runs, an end that nobody waits for.
                let op = self.acting.take().map_or(OpId(99), |(op, _)| op);
                self.ends(op, Err("broken".to_owned()));
            }
            Fault::Kill => self.starts(),
            Fault::Hang => {
                self.hardware.restart();
                self.starts();
            }
            Fault::NeverEnds => {
                self.acting = None;
                self.time_passes();
            }
        }
    }

    /// Whether the attempt that was under way has ended.
    fn has_ended(&self) -> bool {
        !self.rig.saved.get().finished.is_empty()
    }
}

/// What a fault leads to: the steps, the run's status and detail, whether the image is blamed.
fn outcome(at: At, fault: Fault, falls_back: bool) -> (Vec<String>, String, bool) {
    let mut course = Course::to(at, falls_back);
    course.befalls(fault);
    let mut patience = 12;
    while !course.has_ended() && course.steps.len() < STEPS_MAX && patience > 0 {
        course.goes_on();
        patience -= 1;
    }
    let durable = course.rig.saved.get();
    assert!(durable.finished.len() <= 1, "I12: one record of one attempt");
    let run = match durable.finished.last() {
        None => "goes on".to_owned(),
        Some(run) if run.detail.is_empty() => run.status.clone(),
        Some(run) => format!("{}: {}", run.status, run.detail),
    };
    if durable.finished.iter().any(|run| run.status == "UPDATED") {
        assert_eq!(course.hardware.runs(), NEW, "I12: what is booted");
    }
    (course.steps, run, !durable.quarantine.is_empty())
}

#[test]
fn each_state_with_each_fault_has_its_exact_trace() {
    for (at, fault, falls_back, steps, run, quarantined) in ROWS {
        let found = outcome(*at, *fault, *falls_back);
        let steps: Vec<String> = steps.iter().map(|step| (*step).to_owned()).collect();
        let expected = (steps, (*run).to_owned(), *quarantined);
        assert_eq!(found, expected, "{at:?}, {fault:?}, falling back possible: {falls_back}");
    }
}

#[test]
fn the_table_has_a_row_for_each_state_and_each_fault() {
    let mut wanted = Vec::new();
    for at in At::ALL {
        for fault in Fault::ALL {
            wanted.extend([(at, fault, true), (at, fault, false)]);
        }
    }
    let rows: Vec<(At, Fault, bool)> = ROWS.iter().map(|row| (row.0, row.1, row.2)).collect();
    assert_eq!(rows, wanted);
}

#[test]
fn only_staging_is_ordered_without_a_deadline() {
    for at in At::ALL {
        let course = Course::to(at, true);
        let waits = course.acting.is_some() && at != At::Staging;
        assert_eq!(course.rig.timers.is_set(Timer::ActOverdue), waits, "{at:?}");
    }
}
