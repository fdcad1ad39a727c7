//! Fault mixes drawn from a seed: each soak run is another world (the swarm idea of
//! TigerBeetle's simulator).

use super::format::{HostileAct, Link, Scenario};
use super::span::Span;
use crate::expect::Expect;
use crate::random::Dice;

/// The longest that idle nodes may rest where they learn the time from each other: three must have
/// told theirs within 15 minutes (RULES K1), and a real one compares twice a minute.
const CLOCKS_SLACK: Span = Span::minutes(1);

impl Scenario {
    /// This scenario with a fault mix of its own, drawn from `seed`: of each kind of fault none,
    /// some or many.
    #[must_use]
    pub fn mixed(mut self, seed: u64) -> Self {
        let mut dice = Dice::new(seed, "fault mix");
        self.expect = Expect::default();
        for link in [&mut self.network.lan, &mut self.network.wan] {
            mix_link(link, &mut dice);
        }
        let mut rate = |most: f64| match dice.below(3) {
            0 => 0.0,
            1 => most * dice.fraction() / 4.0,
            _ => most * dice.fraction(),
        };
        let fault = &mut self.fault;
        fault.kills = rate(4.0);
        fault.power_cuts = rate(2.0);
        fault.full_disks = rate(0.5);
        fault.read_only_disks = rate(0.2);
        fault.rotten_bytes = rate(1.0);
        fault.clock_steps = rate(0.1);
        fault.wrong_boots = rate(0.1);
        fault.partitions = rate(2.0);
        fault.one_way_cuts = rate(6.0);
        fault.release_absent = rate(4.0);
        fault.release_slow = rate(4.0);
        fault.release_lies = rate(4.0);
        self.clock.synchronised_per_cent = [100, 80, 0][dice.place(3)];
        if self.clock.synchronised_per_cent < 100 {
            self.wake_slack = self.wake_slack.min(CLOCKS_SLACK);
        }
        self.machine.boot_tries = [1, 2, 3][dice.place(3)];
        self.machine.old_per_cent = [0, 30][dice.place(2)];
        self.hostile.per_cent = [0, 0, 25][dice.place(3)];
        self.hostile.acts = HostileAct::ALL.into_iter().filter(|_| dice.below(2) == 0).collect();
        if self.hostile.acts.is_empty() {
            self.hostile.per_cent = 0;
        }
        self
    }
}

fn mix_link(link: &mut Link, dice: &mut Dice) {
    let mut per_mille = |most: f64| if dice.below(2) == 0 { 0.0 } else { most * dice.fraction() };
    link.loss_per_mille = per_mille(50.0);
    link.duplicate_per_mille = per_mille(50.0);
    link.reorder_per_mille = per_mille(100.0);
    link.corrupt_per_mille = per_mille(5.0);
    link.tail_per_mille = per_mille(50.0);
}
