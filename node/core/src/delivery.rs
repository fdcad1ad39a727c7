//! Custom configuration: delivered to the platform whenever what reaches this host changed.

use std::collections::BTreeSet;

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{CustomConfigSpec, Kind, Spec};
use daymark_protocol::target::UnknownProfile;
use daymark_protocol::trust::{State, Validity, Version};

use crate::effect::{Act, Batch, Effect, OpId};
use crate::event::OpOutput;
use crate::node::Node;
use crate::timer::Timer;

/// Pause before a delivery that failed is tried again, ms.
const RETRY_MS: u64 = 60_000;

/// A delivery under way: one file at a time.
#[derive(Debug)]
pub(crate) struct Delivery {
    op: OpId,
    /// What is delivered, as a whole.
    digest: Digest,
    /// Name and content of the file that is delivered, then of those that follow, last one first.
    /// Empty content takes the file away.
    file: (String, String),
    rest: Vec<(String, String)>,
}

/// What custom configuration reaches this host.
#[derive(Debug, Default)]
struct Configs {
    /// In force: name and content, by id.
    wanted: Vec<(String, String)>,
    /// Names of what may or may not be: it is left as it is (I6).
    unsure: BTreeSet<String>,
    /// Whether something is unknown whose very name is.
    nameless: bool,
}

impl Node {
    /// Starts a delivery, if what is in force here is not what was delivered.
    pub(crate) fn deliver_config(&mut self, batch: &mut Batch) {
        if self.delivery.is_some() || self.timers.is_set(Timer::RetryConfig) {
            return;
        }
        let Some(configs) = self.configs() else { return };
        let parts: Vec<&[u8]> = configs
            .wanted
            .iter()
            .flat_map(|(name, config)| [name.as_bytes(), config.as_bytes()])
            .collect();
        let digest = Digest::of_parts(&parts);
        let state = self.saved.get();
        let removed = state.delivered_names.iter().filter(|name| {
            let is_wanted = configs.wanted.iter().any(|(wanted, _)| wanted == *name);
            !is_wanted && !configs.nameless && !configs.unsure.contains(*name)
        });
        let mut files: Vec<(String, String)> =
            removed.map(|name| (name.clone(), String::new())).collect();
        if state.delivered_config != Some(digest) {
            files.extend(configs.wanted);
        }
        files.reverse();
        if let Some(first) = files.pop() {
            self.deliver(first, digest, files, batch);
        }
    }

    fn deliver(
        &mut self,
        file: (String, String),
        digest: Digest,
        rest: Vec<(String, String)>,
        batch: &mut Batch,
    ) {
        let op = self.ops.mint();
        let (name, config) = file.clone();
        if !self.saved.get().delivered_names.contains(&name) {
            self.saved.change().delivered_names.insert(name.clone());
        }
        batch.after(Effect::Perform { op, act: Act::DeliverConfig { name, config } });
        self.delivery = Some(Delivery { op, digest, file, rest });
    }

    /// Takes the end of a delivery; `false` if the operation is another one.
    pub(crate) fn config_delivered(
        &mut self,
        op: OpId,
        result: &Result<OpOutput, String>,
        batch: &mut Batch,
    ) -> bool {
        let Some(delivery) = self.delivery.take_if(|delivery| delivery.op == op) else {
            return false;
        };
        let Delivery { digest, file: (name, config), mut rest, .. } = delivery;
        if result.is_err() {
            self.timers.set(Timer::RetryConfig, self.reading.mono.plus_ms(RETRY_MS));
            return true;
        }
        if config.is_empty() {
            self.saved.change().delivered_names.remove(&name);
        }
        if let Some(next) = rest.pop() {
            self.deliver(next, digest, rest, batch);
        } else {
            self.saved.change().delivered_config = Some(digest);
            // It may have changed meanwhile.
            self.deliver_config(batch);
        }
        true
    }

    /// What is in force and reaches this host (RULES S5 to S7, C2); `None` while no root is held
    /// whole, and nothing can be judged.
    fn configs(&self) -> Option<Configs> {
        let (replica, reach) = (self.replica.as_ref()?, self.reach.as_ref()?);
        let standing = replica.standing();
        standing.root.as_ref()?;
        let mut configs = Configs::default();
        for (_, line) in standing.of_kind(Kind::CustomConfig) {
            let names = line.versions.iter().filter_map(|version| Some(&config(version)?.name));
            let Some(newest) = line.versions.first() else {
                configs.nameless = true;
                continue;
            };
            if line.state != State::Counts || newest.validity != Validity::Valid {
                configs.unsure.extend(names.cloned());
                continue;
            }
            if newest.gone || !newest.reaches(reach.place(), UnknownProfile::Differs) {
                continue;
            }
            match (config(newest), reach.is_in_force(standing, newest, &self.now())) {
                (Some(config), Some(true)) => {
                    configs.wanted.push((config.name.clone(), config.config.clone()));
                }
                (Some(_), Some(false)) => {}
                (Some(_), None) | (None, _) => configs.unsure.extend(names.cloned()),
            }
        }
        Some(configs)
    }
}

fn config(version: &Version) -> Option<&CustomConfigSpec> {
    match version.spec.as_ref().ok()? {
        Some(Spec::CustomConfig(config)) => Some(config),
        Some(_) | None => None,
    }
}
