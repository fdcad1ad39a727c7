//! One machine of the demo: a folder with two slots, a boot program and the agent that it starts
//! out of the slot's own bytes.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::Context as _;
use daymark_node::control::Client;
use daymark_node::slots::{BootState, ImageIdentity, SlotLayout, Slots};
use daymark_node::transfer::{
    NoPeers, ReleaseSource, StageRequest, StageSettings, StageSources, stage,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Parts of a slot.
const PARTS: [&str; 3] = ["agent", "rootfs", "uki"];
/// The demo's machines listen here.
const PORT: u16 = 17_440;
/// Seconds that a new slot has to be confirmed.
const CONFIRM_TIMEOUT_S: u32 = 60;

/// A machine.
#[derive(Debug)]
pub(super) struct Machine {
    /// Its name.
    pub(super) name: &'static str,
    /// Its site.
    pub(super) site: &'static str,
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// Its folder.
    pub(super) folder: PathBuf,
    program: PathBuf,
    running: Option<Child>,
}

impl Machine {
    /// A machine that does not run yet. `program` is this program, which is the node and the boot
    /// program too when it is started under their names.
    pub(super) fn new(
        folder: PathBuf,
        program: PathBuf,
        name: &'static str,
        site: &'static str,
        address: Ipv4Addr,
    ) -> Self {
        Self { name, site, address, folder, program, running: None }
    }

    /// Its control socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// Its configuration file.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("daymark.toml")
    }

    /// A client of its control socket.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    fn slot_part(&self, slot: &str, part: &str) -> PathBuf {
        self.folder.join("slots").join(slot).join(part)
    }

    /// Writes its configuration.
    pub(super) fn configure(&self, peers: &[Ipv4Addr], origin: &str) -> anyhow::Result<()> {
        fs::create_dir_all(self.folder.join("run"))?;
        for slot in ["a", "b"] {
            fs::create_dir_all(self.folder.join("slots").join(slot))?;
        }
        let peers: Vec<String> = peers.iter().map(|peer| format!("\"{peer}:{PORT}\"")).collect();
        let mut lines = vec![
            format!("data_dir = {:?}", self.folder.join("data")),
            "clock = \"rtc\"".into(),
            format!("os_release = {:?}", self.folder.join("os-release")),
            format!("control.socket = {:?}", self.socket()),
            format!("network.listen = [\"{}:{PORT}\"]", self.address),
            "network.allow = [\"127.0.0.0/8\"]".into(),
            "network.mdns = false".into(),
            format!("network.peers = [{}]", peers.join(", ")),
            format!("release.sources = [\"{origin}\"]"),
            "fetch.origin_wait_s = 2".into(),
            format!("inhibit.dir = {:?}", self.folder.join("inhibit.d")),
            "platform.kind = \"slots\"".into(),
            "platform.reboot = \"exit\"".into(),
            format!("platform.slots.boot.file = {:?}", self.folder.join("boot.state")),
        ];
        for slot in ["a", "b"] {
            for part in PARTS {
                let path = self.slot_part(slot, part);
                lines.push(format!("platform.slots.{slot}.{part} = {path:?}"));
            }
        }
        fs::write(self.config(), lines.join("\n") + "\n")?;
        Ok(())
    }

    /// Installs an image into slot `a`, as a factory would.
    pub(super) async fn install(
        &self,
        release: &Path,
        image: ImageIdentity,
        index_bytes: u64,
    ) -> anyhow::Result<()> {
        let layouts = ["a", "b"]
            .into_iter()
            .map(|slot| SlotLayout {
                name: slot.to_owned(),
                parts: PARTS
                    .into_iter()
                    .map(|part| (part.to_owned(), self.slot_part(slot, part)))
                    .collect::<BTreeMap<_, _>>(),
            })
            .collect();
        let slots = Arc::new(Slots::open(layouts, self.folder.join("data/slots"))?);
        let request = StageRequest {
            slot: "a".into(),
            boot: BootState { booted: None, ..BootState::default() },
            image,
            index_bytes,
        };
        let origins = vec![ReleaseSource::Folder(release.to_owned())];
        let sources = StageSources { peers: Arc::new(NoPeers), origins };
        let settings = StageSettings { origin_wait_ms: (0, 0), ..StageSettings::default() };
        let (progress, _) = watch::channel(Default::default());
        stage(slots, request, sources, settings, progress, CancellationToken::new())
            .await
            .with_context(|| format!("cannot install the first image on {}", self.name))?;
        Ok(())
    }

    /// Runs the node's program for one command, such as `init`, and waits for it.
    pub(super) fn run_node(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .arg0("daymark-node")
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .output()
            .context("cannot start daymark-node")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(
            output.status.success(),
            "daymark-node {} on {} failed: {}",
            arguments.join(" "),
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// Switches it on: the boot program starts the agent of the slot.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let log = fs::File::create(self.folder.join("log"))?;
        let slot = |slot: &str| format!("{slot}={}", self.slot_part(slot, "agent").display());
        let child = Command::new(&self.program)
            .arg0("daymark-boot")
            .arg("--state")
            .arg(self.folder.join("boot.state"))
            .args(["--slot", &slot("a"), "--slot", &slot("b")])
            .arg("--run-dir")
            .arg(self.folder.join("run"))
            .args(["--confirm-timeout", &CONFIRM_TIMEOUT_S.to_string()])
            .args(["--", "run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        self.running = Some(child);
        Ok(())
    }

    /// Lets it run on after this program.
    pub(super) fn leave_running(&mut self) -> Option<u32> {
        self.running.take().map(|child| child.id())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.running {
            // The boot program passes the signal on to the agent and ends with it.
            if let Some(pid) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let _ = child.wait();
        }
    }
}
