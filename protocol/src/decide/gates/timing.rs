//! Whether a window is open with enough of it left, and whether this host's turn in it has come.

use crate::decide::because::Because;
use crate::decide::calendar::Usable;
use crate::decide::model::{Gate, GateAnswer, Window};
use crate::rules::{Rule, holds};
use crate::time::{Now, WallTime};

/// This host's turn within the open window has come (RULES Q7).
pub(in crate::decide) fn turn(start_at: WallTime, now: &Now) -> GateAnswer {
    let because = |reason, message: &str| {
        Because::new(reason, message).fact("start", start_at.to_string()).changes_at(now, start_at)
    };
    if start_at <= now.earliest {
        because("turn-come", "this host's turn within the window has come").pass(Gate::Turn)
    } else {
        because("not-my-turn", "hosts start one after another; this one's turn is later")
            .fail(Gate::Turn)
    }
}

/// A window is open over the whole width of `now`, with enough of it left.
pub(in crate::decide) fn window(usable: &Usable, needed_ms: u64, now: &Now) -> GateAnswer {
    if let (true, Some(piece)) = (usable.is_open || !holds(Rule::I2Window), usable.piece) {
        let last_start = piece.end.map(|end| end.plus_ms(-to_i64(needed_ms)));
        let because = match &usable.emergency {
            None => Because::new("window-open", "a window is open with enough of it left"),
            Some(told) => Because::new("emergency", "an emergency passes the windows")
                .fact("emergency", told.clone()),
        };
        return because
            .fact("window", told(&piece))
            .changes_at(now, last_start.map(|last| last.plus_ms(1)))
            .changes_at(now, piece.end)
            .changes_at(now, usable.changes_at)
            .pass(Gate::Window);
    }
    let because = match (usable.closed_by.is_empty(), usable.short, usable.piece) {
        (false, ..) => Because::new("blackout", "a blackout closes"),
        (true, _, Some(piece)) if piece.start <= now.latest => {
            Because::new("window-unsure", "a window begins within the error of the clock")
        }
        (true, Some(short), _) => {
            Because::new("too-little-left", "too little is left of the open window")
                .fact("open", told(&short))
                .fact("needed", format!("{} s", needed_ms.div_ceil(1000)))
                .changes_at(now, short.end)
        }
        (true, None, Some(_)) => Because::new("outside-window", "no window is open"),
        (true, None, None) => {
            Because::new("no-window", "no window is open, now or in the years ahead")
        }
    };
    let because = usable.closed_by.iter().fold(because, |because, (told, to)| {
        because.fact("blackout", format!("{told}, until {to}")).changes_at(now, *to)
    });
    let because = match usable.piece {
        Some(piece) => because.fact("next", told(&piece)).changes_at(now, piece.start),
        None => because,
    };
    let because = because.changes_at(now, usable.changes_at);
    usable
        .problems
        .iter()
        .fold(because, |because, problem| because.fact("problem", problem.clone()))
        .fail(Gate::Window)
}

fn told(window: &Window) -> String {
    match window.end {
        Some(end) => format!("{} to {end}", window.start),
        None => format!("from {} on", window.start),
    }
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
