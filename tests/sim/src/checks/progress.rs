//! Progress: once faults have ended, everyone who should update has, by the time that the
//! reference model names.

use super::Check;
use crate::world::World;

/// At the end: what runs is what the reference model says.
#[derive(Debug, Default)]
pub(super) struct Progress;

impl Check for Progress {
    fn end(&mut self, world: &World) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, host) in world.hosts.iter().enumerate().filter(|(_, host)| !host.is_hostile())
        {
            if world.reference.is_cloned(number) {
                continue;
            }
            let image = host.machine.runs();
            let runs = image.map_or("nothing", |image| &world.images.of(image).version);
            if host.machine.is_confirmed() && !world.reference.allowed(number).contains(runs) {
                found.push((number, format!("it runs {runs}, which is not meant for it")));
            }
            let Some(expected) = world.reference.expected(number) else { continue };
            let reached = image.and_then(|image| host.reached.get(&image).copied());
            let there = runs == expected.version && host.machine.is_confirmed();
            if !there || reached.is_none_or(|at_ms| at_ms > expected.by_ms) {
                let stand = crate::watch::stand(world, number);
                found.push((number, format!("it should run {} by now: {stand}", expected.version)));
            }
        }
        found
    }
}
