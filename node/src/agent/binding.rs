//! The board that the key is bound to, at the agent's side (RULES D6): compared at each start, and
//! written down anew when a person says so.

use std::path::Path;

use daymark_core::Event;
use daymark_protocol::control::Rebind;

use super::{Agent, AgentError};
use crate::platform::binding::{Binding, compare};
use crate::platform::facts::{Hardware, hardware};

impl Agent {
    fn board(&self) -> Hardware {
        hardware(Path::new("/"), &self.settings.identity)
    }

    /// Compares, and tells the core if it held something else.
    pub(super) async fn compare_board(&mut self) -> Result<(), AgentError> {
        let moved = match compare(&self.identity, &self.board(), &self.node.durable().update) {
            Binding::Same => None,
            Binding::Renewed(found) => {
                tracing::info!(
                    serial = found.serial,
                    machine_id = found.machine_id,
                    "the same machine is known by more, or by another machine-id: recorded"
                );
                self.identity.bind(&self.settings.data_dir, found.machine_id, found.serial)?;
                None
            }
            Binding::Moved(why) => {
                tracing::warn!(
                    "{why}: copied disk or new board? Nothing new starts before `daymark-node \
                     rebind`"
                );
                Some(why)
            }
        };
        if self.node.durable().moved == moved {
            return Ok(());
        }
        self.step(Event::Bound { moved }).await
    }

    /// Binds the key to what a person saw, if that is what there is. The file comes first: cut off
    /// after it, the next start finds the machine bound and says so to the core.
    pub(super) fn bind_to_this_board(&mut self, seen: &Rebind) -> Result<(), String> {
        let found = self.board();
        if (&seen.serial, &seen.machine_id) != (&found.serial, &found.machine_id) {
            return Err("the agent sees another board than you were shown; look at `daymark-node \
                        rebind` again"
                .to_owned());
        }
        let bound = self.identity.bind(&self.settings.data_dir, found.machine_id, found.serial);
        bound.map_err(|error| error.to_string())?;
        tracing::info!("a person says that this machine keeps its key");
        Ok(())
    }
}
