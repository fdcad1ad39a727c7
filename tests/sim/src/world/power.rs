//! Power, crashes, boots, and the other troubles of machines.

use daymark_core::Event;

use super::{Next, Trouble, Way, World};
use crate::facts::{Deed, Restarter};
use crate::faults::Fault;
use crate::host::{Condition, Doom};
use crate::network::Cut;

/// How long after its process ended unasked the daemon is started again, the first time and so on
/// since the machine started, ms: what its systemd unit says, so that a disk that lets nothing be
/// saved is not tried without end.
const RESTARTS_MS: [u64; 7] = [5_000, 8_500, 14_400, 24_500, 41_600, 70_700, 120_000];
/// How long a machine takes that a person starts from its other slot, ms.
const OTHER_SLOT_MS: u64 = 3_000;
/// How long after its start a host has looked at its machine, ms.
const INSPECT_MS: u64 = 500;
/// Shortest and longest time that the power is away, ms.
const DARK_MS: std::ops::RangeInclusive<u64> = 2_000..=600_000;
/// Writes and acts ahead at which a crash may fall: a busy step has a few.
const CRASH_POINTS: u64 = 8;
/// How long a disk is full, ms.
const FULL_MS: std::ops::RangeInclusive<u64> = 60_000..=1_800_000;
/// How long a read-only disk stays before somebody restarts the machine, ms.
const READ_ONLY_MS: u64 = 1_200_000;
/// How long cuts last, ms.
const CUT_MS: std::ops::RangeInclusive<u64> = 20_000..=3_600_000;
/// Time of the evening and of the morning, ms of the day.
const EVENING_MS: u64 = 20 * 3_600_000;
const MORNING_MS: u64 = 6 * 3_600_000;
const DAY_MS: u64 = 86_400_000;

impl World {
    /// Starts a host's process.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].node.is_some() || !self.hosts[host].powered {
            return;
        }
        let reading = self.hosts[host].reading(self.scenario.begins, self.now_ms);
        let was_damaged = self.hosts[host].disk.damaged;
        let newer = self.hosts[host].machine.has_newer_agent(&self.images);
        let shared = self.shared.for_agent(newer);
        let batch = self.hosts[host].start(self.seed, self.config.clone(), reading, shared);
        if was_damaged {
            let found = self.hosts[host].node.as_ref().is_some_and(|node| node.found_damage());
            if found {
                self.counts.bit(Fault::RottenByte);
                self.counts.bit(Fault::TornWrite);
            }
            self.hosts[host].disk.drop_damaged();
        }
        self.note(9, host, u64::from(self.hosts[host].life));
        self.record(host, Deed::Started);
        let life = self.hosts[host].life;
        self.later(INSPECT_MS, Next::Inspect { host, life });
        self.perform(host, batch);
        self.step(host, Event::Listening { addresses: vec![format!("/sim/{host}")] });
        for peer in self.hosts[host].configured.clone() {
            self.later(1, Next::Dial { from: host, to: peer, tries: 0 });
        }
    }

    /// Ends a host's process. Its peers notice at once, or after a silence if the power failed.
    pub(super) fn end_process(&mut self, host: usize, silently: bool) {
        let Some(node) = self.hosts[host].node.take() else { return };
        self.hosts[host].decisions_before += node.counters().decisions;
        self.note(10, host, 0);
        self.leave_all(host);
        let connections = std::mem::take(&mut self.hosts[host].connections);
        let after_ms = if silently { super::wires::SILENCE_MS } else { 1 };
        for (peer, connection) in connections {
            let way = Way { from: host, to: peer, epoch: connection.epoch };
            self.later(after_ms, Next::Lost { way });
        }
        self.record(host, Deed::Ended);
    }

    /// The process dies here and now; the power with it, if the doom says so.
    pub(super) fn crash(&mut self, host: usize, doomed: bool) {
        let power = doomed && self.hosts[host].doom.is_some_and(|doom| doom.power);
        if doomed {
            self.hosts[host].doom = None;
            self.counts.bit(if power { Fault::PowerCut } else { Fault::Kill });
        }
        if power {
            self.lose_power(host);
        } else {
            self.die(host);
        }
    }

    /// The process ends unasked, and is started again.
    fn die(&mut self, host: usize) {
        self.end_process(host, false);
        let place = self.hosts[host].deaths.min(RESTARTS_MS.len() - 1);
        self.hosts[host].deaths += 1;
        let life = self.hosts[host].life;
        self.later(RESTARTS_MS[place], Next::Start { host, life });
    }

    fn lose_power(&mut self, host: usize) {
        let unfinished = self.hosts[host].staging.is_some()
            || self.hosts[host].acting.is_some()
            || !self.hosts[host].machine.is_confirmed();
        if unfinished {
            self.counts.bit(Fault::PowerCut);
        }
        self.switch_off(host);
        let dark_ms = self.hosts[host].power_dice.between(*DARK_MS.start(), *DARK_MS.end());
        self.later(dark_ms, Next::SwitchOn { host });
    }

    /// The power of a host's machine fails here and now, and comes back after a while.
    pub fn cut_power(&mut self, host: usize) {
        self.counts.happened(Fault::PowerCut);
        self.lose_power(host);
    }

    /// The machine has no power from now on.
    pub(super) fn switch_off(&mut self, host: usize) {
        self.end_process(host, true);
        self.hosts[host].powered = false;
        self.hosts[host].staging = None;
        self.hosts[host].acting = None;
    }

    /// The machine gets power, if it has none.
    pub(super) fn switch_on(&mut self, host: usize) {
        if self.hosts[host].powered {
            return;
        }
        self.hosts[host].powered = true;
        let (begins, now_ms) = (self.scenario.begins, self.now_ms);
        if self.hosts[host].clock.battery_is_dead {
            self.counts.happened(Fault::DeadBattery);
        }
        self.hosts[host].clock.switched_on(begins, now_ms);
        self.restart(host, Restarter::Power, false);
    }

    /// The machine restarts: the boot loader picks a slot, and after a while the agent starts.
    pub(super) fn restart(&mut self, host: usize, by: Restarter, wrong: bool) {
        let machine = &mut self.hosts[host].machine;
        let (armed, before) = (machine.is_armed(), machine.runs());
        let went = if wrong {
            machine.boot_other();
            None
        } else {
            Some(machine.boot(&self.images))
        };
        let changed = machine.runs() != before;
        self.hosts[host].deaths = 0;
        if self.hosts[host].disk.condition == Condition::ReadOnly {
            self.hosts[host].disk.condition = Condition::Good;
        }
        let took_ms = went.map_or(OTHER_SLOT_MS, |boot| boot.took_ms);
        if let Some(boot) = went {
            for _ in 0..boot.panicked {
                self.counts.happened(Fault::UnbootableImage);
                self.counts.bit(Fault::UnbootableImage);
            }
            for _ in 0..boot.hung {
                self.counts.happened(Fault::HangingImage);
                self.counts.bit(Fault::HangingImage);
            }
        }
        self.recorder.restarted(self.now_ms, host, by, armed && changed);
        self.record(host, Deed::Restarted { by, armed, changed });
        if went.is_none_or(|boot| boot.runs) {
            let life = self.hosts[host].life;
            self.later(took_ms, Next::Start { host, life });
        }
    }

    pub(super) fn boot(&mut self, host: usize, wrong: bool) {
        if self.hosts[host].powered {
            self.end_process(host, true);
            let by = if wrong { Restarter::Person } else { Restarter::Power };
            self.restart(host, by, wrong);
        }
    }

    /// Sets when each trouble befalls a host for the first time.
    pub(super) fn expect_troubles(&mut self, host: usize) {
        for (trouble, rate) in self.rates() {
            self.expect_trouble(host, trouble, rate);
        }
        if self.hosts[host].power_dice.below(100) < self.scenario.machine.off_at_night_per_cent {
            let late_ms = self.hosts[host].power_dice.below(3_600_000);
            self.later(EVENING_MS + late_ms, Next::Night { host, on: false });
        }
    }

    fn rates(&self) -> [(Trouble, f64); 7] {
        let fault = &self.scenario.fault;
        [
            (Trouble::Kill, fault.kills),
            (Trouble::PowerCut, fault.power_cuts),
            (Trouble::FullDisk, fault.full_disks),
            (Trouble::ReadOnlyDisk, fault.read_only_disks),
            (Trouble::RottenByte, fault.rotten_bytes),
            (Trouble::ClockStep, fault.clock_steps),
            (Trouble::WrongBoot, fault.wrong_boots),
        ]
    }

    fn expect_trouble(&mut self, host: usize, trouble: Trouble, per_day: f64) {
        if let Some(after_ms) = self.hosts[host].power_dice.next_of(per_day) {
            self.later(after_ms, Next::Trouble { host, trouble });
        }
    }

    /// A trouble befalls a host, and the next of its kind is set.
    pub(super) fn trouble(&mut self, host: usize, trouble: Trouble) {
        if self.calm {
            return;
        }
        let rate = self.rates().into_iter().find(|(other, _)| *other == trouble);
        self.expect_trouble(host, trouble, rate.map_or(0.0, |(_, rate)| rate));
        match trouble {
            Trouble::Kill | Trouble::PowerCut => self.doom(host, trouble == Trouble::PowerCut),
            Trouble::FullDisk => {
                let full_ms = self.hosts[host].disk_dice.between(*FULL_MS.start(), *FULL_MS.end());
                self.hosts[host].disk.condition = Condition::FullUntil(self.now_ms + full_ms);
                self.counts.happened(Fault::FullDisk);
            }
            Trouble::ReadOnlyDisk => {
                self.hosts[host].disk.condition = Condition::ReadOnly;
                self.counts.happened(Fault::ReadOnlyDisk);
                self.later(READ_ONLY_MS, Next::Boot { host, wrong: false });
            }
            Trouble::RottenByte => {
                let draw = self.hosts[host].disk_dice.draw();
                if self.hosts[host].disk.rot(draw, &mut self.pool) {
                    self.counts.happened(Fault::RottenByte);
                }
            }
            Trouble::ClockStep => {
                let day_ms = DAY_MS;
                let draw = self.hosts[host].power_dice.below(2 * day_ms);
                let delta_ms =
                    i64::try_from(draw).unwrap_or(0) - i64::try_from(day_ms).unwrap_or(0);
                let now_ms = self.now_ms;
                self.hosts[host].clock.step(now_ms, delta_ms);
                self.counts.happened(Fault::ClockStep);
                self.step(host, Event::Wake);
                let node = self.hosts[host].node.as_ref();
                if node.is_some_and(|node| !node.now().known) {
                    self.counts.bit(Fault::ClockStep);
                }
            }
            Trouble::WrongBoot => {
                self.counts.happened(Fault::WrongBoot);
                let other = 1 - self.hosts[host].machine.booted();
                let there =
                    matches!(self.hosts[host].machine.slot(other), crate::host::Slot::Whole(_));
                if there && self.hosts[host].powered {
                    self.counts.bit(Fault::WrongBoot);
                    self.boot(host, true);
                }
            }
        }
    }

    /// The process or the machine is going to crash: now, or at a point of one of its next steps.
    fn doom(&mut self, host: usize, power: bool) {
        self.counts.happened(if power { Fault::PowerCut } else { Fault::Kill });
        if self.hosts[host].node.is_none() {
            return;
        }
        let dice = &mut self.hosts[host].power_dice;
        let at_once = dice.below(4) == 0;
        let points_left = u32::try_from(dice.below(CRASH_POINTS)).unwrap_or(0);
        let tears = power && dice.below(2) == 0;
        // Few steps have several acts, so that one crash in so many waits for one.
        let between = u64::from(points_left) + 1 == CRASH_POINTS;
        self.hosts[host].doom = Some(Doom { points_left, power, tears, between, moment: None });
        if at_once {
            self.hosts[host].doom = None;
            let unfinished =
                self.hosts[host].staging.is_some() || self.hosts[host].acting.is_some();
            if unfinished && !power {
                self.counts.bit(Fault::Kill);
            }
            if power {
                self.lose_power(host);
            } else {
                self.die(host);
            }
        }
    }

    /// A machine is switched off for the night, or on in the morning.
    pub(super) fn night(&mut self, host: usize, on: bool) {
        let passed_ms = self.now_ms % DAY_MS;
        if on {
            self.switch_on(host);
            if !self.calm {
                self.later(EVENING_MS - passed_ms.min(EVENING_MS), Next::Night { host, on: false });
            }
        } else if !self.calm {
            self.counts.happened(Fault::SwitchedOff);
            self.switch_off(host);
            self.later(DAY_MS - passed_ms + MORNING_MS, Next::Night { host, on: true });
        }
    }

    /// Draws the cuts of the whole run, so that all that heals is known.
    pub(super) fn expect_cuts(&mut self) {
        let calm_ms = self.scenario.calm_after.0;
        let count = self.hosts.len();
        let fault = self.scenario.fault;
        for (one_way, rate) in [(false, fault.partitions), (true, fault.one_way_cuts)] {
            let mut at_ms = 0;
            while let Some(after_ms) = self.cut_dice.next_of(rate) {
                at_ms += after_ms;
                if at_ms >= calm_ms {
                    break;
                }
                let dice = &mut self.cut_dice;
                let cut = if one_way {
                    Cut::OneWay(dice.place(count), dice.place(count))
                } else {
                    [Cut::Halves, Cut::Sites, Cut::Split(dice.draw())][dice.place(3)]
                };
                let lasts_ms = dice.between(*CUT_MS.start(), *CUT_MS.end());
                self.cuts += 1;
                let until_ms = (at_ms + lasts_ms).min(calm_ms);
                let next = Next::CutBegins { number: self.cuts, cut, until_ms };
                self.queue.push(at_ms, next);
            }
        }
    }

    /// All faults end: progress is demanded from here on.
    pub(super) fn grow_calm(&mut self) {
        self.calm = true;
        self.network.calm();
        self.release.heal();
        for host in 0..self.hosts.len() {
            let now_ms = self.now_ms;
            let of = &mut self.hosts[host];
            of.doom = None;
            of.disk.condition = Condition::Good;
            of.clock.set_right(now_ms);
            let off = !of.powered && self.reference.may_run(host);
            // Whoever booted the other slot restarts the machine.
            let astray = of.powered && !of.machine.is_confirmed() && of.is_idle();
            if off {
                self.later(1, Next::SwitchOn { host });
            } else if astray {
                self.later(1, Next::Boot { host, wrong: false });
            }
        }
    }
}
