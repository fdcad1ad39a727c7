//! What a node costs that has nothing to do: five enrolled ones on loopback, each connected with all
//! others, in the first minute and in minutes 3 to 5 (budgets: 200 B/s sent, 32 MiB resident,
//! 0.2 % of a core). Bytes are the node's own count, below TLS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use daymark_bench::fleet::Fleet;
use daymark_bench::{SITE, figure};
use daymark_core::event::Carried;
use daymark_node::control::Client;
use daymark_protocol::control::{Bytes, EnrolmentRequest, Join, Submitted};
use daymark_protocol::trust::{Envelope, PublicKey};

const NODES: u8 = 5;
const PORT: u16 = 17_811;
const MINUTE: Duration = Duration::from_secs(60);
/// Between two looks at something that takes its time.
const PAUSE: Duration = Duration::from_millis(100);
/// The name under which this program is a node.
const NODE: &str = "daymark-node";

fn main() -> ExitCode {
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if name.file_name().is_some_and(|name| name == NODE) {
        return daymark_node::main_node();
    }
    match tokio::runtime::Runtime::new().map(|runtime| runtime.block_on(measure())) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        failed => {
            figure("failed", &format!("{failed:?}"), "");
            ExitCode::FAILURE
        }
    }
}

struct Machine {
    folder: PathBuf,
    address: String,
    child: Option<Child>,
}

impl Machine {
    fn command(&self, programs: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(programs.join(NODE));
        command.env_clear().arg("--data-dir").arg(self.folder.join("data"));
        command.arg("--socket").arg(self.folder.join("sock")).args(words);
        command
    }

    /// Makes its identity.
    fn init(&self, programs: &Path) -> anyhow::Result<PublicKey> {
        fs::create_dir(&self.folder)?;
        let request = self.folder.join("request.json");
        let words = ["init", "--request", &request.to_string_lossy()];
        anyhow::ensure!(self.command(programs, &words).output()?.status.success(), "init failed");
        let envelope = Envelope::parse(&fs::read(&request)?)?;
        let asked: EnrolmentRequest = serde_json::from_slice(&envelope.payload)?;
        let digits = (0..64).step_by(2);
        let raw =
            digits.filter_map(|at| u8::from_str_radix(asked.public_key.get(at..at + 2)?, 16).ok());
        let raw: Vec<u8> = raw.collect();
        let raw = raw.try_into().map_err(|_| anyhow::anyhow!("no key in the request"))?;
        Ok(PublicKey::from_bytes(raw)?)
    }

    async fn start(&mut self, programs: &Path, peers: &str) -> anyhow::Result<()> {
        let listen = format!("network.listen={}", self.address);
        let peers = format!("network.peers={peers}");
        let words = ["--set", &listen, "--set", &peers, "--set", "network.mdns=false"];
        let words = [&words[..], &["--set", "clock=rtc", "run"]].concat();
        let log = fs::File::create(self.folder.join("log"))?;
        let mut command = self.command(programs, &words);
        self.child = Some(command.stderr(log).stdout(Stdio::null()).spawn()?);
        while self.client().status().await.is_err() {
            let ended = self.child.as_mut().context("it was started")?.try_wait()?;
            anyhow::ensure!(ended.is_none(), "it ended: {ended:?}");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    fn client(&self) -> Client {
        Client::new(&self.folder.join("sock"))
    }

    async fn sent(&self) -> anyhow::Result<u64> {
        let text = self.client().metrics().await?;
        let of = |line: &str| Some(line.strip_prefix("daymark_sent_bytes_total ")?.to_owned());
        Ok(text.lines().find_map(of).context("no such figure")?.parse()?)
    }

    /// A line of the process's own figures.
    fn process(&self, file: &str) -> anyhow::Result<String> {
        let pid = self.child.as_ref().context("it runs")?.id();
        Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    fn resident_kib(&self) -> anyhow::Result<u64> {
        let text = self.process("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.context("no such line")?.trim().trim_end_matches(" kB").parse()?)
    }

    /// Processor time so far, in hundredths of a second.
    fn ticks(&self) -> anyhow::Result<u64> {
        let text = self.process("stat")?;
        let after = text.rsplit_once(") ").context("no such line")?.1;
        let fields: Vec<&str> = after.split(' ').collect();
        let of = |at: usize| anyhow::Ok(fields.get(at).context("too short")?.parse::<u64>()?);
        Ok(of(11)? + of(12)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn submitted(items: impl IntoIterator<Item = Carried>) -> Vec<Submitted> {
    items
        .into_iter()
        .map(|item| match item {
            Carried::Root(bytes) => Submitted::Root(Bytes(bytes)),
            Carried::Entry(bytes) => Submitted::Entry(Bytes(bytes)),
            Carried::Report(bytes) => Submitted::Report(Bytes(bytes)),
            Carried::Blob(bytes) => Submitted::Blob(Bytes(bytes)),
        })
        .collect()
}

/// The fleet, running and connected.
async fn running(place: &Path) -> anyhow::Result<Vec<Machine>> {
    std::os::unix::fs::symlink(std::env::current_exe()?, place.join(NODE))?;
    let fleet = Fleet::new(daymark_node::clock::wall().plus_ms(-1_000));
    let address = |number: u8| format!("127.0.0.{}:{PORT}", 51 + number);
    let mut machines = Vec::new();
    let mut items = submitted(fleet.create_site(SITE));
    for number in 0..NODES {
        let folder = place.join(format!("node-{number}"));
        let machine = Machine { folder, address: address(number), child: None };
        let key = machine.init(place)?;
        items.extend(submitted(fleet.enroll(&format!("node-{number}"), &key, SITE)));
        machines.push(machine);
    }
    for (number, machine) in machines.iter_mut().enumerate() {
        machine.start(place, &if number == 0 { String::new() } else { address(0) }).await?;
        let join = Join { pin: fleet.pin(), items: submitted([fleet.root()]) };
        machine.client().join(&join).await?;
        machine.client().submit(items.clone()).await?;
    }
    for machine in &machines {
        while machine.client().status().await?.peers.len() + 1 < usize::from(NODES) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(machines)
}

async fn measure() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let machines = running(place.path()).await?;
    measured(&machines, "the first minute", 1).await?;
    tokio::time::sleep(MINUTE).await;
    measured(&machines, "minutes 3 to 5", 3).await
}

async fn measured(machines: &[Machine], when: &str, minutes: u32) -> anyhow::Result<()> {
    let mut before = Vec::new();
    for machine in machines {
        before.push((machine.sent().await?, machine.ticks()?));
    }
    let length = MINUTE * minutes;
    tokio::time::sleep(length).await;
    for (machine, (sent, ticks)) in machines.iter().zip(before) {
        let sent = (machine.sent().await? - sent) / length.as_secs();
        let share = u32::try_from(machine.ticks()? - ticks)?;
        let share = f64::from(share) / length.as_secs_f64();
        let kib = machine.resident_kib()?;
        figure(
            &format!("a node with 4 peers, {when}"),
            &format!("{sent} B/s sent"),
            &format!("{share:.2} % of a core, {kib} KiB resident"),
        );
    }
    Ok(())
}
