//! What a scenario has people do, and what befalls machines at a known time.

use daymark_core::Event;
use daymark_core::event::Carried;
use daymark_protocol::decide::Decision;

use super::{Next, World};
use crate::faults::Fault;
use crate::host::SimHost;
use crate::hostile::{Loot, Mischief};
use crate::network::Cut;
use crate::scenario::{Happening, HostileAct, Parts, Span};

/// Why a machine waits that holds two roots of one version.
const ROOT_INCOMPLETE: &str = "root-incomplete";
/// Pause before something that could not be handed in is handed in again, ms.
const AGAIN_MS: u64 = 60_000;

impl World {
    pub(super) fn act_out(&mut self, event: usize) {
        let Some(event) = self.scenario.event.get(event).cloned() else { return };
        let (wall, begins) = (self.wall(), self.scenario.begins);
        let (to, items) = match event {
            Happening::Order(order) => {
                let sees = if order.sees { self.closings.clone() } else { vec![] };
                let placed = self.operators.order(begins, &order, false, sees);
                self.recorder.ordered(self.now_ms, &order.version, &placed.now);
                self.reference.order(&order);
                if order.cosigned_after > Span(0) && !order.too_few {
                    let (to, version, items) = (order.to, order.version.clone(), placed.later);
                    self.later(order.cosigned_after.0, Next::Cosign { to, version, items });
                }
                (order.to, placed.now)
            }
            Happening::Contradict { to, .. } => return self.contradict(to),
            Happening::Halt { to, .. } => {
                self.reference.halt(self.now_ms);
                (to, self.operators.halt(wall))
            }
            Happening::Resume { to, too_few, .. } => {
                self.reference.resume(self.now_ms, too_few);
                (to, self.operators.resume(wall, too_few))
            }
            Happening::Blackout { at, from, until, to } => {
                let (items, seen) = self.operators.blackout(begins, at, from, until);
                self.closings.push(seen);
                self.reference.blackout(from, until, to.is_some());
                let Some(to) = to else { return };
                (to, items)
            }
            Happening::Release { version, to, .. } => {
                (to, self.operators.release(wall, &version).0)
            }
            Happening::Future { to, closes, .. } => {
                self.reference.future(self.now_ms, closes);
                (to, self.operators.future(wall, closes))
            }
            Happening::Rotate { times, to, .. } => (to, self.operators.rotate(wall, times)),
            Happening::Leave { key, keep, to, .. } => {
                self.counts.happened(Fault::KeyLeft);
                if self.operators.has_signed(key) {
                    self.counts.bit(Fault::KeyLeft);
                }
                self.reference.leave(key, keep);
                (to, self.operators.leave(wall, key, keep))
            }
            Happening::Rivals { key, to, .. } => return self.rival_roots(key, to),
            Happening::Settle { to, .. } => {
                self.count_waiting_for_roots();
                self.reference.settle(self.now_ms);
                (to, self.operators.settle(wall))
            }
            Happening::Rename { host, name, to, .. } => {
                let (public, site) = (self.hosts[host].public(), self.hosts[host].site);
                let items = self.operators.rename(wall, &name, &public, &self.sites[site]);
                self.recorder.ordered(self.now_ms, &format!("host {host} is {name}"), &items);
                (to, items)
            }
            Happening::Remove { host, to, .. } => {
                let site = self.sites[self.hosts[host].site].clone();
                self.reference.remove(host);
                (to, self.operators.remove(wall, self.hosts[host].id, &site))
            }
            Happening::Partition { .. }
            | Happening::Blackstart { .. }
            | Happening::Off { .. }
            | Happening::Clone { .. }
            | Happening::Stick { .. } => return self.befall(&event),
        };
        self.hand(to, items);
    }

    /// The last order again under the same version, with other words, by other signers.
    fn contradict(&mut self, to: usize) {
        let Some(mut order) = self.last_order() else { return };
        order.at = Span(self.now_ms);
        order.spread = Span(order.spread.0 + 60_000);
        let placed = self.operators.order(self.scenario.begins, &order, true, vec![]);
        self.reference.contradict(&order);
        self.counts.happened(Fault::Contradiction);
        self.hand(to, placed.now);
        if self.hosts[to].node.is_some() {
            self.counts.bit(Fault::Contradiction);
        }
    }

    fn rival_roots(&mut self, key: usize, to: [usize; 2]) {
        self.counts.happened(Fault::RivalRoots);
        self.reference.rivals(self.now_ms);
        let rivals = self.operators.rivals(self.wall(), key);
        for (to, items) in to.into_iter().zip(rivals) {
            self.hand(to, items);
        }
    }

    /// Counts who holds both of two rival roots and starts nothing for it.
    fn count_waiting_for_roots(&mut self) {
        let waits = |host: &&SimHost| {
            let decision = host.node.as_ref().and_then(|node| node.decision());
            let says = decision.is_some_and(|decision| decision.reason == ROOT_INCOMPLETE);
            says && host.disk.holds_rival_roots()
        };
        for _ in 0..self.hosts.iter().filter(waits).count() {
            self.counts.bit(Fault::RivalRoots);
        }
    }

    /// What befalls machines, and needs nobody to sign.
    fn befall(&mut self, event: &Happening) {
        match *event {
            Happening::Partition { until, into, .. } => {
                let cut = match into {
                    Parts::Sites => Cut::Sites,
                    Parts::Halves => Cut::Halves,
                };
                self.cuts += 1;
                self.cut_begins(self.cuts, cut, until.0);
            }
            Happening::Blackstart { .. } => {
                for host in 0..self.hosts.len() {
                    if self.hosts[host].powered {
                        self.counts.happened(Fault::PowerCut);
                        self.lose_power_for(host, 20_000);
                    }
                }
            }
            Happening::Off { host, until, battery_dies, .. } => {
                self.counts.happened(Fault::SwitchedOff);
                self.switch_off(host);
                self.hosts[host].clock.battery_is_dead |= battery_dies;
                self.queue.push(until.0, Next::SwitchOn { host });
            }
            Happening::Clone { host, .. } => self.copy_machine(host),
            // A stick has a time of its own; all else is signed.
            Happening::Stick { .. }
            | Happening::Order(_)
            | Happening::Halt { .. }
            | Happening::Resume { .. }
            | Happening::Blackout { .. }
            | Happening::Contradict { .. }
            | Happening::Release { .. }
            | Happening::Future { .. }
            | Happening::Rotate { .. }
            | Happening::Leave { .. }
            | Happening::Rivals { .. }
            | Happening::Settle { .. }
            | Happening::Rename { .. }
            | Happening::Remove { .. } => {}
        }
    }

    fn lose_power_for(&mut self, host: usize, dark_ms: u64) {
        let of = &self.hosts[host];
        if of.staging.is_some() || of.acting.is_some() || !of.machine.is_confirmed() {
            self.counts.bit(Fault::PowerCut);
        }
        self.switch_off(host);
        let late_ms = self.hosts[host].power_dice.below(dark_ms);
        self.later(dark_ms + late_ms, Next::SwitchOn { host });
    }

    fn last_order(&self) -> Option<crate::scenario::Order> {
        let passed = self.scenario.event.iter().filter(|event| event.at().0 <= self.now_ms);
        let orders = passed.filter_map(|event| match event {
            Happening::Order(order) => Some(order),
            Happening::Halt { .. }
            | Happening::Resume { .. }
            | Happening::Blackout { .. }
            | Happening::Contradict { .. }
            | Happening::Release { .. }
            | Happening::Future { .. }
            | Happening::Rotate { .. }
            | Happening::Leave { .. }
            | Happening::Rivals { .. }
            | Happening::Settle { .. }
            | Happening::Rename { .. }
            | Happening::Remove { .. }
            | Happening::Clone { .. }
            | Happening::Stick { .. }
            | Happening::Partition { .. }
            | Happening::Blackstart { .. }
            | Happening::Off { .. } => None,
        });
        orders.max_by_key(|order| order.at).cloned()
    }

    /// Hands items to a host; again after a while if it does not run or gives no answer.
    pub(super) fn hand(&mut self, to: usize, items: Vec<Carried>) {
        self.note(13, to, items.len() as u64);
        let answered = self.hosts[to].node.is_some() && self.submit(to, items.clone()).is_some();
        if !answered {
            self.later(AGAIN_MS, Next::Hand { to, items });
        }
    }

    /// Somebody carries a stick from one machine to the other and back.
    pub(super) fn carry_stick(&mut self, event: usize) {
        let Some(Happening::Stick { every, between: [one, other], .. }) =
            self.scenario.event.get(event).cloned()
        else {
            return;
        };
        self.later(every.0, Next::Stick { event });
        for (from, to) in [(one, other), (other, one)] {
            let items = self.hosts[from].disk.everything();
            self.counts.happened(Fault::Stick);
            let before = self.taken(to);
            if before.is_some() {
                self.submit(to, items);
            }
            if self.taken(to) > before {
                self.counts.bit(Fault::Stick);
            }
        }
    }

    /// What a running node took so far.
    fn taken(&self, host: usize) -> Option<u64> {
        self.hosts[host].node.as_ref().map(|node| node.counters().taken)
    }

    /// The second signer signed at last: whoever holds the first signature waited for it.
    pub(super) fn cosign(&mut self, to: usize, version: &str, items: Vec<Carried>) {
        self.counts.happened(Fault::LateCosign);
        let decision = self.hosts[to].node.as_ref().and_then(|node| node.decision());
        let follows = |decision: &Decision| {
            decision.target.as_ref().is_some_and(|target| target.version == version)
        };
        if decision.is_some_and(|decision| !follows(decision)) {
            self.counts.bit(Fault::LateCosign);
        }
        self.hand(to, items);
    }

    /// A machine's disk is copied with its key: the copy starts beside it, in a machine alike.
    fn copy_machine(&mut self, host: usize) {
        let number = self.hosts.len();
        let copy = self.hosts[host].copied(self.seed, number);
        self.hosts.push(copy);
        self.clones.push(number);
        self.reference.cloned(host);
        self.counts.happened(Fault::Cloned);
        let life = self.hosts[number].life;
        self.later(1, Next::Start { host: number, life });
    }

    /// A thief does something.
    pub(super) fn mischief(&mut self, host: usize) {
        if self.calm {
            return;
        }
        let hosts = self.hosts.len();
        if let Some(adversary) = &mut self.hosts[host].adversary
            && adversary.does(HostileAct::Stall)
        {
            // It takes up a connection of one machine after the other.
            let other = adversary.place(hosts);
            self.dial(host, other, super::wires::LAST_TRY);
        }
        let Some(mut adversary) = self.hosts[host].adversary.take() else { return };
        let loot = Loot {
            fleet: self.operators.fleet(),
            own_key: self.hosts[host].stolen_identity(),
            role_key: &self.operators.stolen_key(),
            now: self.wall(),
            generation: self.hosts[host].disk.state().generation,
        };
        let mischief = adversary.mischief(&loot, &mut self.operators.ledger);
        let neighbours: Vec<usize> = self.hosts[host].connections.keys().copied().collect();
        let neighbour = neighbours.get(adversary.place(neighbours.len())).copied();
        let pause_ms = adversary.pause_ms();
        self.hosts[host].adversary = Some(adversary);
        self.later(pause_ms, Next::Mischief { host });
        if let (Some(mischief), Some(to)) = (mischief, neighbour) {
            self.do_mischief(host, to, &mischief);
        }
    }

    fn do_mischief(&mut self, from: usize, to: usize, mischief: &Mischief) {
        use daymark_core::effect::Admission;
        let Mischief { fault, channel, bytes, times } = mischief;
        self.counts.happened(*fault);
        for _ in 0..*times {
            match channel {
                Some(channel) => {
                    let Some(way) = self.way(from, to, Admission::Stranger) else { return };
                    self.put_on_the_way(way, *channel, bytes, Some(*fault));
                }
                None => {
                    let topic = self.hosts[to].overlay.topics.keys().next().copied();
                    let Some(topic) = topic else { return };
                    let mut content = crate::trace::Trace::default();
                    content.bytes(bytes);
                    // A thief need not tell the truth about what is new.
                    content.number(self.now_ms);
                    let (id, bytes) = (content.short(), bytes.clone());
                    let since_ms = self.now_ms;
                    let rumour = crate::overlay::Rumour { id, topic, bytes, hops: 0, since_ms };
                    self.pass_on(from, to, &rumour, Some(*fault));
                }
            }
        }
    }

    /// Prints what happens to a host that is watched.
    pub(super) fn tell(&self, host: usize, event: &Event) {
        crate::watch::tell(self, host, event);
    }
}
