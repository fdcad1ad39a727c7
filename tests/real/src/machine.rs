//! One machine: a folder with two slots, a boot program, and the agent that it starts out of a
//! slot's own bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daymark_core::durable::DurableState;
use daymark_node::boot::{SwitchFile, SwitchRecord};
use daymark_node::control::Client;
use daymark_node::durable::read_record;
use daymark_node::slots::{BootState, SlotLayout, Slots};
use daymark_node::transfer::{
    NoPeers, ReleaseSource, StageRequest, StageSettings, StageSources, stage,
};
use daymark_protocol::control::{DecisionAnswer, EnrolmentRequest, Status};
use daymark_protocol::decide::{Gate, GateAnswer};
use daymark_protocol::id::KeyId;
use daymark_protocol::trust::{Envelope, PublicKey};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::image::Published;
use crate::power_cut::{state_name, watch_for};

/// Parts of a slot.
const PARTS: [&str; 2] = ["agent", "rootfs"];
/// Where machines listen.
pub const PORT: u16 = 17_440;

/// Where a machine stands in the network.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its address.
    pub address: Ipv4Addr,
    /// The network namespace that it runs in; `None`: this one.
    pub namespace: Option<String>,
    /// Addresses of the others.
    pub peers: Vec<Ipv4Addr>,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Its folder.
    pub folder: PathBuf,
    programs: PathBuf,
    key: Option<PublicKey>,
    lines: BTreeMap<String, String>,
    variables: BTreeMap<String, PathBuf>,
    confirm_timeout_s: u64,
    recorded: bool,
    running: Option<Child>,
}

impl Machine {
    /// A machine that does not run yet.
    pub fn new(name: &str, place: Place, folder: PathBuf, programs: &Path, origin: &str) -> Self {
        let mut lines = BTreeMap::new();
        let quoted = |path: &Path| format!("{path:?}");
        let peers: Vec<String> = place.peers.iter().map(|p| format!("\"{p}:{PORT}\"")).collect();
        let mut set = |key: &str, value: String| lines.insert(key.to_owned(), value);
        set("data_dir", quoted(&folder.join("data")));
        set("clock", "\"rtc\"".into());
        set("os_release", quoted(&folder.join("os-release")));
        set("control.socket", quoted(&folder.join("control.sock")));
        set("network.listen", format!("[\"{}:{PORT}\"]", place.address));
        set("network.allow", "[\"127.0.0.0/8\", \"10.0.0.0/8\"]".into());
        set("network.mdns", "false".into());
        set("network.peers", format!("[{}]", peers.join(", ")));
        set("release.sources", format!("[\"{origin}\"]"));
        set("fetch.origin_wait_s", "1".into());
        set("inhibit.dir", quoted(&folder.join("inhibit.d")));
        set("health.timeout_s", "20".into());
        set("platform.kind", "\"slots\"".into());
        set("platform.reboot", "\"exit\"".into());
        set("platform.slots.boot.file", quoted(&folder.join("boot.state")));
        if let Ok(level) = std::env::var("REAL_LOG") {
            set("log.level", format!("{level:?}"));
        }
        for slot in ["a", "b"] {
            for part in PARTS {
                let path = folder.join("slots").join(slot).join(part);
                set(&format!("platform.slots.{slot}.{part}"), quoted(&path));
            }
        }
        Self {
            name: name.to_owned(),
            place,
            folder,
            programs: programs.to_owned(),
            key: None,
            lines,
            variables: BTreeMap::new(),
            confirm_timeout_s: 60,
            recorded: false,
            running: None,
        }
    }

    /// Sets a key of its configuration, as TOML; takes effect at the next start.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&mut self, key: &str, value: &str) -> anyhow::Result<()> {
        self.lines.insert(key.to_owned(), value.to_owned());
        self.write_config()
    }

    /// Sets a variable of its environment; takes effect at the next start.
    pub fn set_variable(&mut self, name: &str, value: &Path) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Sets how long the boot program waits for a new slot to be confirmed.
    pub fn confirm_within(&mut self, seconds: u64) {
        self.confirm_timeout_s = seconds;
    }

    /// Lets each start of its agent be recorded.
    pub fn record(&mut self) {
        self.recorded = true;
    }

    /// The recordings of its agent's starts, oldest first.
    ///
    /// # Errors
    /// If there are none.
    pub fn recordings(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.recording_folder())?;
        let mut found =
            entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        found.sort();
        Ok(found)
    }

    fn recording_folder(&self) -> PathBuf {
        self.folder.join("recordings")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("daymark.toml")
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// A part of a slot.
    pub fn part(&self, slot: &str, part: &str) -> PathBuf {
        self.folder.join("slots").join(slot).join(part)
    }

    fn write_config(&self) -> anyhow::Result<()> {
        let mut text = String::new();
        for (key, value) in &self.lines {
            writeln!(text, "{key} = {value}")?;
        }
        Ok(fs::write(self.config(), text)?)
    }

    /// Makes its folders, its configuration and its identity.
    ///
    /// # Errors
    /// If `daymark-node init` fails.
    pub async fn init(&mut self) -> anyhow::Result<PublicKey> {
        for slot in ["a", "b"] {
            fs::create_dir_all(self.folder.join("slots").join(slot))?;
        }
        fs::create_dir_all(self.folder.join("run"))?;
        fs::write(self.folder.join("os-release"), "ID=edge\n")?;
        self.write_config()?;
        let request = self.folder.join("request.json");
        let output = self.node(&["init", "--request", &request.to_string_lossy()]).await?;
        anyhow::ensure!(output.status.success(), "init: {}", stderr(&output));
        let envelope = Envelope::parse(&fs::read(&request)?)?;
        let asked: EnrolmentRequest = serde_json::from_slice(&envelope.payload)?;
        let raw: Vec<u8> = (0..asked.public_key.len())
            .step_by(2)
            .filter_map(|at| u8::from_str_radix(asked.public_key.get(at..at + 2)?, 16).ok())
            .collect();
        let raw = raw.try_into().map_err(|_| anyhow::anyhow!("no key in the request"))?;
        let key = PublicKey::from_bytes(raw)?;
        self.key = Some(key.clone());
        Ok(key)
    }

    /// Its key id.
    ///
    /// # Panics
    /// Before [`Machine::init`].
    pub fn id(&self) -> KeyId {
        self.key.as_ref().expect("the machine has its identity").id()
    }

    /// Its public key.
    ///
    /// # Errors
    /// Before [`Machine::init`].
    pub fn public_key(&self) -> anyhow::Result<PublicKey> {
        self.key.clone().context("the machine has no identity yet")
    }

    /// Installs an image into slot `a`, as a factory does.
    ///
    /// # Errors
    /// If the image is not in the release folder.
    pub async fn install(&self, release: &Path, image: &Published) -> anyhow::Result<()> {
        let slots = self.slots()?;
        let (image, index_bytes) = image.identity()?;
        let boot = BootState::default();
        let request = StageRequest { slot: "a".into(), boot, image, index_bytes };
        let origins = vec![ReleaseSource::Folder(release.to_owned())];
        let sources = StageSources { peers: Arc::new(NoPeers), origins };
        let settings = StageSettings { origin_wait_ms: (0, 0), ..StageSettings::default() };
        let (progress, _) = watch::channel(Default::default());
        stage(slots, request, sources, settings, progress, CancellationToken::new()).await?;
        Ok(())
    }

    /// Its slots, while it is off.
    ///
    /// # Errors
    /// If what is remembered of them cannot be read.
    pub fn slots(&self) -> anyhow::Result<Arc<Slots>> {
        let layout = |slot: &str| SlotLayout {
            name: slot.to_owned(),
            parts: PARTS.map(|part| (part.to_owned(), self.part(slot, part))).into(),
        };
        let layouts = ["a", "b"].map(layout).into();
        Ok(Arc::new(Slots::open(layouts, self.data().join("slots"))?))
    }

    fn command(&self, program: &str) -> Command {
        let path = self.programs.join(program);
        let mut command = match &self.place.namespace {
            None => Command::new(path),
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(path);
                command
            }
        };
        command.envs(&self.variables);
        command
    }

    /// Runs one command of the node's program to its end.
    ///
    /// # Errors
    /// If it cannot be started or does not end. That it failed is no error.
    pub async fn node(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::from(self.command("daymark-node"));
        command.args(arguments).arg("--config").arg(self.config());
        let ended = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let within = Duration::from_secs(30);
        let ended = tokio::time::timeout(within, ended).await;
        Ok(ended.with_context(|| format!("daymark-node {arguments:?} does not end"))??)
    }

    /// Switches it on: the boot program starts the agent of the slot.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.running.is_none(), "{} runs already", self.name);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let slot = |slot: &str| format!("{slot}={}", self.part(slot, "agent").display());
        let mut command = self.command("daymark-boot");
        command
            .arg("--state")
            .arg(self.folder.join("boot.state"))
            .args(["--slot", &slot("a"), "--slot", &slot("b")])
            .arg("--run-dir")
            .arg(self.folder.join("run"))
            .args(["--confirm-timeout", &self.confirm_timeout_s.to_string()])
            .args(["--", "run", "--config"])
            .arg(self.config());
        if self.recorded {
            command.arg("--record").arg(self.recording_folder());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        self.running = Some(child);
        Ok(())
    }

    fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.running.as_ref()?.id().cast_signed())
    }

    /// Cuts its power: `kill -9` of boot program and agent at once. Says what the boot program
    /// died of.
    ///
    /// # Errors
    /// If it does not run.
    pub fn cut_power(&mut self) -> anyhow::Result<ExitStatus> {
        let group = self.group().context("it does not run")?;
        kill_process_group(group, Signal::KILL)?;
        let mut child = self.running.take().context("it does not run")?;
        Ok(child.wait()?)
    }

    /// Cuts its power as soon as its update is durably in a state, and says in which state it
    /// really was by then.
    ///
    /// # Errors
    /// If it does not run or does not come to that state.
    pub async fn cut_power_at(&mut self, state: &'static str) -> anyhow::Result<String> {
        let group = self.group().context("it does not run")?;
        let data = self.data();
        let watched = tokio::task::spawn_blocking(move || watch_for(&data, state, group));
        let watched = tokio::time::timeout(crate::WITHIN, watched).await;
        let in_time = watched.with_context(|| format!("{} was never {state}", self.name));
        if in_time.is_err() {
            let _ = self.cut_power()?;
        }
        in_time???;
        if let Some(mut child) = self.running.take() {
            child.wait()?;
        }
        Ok(state_name(&self.durable()?.update).to_owned())
    }

    /// Switches it off in order.
    ///
    /// # Errors
    /// If it does not end well.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let group = self.group().context("it does not run")?;
        kill_process(group, Signal::TERM)?;
        if let Some(mut child) = self.running.take() {
            let status = child.wait()?;
            anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Whether it is switched on.
    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// A client of its control socket.
    pub fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// If it does not answer; the text is for [`crate::until`].
    pub async fn status(&self) -> Result<Status, String> {
        self.client().status().await.map_err(|error| format!("{}: {error}", self.name))
    }

    /// What it decided.
    ///
    /// # Errors
    /// As [`Machine::status`].
    pub async fn decision(&self) -> Result<DecisionAnswer, String> {
        self.client().decision().await.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Gates that hold it back.
    ///
    /// # Errors
    /// As [`Machine::status`].
    pub async fn held_by(&self) -> Result<Vec<GateAnswer>, String> {
        let gates = self.decision().await?.decision.gates;
        Ok(gates.into_iter().filter(|answer| !answer.pass).collect())
    }

    /// Waits until it is held back by exactly this gate, besides that nothing is staged: what
    /// holds an update back may hold its staging back as well.
    ///
    /// # Errors
    /// As [`crate::until`] says.
    pub async fn is_held_by(&self, gate: Gate) -> anyhow::Result<GateAnswer> {
        let what = format!("{} held back by {gate:?} alone", self.name);
        crate::until(&what, crate::WITHIN, async || {
            let mut held = self.held_by().await?;
            held.retain(|answer| answer.gate == gate || answer.gate != Gate::Staged);
            match held.as_slice() {
                [only] if only.gate == gate => Ok(only.clone()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits until it runs a version, confirmed, with nothing under way.
    ///
    /// # Errors
    /// As [`crate::until`] says.
    pub async fn runs(&self, version: &str) -> anyhow::Result<Status> {
        let what = format!("{} runs {version}", self.name);
        crate::until(&what, crate::WITHIN, async || {
            let status = self.status().await?;
            let installed = status.installed.as_deref().unwrap_or_default();
            if installed.ends_with(&format!("@{version}")) && status.update == "idle" {
                return Ok(status);
            }
            Err(format!(
                "it runs {installed}, {}, {:?}, {:?}",
                status.update, status.attempt, status.problems
            ))
        })
        .await
    }

    /// What is durable about its update; the proof of a fault, not of its outcome.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn durable(&self) -> anyhow::Result<DurableState> {
        Ok(read_record(&self.data().join("state"), "state")?.unwrap_or_default())
    }

    /// The state of its update that is durable.
    ///
    /// # Errors
    /// As [`Machine::durable`].
    pub fn update_state(&self) -> anyhow::Result<&'static str> {
        Ok(state_name(&self.durable()?.update))
    }

    /// What its boot switch says.
    ///
    /// # Errors
    /// If the file is damaged or not there.
    pub fn boot_switch(&self) -> anyhow::Result<SwitchRecord> {
        SwitchFile::new(&self.folder.join("boot.state")).read()?.context("it never booted")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What its boot program and its agent wrote so far.
    pub fn log_text(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The end of its log, for a failed test.
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.running.is_some() {
            let _ = self.cut_power();
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
