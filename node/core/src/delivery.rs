//! Custom configuration: delivered to the platform whenever what reaches this host changed.

use daymark_protocol::id::Digest;
use daymark_protocol::resource::{CustomConfigSpec, Kind, Spec};
use daymark_protocol::target::UnknownProfile;
use daymark_protocol::trust::{State, Validity};

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
    /// Files that follow, last one first.
    rest: Vec<CustomConfigSpec>,
}

impl Node {
    /// Starts a delivery, if what reaches this host is not what was delivered.
    pub(crate) fn deliver_config(&mut self, batch: &mut Batch) {
        if self.delivery.is_some() || self.timers.is_set(Timer::RetryConfig) {
            return;
        }
        let mut configs = self.configs();
        let parts: Vec<&[u8]> = configs
            .iter()
            .flat_map(|config| [config.name.as_bytes(), config.config.as_bytes()])
            .collect();
        let digest = Digest::of_parts(&parts);
        if self.saved.get().delivered_config == Some(digest) {
            return;
        }
        configs.reverse();
        if let Some(first) = configs.pop() {
            self.deliver(first, digest, configs, batch);
        }
    }

    fn deliver(
        &mut self,
        config: CustomConfigSpec,
        digest: Digest,
        rest: Vec<CustomConfigSpec>,
        batch: &mut Batch,
    ) {
        let op = self.ops.mint();
        let act = Act::DeliverConfig { name: config.name, config: config.config };
        batch.after(Effect::Perform { op, act });
        self.delivery = Some(Delivery { op, digest, rest });
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
        let Delivery { digest, mut rest, .. } = delivery;
        if result.is_err() {
            self.timers.set(Timer::RetryConfig, self.reading.mono.plus_ms(RETRY_MS));
        } else if let Some(next) = rest.pop() {
            self.deliver(next, digest, rest, batch);
        } else {
            self.saved.change().delivered_config = Some(digest);
            // It may have changed meanwhile.
            self.deliver_config(batch);
        }
        true
    }

    /// All that counts and reaches this host, by id. What is unknown is not delivered anew (I6).
    fn configs(&self) -> Vec<CustomConfigSpec> {
        let (Some(replica), Some(reach)) = (&self.replica, &self.reach) else { return vec![] };
        replica
            .standing()
            .of_kind(Kind::CustomConfig)
            .filter(|(_, line)| line.state == State::Counts)
            .filter_map(|(_, line)| line.versions.first())
            .filter(|version| version.validity == Validity::Valid && !version.gone)
            .filter(|version| version.reaches(reach.place(), UnknownProfile::Differs))
            .filter_map(|version| {
                let Some(Spec::CustomConfig(config)) = version.spec.as_ref().ok()? else {
                    return None;
                };
                Some(config.clone())
            })
            .collect()
    }
}
