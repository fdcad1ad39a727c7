//! What stops the host, and what its signers knew and is missing here.

use crate::decide::because::Because;
use crate::decide::closing::{Closing, What};
use crate::decide::model::{Gate, GateAnswer};
use crate::id::ResourceId;
use crate::time::Now;
use crate::trust::Seen;

/// No halt, no hold and no closing of an unknown kind stands (RULES C4, Q3, S3).
pub(in crate::decide) fn halted(
    closings: &[Closing],
    profile: Option<&str>,
    policy: Option<&ResourceId>,
    now: &Now,
) -> GateAnswer {
    let mut found: Option<Because> = None;
    for closing in closings.iter().filter(|closing| closing.stands(now, profile)) {
        let (about, reason, message) = match &closing.what {
            What::Halt(Some(only)) if policy.is_some_and(|policy| policy != only) => continue,
            What::Halt(_) => ("halt", "halted", "a halt stands until it is resumed"),
            What::Hold => ("hold", "held", "a hold pins this host to what it runs"),
            What::Kind => {
                ("closing", "unknown-closing", "something closes that is newer than this agent")
            }
            What::Blackout(..) => continue,
        };
        let because = found.take().unwrap_or_else(|| Because::new(reason, message));
        found = Some(because.fact(about, closing.told.clone()).changes_at(now, closing.until));
    }
    match found {
        Some(because) => because.fail(Gate::Halted),
        None => Because::new("not-halted", "nothing stops this host").pass(Gate::Halted),
    }
}

/// All that the signers of what opens knew is held here (RULES S5).
pub(in crate::decide) fn sees<'a>(missing: impl Iterator<Item = &'a Seen>) -> GateAnswer {
    let mut missing: Vec<&Seen> = missing.collect();
    missing.sort();
    missing.dedup();
    if missing.is_empty() {
        return Because::new("seen", "all that the signers knew is held here").pass(Gate::Sees);
    }
    let because = Because::new("missing", "the signers knew of statements that are not held here");
    let told = |because: Because, seen: &Seen| because.fact("missing", seen.to_string());
    missing.into_iter().fold(because, told).fail(Gate::Sees)
}
