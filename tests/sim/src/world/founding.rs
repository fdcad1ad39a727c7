//! The beginning of a world: machines at sites, who has taken the fleet, and what is going to
//! befall them.

use std::collections::BTreeMap;

use daymark_core::Event;
use daymark_core::event::{Carried, RequestId};

use super::{COMPARE_MS, Next, World};
use crate::host::{MachineClock, Parts, SimHost, SimMachine};
use crate::hostile::Adversary;
use crate::random::Dice;
use crate::scenario::{Founded, Happening};

/// Machines of a site that its configuration names for each machine.
const CONFIGURED: usize = 3;
/// Machines of each site that its configuration connects with the next site.
const GATEWAYS: usize = 2;

impl World {
    /// Makes the machines, lets them take the fleet, hands in what it consists of, and sets what
    /// is going to happen.
    pub(super) fn found(&mut self) {
        self.make_hosts();
        self.configure_peers();
        let entries = self.sign_founding();
        self.hand_out(&entries);
        self.reference.begin(&self.scenario, &self.hosts, &self.sites);
        self.expect_cuts();
        for host in 0..self.hosts.len() {
            if self.hosts[host].powered {
                self.expect_troubles(host);
            }
            if let Some(adversary) = &mut self.hosts[host].adversary {
                let after_ms = adversary.pause_ms();
                self.later(after_ms, Next::Mischief { host });
            }
        }
        for (number, event) in self.scenario.event.iter().enumerate() {
            self.queue.push(event.at().0, Next::Script(number));
            if let Happening::Stick { at, .. } = event {
                self.queue.push(at.0, Next::Stick { event: number });
            }
        }
        self.queue.push(self.scenario.calm_after.0, Next::Calm);
        self.later(COMPARE_MS, Next::Compare);
    }

    fn make_hosts(&mut self) {
        let mut clocks = Dice::new(self.seed, "clocks");
        let mut machines = Dice::new(self.seed, "machines");
        let mut thieves = Dice::new(self.seed, "hostile");
        for site in self.scenario.site.clone() {
            for time in 0..site.times {
                let several = site.times > 1;
                let name = site.name.clone();
                self.sites.push(if several { format!("{name}-{}", time + 1) } else { name });
                for place in 0..site.hosts {
                    let number = self.hosts.len();
                    let parts = self.parts(number, &mut clocks, &mut machines, &mut thieves);
                    let mut host = SimHost::new(self.seed, number, parts);
                    host.powered = site.running.is_none_or(|running| place < running);
                    self.numbers.insert(host.id, number);
                    self.hosts.push(host);
                }
            }
        }
    }

    fn parts(
        &self,
        number: usize,
        clocks: &mut Dice,
        machines: &mut Dice,
        thieves: &mut Dice,
    ) -> Parts {
        let clock = &self.scenario.clock;
        let drift = i64::try_from(clock.drift_ppm).unwrap_or(0);
        let drawn = i64::try_from(clocks.below(2 * clock.drift_ppm + 1)).unwrap_or(0);
        let synchronised = clocks.below(100) < clock.synchronised_per_cent;
        let dead = clocks.below(100) < clock.dead_battery_per_cent;
        let machine = &self.scenario.machine;
        let old = machines.below(100) < machine.old_per_cent;
        let hostile = &self.scenario.hostile;
        // The first two machines are those that orders are handed to.
        let stolen = thieves.below(100) < hostile.per_cent && number > 1;
        let dice = Dice::numbered(self.seed, 15, number as u64);
        Parts {
            site: self.sites.len() - 1,
            machine: SimMachine::new(machine.boot_tries, old),
            clock: MachineClock::new(synchronised, drawn - drift, dead),
            adversary: stolen
                .then(|| Box::new(Adversary::new(&hostile.acts, self.scenario.calm_after.0, dice))),
        }
    }

    /// Within a site two rings in one, and chords; each site's first machines know those of the
    /// next one.
    fn configure_peers(&mut self) {
        let mut dice = Dice::new(self.seed, "configuration");
        let mut sites: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, host) in self.hosts.iter().enumerate().filter(|(_, host)| host.powered) {
            sites.entry(host.site).or_default().push(number);
        }
        for (site, members) in &sites {
            for (place, host) in members.iter().enumerate() {
                let mut peers: Vec<usize> =
                    [1, 2].map(|step| members[(place + step) % members.len()]).to_vec();
                peers.truncate(CONFIGURED - 1);
                peers.push(members[dice.place(members.len())]);
                peers.retain(|peer| peer != host);
                peers.sort_unstable();
                peers.dedup();
                self.hosts[*host].configured = peers;
            }
            let next = sites.get(&((site + 1) % sites.len().max(1)));
            for (here, there) in members.iter().zip(next.into_iter().flatten()).take(GATEWAYS) {
                if here != there {
                    self.hosts[*here].configured.push(*there);
                }
            }
        }
    }

    /// The statements that found the fleet: sites, and each site's machines.
    fn sign_founding(&mut self) -> (Vec<Carried>, Vec<Vec<Carried>>) {
        let sites: Vec<Carried> =
            self.sites.clone().iter().flat_map(|site| self.operators.create_site(site)).collect();
        let hosts = (0..self.hosts.len()).map(|number| {
            let (public, site) = (self.hosts[number].public(), self.hosts[number].site);
            let site = self.sites[site].clone();
            self.operators.enroll(&format!("host-{number}"), &public, &site)
        });
        let hosts = hosts.collect();
        (sites, hosts)
    }

    fn hand_out(&mut self, (sites, hosts): &(Vec<Carried>, Vec<Vec<Carried>>)) {
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.sites.len()];
        for (number, host) in self.hosts.iter().enumerate() {
            members[host.site].push(number);
        }
        for members in members {
            let of_site: Vec<Carried> =
                members.iter().flat_map(|number| hosts[*number].clone()).collect();
            for (place, number) in members.iter().copied().enumerate() {
                if !self.hosts[number].powered {
                    continue;
                }
                self.start(number);
                let first = place == 0 || self.scenario.founded == Founded::Everywhere;
                let own = if first { &of_site } else { &hosts[number] };
                let items = std::iter::once(self.operators.first_root())
                    .chain(own.clone())
                    .chain(if first { sites.clone() } else { vec![] })
                    .collect();
                self.requests += 1;
                let (request, pin) = (RequestId(self.requests), self.operators.pin());
                self.step(number, Event::Join { request, pin, items });
            }
        }
    }
}
