//! A network of its own for a test: hosts in network namespaces, on two bridges that one cable
//! joins, or on a relay that delays and loses. Pulling the cable cuts the network into two halves;
//! each host's line may be made narrow. Needs root, `ip` and `tc`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, ensure};

use crate::relay::{Relay, Weather};

/// Namespaces of this module; then the process that made them, a number, and what they are.
const PREFIX: &str = "daymark-real";
/// The cable's end at the first bridge.
const CABLE: &str = "cable";
/// Networks so far in this process.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A network, gone when dropped.
#[derive(Debug)]
pub struct Network {
    name: String,
    hosts: Vec<(String, Ipv4Addr)>,
    relay: Option<Relay>,
}

/// What the kernel counted on a narrow line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shaped {
    /// Bytes that left.
    pub bytes: u64,
    /// How often a packet had to wait for its turn.
    pub waited: u64,
}

impl Network {
    /// Why networks cannot be made here, if so.
    pub fn missing() -> Option<&'static str> {
        let root = rustix::process::geteuid().is_root();
        (!root).then_some("only root can make network namespaces")
    }

    /// Makes a network: a host each, on the bridge of that number, 0 or 1.
    ///
    /// # Errors
    /// If the system refuses; `tests/images/install-tools` installs what is needed.
    pub fn start(bridges: &[u8]) -> anyhow::Result<Self> {
        delete_leftovers()?;
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}", std::process::id());
        let mut network = Self { name, hosts: Vec::new(), relay: None };
        let hub = network.hub();
        ip(&["netns", "add", &hub])?;
        let far = format!("{CABLE}-far");
        ip(&["-n", &hub, "link", "add", CABLE, "type", "veth", "peer", "name", &far])?;
        for (bridge, end) in [("bridge-0", CABLE), ("bridge-1", &far)] {
            ip(&["-n", &hub, "link", "add", bridge, "type", "bridge", "mcast_snooping", "0"])?;
            ip(&["-n", &hub, "link", "set", bridge, "up"])?;
            ip(&["-n", &hub, "link", "set", end, "master", bridge, "up"])?;
        }
        for (number, bridge) in (0..).zip(bridges) {
            network.add(number, &format!("bridge-{bridge}"))?;
        }
        Ok(network)
    }

    /// Makes a network of that many hosts whose frames a relay delays and loses.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn relayed(hosts: u8, weather: Weather) -> anyhow::Result<Self> {
        delete_leftovers()?;
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let mut network =
            Self { name: format!("{PREFIX}-{process}-{number}"), hosts: Vec::new(), relay: None };
        let mut taps = Vec::new();
        for host in 0..hosts {
            let name = format!("dm{process}t{host}");
            taps.push(Relay::tap(&name)?);
            let space = format!("{}-{host}", network.name);
            ip(&["netns", "add", &space])?;
            network.hosts.push((space.clone(), address(host)));
            ip(&["link", "set", &name, "netns", &space, "name", "eth0"])?;
            configure(&space, address(host))?;
        }
        network.relay = Some(Relay::start(taps, weather));
        Ok(network)
    }

    /// The relay, if hosts hang on one.
    ///
    /// # Errors
    /// If they do not.
    pub fn relay(&self) -> anyhow::Result<&Relay> {
        self.relay.as_ref().context("the hosts are on bridges")
    }

    /// Makes the line of a host narrow, for what leaves it.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn shape(&self, host: usize, megabits: u32) -> anyhow::Result<()> {
        let (space, _) = self.hosts.get(host).context("no such host")?;
        let rate = format!("{megabits}mbit");
        let line = ["netns", "exec", space, "tc", "qdisc", "add", "dev", "eth0", "root"];
        let tbf = ["tbf", "rate", &rate, "burst", "32kbit", "latency", "400ms"];
        ip(&[&line[..], &tbf].concat())?;
        Ok(())
    }

    /// What the kernel counted on a host's narrow line.
    ///
    /// # Errors
    /// If the line is not narrow.
    pub fn shaped(&self, host: usize) -> anyhow::Result<Shaped> {
        let (space, _) = self.hosts.get(host).context("no such host")?;
        let show = ["tc", "-s", "-j", "qdisc", "show", "dev", "eth0"];
        let shown = ip(&[&["netns", "exec", space][..], &show].concat())?;
        let shown: serde_json::Value = serde_json::from_slice(&shown)?;
        let tbf = shown.as_array().into_iter().flatten().find(|one| one["kind"] == "tbf");
        let tbf = tbf.context("the line is not narrow")?;
        let count = |what: &str| tbf[what].as_u64().with_context(|| format!("no {what} counted"));
        Ok(Shaped { bytes: count("bytes")?, waited: count("overlimits")? })
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn add(&mut self, number: u8, bridge: &str) -> anyhow::Result<()> {
        let (hub, host) = (self.hub(), format!("{}-{number}", self.name));
        let (port, address) = (format!("port-{number}"), address(number));
        ip(&["netns", "add", &host])?;
        self.hosts.push((host.clone(), address));
        let peer = ["peer", "name", "eth0", "netns", &host];
        ip(&[&["-n", &hub, "link", "add", &port, "type", "veth"][..], &peer].concat())?;
        ip(&["-n", &hub, "link", "set", &port, "master", bridge, "up"])?;
        configure(&host, address)
    }

    /// Namespace and address of each host.
    pub fn hosts(&self) -> &[(String, Ipv4Addr)] {
        &self.hosts
    }

    /// Pulls the cable between the two halves.
    ///
    /// # Errors
    /// If it is not down afterwards.
    pub fn cut(&self) -> anyhow::Result<()> {
        ip(&["-n", &self.hub(), "link", "set", CABLE, "down"])?;
        ensure!(self.state()? == "DOWN", "the cable is not down");
        Ok(())
    }

    /// Plugs the cable in again.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn heal(&self) -> anyhow::Result<()> {
        ip(&["-n", &self.hub(), "link", "set", CABLE, "up"])?;
        ensure!(self.state()? != "DOWN", "the cable is down");
        Ok(())
    }

    fn cable(&self) -> anyhow::Result<serde_json::Value> {
        let shown = ip(&["-n", &self.hub(), "-j", "-s", "link", "show", "dev", CABLE])?;
        let links: serde_json::Value = serde_json::from_slice(&shown)?;
        links.get(0).cloned().context("the cable is not shown")
    }

    fn state(&self) -> anyhow::Result<String> {
        let cable = self.cable()?;
        Ok(cable["operstate"].as_str().context("the cable has no state")?.to_owned())
    }

    /// Packets that the kernel counted on the cable, both ways.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn crossed(&self) -> anyhow::Result<u64> {
        let counts = &self.cable()?["stats64"];
        let packets = |way: &str| counts[way]["packets"].as_u64().context("no packets are counted");
        Ok(packets("rx")? + packets("tx")?)
    }

    /// Whether one host reaches a port of another; it is tried for a few seconds.
    pub fn reaches(&self, from: usize, to: usize, port: u16) -> bool {
        let (Some((from, _)), Some((_, to))) = (self.hosts.get(from), self.hosts.get(to)) else {
            return false;
        };
        let connect = format!("exec 3<> /dev/tcp/{to}/{port}");
        ip(&["netns", "exec", from, "timeout", "5", "bash", "-c", &connect]).is_ok()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let hosts = self.hosts.iter().map(|(host, _)| host.clone());
        for space in hosts.chain([self.hub()]) {
            // What was not made cannot be deleted.
            let _ = ip(&["netns", "del", &space]);
        }
    }
}

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, host + 1)
}

/// Sets up the line of a host.
fn configure(space: &str, address: Ipv4Addr) -> anyhow::Result<()> {
    ip(&["-n", space, "link", "set", "lo", "up"])?;
    ip(&["-n", space, "addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
    ip(&["-n", space, "link", "set", "eth0", "up"])?;
    // A peer that answers nothing is given up after seconds, not after a quarter of an hour.
    let retries = "echo 3 > /proc/sys/net/ipv4/tcp_retries2";
    ip(&["netns", "exec", space, "sh", "-c", retries])?;
    Ok(())
}

/// Runs `ip`.
fn ip(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.context("ip is needed; tests/images/install-tools installs it")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), why.trim());
    Ok(output.stdout)
}

/// Deletes namespaces of test processes that were killed, and whatever still runs in them.
fn delete_leftovers() -> anyhow::Result<()> {
    let listed = String::from_utf8(ip(&["netns", "list"])?)?;
    for space in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let owner = space.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-'));
        let Some(owner) = owner.and_then(|rest| rest.split('-').next()) else { continue };
        if Path::new("/proc").join(owner).exists() {
            continue;
        }
        for process in String::from_utf8(ip(&["netns", "pids", space])?)?.lines() {
            let process = process.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(process) = process {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
        ip(&["netns", "del", space])?;
    }
    Ok(())
}
