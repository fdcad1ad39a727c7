//! Whether a scenario can be: one clear error, before anything runs.

use super::format::{Link, Scenario};
use super::happening::{Happening, Order, Window};

/// Most machines of a world.
const HOSTS_MAX: usize = 100_000;
/// Most machines of a site: what a node keeps of its own site is bounded by this in practice.
const SITE_HOSTS_MAX: usize = 16_384;
/// What a running node takes by itself, bytes; measured.
const NODE_BYTES: u64 = 40 * 1024;
/// What each machine of its site adds to a node, bytes; measured.
const NEIGHBOUR_BYTES: u64 = 2_600;

/// Why a scenario cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScenario {
    /// No file, and no built-in scenario of that name.
    #[error("cannot read scenario {name}: {error}; built in are {names}")]
    Unreadable {
        /// What was asked for.
        name: String,
        /// What the system says.
        error: String,
        /// What there is.
        names: String,
    },
    /// Not TOML, or not a scenario's keys.
    #[error("not a scenario: {0}")]
    NotReadable(String),
    /// A value that cannot be.
    #[error("{key}: {what}")]
    Value {
        /// Where.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// More memory than there is.
    #[error("{hosts} machines take about {needed_mib} MiB, and {available_mib} MiB are available")]
    Memory {
        /// Machines.
        hosts: usize,
        /// About what they take.
        needed_mib: u64,
        /// What there is.
        available_mib: u64,
    },
}

fn bad(key: &str, what: impl Into<String>) -> InvalidScenario {
    InvalidScenario::Value { key: key.to_owned(), what: what.into() }
}

fn rate(key: &str, value: f64) -> Result<(), InvalidScenario> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(bad(key, format!("is {value}: write 0 or more")))
    }
}

fn share(key: &str, value: u64) -> Result<(), InvalidScenario> {
    if value <= 100 { Ok(()) } else { Err(bad(key, format!("is {value}: write 0 to 100"))) }
}

impl Scenario {
    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        if self.name.is_empty() || self.about.is_empty() {
            return Err(bad("name, about", "must not be empty"));
        }
        if self.calm_after > self.length {
            return Err(bad("calmAfter", "is later than the end"));
        }
        self.check_sites()?;
        self.check_links("network.lan", &self.network.lan)?;
        self.check_links("network.wan", &self.network.wan)?;
        if !(1..=daymark_core::LINKS_MAX).contains(&self.network.links) {
            let most = daymark_core::LINKS_MAX;
            return Err(bad("network.links", format!("write 1 to {most}")));
        }
        share("clock.synchronisedPerCent", self.clock.synchronised_per_cent)?;
        share("clock.deadBatteryPerCent", self.clock.dead_battery_per_cent)?;
        if self.clock.drift_ppm > 100_000 {
            return Err(bad("clock.driftPpm", "is above 100000"));
        }
        share("machine.oldPerCent", self.machine.old_per_cent)?;
        share("machine.offAtNightPerCent", self.machine.off_at_night_per_cent)?;
        if self.machine.boot_tries == 0 {
            return Err(bad("machine.bootTries", "is 0: a new slot is tried at least once"));
        }
        share("hostile.perCent", self.hostile.per_cent)?;
        if self.hostile.per_cent > 0 && self.hostile.acts.is_empty() {
            return Err(bad("hostile.acts", "is empty: what do hostile members do?"));
        }
        self.check_rates()?;
        self.image.iter().try_for_each(|image| {
            let counts = (1..=100_000).contains(&image.megabytes);
            if counts { Ok(()) } else { Err(bad("image.megabytes", "write 1 to 100000")) }
        })?;
        self.event.iter().try_for_each(|event| self.check_event(event))?;
        for expected in &self.expect.host {
            // A machine that is copied has a double behind all others.
            let clones = self.event.iter().filter(|it| matches!(it, Happening::Clone { .. }));
            let most = self.hosts() + clones.count();
            if expected.host >= most {
                let host = expected.host;
                return Err(bad("expect.host", format!("is {host}, and there are {most}")));
            }
        }
        self.check_memory(available_bytes())
    }

    fn check_sites(&self) -> Result<(), InvalidScenario> {
        if self.site.is_empty() {
            return Err(bad("site", "is missing: a world has at least one site"));
        }
        for (place, site) in self.site.iter().enumerate() {
            if self.site[..place].iter().any(|other| other.name == site.name) {
                return Err(bad("site.name", format!("{} is there twice", site.name)));
            }
            if !(1..=SITE_HOSTS_MAX).contains(&site.hosts) || site.times == 0 {
                let what = format!("write 1 to {SITE_HOSTS_MAX} machines, and at least one site");
                return Err(bad("site.hosts", what));
            }
            if site.running.is_some_and(|running| running == 0 || running > site.hosts) {
                let what = format!("write 1 to {}, the machines of {}", site.hosts, site.name);
                return Err(bad("site.running", what));
            }
        }
        if self.hosts() > HOSTS_MAX {
            return Err(bad("site", format!("{} machines are above {HOSTS_MAX}", self.hosts())));
        }
        Ok(())
    }

    fn check_links(&self, key: &str, link: &Link) -> Result<(), InvalidScenario> {
        if link.bytes_per_second == 0 {
            return Err(bad(key, "bytesPerSecond is 0: nothing would ever arrive"));
        }
        if link.latency_ms.max(link.spread_ms).max(link.tail_ms) > 600_000 {
            return Err(bad(key, "a latency is above ten minutes"));
        }
        for (name, value) in [
            ("lossPerMille", link.loss_per_mille),
            ("duplicatePerMille", link.duplicate_per_mille),
            ("reorderPerMille", link.reorder_per_mille),
            ("corruptPerMille", link.corrupt_per_mille),
            ("tailPerMille", link.tail_per_mille),
        ] {
            let key = format!("{key}.{name}");
            rate(&key, value)?;
            if value > 1_000.0 {
                return Err(bad(&key, format!("is {value}: write at most 1000")));
            }
        }
        Ok(())
    }

    fn check_rates(&self) -> Result<(), InvalidScenario> {
        let fault = &self.fault;
        for (name, value) in [
            ("kills", fault.kills),
            ("powerCuts", fault.power_cuts),
            ("fullDisks", fault.full_disks),
            ("readOnlyDisks", fault.read_only_disks),
            ("rottenBytes", fault.rotten_bytes),
            ("clockSteps", fault.clock_steps),
            ("wrongBoots", fault.wrong_boots),
            ("partitions", fault.partitions),
            ("oneWayCuts", fault.one_way_cuts),
            ("releaseAbsent", fault.release_absent),
            ("releaseSlow", fault.release_slow),
            ("releaseLies", fault.release_lies),
        ] {
            rate(&format!("fault.{name}"), value)?;
        }
        Ok(())
    }

    fn check_event(&self, event: &Happening) -> Result<(), InvalidScenario> {
        let host = |key: &str, host: usize| {
            let most = self.hosts();
            if host < most {
                Ok(())
            } else {
                Err(bad(key, format!("is {host}, and machines are 0 to {}", most - 1)))
            }
        };
        let later = |key: &str, from: super::Span, to: super::Span| {
            if from < to { Ok(()) } else { Err(bad(key, "does not end after it begins")) }
        };
        if event.at() > self.length {
            return Err(bad("event.at", format!("{} is after the end", event.at())));
        }
        match event {
            Happening::Order(order) => {
                host("order.to", order.to)?;
                self.check_order(order)
            }
            Happening::Halt { to, .. }
            | Happening::Resume { to, .. }
            | Happening::Contradict { to, .. }
            | Happening::Release { to, .. }
            | Happening::Rotate { to, .. }
            | Happening::Settle { to, .. }
            | Happening::Future { to, .. } => host("event.to", *to),
            Happening::Leave { to, key, .. } if *key < 3 => host("event.to", *to),
            Happening::Leave { .. } => Err(bad("leave.key", "policy keys are 0 to 2")),
            Happening::Rivals { key, .. } if *key > 2 => {
                Err(bad("rivals.key", "policy keys are 0 to 2"))
            }
            Happening::Rivals { to, .. } => to.iter().try_for_each(|to| host("rivals.to", *to)),
            Happening::Blackout { from, until, to, .. } => {
                later("blackout", *from, *until)?;
                to.map_or(Ok(()), |to| host("blackout.to", to))
            }
            Happening::Rename { name, .. } if name.is_empty() => {
                Err(bad("rename.name", "is empty"))
            }
            Happening::Rename { host: number, to, .. } => {
                host("rename.host", *number)?;
                host("rename.to", *to)
            }
            Happening::Remove { host: number, to, .. } => {
                host("remove.host", *number)?;
                host("remove.to", *to)
            }
            Happening::Clone { host: number, .. } => host("clone.host", *number),
            Happening::Stick { every, between, .. } => {
                if every.0 < 1_000 {
                    return Err(bad("stick.every", "is below a second"));
                }
                between.iter().try_for_each(|number| host("stick.between", *number))
            }
            Happening::Partition { at, until, .. } => later("partition", *at, *until),
            Happening::Off { at, until, host: number, .. } => {
                later("off", *at, *until)?;
                host("off.host", *number)
            }
            Happening::Blackstart { .. } => Ok(()),
        }
    }

    fn check_order(&self, order: &Order) -> Result<(), InvalidScenario> {
        if let Some(site) = &order.site
            && !self.site.iter().any(|there| there.name == *site && there.times == 1)
        {
            return Err(bad("order.site", format!("there is no single site {site}")));
        }
        match &order.window {
            Window::Once { from, to: Some(to) } if from >= to => {
                Err(bad("order.window", "does not end after it begins"))
            }
            Window::Weekly { weekday, hour, length, .. }
                if *weekday > 6 || *hour > 23 || !(1..=86_400_000).contains(&length.0) =>
            {
                Err(bad("order.window", "write a weekday 0 to 6, an hour 0 to 23 and up to 24h"))
            }
            Window::Once { .. } | Window::Weekly { .. } => Ok(()),
        }
    }

    pub(super) fn check_memory(&self, available_bytes: Option<u64>) -> Result<(), InvalidScenario> {
        let of_site = |site: &super::Site| {
            let running = site.running.unwrap_or(site.hosts) as u64;
            running * site.times as u64 * (NODE_BYTES + site.hosts as u64 * NEIGHBOUR_BYTES)
        };
        let needed: u64 = self.site.iter().map(of_site).sum();
        match available_bytes {
            Some(available) if needed > available => Err(InvalidScenario::Memory {
                hosts: self.hosts(),
                needed_mib: needed >> 20,
                available_mib: available >> 20,
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Memory that this machine can still give, if it says so.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::super::BUILT_IN;
    use super::*;

    const SMALL: &str = "name = \"a\"\nabout = \"b\"\nlength = \"2d\"\ncalmAfter = \"1d\"\n\
                         [[site]]\nname = \"s\"\nhosts = 4\n";

    fn error(text: &str) -> String {
        Scenario::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn every_built_in_scenario_can_be_run_and_has_its_file_s_name() {
        for (name, text) in BUILT_IN {
            let scenario = Scenario::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.name, *name);
        }
    }

    #[test]
    fn what_cannot_be_is_one_clear_error() {
        assert!(Scenario::parse(SMALL).is_ok());
        let with = |more: &str| error(&format!("{SMALL}{more}"));
        assert!(with("[fault]\nkils = 1.0\n").contains("unknown field `kils`"));
        assert_eq!(with("[fault]\nkills = -1.0\n"), "fault.kills: is -1: write 0 or more");
        assert!(with("[[site]]\nname = \"s\"\nhosts = 1\n").contains("s is there twice"));
        assert!(with("[[event]]\ndo = \"halt\"\nat = \"1d\"\nto = 9\n").contains("is 9"));
        assert!(with("[[event]]\ndo = \"halt\"\nat = \"1d\"\nwhy = 9\n").contains("unknown field"));
        assert!(with("[[event]]\ndo = \"dance\"\nat = \"1d\"\n").contains("unknown variant"));
        assert!(with("[network]\nlinks = 0\n").contains("network.links"));
        assert!(error(&SMALL.replace("hosts = 4", "hosts = 0")).contains("site.hosts"));
        assert!(error(&SMALL.replace("\"1d\"", "\"3d\"")).contains("calmAfter"));
        let scenario = Scenario::parse(SMALL).unwrap();
        let error = scenario.check_memory(Some(1 << 10)).expect_err("a KiB");
        assert!(error.to_string().contains("4 machines take about"), "{error}");
    }
}
