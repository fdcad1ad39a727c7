//! The durable state and whether it changed: one write per step, before all that relies on it.

use crate::durable::{DurableState, UpdateState};
use crate::effect::{Batch, OpId};

/// The durable state as this step leaves it.
#[derive(Debug)]
pub(crate) struct Saved {
    state: DurableState,
    changed: bool,
}

impl Saved {
    pub(crate) fn new(state: DurableState) -> Self {
        Self { state, changed: false }
    }

    /// The state.
    pub(crate) fn get(&self) -> &DurableState {
        &self.state
    }

    /// The state, to be changed and saved with this step.
    pub(crate) fn change(&mut self) -> &mut DurableState {
        self.changed = true;
        &mut self.state
    }

    /// The update under way, for what need not be saved: how far staging is.
    pub(crate) fn in_memory_update(&mut self) -> &mut UpdateState {
        &mut self.state.update
    }

    /// Asks for the save, if anything changed.
    pub(crate) fn write(&mut self, batch: &mut Batch) {
        if std::mem::take(&mut self.changed) {
            batch.write_state(self.state.clone());
        }
    }
}

/// Mints operation ids.
#[derive(Debug, Default)]
pub(crate) struct OpIds(u64);

impl OpIds {
    pub(crate) fn mint(&mut self) -> OpId {
        self.0 += 1;
        OpId(self.0)
    }
}
