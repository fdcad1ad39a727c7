//! The local veto: it can only stop, never start (DESIGN section 6).

use daymark_protocol::time::WallTime;

use crate::effect::{Batch, Effect, Reply};
use crate::event::RequestId;
use crate::node::Node;

/// Most inhibitors at a time.
const INHIBITORS_MAX: usize = 16;
/// Longest reason, in bytes.
const WHY_BYTES_MAX: usize = 200;

impl Node {
    /// Sets, replaces or lifts an inhibitor.
    pub(crate) fn inhibit(
        &mut self,
        request: RequestId,
        why: String,
        until: Option<WallTime>,
        batch: &mut Batch,
    ) {
        let reply = self.set_inhibitor(why, until);
        self.look = true;
        batch.after(Effect::Reply { request, reply });
    }

    fn set_inhibitor(&mut self, why: String, until: Option<WallTime>) -> Reply {
        if why.is_empty() || why.len() > WHY_BYTES_MAX {
            return Reply::Refused(format!("the reason must have 1 to {WHY_BYTES_MAX} bytes"));
        }
        let earliest = self.now().earliest;
        let held = self.saved.get().inhibitors.iter().any(|(held, _)| *held == why);
        let Some(until) = until else {
            if !held {
                return Reply::Refused(format!("no inhibitor is called {why:?}"));
            }
            self.saved.change().inhibitors.retain(|(held, _)| *held != why);
            return Reply::Done;
        };
        let inhibitors = &mut self.saved.change().inhibitors;
        inhibitors.retain(|(held, end)| *held != why && *end > earliest);
        if inhibitors.len() >= INHIBITORS_MAX {
            return Reply::Refused(format!("{INHIBITORS_MAX} inhibitors are set; lift one first"));
        }
        inhibitors.push((why, until));
        Reply::Done
    }
}
