//! The reference model: who should run what by when. It works from the scenario's intentions and
//! the machines' hardware alone; no code of the core or of the decision is used, and nothing of
//! what the nodes hold.

use std::collections::BTreeSet;

use daymark_protocol::time::WallTime;

use crate::calendar::openings;
use crate::host::{FIRST_VERSION, SimHost};
use crate::operators::Rule;
use crate::scenario::{Failing, Image, Order, Scenario, Span, Zone};

/// Time that an order, or the end of all faults, takes to be felt everywhere, ms.
const FELT_MS: u64 = 45 * 60_000;
/// Shortest opening in which everyone can be asked to update, ms.
const OPENING_MS: i64 = 45 * 60_000;
/// Machines of a site from which on their clocks vouch for each other.
const WITNESSES: usize = 6;

/// An order as it was meant.
#[derive(Clone, Debug)]
struct Ordered {
    version: String,
    site: Option<String>,
    window: Rule,
    /// When the last signer it takes signed; `None` if nobody else ever did.
    complete_ms: Option<u64>,
    contradicted: bool,
    /// Whether it names a closing that nobody was handed.
    sees_hidden: bool,
    /// Whether only newer agents can read it.
    newer_field: bool,
    /// Whether its signers left without anything being kept.
    fallen: bool,
}

/// A machine as it stands in the model.
#[derive(Clone, Debug)]
struct Member {
    site: String,
    old_hardware: bool,
    runs: bool,
    hostile: bool,
    /// Whether its clock is right once it has run for a while, whatever befell it.
    knows_time: bool,
}

/// What a machine should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The version that it should run, confirmed.
    pub version: String,
    /// From when on, ms.
    pub by_ms: u64,
}

/// The model.
#[derive(Debug, Default)]
pub struct Reference {
    begins: WallTime,
    calm_ms: u64,
    length_ms: u64,
    images: Vec<Image>,
    members: Vec<Member>,
    orders: Vec<Ordered>,
    halts: Vec<(u64, Option<u64>)>,
    /// When there were rival roots, and when they were settled.
    rivals: Vec<(u64, Option<u64>)>,
    blackouts: Vec<(u64, u64)>,
    hidden_closings: bool,
    removed: BTreeSet<usize>,
    /// Machines with a double.
    cloned: BTreeSet<usize>,
    /// Since when something closes everything that no agent can read.
    closed_ms: Option<u64>,
}

impl Reference {
    /// Takes in what a world begins with.
    pub(crate) fn begin(&mut self, scenario: &Scenario, hosts: &[SimHost], sites: &[String]) {
        self.begins = scenario.begins;
        self.calm_ms = scenario.calm_after.0;
        self.length_ms = scenario.length.0;
        self.images.clone_from(&scenario.image);
        let running =
            |site: usize| hosts.iter().filter(|host| host.site == site && host.powered).count();
        let witnessed: Vec<bool> =
            (0..sites.len()).map(|site| running(site) >= WITNESSES).collect();
        let all_served = scenario.clock.synchronised_per_cent == 100;
        self.members = hosts
            .iter()
            .map(|host| Member {
                site: sites[host.site].clone(),
                old_hardware: host.machine.old_hardware,
                runs: host.powered,
                hostile: host.is_hostile(),
                knows_time: all_served || witnessed[host.site],
            })
            .collect();
    }

    /// Whether a machine is one of those that run at all.
    pub(crate) fn may_run(&self, host: usize) -> bool {
        self.members.get(host).is_some_and(|member| member.runs)
    }

    pub(crate) fn order(&mut self, order: &Order) {
        self.orders.push(Ordered {
            version: order.version.clone(),
            site: order.site.clone(),
            window: Rule::from(&order.window),
            complete_ms: (!order.too_few).then_some(order.at.0 + order.cosigned_after.0),
            contradicted: false,
            sees_hidden: order.sees && self.hidden_closings,
            newer_field: order.newer_field,
            fallen: false,
        });
    }

    pub(crate) fn contradict(&mut self, order: &Order) {
        let same =
            |other: &&mut Ordered| other.version == order.version && other.site == order.site;
        if let Some(ordered) = self.orders.iter_mut().rev().find(same) {
            ordered.contradicted = true;
        }
    }

    pub(crate) fn halt(&mut self, at_ms: u64) {
        self.halts.push((at_ms, None));
    }

    pub(crate) fn resume(&mut self, at_ms: u64, too_few: bool) {
        if !too_few {
            for (_, until) in &mut self.halts {
                until.get_or_insert(at_ms);
            }
        }
    }

    /// Under rival roots nothing is started.
    pub(crate) fn rivals(&mut self, at_ms: u64) {
        self.rivals.push((at_ms, None));
    }

    pub(crate) fn settle(&mut self, at_ms: u64) {
        for (_, until) in &mut self.rivals {
            until.get_or_insert(at_ms);
        }
    }

    pub(crate) fn blackout(&mut self, from: Span, until: Span, handed: bool) {
        if handed {
            self.blackouts.push((from.0, until.0));
        } else {
            self.hidden_closings = true;
        }
    }

    pub(crate) fn future(&mut self, at_ms: u64, closes: bool) {
        if closes {
            self.closed_ms.get_or_insert(at_ms);
        }
    }

    /// The first two policy keys sign orders; what one of them signed before it was
    /// revoked has fallen.
    pub(crate) fn leave(&mut self, key: usize, keep: bool) {
        if key < 2 && !keep {
            self.orders.iter_mut().for_each(|order| order.fallen = true);
        }
    }

    pub(crate) fn remove(&mut self, host: usize) {
        self.removed.insert(host);
    }

    pub(crate) fn cloned(&mut self, host: usize) {
        self.cloned.insert(host);
    }

    /// Whether a machine has a double, or is one.
    pub(crate) fn is_cloned(&self, host: usize) -> bool {
        host >= self.members.len() || self.cloned.contains(&host)
    }

    /// Whether a window of some order is at another hour of UTC now than when the world began.
    pub(crate) fn clocks_changed(&self, now_ms: u64) -> bool {
        let berlin = |order: &Ordered| matches!(order.window, Rule::Weekly(.., Zone::Berlin));
        let now = self.begins.plus_ms(i64::try_from(now_ms).unwrap_or(i64::MAX));
        self.orders.iter().any(berlin)
            && crate::calendar::is_summer(now) != crate::calendar::is_summer(self.begins)
    }

    /// Whether all that it takes signed an order before everything was closed.
    fn is_complete(&self, order: &Ordered) -> bool {
        let open = |at_ms| self.closed_ms.is_none_or(|closed_ms| at_ms < closed_ms);
        order.complete_ms.is_some_and(open)
    }

    /// The order that counts for a machine in the end: the newest for its site, else for everyone.
    fn wanted(&self, member: &Member) -> Option<&Ordered> {
        let complete = || self.orders.iter().rev().filter(|order| self.is_complete(order));
        let of_site = complete().find(|order| order.site.as_ref() == Some(&member.site));
        of_site.or_else(|| complete().find(|order| order.site.is_none()))
    }

    /// What a machine should run at the end of the run, and since when; `None` if nothing can be
    /// demanded of it.
    pub fn expected(&self, host: usize) -> Option<Expected> {
        let member = self.members.get(host)?;
        let order = self.wanted(member)?;
        let unreadable = order.sees_hidden || !self.reads(member, order);
        let nothing = order.contradicted || unreadable || order.fallen;
        let out = !member.runs
            || member.hostile
            || self.removed.contains(&host)
            || self.cloned.contains(&host);
        if nothing || out || !member.knows_time {
            return None;
        }
        let from_ms = order.complete_ms?.max(self.calm_ms) + FELT_MS;
        let by_ms = self.first_chance(&order.window, from_ms)?;
        if self.fails(&order.version, member) {
            // Tried once, quarantined: what ran before runs on.
            return None;
        }
        Some(Expected { version: order.version.clone(), by_ms })
    }

    /// Versions that a machine may run confirmed at the end.
    pub fn allowed(&self, host: usize) -> BTreeSet<String> {
        let mut allowed = BTreeSet::from([FIRST_VERSION.to_owned()]);
        let Some(member) = self.members.get(host) else { return allowed };
        for order in &self.orders {
            let reaches = order.site.as_ref().is_none_or(|site| *site == member.site);
            let counts = self.is_complete(order) && self.reads(member, order);
            if reaches && counts && !self.fails(&order.version, member) {
                allowed.insert(order.version.clone());
            }
        }
        allowed
    }

    /// Whether a machine can read an order by the time that it is complete: one with a newer field
    /// only with an agent that came with an earlier order.
    fn reads(&self, member: &Member, order: &Ordered) -> bool {
        let newer = |version: &str| {
            self.images.iter().any(|image| image.version == version && image.newer_agent)
        };
        let brought = |earlier: &&Ordered| {
            let reaches = earlier.site.as_ref().is_none_or(|site| *site == member.site);
            let from_ms = earlier.complete_ms.map(|at_ms| at_ms.max(self.calm_ms) + FELT_MS);
            let by_ms = from_ms.and_then(|from_ms| self.first_chance(&earlier.window, from_ms));
            !earlier.newer_field
                && reaches
                && newer(&earlier.version)
                && !self.fails(&earlier.version, member)
                && by_ms.is_some_and(|by_ms| order.complete_ms.is_some_and(|at_ms| by_ms <= at_ms))
        };
        !order.newer_field || self.orders.iter().any(|earlier| brought(&earlier))
    }

    fn fails(&self, version: &str, member: &Member) -> bool {
        let image = self.images.iter().find(|image| image.version == version);
        image.is_some_and(|image| {
            image.fails != Failing::Nothing && (member.old_hardware || !image.only_on_old)
        })
    }

    /// The end of the first opening after a time that is long enough and not closed, ms.
    fn first_chance(&self, window: &Rule, from_ms: u64) -> Option<u64> {
        let from = i64::try_from(from_ms).unwrap_or(i64::MAX);
        let closed: Vec<(i64, i64)> = self
            .blackouts
            .iter()
            .copied()
            .chain(
                self.halts
                    .iter()
                    .chain(&self.rivals)
                    .map(|(from, until)| (*from, until.unwrap_or(u64::MAX))),
            )
            .chain(self.closed_ms.map(|from| (from, u64::MAX)))
            .map(|(from, until)| {
                let until = until.saturating_add(FELT_MS);
                (i64::try_from(from).unwrap_or(0), i64::try_from(until).unwrap_or(i64::MAX))
            })
            .collect();
        let chances = openings(window, self.begins, self.length_ms).into_iter();
        let ends = chances.filter_map(|opening| {
            let start = opening.from_ms.max(from);
            let end = opening.to_ms.unwrap_or(start + 2 * OPENING_MS);
            let free = closed.iter().all(|(shut, open)| *open <= start || end <= *shut);
            (end - start >= OPENING_MS && free).then_some(end)
        });
        let end = u64::try_from(ends.min()?).ok()?;
        (end <= self.length_ms).then_some(end)
    }
}

impl Reference {
    /// Whether a machine was removed from the fleet.
    pub(crate) fn is_removed(&self, host: usize) -> bool {
        self.removed.contains(&host)
    }

    /// Openings of all orders that reach a site, ms since the world began.
    pub(crate) fn windows(&self, site: &str) -> Vec<(u64, u64)> {
        let reaching = |order: &&Ordered| order.site.as_ref().is_none_or(|of| of == site);
        let mut windows: Vec<(u64, u64)> = self
            .orders
            .iter()
            .filter(reaching)
            .flat_map(|order| openings(&order.window, self.begins, self.length_ms))
            .map(|opening| {
                let to_ms = opening.to_ms.and_then(|to_ms| u64::try_from(to_ms).ok());
                let from_ms = u64::try_from(opening.from_ms).unwrap_or(0);
                (from_ms, to_ms.unwrap_or(self.length_ms).min(self.length_ms))
            })
            .collect();
        windows.sort_unstable();
        windows.dedup();
        windows
    }
}
