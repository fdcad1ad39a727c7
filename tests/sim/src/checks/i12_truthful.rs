//! I12: a run's outcome is what is really booted; each attempt leaves exactly one record.

use std::collections::BTreeMap;

use daymark_core::effect::Write;

use super::Check;
use crate::facts::Deed;
use crate::host::index_of;
use crate::world::World;

/// Follows the numbers of attempts and runs on each disk.
#[derive(Debug, Default)]
pub(super) struct Truthful {
    /// The newest run that was recorded.
    recorded: BTreeMap<usize, u64>,
}

impl Check for Truthful {
    fn see(&mut self, world: &World, host: usize, deed: &Deed<'_>) -> Option<String> {
        let Deed::Wrote(Write::PutState(state)) = deed else { return None };
        let newest = self.recorded.entry(host).or_insert(0);
        let before = *newest;
        for run in state.finished.iter().filter(|run| run.attempt.number > before) {
            let number = run.attempt.number;
            if number != *newest + 1 {
                return Some(format!("run {number} follows run {newest}"));
            }
            *newest = number;
            let wanted = run.attempt.target.index_digest;
            let machine = &world.hosts[host].machine;
            let runs = machine.runs().map(|image| index_of(&world.images.of(image).version));
            let there = runs.is_some() && runs == wanted && machine.is_confirmed();
            // An attempt at what ran already and ends at once changes nothing.
            let told = run.status == "UPDATED";
            let version = &run.attempt.target.version;
            if told != there && (told || run.attempt.from_version.as_ref() != Some(version)) {
                return Some(format!(
                    "run {number} of {version} says {}, and that is not so",
                    run.status
                ));
            }
        }
        None
    }

    fn end(&mut self, world: &World) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, host) in world.hosts.iter().enumerate().filter(|(_, host)| !host.is_hostile())
        {
            let state = host.disk.state();
            let open = u64::from(state.update != daymark_core::durable::UpdateState::Idle);
            let recorded = self.recorded.get(&number).copied().unwrap_or(0);
            if recorded + open != state.attempt {
                found.push((number, format!("{recorded} runs of {} attempts", state.attempt)));
            }
        }
        found
    }
}
