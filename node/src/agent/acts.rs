//! What the core asks the machine for, each as a task beside the loop that ends in
//! [`Event::OpDone`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use daymark_core::Event;
use daymark_core::effect::{Act, OpId};
use daymark_core::event::{OpOutput, StageProgress};
use daymark_protocol::decide::ResolvedTarget;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::links::MeshStreams;
use super::{Agent, Outcome};
use crate::causes::with_causes;
use crate::platform::{Backend, Machine, NO_BACKEND, Order, Rebooting};
use crate::settings::Settings;
use crate::slots::{BootState, ImageIdentity, STAGING_AREA, Slots};
use crate::transfer::{ReleaseSource, StageRequest, StageSettings, StageSources, stage};

impl Agent {
    pub(super) fn start(&mut self, op: OpId, act: Act) {
        let cancel = CancellationToken::new();
        self.running.insert(op, cancel.clone());
        let (watchers, progress) = watch::channel(StageProgress::default());
        if matches!(act, Act::Stage { .. }) {
            self.progress = Some(progress.clone());
            tokio::spawn(tell_progress(op, progress, self.outcomes.clone()));
        }
        let performer = Performer {
            machine: self.machine.clone(),
            settings: Arc::clone(&self.settings),
            streams: MeshStreams { mesh: self.mesh.clone(), members: self.members.clone() },
            outcomes: self.outcomes.clone(),
            watchers,
            cancel: cancel.clone(),
        };
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            // Staging ends by itself when it is called off, since it has files open.
            let staging = matches!(act, Act::Stage { .. });
            let result = tokio::select! {
                result = performer.perform(act) => result,
                () = cancel.cancelled(), if !staging => Err("it was called off".to_owned()),
            };
            // The agent is stopping if nobody takes it.
            let _ = outcomes.send(Outcome::Event(Event::OpDone { op, result })).await;
        });
    }
}

/// Tells the core how far staging is, as often as it takes it.
async fn tell_progress(
    op: OpId,
    mut progress: watch::Receiver<StageProgress>,
    outcomes: mpsc::Sender<Outcome>,
) {
    while progress.changed().await.is_ok() {
        let progress = progress.borrow_and_update().clone();
        if outcomes.send(Outcome::Event(Event::Progress { op, progress })).await.is_err() {
            return;
        }
        tokio::time::sleep(PROGRESS_PAUSE).await;
    }
}

/// Shortest pause between two reports of progress to the core.
const PROGRESS_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

struct Performer {
    machine: Machine,
    settings: Arc<Settings>,
    streams: MeshStreams,
    outcomes: mpsc::Sender<Outcome>,
    watchers: watch::Sender<StageProgress>,
    cancel: CancellationToken,
}

impl Performer {
    async fn perform(self, act: Act) -> Result<OpOutput, String> {
        match act {
            Act::Stage { attempt, target } => self.stage(attempt, *target).await,
            Act::Activate { attempt, target } => {
                self.machine.activate(attempt, &target).await.map(|()| OpOutput::Done)
            }
            Act::Reboot => self.reboot().await,
            Act::CheckHealth { checks, peer_expected } => {
                Ok(match self.machine.check_health(&checks, peer_expected).await {
                    Ok(()) => OpOutput::Healthy,
                    Err(why) => OpOutput::Unhealthy(why),
                })
            }
            Act::Confirm => self.machine.confirm().await.map(|()| OpOutput::Done),
            Act::FallBack { slot } => {
                self.machine.fall_back(slot.as_deref()).await.map(|()| OpOutput::Done)
            }
            Act::DeliverConfig { name, config } => {
                let machine = self.machine;
                let delivered =
                    tokio::task::spawn_blocking(move || machine.deliver_config(&name, &config));
                delivered.await.map_err(|error| error.to_string())?.map(|()| OpOutput::Done)
            }
        }
    }

    /// Never reports success: the next the core hears is its own start on the other side.
    async fn reboot(self) -> Result<OpOutput, String> {
        match self.machine.reboot().await? {
            Rebooting::Leave => {
                let _ = self.outcomes.send(Outcome::Leave).await;
            }
            Rebooting::Ordered => tracing::info!("the restart is ordered"),
        }
        std::future::pending().await
    }

    async fn stage(self, attempt: u64, target: ResolvedTarget) -> Result<OpOutput, String> {
        let machine = self.machine.clone();
        match machine.backend() {
            Backend::Slots { slots, switch } => {
                let boot = switch.state().map_err(|error| error.to_string())?;
                let slot = slots.inactive(boot.booted.as_deref());
                let slot = slot.ok_or("there is no second slot")?.to_owned();
                self.fetch(slots, slot, boot, &target).await.map(OpOutput::Staged)
            }
            Backend::Program { program, area } => {
                let cancel = self.cancel.clone();
                let progress = if target.index_digest.is_some() {
                    let (area, slot) = (Arc::clone(area), STAGING_AREA.to_owned());
                    self.fetch(&area, slot, BootState::default(), &target).await?
                } else {
                    StageProgress::default()
                };
                let order = Order::new(attempt, &target, area)?;
                tokio::select! {
                    staged = program.order("stage", &order) => staged?,
                    () = cancel.cancelled() => return Err("it was called off".to_owned()),
                }
                Ok(OpOutput::Staged(progress))
            }
            Backend::None => Err(NO_BACKEND.to_owned()),
        }
    }

    /// Fetches the target's image into a slot and verifies it.
    async fn fetch(
        self,
        slots: &Arc<Slots>,
        slot: String,
        boot: BootState,
        target: &ResolvedTarget,
    ) -> Result<StageProgress, String> {
        let (index, index_bytes) = target
            .index_digest
            .zip(target.index_bytes)
            .ok_or("the profile names no image of ours")?;
        let image = ImageIdentity {
            profile: target.digest,
            profile_name: target.profile.clone(),
            version: target.version.clone(),
            index,
            parts: target.parts.clone(),
        };
        let request = StageRequest { slot, boot, image, index_bytes };
        let origins = origins(&self.settings)?;
        let sources = StageSources { peers: Arc::new(self.streams), origins };
        let wait_ms = self.settings.origin_wait_s * 1000;
        let settings = StageSettings {
            origin_wait_ms: (wait_ms / 2, wait_ms + wait_ms / 2),
            ..StageSettings::default()
        };
        let slots = Arc::clone(slots);
        let staged = stage(slots, request, sources, settings, self.watchers, self.cancel).await;
        staged.map_err(|error| with_causes(&error))
    }
}

fn origins(settings: &Settings) -> Result<Vec<ReleaseSource>, String> {
    let local = local_address(&settings.network.listen);
    let parsed = settings.release_sources.iter().map(|text| ReleaseSource::parse(text, local));
    parsed.collect::<Result<_, crate::transfer::InvalidSource>>().map_err(|e| e.to_string())
}

/// The address that connections to release services leave from: the one that the node listens on,
/// if it is a single one.
fn local_address(listen: &[String]) -> Option<IpAddr> {
    match listen {
        [one] => {
            let address: SocketAddr = one.parse().ok()?;
            (!address.ip().is_unspecified()).then(|| address.ip())
        }
        _ => None,
    }
}
