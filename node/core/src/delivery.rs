//! Custom configuration: delivered to the platform whenever what reaches this host changed.

use std::collections::{BTreeMap, BTreeSet};

use daymark_protocol::id::Digest;
use daymark_protocol::limits::CONFIGURATION_PROBLEM_BYTES_MAX;
use daymark_protocol::resource::{CustomConfigSpec, Kind, Spec};
use daymark_protocol::target::{Rank, UnknownProfile};
use daymark_protocol::trust::{State, Validity, Version};

use crate::effect::{Act, Batch, Effect, OpId};
use crate::event::OpOutput;
use crate::node::Node;
use crate::timer::Timer;

/// Pause before a delivery that failed is tried again, ms.
const RETRY_MS: u64 = 60_000;
/// How long one file may take, ms: it is small, so that a disk that takes longer hangs.
const OVERDUE_MS: u64 = 600_000;
/// Pause before one that hung is tried again, ms: each try may hang on beside those before it.
const RETRY_HUNG_MS: u64 = 3_600_000;

/// All that this start knows of custom configuration.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    under_way: Option<Delivery>,
    /// What the platform took since the start, by name: only what failed is tried again.
    done: BTreeMap<String, Digest>,
    /// What the platform did not take, by name, and why.
    failed: BTreeMap<String, (Digest, String)>,
    /// Names that are given to different configurations, none nearer than the other.
    contested: BTreeSet<String>,
}

/// A delivery under way: one file at a time.
#[derive(Debug)]
struct Delivery {
    op: OpId,
    /// What is delivered, as a whole.
    digest: Digest,
    /// Whether nothing of it failed so far.
    is_whole: bool,
    /// Name and content of the file that is delivered, then of those that follow, last one first.
    /// Empty content takes the file away.
    file: (String, String),
    rest: Vec<(String, String)>,
}

/// What custom configuration reaches this host.
#[derive(Debug, Default)]
struct Configs {
    /// In force: content, by name; of several configurations of one name the nearest.
    wanted: BTreeMap<String, String>,
    /// Names of what may or may not be: it is left as it is (I6).
    unsure: BTreeSet<String>,
    /// Names that are given to different configurations, none nearer than the other; unsure too.
    contested: BTreeSet<String>,
    /// Whether something is unknown whose very name is.
    nameless: bool,
}

/// The nearest configurations of one name.
#[derive(Debug)]
struct Nearest {
    rank: Rank,
    contents: BTreeSet<String>,
    is_unsure: bool,
}

impl Deliveries {
    /// What went wrong, for people.
    pub(crate) fn problem(&self) -> Option<String> {
        let failed = self.failed.iter().map(|(name, (_, why))| format!("{name}: {why}"));
        let contested = self.contested.iter().map(|name| {
            format!("{name}: several configurations of this name are meant for this machine alike")
        });
        let mut problems: Vec<String> = failed.chain(contested).collect();
        problems.sort_unstable();
        let mut text = problems.join("; ");
        text.truncate(text.floor_char_boundary(CONFIGURATION_PROBLEM_BYTES_MAX));
        (!text.is_empty()).then_some(text)
    }
}

impl Node {
    /// Starts a delivery, if what is in force here is not what was delivered.
    pub(crate) fn deliver_config(&mut self, batch: &mut Batch) {
        if self.deliveries.under_way.is_some() {
            return;
        }
        let Some(configs) = self.configs() else { return };
        let before = self.deliveries.problem();
        self.deliveries.contested.clone_from(&configs.contested);
        let mut files = self.undelivered(&configs);
        let named = |name: &String| files.iter().any(|(wanted, _)| wanted == name);
        self.deliveries.failed.retain(|name, _| named(name));
        self.facts_changed |= self.deliveries.problem() != before;
        let due = files.len();
        if self.timers.is_set(Timer::RetryConfig) {
            let failed = &self.deliveries.failed;
            files.retain(|(name, content)| {
                failed.get(name).is_none_or(|(tried, _)| *tried != Digest::of(content.as_bytes()))
            });
        }
        let is_whole = files.len() == due;
        files.reverse();
        let digest = configs.digest();
        if let Some(first) = files.pop() {
            let op = self.ops.mint();
            self.deliver(Delivery { op, digest, is_whole, file: first, rest: files }, batch);
        }
    }

    /// Name and content of the files that the platform is to write or, if it is empty, to remove.
    fn undelivered(&self, configs: &Configs) -> Vec<(String, String)> {
        let state = self.saved.get();
        let removed = state.delivered_names.iter().filter(|name| {
            !configs.wanted.contains_key(*name)
                && !configs.nameless
                && !configs.unsure.contains(*name)
        });
        let mut files: Vec<(String, String)> =
            removed.map(|name| (name.clone(), String::new())).collect();
        if state.delivered_config != Some(configs.digest()) {
            let done = &self.deliveries.done;
            let wanted = configs
                .wanted
                .iter()
                .filter(|(name, content)| done.get(*name) != Some(&Digest::of(content.as_bytes())));
            files.extend(wanted.map(|(name, content)| (name.clone(), content.clone())));
        }
        files
    }

    fn deliver(&mut self, delivery: Delivery, batch: &mut Batch) {
        let op = delivery.op;
        let (name, config) = delivery.file.clone();
        if !self.saved.get().delivered_names.contains(&name) {
            self.saved.change().delivered_names.insert(name.clone());
        }
        batch.after(Effect::Perform { op, act: Act::DeliverConfig { name, config } });
        self.timers.set(Timer::ConfigOverdue, self.reading.mono.plus_ms(OVERDUE_MS));
        self.deliveries.under_way = Some(delivery);
    }

    /// Takes the end of a delivery; `false` if the operation is another one.
    pub(crate) fn config_delivered(
        &mut self,
        op: OpId,
        result: &Result<OpOutput, String>,
        batch: &mut Batch,
    ) -> bool {
        let under_way = &mut self.deliveries.under_way;
        let Some(delivery) = under_way.take_if(|delivery| delivery.op == op) else {
            return false;
        };
        let failure = result.as_ref().err().map(|why| (why.clone(), RETRY_MS));
        self.file_ended(delivery, failure, batch);
        true
    }

    /// The platform did not end in time: what it still does no longer stops the other files.
    pub(crate) fn config_overdue(&mut self, batch: &mut Batch) {
        let Some(delivery) = self.deliveries.under_way.take() else { return };
        batch.now(Effect::Cancel { op: delivery.op });
        let why = format!("not written within {} minutes", OVERDUE_MS / 60_000);
        self.file_ended(delivery, Some((why, RETRY_HUNG_MS)), batch);
    }

    /// Goes on to the next file; one that failed, for a reason, is tried again after a pause in ms.
    fn file_ended(
        &mut self,
        mut delivery: Delivery,
        failure: Option<(String, u64)>,
        batch: &mut Batch,
    ) {
        self.timers.clear(Timer::ConfigOverdue);
        let before = self.deliveries.problem();
        let (name, config) = std::mem::take(&mut delivery.file);
        let content = Digest::of(config.as_bytes());
        if let Some((why, pause_ms)) = failure {
            delivery.is_whole = false;
            // It may have been written all the same.
            self.deliveries.done.remove(&name);
            if self.saved.get().delivered_config.is_some() {
                self.saved.change().delivered_config = None;
            }
            self.deliveries.failed.insert(name, (content, why));
            self.timers.set_earlier(Timer::RetryConfig, self.reading.mono.plus_ms(pause_ms));
        } else {
            self.deliveries.failed.remove(&name);
            if config.is_empty() {
                self.deliveries.done.remove(&name);
                self.saved.change().delivered_names.remove(&name);
            } else {
                self.deliveries.done.insert(name, content);
            }
        }
        self.facts_changed |= self.deliveries.problem() != before;
        if let Some(next) = delivery.rest.pop() {
            let op = self.ops.mint();
            return self.deliver(Delivery { op, file: next, ..delivery }, batch);
        }
        if delivery.is_whole {
            self.saved.change().delivered_config = Some(delivery.digest);
        }
        // It may have changed meanwhile.
        self.deliver_config(batch);
    }

    /// What is in force and reaches this host (RULES S5 to S7, C2); `None` while no root is held
    /// whole, and nothing can be judged.
    fn configs(&self) -> Option<Configs> {
        let (replica, reach) = (self.replica.as_ref()?, self.reach.as_ref()?);
        let standing = replica.standing();
        standing.root.as_ref()?;
        let (mut configs, mut nearest) = (Configs::default(), BTreeMap::new());
        for (_, line) in standing.of_kind(Kind::CustomConfig) {
            let Some(newest) = line.versions.first() else {
                configs.nameless = true;
                continue;
            };
            let versions =
                || line.versions.iter().filter_map(|version| Some((version, config(version)?)));
            if line.state != State::Counts || newest.validity != Validity::Valid {
                for (version, config) in versions() {
                    configs.unsure.insert(config.name.clone());
                    if version.reaches(reach.place(), UnknownProfile::Matches) {
                        compete(&mut nearest, &config.name, version.rank(reach.place()), None);
                    }
                }
                continue;
            }
            if newest.gone || !newest.reaches(reach.place(), UnknownProfile::Differs) {
                continue;
            }
            let rank = newest.rank(reach.place());
            match (config(newest), reach.is_in_force(standing, newest, &self.now())) {
                (Some(config), Some(true)) => {
                    compete(&mut nearest, &config.name, rank, Some(&config.config));
                }
                (Some(_), Some(false)) => {}
                (Some(_), None) | (None, _) => {
                    for (_, config) in versions() {
                        configs.unsure.insert(config.name.clone());
                        compete(&mut nearest, &config.name, rank, None);
                    }
                }
            }
        }
        configs.choose(nearest);
        Some(configs)
    }
}

/// Lets a configuration compete for its name (the order of policies, RULES Q10); its content is
/// `None` if it is unsure whether it counts.
fn compete(nearest: &mut BTreeMap<String, Nearest>, name: &str, rank: Rank, content: Option<&str>) {
    let fresh = || Nearest { rank, contents: BTreeSet::new(), is_unsure: false };
    let held = nearest.entry(name.to_owned()).or_insert_with(fresh);
    if rank < held.rank {
        *held = fresh();
    }
    if rank == held.rank {
        held.is_unsure |= content.is_none();
        held.contents.extend(content.map(str::to_owned));
    }
}

impl Configs {
    /// Of each name what the nearest say, if they say the same.
    fn choose(&mut self, nearest: BTreeMap<String, Nearest>) {
        for (name, Nearest { contents, is_unsure, .. }) in nearest {
            let is_contested = contents.len() > 1;
            match contents.into_iter().next() {
                Some(content) if !is_contested && !is_unsure => {
                    self.wanted.insert(name, content);
                }
                Some(_) | None => {
                    if is_contested {
                        self.contested.insert(name.clone());
                    }
                    self.unsure.insert(name);
                }
            }
        }
    }

    /// What is wanted, as a whole.
    fn digest(&self) -> Digest {
        let files = self.wanted.iter();
        let parts: Vec<&[u8]> =
            files.flat_map(|(name, content)| [name.as_bytes(), content.as_bytes()]).collect();
        Digest::of_parts(&parts)
    }
}

fn config(version: &Version) -> Option<&CustomConfigSpec> {
    match version.spec.as_ref().ok()? {
        Some(Spec::CustomConfig(config)) => Some(config),
        Some(_) | None => None,
    }
}
