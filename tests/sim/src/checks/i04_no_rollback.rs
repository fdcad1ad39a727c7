//! I4: floors never go down, and are durable before what relies on them.

use std::collections::BTreeMap;

use daymark_core::effect::Write;
use daymark_protocol::id::ResourceId;
use daymark_protocol::resource::Kind;
use daymark_protocol::time::WallTime;
use daymark_protocol::trust::FloorRecord;

use super::Check;
use crate::facts::Deed;
use crate::world::World;

/// What was durable on one disk.
#[derive(Debug, Default)]
struct Floors {
    versions: BTreeMap<(String, ResourceId), u64>,
    pin: u64,
    root: u64,
    clock: Option<WallTime>,
    generation: u64,
    attempt: u64,
}

/// Remembers the highest of each floor that became durable.
#[derive(Debug, Default)]
pub(super) struct NoRollback(BTreeMap<usize, Floors>);

impl Check for NoRollback {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        if let Deed::Wrote(write) = deed {
            return self.0.entry(host).or_default().wrote(write);
        }
        let target = super::target_of(deed)?;
        let floors = world.hosts[host].disk.floors();
        let floor = floors.get(Kind::OsUpdatePolicy.name(), &target.policy);
        let durable = floor.is_some_and(|floor| floor.version >= target.policy_version);
        (!durable).then(|| {
            let (version, policy) = (target.policy_version, &target.policy);
            format!("version {version} of {policy} is acted on, and its floor is not durable")
        })
    }
}

impl Floors {
    fn wrote(&mut self, write: &Write) -> Option<String> {
        match write {
            Write::AppendFloor(FloorRecord::Version { kind, id, version, .. }) => {
                let held = self.versions.entry((kind.clone(), id.clone())).or_insert(0);
                if *version < *held {
                    return Some(format!(
                        "the floor of {kind} {id} falls from {held} to {version}"
                    ));
                }
                *held = *version;
                None
            }
            // Only what a root took back lowers a floor (RULES R6).
            Write::AppendFloor(FloorRecord::Lowered { kind, id, .. }) => {
                self.versions.remove(&(kind.clone(), id.clone()));
                None
            }
            Write::PutState(state) => {
                let pin = state.pin.map_or(0, |pin| pin.version);
                let fell = pin < self.pin
                    || state.root_floor < self.root
                    || state.clock_floor < self.clock
                    || state.generation < self.generation
                    || state.attempt < self.attempt;
                self.pin = pin.max(self.pin);
                self.root = state.root_floor.max(self.root);
                self.clock = state.clock_floor.max(self.clock);
                self.generation = state.generation.max(self.generation);
                self.attempt = state.attempt.max(self.attempt);
                fell.then(|| "the pin, the clock's floor, a generation or an attempt falls".into())
            }
            Write::AppendFloor(FloorRecord::Whole(_))
            | Write::PutEntry { .. }
            | Write::DropEntry { .. }
            | Write::PutReport { .. }
            | Write::DropReports { .. }
            | Write::PutBlob { .. }
            | Write::DropBlob { .. }
            | Write::PutRoot { .. } => None,
        }
    }
}
