//! Why a gate answers as it does, put together step by step.

use super::model::{Evidence, Gate, GateAnswer, Word};
use crate::time::{Now, WallTime};

/// A reason in the making: a word for programs, a sentence for people, facts, and when it may
/// change by time alone.
#[derive(Clone, Debug)]
pub(super) struct Because {
    reason: Word,
    message: String,
    evidence: Vec<Evidence>,
    changes_at: Option<WallTime>,
}

impl Because {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason: Word::Borrowed(reason),
            message: message.into(),
            evidence: Vec::new(),
            changes_at: None,
        }
    }

    /// Adds a fact.
    pub(super) fn fact(mut self, about: &'static str, fact: impl Into<String>) -> Self {
        self.evidence.push(Evidence(Word::Borrowed(about), fact.into()));
        self
    }

    /// Notes a moment at which the answer may change; past ones and later ones than those noted
    /// before change nothing.
    pub(super) fn changes_at(mut self, now: &Now, at: impl Into<Option<WallTime>>) -> Self {
        let ahead = at.into().filter(|at| now.earliest < *at);
        self.changes_at = [self.changes_at, ahead].into_iter().flatten().min();
        self
    }

    pub(super) fn pass(self, gate: Gate) -> GateAnswer {
        self.answer(gate, true)
    }

    pub(super) fn fail(self, gate: Gate) -> GateAnswer {
        self.answer(gate, false)
    }

    fn answer(self, gate: Gate, pass: bool) -> GateAnswer {
        let Self { reason, message, evidence, changes_at } = self;
        GateAnswer { gate, pass, reason, message, evidence, changes_at }
    }
}
