//! Cutting the power of a machine in a certain state of its update.

use std::path::Path;

use daymark_core::durable::{DurableState, UpdateState};
use daymark_node::durable::read_record;
use rustix::fs::inotify;
use rustix::process::{Pid, Signal, kill_process_group};

/// Kills the group once the state file says so; woken by each change in the folder.
pub(crate) fn watch_for(data: &Path, state: &str, group: Pid) -> anyhow::Result<()> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&watch, data, inotify::WatchFlags::MOVED_TO)?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut changes = inotify::Reader::new(&watch, &mut buffer);
    loop {
        let durable: Option<DurableState> = read_record(&data.join("state"), "state")?;
        if durable.is_some_and(|durable| state_name(&durable.update) == state) {
            return Ok(kill_process_group(group, Signal::KILL)?);
        }
        changes.next()?;
    }
}

/// The name of a state, as a status says it.
pub(crate) fn state_name(update: &UpdateState) -> &'static str {
    match update {
        UpdateState::Idle => "idle",
        UpdateState::Staging(_) => "staging",
        UpdateState::Staged(_) => "staged",
        UpdateState::Activating(_) => "activating",
        UpdateState::Rebooting(_) => "rebooting",
        UpdateState::Confirming(_) => "confirming",
        UpdateState::FallingBack(_) => "fallingBack",
    }
}
