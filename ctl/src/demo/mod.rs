//! The demo: five real nodes on loopback, an update that spreads from one to all, and two
//! refusals. Everything lies in a temporary folder; every figure shown is read from a node's
//! control socket.

mod fleet;
mod image;
mod machine;
mod origin;
mod show;
mod table;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use daymark_protocol::control::{AttemptStatus, Status};
use daymark_protocol::decide::Verdict;

use self::fleet::Fleet;
use self::image::PROFILE;
use self::machine::Machine;
use self::origin::Origin;
use self::show::{Board, EVERY};
use crate::cli::DemoArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;

/// Versions of the demo's OS.
const OLD: &str = "1.0.20260601";
const NEW: &str = "1.0.20260701";
const TAMPERED: &str = "1.0.20260801";
/// Longest wait for the update to reach all.
const UPDATE_WITHIN: Duration = Duration::from_secs(300);
/// Links that each node has before the demo goes on: more than its own site offers.
const LINKS_WANTED: usize = 3;
/// Longest wait for a refusal to show.
const REFUSAL_WITHIN: Duration = Duration::from_secs(60);

/// Where the five machines stand.
const MACHINES: [(&str, &str, Ipv4Addr); 5] = [
    ("press-01", "north", Ipv4Addr::new(127, 0, 0, 11)),
    ("press-02", "north", Ipv4Addr::new(127, 0, 0, 12)),
    ("press-03", "north", Ipv4Addr::new(127, 0, 0, 13)),
    ("oven-01", "south", Ipv4Addr::new(127, 0, 0, 14)),
    ("oven-02", "south", Ipv4Addr::new(127, 0, 0, 15)),
];
/// The only machine that the release service answers.
const ORIGIN_FOR: usize = 0;
/// The only machine that is handed the policy.
const HANDED_TO: usize = 3;

/// Runs `demo`.
pub(crate) async fn run(args: DemoArgs) -> Outcome {
    let images = match args.images.as_slice() {
        [] => None,
        [old, new] => Some((old.clone(), new.clone())),
        _ => return Err(Failure::usage("give --image twice: the old image, then the new one")),
    };
    let folder = tempfile::Builder::new().prefix("daymark-demo-").tempdir()?;
    // Nothing runs yet: if this fails, the folder goes away.
    let mut demo = Demo::prepare(folder.path(), images.as_ref()).await?;
    let result = story(&mut demo, args.keep).await;
    if args.keep || result.is_err() {
        // The fleet runs on in it, or its logs say what went wrong.
        let _ = folder.keep();
    }
    result?;
    Ok(Exit::Done)
}

async fn story(demo: &mut Demo, keep: bool) -> anyhow::Result<()> {
    demo.start().await?;
    let table = demo.update().await?;
    demo.too_few_signatures().await?;
    demo.tampered_chunk().await?;
    heading("What moved");
    table.print();
    let refused: Vec<String> = demo
        .origin
        .refused()
        .into_iter()
        .map(|(address, times)| format!("{} ({times} times)", demo.name_at(address)))
        .collect();
    let refused = if refused.is_empty() {
        "nobody else asked".into()
    } else {
        format!("it refused {}", refused.join(", "))
    };
    output::text(&format!(
        "\nThe release service answered {} only; {refused}.",
        MACHINES[ORIGIN_FOR].0
    ));
    if keep {
        demo.keep();
    }
    Ok(())
}

fn heading(text: &str) {
    output::text(&format!("\n{}", output::paint(text, 1)));
}

struct Demo {
    folder: PathBuf,
    fleet: Fleet,
    machines: Vec<Machine>,
    origin: Arc<Origin>,
    agent: Vec<u8>,
}

impl Demo {
    /// Fleet, images, release service and machines, nothing running yet.
    async fn prepare(folder: &Path, images: Option<&(PathBuf, PathBuf)>) -> anyhow::Result<Self> {
        heading("A fleet from nothing");
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let agent = std::fs::read(&program).context("cannot read this program's file")?;
        let mut fleet = Fleet::found(&folder.join("home"))?;
        output::text("  founded fleet demo: alice and bob must both sign policies");
        fleet.create_sites()?;
        let release = folder.join("release");
        let work = folder.join("build");
        std::fs::create_dir_all(&release)?;
        std::fs::create_dir_all(&work)?;
        let mut installed = None;
        for (generation, version, content) in [
            (1, OLD, images.map(|(old, _)| old.as_path())),
            (2, NEW, images.map(|(_, new)| new.as_path())),
        ] {
            let built = image::write(&work, version, generation, &agent, content)?;
            let added = fleet.publish(&built, &release)?;
            std::fs::remove_file(&built.disk)?;
            output::text(&format!("  published {PROFILE} {version}: {}", added.text));
            installed.get_or_insert(added);
        }
        let origin = Origin::start(&release, IpAddr::V4(MACHINES[ORIGIN_FOR].2)).await?;
        let installed = installed.context("no image was published")?;
        let mut machines = Vec::new();
        for (name, site, address) in MACHINES {
            let machine = Machine::new(folder.join(name), program.clone(), name, site, address);
            let others: Vec<Ipv4Addr> = MACHINES
                .iter()
                .map(|(_, _, other)| *other)
                .filter(|other| *other != address)
                .collect();
            machine.configure(&others, &origin.url())?;
            machine.install(&release, installed.identity.clone(), installed.index_bytes).await?;
            machines.push(machine);
        }
        Ok(Self { folder: folder.to_owned(), fleet, machines, origin, agent })
    }

    /// Enrols the machines one by one and switches them on.
    async fn start(&mut self) -> anyhow::Result<()> {
        let stick = self.folder.join("stick");
        std::fs::create_dir_all(&stick)?;
        for machine in &self.machines {
            let request = self.folder.join(format!("{}.json", machine.name));
            machine.run_node(&["init", "--request", &request.display().to_string()])?;
            self.fleet.enroll(&request, machine.name, machine.site)?;
        }
        self.fleet.write_stick(&stick)?;
        let fingerprint = self.fleet.fingerprint()?;
        for machine in &mut self.machines {
            machine.run_node(&["join", &stick.display().to_string(), "--fleet", &fingerprint])?;
            machine.start()?;
        }
        output::text("  enrolled and started five nodes on two sites, on 127.0.0.11 to .15");
        let deadline = Instant::now() + REFUSAL_WITHIN;
        loop {
            let mut ready = 0;
            for machine in &self.machines {
                let status = machine.client().status().await;
                ready += usize::from(status.is_ok_and(|status| {
                    status.peers.iter().filter(|peer| peer.connected).count() >= LINKS_WANTED
                }));
            }
            if ready == MACHINES.len() {
                output::text("  they found each other, across sites too");
                return Ok(());
            }
            if Instant::now() > deadline {
                anyhow::bail!(
                    "the nodes do not see each other; their logs are in {}",
                    self.folder.display()
                );
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Hands a policy and a window to one node and follows all of them.
    async fn update(&mut self) -> anyhow::Result<table::Table> {
        let handed_to = &self.machines[HANDED_TO];
        heading(&format!("A signed policy and a window, handed to {} alone", handed_to.name));
        let started = Instant::now();
        self.fleet.submit_update(NEW, &handed_to.socket()).await?;
        let mut board = Board::new(&self.machines);
        let mut table = table::Table::new(OLD);
        let mut done: BTreeMap<&'static str, Duration> = BTreeMap::new();
        let mut attempts: BTreeMap<&'static str, AttemptStatus> = BTreeMap::new();
        while done.len() < self.machines.len() {
            for machine in &self.machines {
                let status = machine.client().status().await.ok();
                board.show(machine.name, status.as_ref());
                let Some(status) = status else { continue };
                if let Some(attempt) = &status.attempt {
                    attempts.insert(machine.name, attempt.clone());
                }
                if runs(&status, NEW) && !done.contains_key(machine.name) {
                    done.insert(machine.name, started.elapsed());
                }
            }
            if started.elapsed() > UPDATE_WITHIN {
                board.finish();
                anyhow::bail!(
                    "only {} of {} nodes run {NEW} after {} s; logs are in {}",
                    done.len(),
                    self.machines.len(),
                    UPDATE_WITHIN.as_secs(),
                    self.folder.display()
                );
            }
            tokio::time::sleep(EVERY).await;
        }
        board.finish();
        let names = self.fleet.key_names();
        for machine in &self.machines {
            table.add(
                machine.name,
                NEW,
                attempts.get(machine.name),
                done.get(machine.name),
                &names,
            );
        }
        output::text(&format!(
            "  all five staged it, restarted into the new slot, passed their health checks and \
             confirmed it, {:.0} s after the policy was handed in",
            started.elapsed().as_secs_f64()
        ));
        Ok(table)
    }

    /// A policy with one of two signatures changes nothing, and everyone can see why.
    async fn too_few_signatures(&mut self) -> anyhow::Result<()> {
        heading("Refusal 1: a policy with too few signatures");
        let machine = &self.machines[HANDED_TO];
        let said = self.fleet.submit_half_signed(OLD, &machine.socket()).await?;
        output::text(&format!("  {said}"));
        let answer = machine.client().decision().await?;
        anyhow::ensure!(
            answer.decision.verdict == Verdict::Nothing,
            "a half-signed policy moved {}: {}",
            machine.name,
            answer.decision.message
        );
        output::text(&format!("  {} still says: {}", machine.name, answer.decision.message));
        Ok(())
    }

    /// A release service that damages chunks: the node refuses them, and nothing is installed.
    async fn tampered_chunk(&mut self) -> anyhow::Result<()> {
        heading("Refusal 2: a tampered chunk");
        let build = self.folder.join("build");
        let built = image::write(&build, TAMPERED, 3, &self.agent, None)?;
        self.fleet.publish(&built, &self.folder.join("release"))?;
        std::fs::remove_file(&built.disk)?;
        self.origin.damage();
        let victim = &self.machines[ORIGIN_FOR];
        self.fleet.submit_update(TAMPERED, &victim.socket()).await?;
        let deadline = Instant::now() + REFUSAL_WITHIN;
        loop {
            let status = victim.client().status().await.ok();
            let refusal = status.as_ref().and_then(refusal);
            if let (Some(refusal), true) = (refusal, self.origin.damaged() > 0) {
                output::text(&format!("  {}: {refusal}", victim.name));
                let installed = status.and_then(|status| status.installed).unwrap_or_default();
                output::text(&format!("  it still runs {installed}"));
                self.fleet.halt(&victim.socket()).await?;
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} answers were damaged, and {} reported no refusal within {} s",
                self.origin.damaged(),
                victim.name,
                REFUSAL_WITHIN.as_secs()
            );
            tokio::time::sleep(EVERY).await;
        }
    }

    fn name_at(&self, address: IpAddr) -> String {
        self.machines
            .iter()
            .find(|machine| IpAddr::V4(machine.address) == address)
            .map_or_else(|| address.to_string(), |machine| machine.name.to_owned())
    }

    /// Leaves the machines running and says what to try.
    fn keep(&mut self) {
        let home = self.fleet.home().display().to_string();
        let socket = self.machines[HANDED_TO].socket();
        let pids: Vec<String> = self
            .machines
            .iter_mut()
            .filter_map(Machine::leave_running)
            .map(|pid| pid.to_string())
            .collect();
        heading("The fleet is still running. Five things to try");
        output::text(&format!("  export DAYMARK_HOME={home} DAYMARK_NODE={}", socket.display()));
        for line in [
            "daymarkctl sync && daymarkctl get hosts",
            "daymarkctl explain press-03",
            "daymarkctl get runs -o wide",
            "daymarkctl resume --yes        # lifts the halt that ended refusal 2",
            "daymarkctl hold oven-01 --yes && daymarkctl explain oven-01",
        ] {
            output::text(&format!("  {line}"));
        }
        output::text(&format!(
            "\nTo end it:  kill {} && rm -r {}",
            pids.join(" "),
            self.folder.display()
        ));
    }
}

fn runs(status: &Status, version: &str) -> bool {
    let installed = status.installed.as_deref().is_some_and(|text| text.ends_with(version));
    installed && status.attempt.is_none()
}

fn refusal(status: &Status) -> Option<String> {
    let attempt = status.attempt.as_ref().filter(|attempt| attempt.refused_from_origin > 0)?;
    Some(format!(
        "{} chunks from the release service refused: {}",
        attempt.refused_from_origin, attempt.trouble
    ))
}
