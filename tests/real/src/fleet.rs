//! A whole fleet in a temporary folder.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use daymark_protocol::control::{SubmitOutcome, Submitted};
use daymark_protocol::document::UpdateRun;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::administrators::{Administrators, Offices};
use crate::image::{Image, Published};
use crate::machine::{Machine, Place};
use crate::network::Network;
use crate::origin::Origin;
use crate::said::{Say as _, everyone};
use crate::view::{Held, held_by};
use crate::wait::{WITHIN, until};

/// The site of every machine.
const SITE: &str = "north";
/// Two cores run one fleet at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
/// Machines so far in this process: each has an address of its own.
static MACHINES: AtomicU8 = AtomicU8::new(0);

/// What fleet to make.
#[derive(Debug)]
pub struct Plan {
    /// The program of [`crate`] that is the node and its boot program.
    pub program: &'static str,
    /// How many machines.
    pub machines: usize,
    /// What they run at first.
    pub installed: Image,
    /// The network to use instead of loopback: the machines are its first hosts. [`Origin`] is not
    /// reachable from there.
    pub network: Option<Network>,
    /// Who speaks for what; `None`: as in most tests.
    pub offices: Option<&'static Offices>,
}

impl Plan {
    /// That many machines on loopback.
    pub fn new(program: &'static str, machines: usize) -> Self {
        Self { program, machines, installed: Image::new("1.0.0"), network: None, offices: None }
    }
}

/// A fleet: machines that know each other's addresses, enrolled at one site.
#[derive(Debug)]
pub struct Fleet {
    /// Those who sign.
    pub administrators: Administrators,
    /// The machines, `node-1` first.
    pub machines: Vec<Machine>,
    /// The release service.
    pub origin: Arc<Origin>,
    /// What the machines run at first.
    pub installed: Published,
    folder: TempDir,
    programs: PathBuf,
    network: Option<Network>,
    _only: MutexGuard<'static, ()>,
}

impl Fleet {
    /// Makes a fleet; nothing runs yet.
    ///
    /// # Errors
    /// If anything cannot be set up.
    pub async fn prepare(plan: Plan) -> anyhow::Result<Self> {
        let only = ONE_AT_A_TIME.lock().await;
        let folder = tempfile::Builder::new().prefix("daymark-real-").tempdir()?;
        let programs = folder.path().join("programs");
        for sub in ["programs", "release", "work"] {
            std::fs::create_dir(folder.path().join(sub))?;
        }
        for name in ["daymark-node", "daymark-boot", "daymarkctl"] {
            std::os::unix::fs::symlink(plan.program, programs.join(name))?;
        }
        let release = folder.path().join("release");
        let places: Vec<_> = match &plan.network {
            Some(network) => {
                let hosts = network.hosts().iter().take(plan.machines);
                hosts.map(|(space, address)| (Some(space.clone()), *address)).collect()
            }
            None => loopback(plan.machines),
        };
        let origin = Origin::start(&release, IpAddr::V4(Ipv4Addr::LOCALHOST)).await?;
        let mut administrators = match plan.offices {
            Some(offices) => Administrators::found_by("acme", offices)?,
            None => Administrators::found("acme")?,
        };
        administrators.site(SITE)?;
        let profile = plan.installed.publish(&programs, &folder.path().join("work"), &release)?;
        let (os, _) = administrators.release(&profile)?;
        let mut fleet = Self {
            administrators,
            machines: Vec::new(),
            origin,
            installed: Published { os, profile },
            folder,
            programs,
            network: plan.network,
            _only: only,
        };
        for number in 0..plan.machines {
            fleet.add(number, &places).await?;
        }
        Ok(fleet)
    }

    /// Switches all machines on and waits until they see each other.
    ///
    /// # Errors
    /// If they do not.
    pub async fn switch_all_on(&mut self) -> anyhow::Result<()> {
        for number in 0..self.machines.len() {
            self.switch_on(number).await?;
        }
        self.sees_each_other().await
    }

    /// The network, if it is not loopback.
    ///
    /// # Errors
    /// If it is.
    pub fn network(&self) -> anyhow::Result<&Network> {
        self.network.as_ref().context("the fleet is on loopback")
    }

    async fn add(
        &mut self,
        number: usize,
        places: &[(Option<String>, Ipv4Addr)],
    ) -> anyhow::Result<()> {
        let (namespace, address) = places.get(number).context("no place for it")?.clone();
        let others = places.iter().map(|(_, other)| *other).filter(|other| *other != address);
        let place = Place { address, namespace, peers: others.collect() };
        let name = format!("node-{}", number + 1);
        let folder = self.folder.path().join(&name);
        let mut machine =
            Machine::new(&name, place, folder, &self.programs, &self.origin.url(&name));
        let key = machine.init().await?;
        self.administrators.enroll(&name, &key, SITE)?;
        machine.install(&self.release(), &self.installed).await?;
        self.machines.push(machine);
        Ok(())
    }

    /// A machine beside the fleet, at an address of its own, that is not enrolled and joined
    /// nothing; it knows the others' addresses.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub async fn stranger(&mut self, name: &str) -> anyhow::Result<Machine> {
        let (_, address) = loopback(1).into_iter().next().context("no address")?;
        let peers = self.machines.iter().map(|machine| machine.place.address).collect();
        let place = Place { address, namespace: None, peers };
        let folder = self.folder.path().join(name);
        let mut machine = Machine::new(name, place, folder, &self.programs, &self.origin.url(name));
        machine.init().await?;
        machine.install(&self.release(), &self.installed).await?;
        Ok(machine)
    }

    /// The temporary folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that the release service serves.
    pub fn release(&self) -> PathBuf {
        self.folder.path().join("release")
    }

    /// The folder of the node's programs.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Switches a machine on. The first time it also takes the fleet, and all that was said.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn switch_on(&mut self, number: usize) -> anyhow::Result<()> {
        let (pin, roots, said) =
            (self.administrators.pin(), self.administrators.roots(), self.administrators.said());
        let machine = self.machines.get_mut(number).context("no such machine")?;
        machine.start()?;
        let what = format!("{} answers", machine.name);
        let status = until(&what, WITHIN, async || machine.status().await).await?;
        if status.fleet.is_none() {
            let join = daymark_protocol::control::Join { pin, items: roots };
            machine.client().join(&join).await?;
            machine.client().submit(said).await?;
        }
        Ok(())
    }

    /// Waits until every machine that is on is connected to every other one as a member.
    ///
    /// # Errors
    /// If they are not in time.
    pub async fn sees_each_other(&self) -> anyhow::Result<()> {
        let on: Vec<&Machine> = self.machines.iter().filter(|machine| machine.is_on()).collect();
        for machine in &on {
            until(&format!("{} sees the others", machine.name), WITHIN, async || {
                let status = machine.status().await?;
                let member = |peer: &&daymark_protocol::control::Peer| {
                    peer.connected && peer.admission == "member"
                };
                let seen: BTreeSet<_> =
                    status.peers.iter().filter(member).map(|peer| peer.host).collect();
                if seen.len() + 1 >= on.len() {
                    return Ok(());
                }
                Err(format!("it sees {:?}", status.peers))
            })
            .await?;
        }
        Ok(())
    }

    /// Builds, publishes and signs for an image; says so to nobody.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn publish(&mut self, image: &Image) -> anyhow::Result<(Published, Vec<Submitted>)> {
        let work = self.folder.path().join("work");
        let profile = image.publish(&self.programs, &work, &self.release())?;
        let (os, items) = self.administrators.release(&profile)?;
        Ok((Published { os, profile }, items))
    }

    /// Publishes an image that everyone is to run from now on, within an hour from now; says so to
    /// nobody.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn order(&mut self, image: &Image) -> anyhow::Result<(Published, Vec<Submitted>)> {
        let (published, mut items) = self.publish(image)?;
        items.extend(self.administrators.policy("all", &published.os, everyone())?);
        items.extend(self.administrators.window("now", -300, 3600)?);
        Ok((published, items))
    }

    /// The next version of what [`Fleet::order`] said first, for another image.
    ///
    /// # Errors
    /// If it is not well-formed.
    pub fn again(&mut self, published: &Published) -> anyhow::Result<Vec<Submitted>> {
        self.administrators.policy("all", &published.os, everyone())
    }

    /// Hands items to one machine, none of which it refuses.
    ///
    /// # Errors
    /// If it does not answer or refuses one.
    pub async fn tell(&self, number: usize, items: Vec<Submitted>) -> anyhow::Result<()> {
        let machine = self.machines.get(number).context("no such machine")?;
        for outcome in machine.client().submit(items).await?.outcomes {
            match outcome {
                SubmitOutcome::New | SubmitOutcome::Known => {}
                SubmitOutcome::Held(why)
                | SubmitOutcome::NotKept(why)
                | SubmitOutcome::Refused(why) => anyhow::bail!("{}: {why}", machine.name),
            }
        }
        Ok(())
    }

    /// Everything that a machine holds.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn held_by(&self, number: usize) -> Result<Held, String> {
        let machine = self.machines.get(number).ok_or("no such machine")?;
        let held = held_by(&machine.client(), self.administrators.pin()).await;
        held.map_err(|error| format!("{}: {error}", machine.name))
    }

    /// The runs of machine `of` as machine `at` has heard of them.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn runs(&self, of: usize, at: usize) -> Result<Vec<UpdateRun>, String> {
        let host = self.machines.get(of).ok_or("no such machine")?.id();
        Ok(self.held_by(at).await?.runs(&host))
    }

    /// Waits until machine `at` has heard of exactly one run of machine `of` to a version that
    /// ended, and returns it.
    ///
    /// # Errors
    /// If it has not in time, or there are more.
    pub async fn run_to(&self, version: &str, of: usize, at: usize) -> anyhow::Result<UpdateRun> {
        until(&format!("one run to {version} that ended"), WITHIN, async || {
            let mut runs = self.runs(of, at).await?;
            runs.retain(|run| run.to.as_deref().is_some_and(|to| to.ends_with(version)));
            match runs.as_slice() {
                [run] if run.end.is_some() => Ok(run.clone()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
    }
}

impl Fleet {
    /// The ends of all logs, for a failed test.
    #[allow(clippy::print_stderr, reason = "test output")]
    pub fn print_logs(&self) {
        for machine in &self.machines {
            eprintln!("--- {}\n{}", machine.name, machine.log_tail());
        }
    }
}

/// Free loopback addresses: processes differ in the middle, machines in the last number.
fn loopback(count: usize) -> Vec<(Option<String>, Ipv4Addr)> {
    let [.., high, low] = std::process::id().to_be_bytes();
    (0..count)
        .map(|_| {
            let last = MACHINES.fetch_add(1, Ordering::Relaxed) + 1;
            (None, Ipv4Addr::new(127, high | 1, low, last))
        })
        .collect()
}
